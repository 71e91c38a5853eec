//! A database or cache in AWS within a reconcile: observed, changed and, in the end, removed.

use super::{
    brake::Brake,
    transcoding::{End, LET_GO, waiting},
};
use crate::{
    api::StreamingPlatform,
    apply::aws::{Applied, Passwords, apply_in_order},
    aws::Account,
    kinds::PlatformKey,
    managed::{Failure, Seen},
    metrics::Metrics,
    observe::aws::inventory::Observation,
    plan::{
        call::Call,
        managed::{DataPlan, Removal, State},
        rds::drill::Drill,
    },
    platform::Platform,
};
use kube::Client;
use std::{
    collections::HashMap,
    future::Future,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::mpsc, time::Instant};

/// How old a listing may be while nothing moves, and how soon a platform looks again.
const IDLE: Duration = Duration::from_secs(60);
/// Likewise while something moves.
const BUSY: Duration = Duration::from_secs(15);

/// What tells databases and caches apart; it observes them.
pub(super) trait Kind: Default {
    /// Their field in the spec.
    const FIELD: &'static str;
    /// What the spec says.
    type Wanted;
    /// What is there.
    type Resource;
    /// What is remembered of the login between two reconciles.
    type Login: Clone + Default;

    /// What a platform wants. Nothing where it has none in AWS.
    fn wanted(platform: &Platform) -> Option<&Self::Wanted>;

    /// What is there of a platform's, by a listing that is no older than `not_before`.
    fn observe(
        &self,
        resource: &StreamingPlatform,
        platform: &Platform,
        wanted: &Self::Wanted,
        account: Result<&Account, &Failure>,
        not_before: Instant,
    ) -> impl Future<Output = Observation<Self::Resource>> + Send;

    /// Adds what a description in AWS does not tell.
    fn remind(login: &Self::Login, seen: &mut Seen<Self::Resource>);

    /// Forgets what these calls changed.
    fn forget(&self, account: &Account, calls: &[Call]);

    /// The next step of removing everything of a platform's.
    fn teardown(platform: &Platform, wanted: &Self::Wanted, seen: &Seen<Self::Resource>) -> Removal;
}

/// What a reconcile needs for databases or caches in AWS.
pub(super) struct Data<K: Kind> {
    pub client: Client,
    pub metrics: Metrics,
    /// Until then calls to AWS may arrive that an earlier leader sent; none: there are none.
    pub alone_from: Option<Instant>,
    observer: K,
    brake: Brake,
    /// Of the calls of restore drills, which only databases have.
    drill_brake: Brake,
    memory: Mutex<HashMap<PlatformKey, Memory<K::Login>>>,
    changed: mpsc::UnboundedSender<PlatformKey>,
}

/// What is remembered of a platform between two reconciles. A new leader does well without, but for passwords on their
/// way: for these it waits.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory<L> {
    /// When we changed something last: older listings are of no use.
    pub changed_at: Option<Instant>,
    /// Whether something moves.
    pub busy: bool,
    /// Of the login.
    pub login: L,
}

impl<K: Kind> Data<K> {
    pub fn new(
        client: Client,
        metrics: Metrics,
        changed: mpsc::UnboundedSender<PlatformKey>,
        alone_from: Option<Instant>,
    ) -> Self {
        Self {
            client,
            metrics,
            alone_from,
            observer: K::default(),
            brake: Brake::default(),
            drill_brake: Brake::default(),
            memory: Mutex::default(),
            changed,
        }
    }

    /// What is there of a platform's. Nothing where it has none in AWS.
    pub async fn observe(
        &self,
        key: &PlatformKey,
        resource: &StreamingPlatform,
        platform: &Platform,
        account: &Result<Option<Account>, Failure>,
    ) -> Option<Seen<K::Resource>> {
        let wanted = K::wanted(platform)?;
        let account = match account {
            Ok(account) => Ok(account.as_ref()?),
            Err(failure) => Err(failure),
        };
        let memory = self.remembered(key, |memory| memory.clone());
        let age = if memory.busy { BUSY } else { IDLE };
        let not_before = Instant::now().checked_sub(age).max(memory.changed_at).unwrap_or_else(Instant::now);
        let observation = self.observer.observe(resource, platform, wanted, account, not_before);
        let Observation { mut seen, changed } = Box::pin(observation).await;
        K::remind(&memory.login, &mut seen);
        for other in changed.into_iter().filter(|other| other != key) {
            // Without a receiver the process ends.
            let _ = self.changed.send(other);
        }
        Some(seen)
    }

