//! A brake on calls that don't take effect: AWS takes up to a minute to show what was set, and what keeps no
//! setting at all shall not be asked without end.

use crate::{apply::aws::Failure, kinds::PlatformKey, plan::call::Call};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// The same calls are not made again within this.
const SETTLING: Duration = Duration::from_secs(60);

/// The last calls of each platform.
#[derive(Debug, Default)]
pub(super) struct Brake {
    made: Mutex<HashMap<PlatformKey, (Vec<Call>, Instant)>>,
}

impl Brake {
    /// What to say instead of making these calls; `None`: they may be made.
    pub fn holds(&self, key: &PlatformKey, calls: &[Call]) -> Option<Failure> {
        let repeated =
            self.made().get(key).is_some_and(|(made, at)| made == calls && at.elapsed() < SETTLING);
        let first = calls.first().filter(|_| repeated)?;
        Some(Failure { message: format!("{first}: AWS took it and does not show it yet"), waiting: true })
    }

    /// These calls were made.
    pub fn made_calls(&self, key: &PlatformKey, calls: &[Call]) {
        self.made().insert(key.clone(), (calls.to_vec(), Instant::now()));
    }

    /// Nothing is to be done, or the platform is gone.
    pub fn release(&self, key: &PlatformKey) {
        self.made().remove(key);
    }

    fn made(&self) -> MutexGuard<'_, HashMap<PlatformKey, (Vec<Call>, Instant)>> {
        // Entries are replaced as a whole, so that a panic elsewhere leaves nothing half done.
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::managed::rds;

    fn stop(identifier: &str) -> Vec<Call> {
        vec![Call::Rds(rds::Call::StopInstance { identifier: identifier.to_owned() })]
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_calls_wait_a_minute_and_others_do_not() {
        let (brake, key) = (Brake::default(), PlatformKey::new("media", "tv"));
        assert_eq!(brake.holds(&key, &stop("a")), None);
        brake.made_calls(&key, &stop("a"));
        let held = brake.holds(&key, &stop("a")).expect("it was just made");
        assert!(held.waiting && held.message.contains("database instance a"), "{held:?}");
        assert_eq!(brake.holds(&key, &stop("b")), None, "other calls");
        assert_eq!(brake.holds(&PlatformKey::new("media", "two"), &stop("a")), None, "another platform");
        tokio::time::advance(SETTLING).await;
        assert_eq!(brake.holds(&key, &stop("a")), None, "it may be made again");
        brake.made_calls(&key, &stop("a"));
        brake.release(&key);
        assert_eq!(brake.holds(&key, &stop("a")), None, "nothing was to be done in between");
    }
}
