//! Sets the login of a cache in ElastiCache, and writes its connection Secret.
//!
//! Flow: the password of the user that is not in use is set by `ModifyUser`; AWS takes half a minute to bring it
//! to the nodes, during which nothing waits: the login is *staged*, and the connection Secret claimed for it. When AWS
//! shows the user `active` again, the Secret is written with it.
//!
//! Guarantee: the password of the user in use is never set; see [`crate::plan::login`]. What is staged is in
//! memory only: whoever takes over sets the other user's password anew, which harms nobody once no password that was
//! sent before can arrive any more (docs/decisions/0024-late-writes.md).
//!
//! Caveat: that the login works is AWS's word; no connection to the cache is made.

use super::{
    aws::{Failure, set_cache_password},
    connection::{Claim, Connection, ConnectionError},
    postgres::{Login as Credentials, Password},
};
use crate::{
    aws::{Account, Unheard},
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
use tracing::info;

/// AWS may show a user as it was for a moment.
const SETTLING: Duration = Duration::from_secs(15);

/// A login on its way: claimed, set, and then written.
#[derive(Clone, Debug)]
pub struct Staged {
    /// What the Secret said when it was planned.
    from: Option<Record>,
    /// What the Secret shall say.
    record: Record,
    /// With which the Secret was claimed for it.
    claim: Claim,
    /// The password that AWS took, and when; none: it did not say yet that it took one.
    set: Option<(Password, Instant)>,
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
    /// Passwords that were sent before, and may still arrive: while they may, none is sent.
    pub unheard: &'a Unheard,
}

impl Login<'_> {
    /// Carries the step out that was planned, as far as it goes now. True: something was changed.
    ///
    /// # Errors
    /// Whatever stopped it. All that has changed then is, at most, the password of the user that is not in use, and the
    /// claim of the Secret.
    pub async fn carry_out(&self, staged: &mut Option<Staged>) -> Result<bool, Failure> {
        match &self.plan.step {
            Step::Nothing { .. } | Step::Wait(_) | Step::Store { .. } => {
                *staged = None;
                Ok(false)
            }
            Step::Rewrite { record } => {
                self.connection.rewrite(self.plan.from.as_ref(), record).await.map_err(told)?;
                Ok(true)
            }
            Step::Set { record, .. } => {
                let it = match staged.take().filter(|it| self.goes_on(it, record)) {
                    Some(it) => staged.insert(it),
                    None => staged.insert(self.claim(record).await?),
                };
                let Some((password, at)) = &it.set else {
                    if self.unheard.may_arrive() {
                        info!(
                            "the cache's login waits until no password that was sent before can arrive any more"
                        );
                        return Ok(false);
                    }
                    it.set = Some((self.set_password(record).await?, Instant::now()));
                    it.record = record.clone();
                    return Ok(true);
                };
                if !self.is_in_force(&it.record, *at) {
                    return Ok(false);
                }
                let login = self.credentials(&it.record, password);
                let written =
                    self.connection.set(self.plan.from.as_ref(), &it.claim, &login, &it.record).await;
                if matches!(written, Ok(()) | Err(ConnectionError::Changed(_))) {
                    *staged = None;
                }
                written.map_err(told).map(|()| true)
            }
        }
    }

    /// Whether what is staged is what is planned; the time of the plan is later.
    fn goes_on(&self, staged: &Staged, record: &Record) -> bool {
        let same =
            Record { set_at: record.set_at, endpoint: record.endpoint.clone(), ..staged.record.clone() };
        staged.from == self.plan.from && same == *record
    }

    /// Whether a login that was set then works.
    fn is_in_force(&self, record: &Record, set_at: Instant) -> bool {
        if !self.logs_in() {
            return true;
        }
        // Before it was set its user was active, too.
        if self.seen.failure.is_some() {
            return false;
        }
        let there = &self.seen.resource;
        let user = there.users.get(&Role::Pods(record.user).identifier(self.platform));
        let is_active = user.is_some_and(|user| user.status == "active");
        let group_is_active = there.user_group.as_ref().is_some_and(|group| group.status == "active");
        is_active && group_is_active && set_at.elapsed() >= SETTLING
    }

    /// Without TLS there are no users.
    fn logs_in(&self) -> bool {
        self.platform.cache_in_aws().is_some_and(|cache| cache.tls)
    }

    async fn claim(&self, record: &Record) -> Result<Staged, Failure> {
        let from = self.plan.from.clone();
        let claim = self.connection.claim(from.as_ref()).await.map_err(told)?;
        Ok(Staged { from, record: record.clone(), claim, set: None })
    }

    async fn set_password(&self, record: &Record) -> Result<Password, Failure> {
        if !self.logs_in() {
            return Ok(Password::new(""));
        }
        let password = Password::random();
        let user = Role::Pods(record.user).identifier(self.platform);
        let set = set_cache_password(self.account, &user, &password, self.unheard).await;
        set.map(|()| password).map_err(|failure| Failure {
            message: format!("the cache's login: {}", failure.message),
            ..failure
        })
    }

    fn credentials(&self, record: &Record, password: &Password) -> Credentials {
        let username = if self.logs_in() { Role::Pods(record.user).name() } else { "" };
        Credentials { username: username.to_owned(), password: password.clone() }
    }
}

fn told(error: ConnectionError) -> Failure {
    // Someone was faster: the next look tells.
    let waiting = matches!(error, ConnectionError::Changed(_));
    Failure { message: format!("the cache's login: {error}"), waiting }
}
