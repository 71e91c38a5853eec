//! The database in AWS within a reconcile: observed, changed and, in the end, removed.

mod drill;

use super::{
    brake::Brake,
    transcoding::{End, LET_GO, waiting},
};
use crate::{
    api::{StreamingPlatform, names},
    apply::{
        aws::{Applied, Passwords, apply_in_order},
        connection::{Connection, ConnectionError, Protocol, Target},
        master,
    },
    aws::Account,
    kinds::PlatformKey,
    managed::{Failure, Seen, rds},
    metrics::Metrics,
    observe::aws::database::{Databases, Observation},
    plan::{
        call::Call,
        login::Step,
        managed::{DataPlan, State},
        rds::{Removal, drill::Drill, teardown},
    },
    platform::Platform,
};
use kube::{Api, Client, Resource};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::mpsc, time::Instant};

/// How old a listing may be while nothing moves, and how soon a platform looks again.
const IDLE: Duration = Duration::from_secs(60);
/// Likewise while something moves.
const BUSY: Duration = Duration::from_secs(15);

/// How often the login is tried.
const CHECK: Duration = Duration::from_secs(600);

/// What a reconcile needs for databases in AWS.
pub(super) struct Database {
    client: Client,
    observer: Databases,
    metrics: Metrics,
    brake: Brake,
    drill_brake: Brake,
    memory: Mutex<HashMap<PlatformKey, Memory>>,
    changed: mpsc::UnboundedSender<PlatformKey>,
}

/// What is remembered of a platform between two reconciles. A new leader does well without.
#[derive(Clone, Copy, Debug, Default)]
struct Memory {
    /// When we changed something last: older listings are of no use.
    changed_at: Option<Instant>,
    /// Whether something moves.
    busy: bool,
    /// When the login was tried last.
    checked_at: Option<Instant>,
    /// Whether the server refused it.
    login_refused: bool,
}

impl Database {
    pub fn new(client: Client, metrics: Metrics, changed: mpsc::UnboundedSender<PlatformKey>) -> Self {
        Self {
            client,
            observer: Databases::default(),
            metrics,
            brake: Brake::default(),
            drill_brake: Brake::default(),
            memory: Mutex::default(),
            changed,
        }
    }

    /// What is there of a platform's database. Nothing where it has none in AWS.
    pub async fn observe(
        &self,
        key: &PlatformKey,
        resource: &StreamingPlatform,
        platform: &Platform,
        account: &Result<Option<Account>, Failure>,
    ) -> Option<Seen<rds::Database>> {
        let wanted = platform.database_in_aws()?;
        let account = match account {
            Ok(account) => Ok(account.as_ref()?),
            Err(failure) => Err(failure),
        };
        let memory = self.memory().get(key).copied().unwrap_or_default();
        let age = if memory.busy { BUSY } else { IDLE };
        let not_before = Instant::now().checked_sub(age).max(memory.changed_at).unwrap_or_else(Instant::now);
        let observation = self.observer.observe(resource, platform, wanted, account, not_before);
        let Observation { mut seen, changed } = Box::pin(observation).await;
        seen.login_refused = memory.login_refused;
        for other in changed.into_iter().filter(|other| other != key) {
            // Without a receiver the process ends.
            let _ = self.changed.send(other);
        }
        Some(seen)
    }

    /// Makes the planned calls.
    pub async fn apply(
        &self,
        key: &PlatformKey,
        platform: &Platform,
        plan: &DataPlan,
        account: Option<&Account>,
    ) -> Applied {
        let drills = plan.drill.as_ref().is_some_and(Drill::is_busy);
        let busy = matches!(plan.state, State::Moving(_)) || !plan.calls.is_empty() || drills;
        self.memory().entry(key.clone()).or_default().busy = busy;
        let (Some(account), false) = (account, plan.calls.is_empty()) else {
            self.brake.release(key);
            return Applied::default();
        };
        self.call(key, platform, account, &plan.calls).await
    }

