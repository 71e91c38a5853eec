//! Sessions with PostgreSQL servers: over the network, or with servers that a simulation keeps.

use super::{
    drill, postgres,
    postgres::{Existing, Login, LoginError, Password, Roles, Server},
};
use crate::plan::{login::User, rds::drill::Answer};
use futures::future::BoxFuture;
use std::sync::Arc;

/// What a server is asked for.
pub trait Sessions: Send + Sync {
    /// Logs in as the master, and gives `login` its password and its rights: all of it or nothing.
    fn set<'a>(
        &'a self,
        server: &'a Server,
        master: &'a Login,
        login: &'a Login,
        existing: Existing,
    ) -> BoxFuture<'a, Result<(), LoginError>>;

    /// Logs in, makes a query, and tells which role the session acts as.
    fn role<'a>(&'a self, server: &'a Server, login: &'a Login) -> BoxFuture<'a, Result<String, LoginError>>;

    /// Logs in, and makes the query of a restore drill.
    fn query<'a>(&'a self, server: &'a Server, login: &'a Login, query: &'a str) -> BoxFuture<'a, Answer>;
}

/// PostgreSQL servers. Cheap to clone.
#[derive(Clone)]
pub struct Postgres(Arc<dyn Sessions>);

impl Postgres {
    /// Servers to which there is another way than the network.
    pub fn by(sessions: impl Sessions + 'static) -> Self {
        Self(Arc::new(sessions))
    }

    /// Gives `user` a new random password, its rights, and tries it. The other user is not touched.
    ///
    /// The caller has made sure that nobody uses `user` now. Two calls at once are put in order by a lock in the
    /// database; a call that was cut off can be repeated.
    ///
    /// # Errors
    /// Whatever keeps the login from being set or from working. It may have been set nevertheless.
    pub async fn set_login(
        &self,
        server: &Server,
        master: &Login,
        user: User,
        existing: Existing,
    ) -> Result<Login, LoginError> {
        let roles = Roles::of(&server.dbname);
        let login = Login { username: roles.user(user).to_owned(), password: Password::random() };
        self.0.set(server, master, &login, existing).await?;
        let role = self.0.role(server, &login).await?;
        if role != roles.owner {
            let message = format!("user {} acts as {role}, not as {}", login.username, roles.owner);
            return Err(LoginError::Failed { host: server.host.clone(), what: "answer a query", message });
        }
        Ok(login)
    }

    /// Logs in once and makes a query.
    ///
    /// # Errors
    /// What the login failed for.
    pub async fn check(&self, server: &Server, login: &Login) -> Result<(), LoginError> {
        self.0.role(server, login).await.map(drop)
    }

    /// Makes a query in a read-only transaction. It passes with a row whose first column is neither null, false
    /// nor 0.
    pub async fn query(&self, server: &Server, login: &Login, query: &str) -> Answer {
        self.0.query(server, login, query).await
    }
}

/// Servers in the network.
impl Default for Postgres {
    fn default() -> Self {
        Self::by(Network)
    }
}

struct Network;

impl Sessions for Network {
    fn set<'a>(
        &'a self,
        server: &'a Server,
        master: &'a Login,
        login: &'a Login,
        existing: Existing,
    ) -> BoxFuture<'a, Result<(), LoginError>> {
        Box::pin(postgres::set(server, master, login, existing))
    }

    fn role<'a>(&'a self, server: &'a Server, login: &'a Login) -> BoxFuture<'a, Result<String, LoginError>> {
        Box::pin(postgres::role(server, login))
    }

    fn query<'a>(&'a self, server: &'a Server, login: &'a Login, query: &'a str) -> BoxFuture<'a, Answer> {
        Box::pin(drill::query(server, login, query))
    }
}
