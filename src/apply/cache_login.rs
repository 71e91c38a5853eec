//! Sets the login of a cache in ElastiCache, and writes its connection Secret.
//!
//! Flow: the password of the user that is not in use is set by `ModifyUser`; AWS takes half a minute to bring it
//! to the nodes, during which nothing waits: the login is *staged*. When AWS shows the user `active` again, the
//! connection Secret is written with it.
//!
//! Guarantee: the password of the user in use is never set; see [`crate::plan::login`]. What is staged is in
//! memory only: whoever takes over sets the other user's password anew, which harms nobody.
//!
//! Caveat: that the login works is AWS's word; no connection to the cache is made.

use super::{
    aws::{Failure, set_cache_password},
    connection::{Connection, ConnectionError},
    postgres::{Login as Credentials, Password},
};
use crate::{
    aws::Account,
    managed::{
        Seen,
        elasticache::{Cache, user::Role},
    },
    plan::{
        login::{Record, Step},
        managed::LoginPlan,
    },
    platform::Platform,
};
use std::time::Duration;
use tokio::time::Instant;

/// AWS may show a user as it was for a moment.
const SETTLING: Duration = Duration::from_secs(15);

/// A login that AWS is setting.
#[derive(Clone, Debug)]
pub struct Staged {
    /// What the Secret said when it was planned.
    from: Option<Record>,
    /// What the Secret shall say.
    record: Record,
    password: Password,
    at: Instant,
}

/// What it takes to set a login.
pub struct Login<'a> {
    /// Where the cache is.
    pub account: &'a Account,
    /// Its connection Secret.
    pub connection: &'a Connection,
    /// The platform.
    pub platform: &'a Platform,
    /// What is to be done.
    pub plan: &'a LoginPlan,
    /// What was observed after `staged` was set last; where that failed, before.
    pub seen: &'a Seen<Cache>,
}

impl Login<'_> {
    /// Carries the step out that was planned, as far as it goes now. True: something was changed.
    ///
    /// # Errors
    /// Whatever stopped it. All that has changed then is, at most, the password of the user that is not in use.
    pub async fn carry_out(&self, staged: &mut Option<Staged>) -> Result<bool, Failure> {
        match &self.plan.step {
            Step::Nothing { .. } | Step::Wait(_) | Step::Store { .. } => {
                *staged = None;
                Ok(false)
            }
            Step::Rewrite { record } => {
                let before = self.unchanged().await?;
                let login = before.as_ref().map(|before| before.login.clone());
                let login =
                    login.ok_or_else(|| ConnectionError::Missing(self.connection.target.name.clone()));
                self.connection.write(before.as_ref(), &login.map_err(told)?, record).await.map_err(told)?;
                Ok(true)
            }
            Step::Set { record, .. } => match staged.clone().filter(|it| self.goes_on(it, record)) {
                None => {
                    let new = self.stage(record).await?;
                    *staged = Some(new);
                    Ok(true)
                }
                Some(it) if self.is_in_force(&it) => {
                    let before = self.unchanged().await?;
                    let login = self.credentials(&it);
                    self.connection.write(before.as_ref(), &login, &it.record).await.map_err(told)?;
                    *staged = None;
                    Ok(true)
                }
                Some(_) => Ok(false),
            },
        }
    }

    /// Whether what is staged is what is planned; the time of the plan is later.
    fn goes_on(&self, staged: &Staged, record: &Record) -> bool {
        let same =
            Record { set_at: record.set_at, endpoint: record.endpoint.clone(), ..staged.record.clone() };
        staged.from == self.plan.from && same == *record
    }

    fn is_in_force(&self, staged: &Staged) -> bool {
        if !self.logs_in() {
            return true;
        }
        // Before it was set its user was active, too.
        if self.seen.failure.is_some() {
            return false;
        }
        let there = &self.seen.resource;
        let user = there.users.get(&Role::Pods(staged.record.user).identifier(self.platform));
        let is_active = user.is_some_and(|user| user.status == "active");
        let group_is_active = there.user_group.as_ref().is_some_and(|group| group.status == "active");
        is_active && group_is_active && staged.at.elapsed() >= SETTLING
    }

    /// Without TLS there are no users.
    fn logs_in(&self) -> bool {
        self.platform.cache_in_aws().is_some_and(|cache| cache.tls)
    }

    async fn stage(&self, record: &Record) -> Result<Staged, Failure> {
        self.unchanged().await?;
        let mut password = Password::new("");
        if self.logs_in() {
            password = Password::random();
            let user = Role::Pods(record.user).identifier(self.platform);
            set_cache_password(self.account, &user, &password).await.map_err(|failure| Failure {
                message: format!("the cache's login: {}", failure.message),
                ..failure
            })?;
        }
        Ok(Staged { from: self.plan.from.clone(), record: record.clone(), password, at: Instant::now() })
    }

    fn credentials(&self, staged: &Staged) -> Credentials {
        let username = if self.logs_in() { Role::Pods(staged.record.user).name() } else { "" };
        Credentials { username: username.to_owned(), password: staged.password.clone() }
    }

    async fn unchanged(&self) -> Result<Option<super::connection::Current>, Failure> {
        self.connection.unchanged_since(self.plan.from.as_ref()).await.map_err(told)
    }
}

fn told(error: ConnectionError) -> Failure {
    // Someone was faster: the next look tells.
    let waiting = matches!(error, ConnectionError::Changed(_));
    Failure { message: format!("the cache's login: {error}"), waiting }
}
