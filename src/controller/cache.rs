//! The cache in AWS within a reconcile: observed, changed and, in the end, removed.

use super::{
    brake::Brake,
    transcoding::{End, LET_GO, waiting},
};
use crate::{
    api::{StreamingPlatform, names},
    apply::{
        aws::{Applied, Failure as CallFailure, Passwords, apply_in_order},
        cache_login::{Login, Staged},
        connection::{Connection, Protocol, Target},
    },
    aws::Account,
    kinds::PlatformKey,
    managed::{Failure, Seen, elasticache},
    metrics::Metrics,
    observe::aws::cache::{Caches, Observation},
    plan::{
        call::Call,
        elasticache::teardown,
        managed::{DataPlan, State},
        rds::Removal,
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

/// What a reconcile needs for caches in AWS.
pub(super) struct Cache {
    client: Client,
    observer: Caches,
    metrics: Metrics,
    brake: Brake,
    memory: Mutex<HashMap<PlatformKey, Memory>>,
    changed: mpsc::UnboundedSender<PlatformKey>,
}

/// What is remembered of a platform between two reconciles. A new leader does well without.
#[derive(Clone, Debug, Default)]
struct Memory {
    /// When we changed something last: older listings are of no use.
    changed_at: Option<Instant>,
    /// Whether something moves.
    busy: bool,
    /// A login that AWS is setting.
    staged: Option<Staged>,
}

impl Cache {
    pub fn new(client: Client, metrics: Metrics, changed: mpsc::UnboundedSender<PlatformKey>) -> Self {
        Self {
            client,
            observer: Caches::default(),
            metrics,
            brake: Brake::default(),
            memory: Mutex::default(),
            changed,
        }
    }

    /// What is there of a platform's cache. Nothing where it has none in AWS.
    pub async fn observe(
        &self,
        key: &PlatformKey,
        resource: &StreamingPlatform,
        platform: &Platform,
        account: &Result<Option<Account>, Failure>,
    ) -> Option<Seen<elasticache::Cache>> {
        let wanted = platform.cache_in_aws()?;
        let account = match account {
            Ok(account) => Ok(account.as_ref()?),
            Err(failure) => Err(failure),
        };
        let memory = self.memory().get(key).cloned().unwrap_or_default();
        let age = if memory.busy { BUSY } else { IDLE };
        let not_before = Instant::now().checked_sub(age).max(memory.changed_at).unwrap_or_else(Instant::now);
        let observation = self.observer.observe(resource, platform, wanted, account, not_before);
        let Observation { seen, changed } = Box::pin(observation).await;
        for other in changed.into_iter().filter(|other| other != key) {
            // Without a receiver the process ends.
            let _ = self.changed.send(other);
        }
        Some(seen)
    }

    /// Makes the planned calls.
    pub async fn apply(&self, key: &PlatformKey, plan: &DataPlan, account: Option<&Account>) -> Applied {
        let busy = matches!(plan.state, State::Moving(_)) || !plan.calls.is_empty();
        self.memory().entry(key.clone()).or_default().busy = busy;
        let (Some(account), false) = (account, plan.calls.is_empty()) else {
            self.brake.release(key);
            return Applied::default();
        };
        self.call(key, account, &plan.calls).await
    }

    /// Makes the login that the pods use, as planned. True: something was changed.
    ///
    /// # Errors
    /// What stopped it.
    pub async fn log_in(
        &self,
        key: &PlatformKey,
        resource: &StreamingPlatform,
        platform: &Platform,
        plan: &DataPlan,
        seen: Option<&Seen<elasticache::Cache>>,
        account: Option<&Account>,
    ) -> Result<bool, CallFailure> {
        let (Some(login), Some(seen), Some(account)) = (&plan.login, seen, account) else {
            return Ok(false);
        };
        let tls = platform.cache_in_aws().is_some_and(|cache| cache.tls);
        let connection = Connection {
            secrets: Api::namespaced(self.client.clone(), &key.namespace),
            metrics: self.metrics.clone(),
            target: Target {
                name: platform.name.child(names::CACHE),
                labels: login.labels.clone(),
                owner: resource.controller_owner_ref(&()).filter(|_| login.owned),
            },
            endpoint: login.endpoint.clone(),
            protocol: Protocol::Redis { tls },
        };
        let mut staged = self.memory().get(key).and_then(|memory| memory.staged.clone());
        let was_staged = staged.is_some();
        let login = Login { account, connection: &connection, platform, plan: login, seen: &seen.resource };
        let done = login.carry_out(&mut staged).await;
        let mut memory = self.memory();
        let memory = memory.entry(key.clone()).or_default();
        if staged.is_some() && !was_staged {
            memory.changed_at = Some(Instant::now());
        }
        memory.busy |= staged.is_some();
        memory.staged = staged;
        done
    }

    async fn call(&self, key: &PlatformKey, account: &Account, calls: &[Call]) -> Applied {
        if let Some(held) = self.brake.holds(key, calls) {
            return Applied { changed: 0, failures: vec![held] };
        }
        // No call of ElastiCache needs a password from a Secret; see `Login`.
        let passwords = Passwords::new(self.client.clone(), &key.namespace);
        let applied = apply_in_order(account, &passwords, calls).await;
        self.observer.forget(account, calls);
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

    /// Brings the end of a platform's cache a step further.
    pub async fn end(
        &self,
        key: &PlatformKey,
        resource: &StreamingPlatform,
        platform: &Platform,
        account: &Result<Option<Account>, Failure>,
    ) -> End {
        let Some(wanted) = platform.cache_in_aws() else { return End::Done };
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
        let applied = self.call(key, account, &calls).await;
        match applied.failures.iter().find(|failure| !failure.waiting) {
            Some(failure) => End::HeldUp(waiting("AWS", &failure.message)),
            None => End::Waiting(waiting("AWS", "the cache is removed, as cache.deletionPolicy says")),
        }
    }

    /// The platform is gone.
    pub fn forget(&self, key: &PlatformKey) {
        self.memory().remove(key);
        self.brake.release(key);
    }

    fn memory(&self) -> MutexGuard<'_, HashMap<PlatformKey, Memory>> {
        // Entries are replaced as a whole, so that a panic elsewhere leaves nothing half done.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