    /// Makes the login that the pods use, as planned. True: the Secret was written.
    ///
    /// # Errors
    /// What stopped it, in a sentence.
    pub async fn log_in(
        &self,
        key: &PlatformKey,
        resource: &StreamingPlatform,
        platform: &Platform,
        plan: &DataPlan,
        account: Option<&Account>,
    ) -> Result<bool, String> {
        let (Some(login), Some(account)) = (&plan.login, account) else { return Ok(false) };
        let secrets = Api::namespaced(self.client.clone(), &key.namespace);
        let owner = resource.controller_owner_ref(&()).filter(|_| login.owned);
        let connection = Connection {
            secrets: secrets.clone(),
            metrics: self.metrics.clone(),
            target: Target {
                name: platform.name.child(names::DATABASE),
                labels: login.labels.clone(),
                owner,
            },
            endpoint: login.endpoint.clone(),
            protocol: Protocol::Postgres,
        };
        let master = master::login(account, &secrets, &login.master);
        let existing = drill::existing(platform);
        let written = connection.carry_out(login.from.as_ref(), &login.step, existing, master).await;
        let written = written.map_err(|error| format!("the database's login: {error}"))?;
        if written {
            self.memory().entry(key.clone()).or_default().login_refused = false;
        } else if matches!(login.step, Step::Nothing { .. }) && self.is_check_due(key) {
            // Whether someone changed the password in the database, no description tells.
            let checked = connection.check().await;
            let refused = matches!(&checked, Err(ConnectionError::Login(error)) if error.is_refused());
            self.memory().entry(key.clone()).or_default().login_refused = refused;
            checked.map_err(|error| format!("the database's login: {error}"))?;
        }
        Ok(written)
    }

    /// Whether the login was not tried for a while; then it is tried now.
    fn is_check_due(&self, key: &PlatformKey) -> bool {
        let mut memory = self.memory();
        let checked_at = &mut memory.entry(key.clone()).or_default().checked_at;
        let due = checked_at.is_none_or(|at| at.elapsed() >= CHECK);
        if due {
            *checked_at = Some(Instant::now());
        }
        due
    }

    async fn call(
        &self,
        key: &PlatformKey,
        platform: &Platform,
        account: &Account,
        calls: &[Call],
    ) -> Applied {
        if let Some(held) = self.brake.holds(key, calls) {
            return Applied { changed: 0, failures: vec![held] };
        }
        let passwords = Passwords::new(self.client.clone(), &platform.namespace);
        let applied = apply_in_order(account, &passwords, calls).await;
        for call in calls {
            if let Call::Rds(
                rds::Call::SetParameters { name, .. } | rds::Call::ResetParameters { name, .. },
            ) = call
            {
                self.observer.forget_parameters(account, name);
            }
        }
        self.memory().entry(key.clone()).or_default().changed_at = Some(Instant::now());
        if applied.failures.is_empty() {
            self.brake.made_calls(key, calls);
        }
        applied
    }

    /// How soon to look again.
    pub fn refresh(&self, key: &PlatformKey) -> Duration {
        let busy = self.memory().get(key).is_some_and(|memory| memory.busy);
        if busy { BUSY } else { IDLE }
    }

    /// Brings the end of a platform's database a step further.
    pub async fn end(
        &self,
        key: &PlatformKey,
        resource: &StreamingPlatform,
        platform: &Platform,
        account: &Result<Option<Account>, Failure>,
    ) -> End {
        let Some(wanted) = platform.database_in_aws() else { return End::Done };
        self.memory().entry(key.clone()).or_default().busy = true;
        let Some(seen) = self.observe(key, resource, platform, account).await else {
            return End::HeldUp(waiting("AWS", format!("spec.aws is missing; set it; {LET_GO}")));
        };
        if let Some(failure) = &seen.failure {
            return End::HeldUp(waiting("AWS", format!("{}; {LET_GO}", failure.message)));
        }
        let calls = match teardown(platform, wanted, &seen) {
            Removal::Done => {
                self.forget(key);
                return End::Done;
            }
            Removal::Waiting(message) => return End::Waiting(waiting("AWS", message)),
            Removal::HeldUp(message) => return End::HeldUp(waiting("the spec", message)),
            Removal::Calls(calls) => calls,
        };
        let Ok(Some(account)) = account else { return End::HeldUp(waiting("AWS", LET_GO)) };
        let applied = self.call(key, platform, account, &calls).await;
        match applied.failures.iter().find(|failure| !failure.waiting) {
            Some(failure) => End::HeldUp(waiting("AWS", &failure.message)),
            None => End::Waiting(waiting("AWS", "the database is removed, as database.deletionPolicy says")),
        }
    }

    /// The platform is gone.
    pub fn forget(&self, key: &PlatformKey) {
        self.memory().remove(key);
        self.brake.release(key);
        self.drill_brake.release(key);
    }

    fn memory(&self) -> MutexGuard<'_, HashMap<PlatformKey, Memory>> {
        // Entries are replaced as a whole, so that a panic elsewhere leaves nothing half done.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
