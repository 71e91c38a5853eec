//! How a reconcile ended, and when the platform is looked at again.

use crate::kinds::PlatformKey;
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};
use tokio::time::Instant;
use tracing::warn;

/// How a reconcile ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was to be done.
    Converged,
    /// Something was changed; watches tell what becomes of it.
    Applied,
    /// Something waits for something else.
    Waiting,
    /// The spec can't be carried out. Only a change of it helps.
    Invalid,
    /// A call failed; the cause was logged and is in the status.
    Failed,
    /// There was a bug.
    Panicked,
    /// The platform is gone, or all that held it back is.
    Deleted,
}

impl Outcome {
    /// Its name, as metrics have it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Converged => "Converged",
            Self::Applied => "Applied",
            Self::Waiting => "Waiting",
            Self::Invalid => "Invalid",
            Self::Failed => "Failed",
            Self::Panicked => "Panicked",
            Self::Deleted => "Deleted",
        }
    }
}

/// How long to wait.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Between reconciles of a platform that needs nothing: a net below the watches.
    pub resync: Duration,
    /// While something waits whose end no watch tells.
    pub poll: Duration,
    /// After a first failure; doubled with each further one, with jitter.
    pub first_retry: Duration,
    /// Most between two retries, without jitter.
    pub last_retry: Duration,
}

impl Policy {
    /// The usual, with the administrator's `resync`.
    pub fn new(resync: Duration) -> Self {
        Self {
            resync,
            poll: Duration::from_secs(15).min(resync),
            first_retry: Duration::from_secs(1),
            last_retry: Duration::from_secs(300),
        }
    }
}

/// Reconciles of a platform that change objects, one right after the other, before it has to rest between them.
const CHANGES: u32 = 30;
/// How long it rests then.
const REST: Duration = Duration::from_secs(2);

/// Remembers failures and changes of each platform by itself, so that none delays another.
pub struct Retry {
    policy: Policy,
    seed: u64,
    failing: HashMap<PlatformKey, ExponentialBackoff>,
    /// When all that it changed would have been done, had it rested each time.
    changing: HashMap<PlatformKey, Instant>,
}

impl Retry {
    /// Starts without a failure. `seed` decides the jitter.
    pub fn new(policy: Policy, seed: u64) -> Self {
        Self { policy, seed, failing: HashMap::new(), changing: HashMap::new() }
    }

    /// In how long the platform is looked at again if nothing triggers it before; `None`: never.
    /// `refresh` bounds the wait where something is shown that no watch tells, such as a queue's depth.
    pub fn next(
        &mut self,
        platform: &PlatformKey,
        outcome: &Outcome,
        refresh: Option<Duration>,
    ) -> Option<Duration> {
        let calm = match outcome {
            Outcome::Failed | Outcome::Panicked => return Some(self.back_off(platform)),
            Outcome::Deleted => {
                self.failing.remove(platform);
                self.changing.remove(platform);
                return None;
            }
            Outcome::Waiting => self.policy.poll,
            Outcome::Converged | Outcome::Applied | Outcome::Invalid => self.spread(platform),
        };
        self.failing.remove(platform);
        Some(refresh.map_or(calm, |refresh| refresh.min(calm)))
    }

    /// Until when a platform rests whose objects were changed, if it has to: what is undone each time must not keep the
    /// API server busy. It is undone where someone else wants it otherwise, or where the platform is gone and its watch
    /// hangs.
    pub fn rest(&mut self, platform: &PlatformKey, now: Instant) -> Option<Instant> {
        let until = self.changing.get(platform).map_or(now, |until| now.max(*until)) + REST;
        self.changing.insert(platform.clone(), until);
        let rest = until.duration_since(now).checked_sub(REST * CHANGES).filter(|rest| !rest.is_zero())?;
        warn!(%platform, ?rest, "its objects were changed again and again, and it rests: does something change them back?");
        Some(now + rest)
    }

    fn back_off(&mut self, platform: &PlatformKey) -> Duration {
        let (policy, seed) = (self.policy, self.seed ^ hash(platform));
        let delays = self.failing.entry(platform.clone()).or_insert_with(|| {
            ExponentialBuilder::new()
                .with_min_delay(policy.first_retry)
                .with_max_delay(policy.last_retry)
                .without_max_times()
                .with_jitter()
                .with_jitter_seed(seed)
                .build()
        });
        delays.next().unwrap_or(policy.last_retry)
    }

    /// The resync, shortened by up to a tenth that depends on the platform: not all at once.
    fn spread(&self, platform: &PlatformKey) -> Duration {
        self.policy.resync.mul_f64(1.0 - (hash(platform) % 1000) as f64 / 10_000.0)
    }
}

fn hash(platform: &PlatformKey) -> u64 {
    let mut hasher = DefaultHasher::new();
    platform.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry() -> Retry {
        Retry::new(Policy::new(Duration::from_secs(600)), 7)
    }

    fn key(name: &str) -> PlatformKey {
        PlatformKey::new("ns", name)
    }

    #[test]
    fn failures_back_off_and_are_forgotten_with_success() {
        let mut retry = retry();
        let delays: Vec<_> =
            (0..12).map(|_| retry.next(&key("a"), &Outcome::Failed, None).unwrap().as_secs_f64()).collect();
        assert!((1.0..=2.0).contains(&delays[0]), "{delays:?}");
        assert!(delays[11] >= 300.0 && delays[11] <= 600.0, "{delays:?}");
        retry.next(&key("a"), &Outcome::Converged, None);
        assert!(retry.next(&key("a"), &Outcome::Failed, None).unwrap().as_secs_f64() <= 2.0);
    }

    #[test]
    fn one_platform_does_not_delay_another() {
        let mut retry = retry();
        for _ in 0..10 {
            retry.next(&key("broken"), &Outcome::Panicked, None);
        }
        assert!(retry.next(&key("other"), &Outcome::Failed, None).unwrap().as_secs_f64() <= 2.0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_changes_too_often_rests_and_who_paused_changes_freely_again() {
        let (mut retry, begun) = (retry(), Instant::now());
        for _ in 0..CHANGES {
            assert_eq!(retry.rest(&key("a"), begun), None);
        }
        assert_eq!(retry.rest(&key("a"), begun), Some(begun + REST));
        assert_eq!(retry.rest(&key("a"), begun + REST), Some(begun + 2 * REST));
        assert_eq!(retry.rest(&key("other"), begun), None);
        let later = begun + REST * CHANGES * 2;
        assert_eq!(retry.rest(&key("a"), later), None);
    }

    #[test]
    fn resyncs_are_spread_and_never_late() {
        let mut retry = retry();
        let resyncs: Vec<_> =
            (0..50).map(|n| retry.next(&key(&n.to_string()), &Outcome::Converged, None).unwrap()).collect();
        assert!(resyncs.iter().all(|d| (540..=600).contains(&d.as_secs())), "{resyncs:?}");
        assert!(resyncs.iter().collect::<std::collections::HashSet<_>>().len() > 40, "{resyncs:?}");
        let refreshed = retry.next(&key("a"), &Outcome::Converged, Some(Duration::from_secs(15)));
        assert_eq!(refreshed, Some(Duration::from_secs(15)));
        assert_eq!(retry.next(&key("a"), &Outcome::Deleted, None), None);
    }
}
