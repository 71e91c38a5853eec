//! The way to the simulated PostgreSQL servers.

use futures::future::BoxFuture;
use simulation::aws::{
    ACCOUNT, Cloud, Place, Region,
    rds::{NoSession, Session},
};
use streaming_operator::{
    apply::{
        postgres::{Existing, Login, LoginError, Roles, Server},
        sessions::Sessions,
    },
    plan::rds::drill::Answer,
};

/// What carries conversations between an operator and a server.
pub trait Carrier: Send + Sync + 'static {
    /// None: nothing was answered.
    fn carry<T: Send + 'static>(
        &self,
        name: String,
        talk: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = Option<T>> + Send;
}

/// The servers of a cloud, by that way.
pub struct Servers<C> {
    cloud: Cloud,
    carrier: C,
}

impl<C: Carrier> Servers<C> {
    pub fn new(cloud: &Cloud, carrier: C) -> Self {
        Self { cloud: cloud.clone(), carrier }
    }

    /// Acts on the region that the server's name tells.
    async fn ask<T: Send + 'static>(
        &self,
        what: &str,
        server: &Server,
        login: &Login,
        act: impl FnOnce(&mut Region, jiff::Timestamp) -> Result<T, NoSession> + Send + 'static,
    ) -> Result<T, LoginError> {
        let (cloud, host, username) = (self.cloud.clone(), server.host.clone(), login.username.clone());
        let region = host.rsplit('.').nth(3).unwrap_or_default().to_owned();
        let place = Place { account: ACCOUNT.to_owned(), region };
        let name = format!("postgres: {what}");
        let asked = self.carrier.carry(name, async move { cloud.with(&place, act) }).await;
        asked.unwrap_or(Err(NoSession::Unreachable)).map_err(|why| match why {
            NoSession::Unreachable => {
                LoginError::Unreachable { host, port: server.port, message: "no answer".to_owned() }
            }
            NoSession::NoDatabase => LoginError::NoDatabase { host, dbname: server.dbname.clone() },
            NoSession::WrongPassword => {
                LoginError::Refused { host, username, message: "password authentication failed".to_owned() }
            }
        })
    }
}

/// Looks a session's parts up, so that they live as long as the request does.
fn log_in(server: &Server, login: &Login) -> impl Fn(&mut Region) -> Result<bool, NoSession> + Send + use<> {
    let (server, login) = (server.clone(), login.clone());
    move |region| region.log_in(session(&server, &login))
}

pub fn session<'a>(server: &'a Server, login: &'a Login) -> Session<'a> {
    Session {
        host: &server.host,
        database: &server.dbname,
        user: &login.username,
        password: login.password.reveal(),
    }
}

impl<C: Carrier> Sessions for Servers<C> {
    fn set<'a>(
        &'a self,
        server: &'a Server,
        master: &'a Login,
        login: &'a Login,
        _: Existing,
    ) -> BoxFuture<'a, Result<(), LoginError>> {
        let (there, as_master, user) = (server.clone(), master.clone(), login.clone());
        let set = move |region: &mut Region, now| {
            region.set_password(session(&there, &as_master), &user.username, user.password.reveal(), now)
        };
        Box::pin(self.ask("set a password", server, master, set))
    }

    fn role<'a>(&'a self, server: &'a Server, login: &'a Login) -> BoxFuture<'a, Result<String, LoginError>> {
        let (log_in, roles) = (log_in(server, login), Roles::of(&server.dbname));
        Box::pin(self.ask("log in", server, login, move |region, _| log_in(region).map(|_| roles.owner)))
    }

    fn query<'a>(&'a self, server: &'a Server, login: &'a Login, _: &'a str) -> BoxFuture<'a, Answer> {
        let log_in = log_in(server, login);
        Box::pin(async move {
            match self.ask("query", server, login, move |region, _| log_in(region)).await {
                Ok(_) => Answer::Passed,
                Err(error) => Answer::NotYet(error.to_string()),
            }
        })
    }
}
