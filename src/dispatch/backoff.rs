//! backoff: how long until something is tried again, as a pure function of who tries and how often it failed.

use jiff::SignedDuration;
use sha2::{Digest, Sha256};

/// Exponential backoff with jitter.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// After the first failure.
    pub first: SignedDuration,
    /// At most this, before jitter.
    pub most: SignedDuration,
}

/// Between the attempts of one piece of work.
pub const ATTEMPTS: Backoff =
    Backoff { first: SignedDuration::from_secs(10), most: SignedDuration::from_mins(10) };
/// Between calls to AWS or Kubernetes that fail.
pub const CALLS: Backoff =
    Backoff { first: SignedDuration::from_secs(1), most: SignedDuration::from_mins(1) };
/// Between the probes of an open breaker.
pub const PROBES: Backoff =
    Backoff { first: SignedDuration::from_secs(30), most: SignedDuration::from_mins(10) };
/// Between receives that look for a message whose handle has lapsed and bring only others.
pub const ADOPTIONS: Backoff =
    Backoff { first: SignedDuration::from_secs(1), most: SignedDuration::from_secs(30) };

impl Backoff {
    /// The delay after `failures` failures (from 1) of `who`: doubled each time, then 75 % to 125 % of that by a
    /// digest of `who` and `failures`, so that those that failed together don't come back together.
    #[must_use]
    pub fn delay(self, who: &str, failures: u32) -> SignedDuration {
        let doublings = failures.saturating_sub(1).min(16);
        let plain = self.first.saturating_mul(1 << doublings).min(self.most);
        let mut hasher = Sha256::new();
        hasher.update(who.as_bytes());
        hasher.update(failures.to_be_bytes());
        let digest = hasher.finalize();
        let jitter = i64::from(u16::from_be_bytes([digest[0], digest[1]]));
        let millis = i64::try_from(plain.as_millis()).unwrap_or(i64::MAX / 4);
        SignedDuration::from_millis(millis * 3 / 4 + millis / 2 * jitter / i64::from(u16::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn delays_double_up_to_the_bound() {
        let delays: Vec<_> = (1..=9).map(|n| ATTEMPTS.delay("a", n).as_secs()).collect();
        assert!(delays[0] < delays[2] && delays[2] < delays[4], "{delays:?}");
        assert_eq!(ATTEMPTS.delay("a", 3), ATTEMPTS.delay("a", 3));
        assert_ne!(ATTEMPTS.delay("a", 3), ATTEMPTS.delay("b", 3));
    }

    proptest! {
        #[test]
        fn a_delay_lies_within_its_jitter(who in "[a-z]{0,20}", failures in any::<u32>()) {
            for backoff in [ATTEMPTS, CALLS, PROBES, ADOPTIONS] {
                let delay = backoff.delay(&who, failures);
                prop_assert!(delay >= backoff.first * 3 / 4 - SignedDuration::from_millis(1));
                prop_assert!(delay <= backoff.most * 5 / 4);
            }
        }
    }
}