    /// Makes the planned calls.
    pub async fn apply(&self, key: &PlatformKey, plan: &DataPlan, account: Option<&Account>) -> Applied {
        let drills = plan.drill.as_ref().is_some_and(Drill::is_busy);
        let busy = matches!(plan.state, State::Moving(_)) || !plan.calls.is_empty() || drills;
        self.remembered(key, |memory| memory.busy = busy);
        let (Some(account), false) = (account, plan.calls.is_empty()) else {
            self.brake.release(key);
            return Applied::default();
        };
        self.call(&self.brake, key, account, &plan.calls).await
    }

    /// Makes the calls of a restore drill.
    pub async fn apply_drill(&self, key: &PlatformKey, calls: &[Call], account: &Account) -> Applied {
        if calls.is_empty() {
            self.drill_brake.release(key);
            return Applied::default();
        }
        self.call(&self.drill_brake, key, account, calls).await
    }

    async fn call(&self, brake: &Brake, key: &PlatformKey, account: &Account, calls: &[Call]) -> Applied {
        if let Some(held) = brake.holds(key, calls) {
            return Applied { changed: 0, failures: vec![held] };
        }
        let passwords = Passwords::new(self.client.clone(), &key.namespace);
        let applied = apply_in_order(account, &passwords, calls).await;
        self.observer.forget(account, calls);
        self.remembered(key, |memory| memory.changed_at = Some(Instant::now()));
        if applied.failures.is_empty() {
            brake.made_calls(key, calls);
        }
        applied
    }

    /// How soon to look again.
    pub fn refresh(&self, key: &PlatformKey) -> Duration {
        if self.remembered(key, |memory| memory.busy) { BUSY } else { IDLE }
    }

    /// Brings the end of a platform's a step further.
    pub async fn end(
        &self,
        key: &PlatformKey,
        resource: &StreamingPlatform,
        platform: &Platform,
        account: &Result<Option<Account>, Failure>,
    ) -> End {
        let Some(wanted) = K::wanted(platform) else { return End::Done };
        self.remembered(key, |memory| memory.busy = true);
        let Some(seen) = self.observe(key, resource, platform, account).await else {
            return End::HeldUp(waiting("AWS", format!("spec.aws is missing; set it; {LET_GO}")));
        };
        if let Some(failure) = &seen.failure {
            return End::HeldUp(waiting("AWS", format!("{}; {LET_GO}", failure.message)));
        }
        let calls = match K::teardown(platform, wanted, &seen) {
            Removal::Done => {
                self.forget(key);
                return End::Done;
            }
            Removal::Waiting(message) => {
                return End::Waiting { waiting: waiting("AWS", message), look_after: BUSY };
            }
            Removal::HeldUp(message) => return End::HeldUp(waiting("the spec", message)),
            Removal::Calls(calls) => calls,
        };
        let Ok(Some(account)) = account else { return End::HeldUp(waiting("AWS", LET_GO)) };
        let applied = self.call(&self.brake, key, account, &calls).await;
        match applied.failures.iter().find(|failure| !failure.waiting) {
            Some(failure) => End::HeldUp(waiting("AWS", &failure.message)),
            None => {
                let message = format!("the {0} is removed, as {0}.deletionPolicy says", K::FIELD);
                End::Waiting { waiting: waiting("AWS", message), look_after: BUSY }
            }
        }
    }

    /// The platform is gone.
    pub fn forget(&self, key: &PlatformKey) {
        self.memory().remove(key);
        self.brake.release(key);
        self.drill_brake.release(key);
    }

    /// Reads or changes what is remembered of a platform.
    pub fn remembered<T>(&self, key: &PlatformKey, act: impl FnOnce(&mut Memory<K::Login>) -> T) -> T {
        act(self.memory().entry(key.clone()).or_default())
    }

    /// Whether it is so of any platform.
    pub fn any(&self, is_so: impl Fn(&Memory<K::Login>) -> bool) -> bool {
        self.memory().values().any(is_so)
    }

    fn memory(&self) -> MutexGuard<'_, HashMap<PlatformKey, Memory<K::Login>>> {
        // Entries are replaced as a whole, so that a panic elsewhere leaves nothing half done.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
