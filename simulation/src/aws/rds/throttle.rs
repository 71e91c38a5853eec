//! Rate limits by operation, and describes that lag behind.

use super::{Fault, Rds};
use crate::aws::{Place, secrets::Secrets};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// Token buckets by operation.
#[derive(Clone, Debug, Default)]
pub(super) struct Throttles(BTreeMap<String, Bucket>);

#[derive(Clone, Copy, Debug)]
struct Bucket {
    rate: f64,
    burst: f64,
    tokens: f64,
    filled: Timestamp,
}

impl Throttles {
    pub fn take(&mut self, operation: &str, now: Timestamp) -> Result<(), Fault> {
        let Some(bucket) = self.0.get_mut(operation) else { return Ok(()) };
        let passed = now.duration_since(bucket.filled).as_secs_f64();
        bucket.tokens = (bucket.tokens + passed * bucket.rate).min(bucket.burst);
        bucket.filled = now;
        if bucket.tokens < 1.0 {
            return Err(Fault::throttling());
        }
        bucket.tokens -= 1.0;
        Ok(())
    }
}

/// Past states, for describes that lag.
#[derive(Clone, Debug, Default)]
pub(super) struct Stale {
    lag: SignedDuration,
    /// Each as it was after a change, oldest first.
    past: Vec<(Timestamp, Box<Rds>)>,
}

impl Rds {
    /// Throttles an operation of this account: `rate` calls a second, `burst` at once.
    pub fn throttle(&mut self, operation: &str, now: Timestamp, rate: f64, burst: f64) {
        let bucket = Bucket { rate, burst, tokens: burst, filled: now };
        self.throttles.0.insert(operation.to_owned(), bucket);
    }

    /// Makes describes answer the state of `lag` ago, from now on; zero: the present.
    pub fn answer_stale(&mut self, now: Timestamp, lag: SignedDuration) {
        self.stale = Stale { lag, past: Vec::new() };
        self.remember(now);
    }

    pub(super) fn remember(&mut self, now: Timestamp) {
        if self.stale.lag.is_zero() {
            return;
        }
        let mut copy = Box::new(self.clone());
        copy.stale = Stale::default();
        let from = now.saturating_sub(self.stale.lag).unwrap_or(now);
        let past = &mut self.stale.past;
        past.push((now, copy));
        // Of what is older than the lag, only the latest is ever looked at.
        let old = past.iter().filter(|(time, _)| *time <= from).count();
        past.drain(..old.saturating_sub(1));
    }

    /// The state that a describe looks at, where it lags, and its time.
    pub(super) fn past(&self, now: Timestamp, place: &Place, secrets: &Secrets) -> Option<(Self, Timestamp)> {
        let (first, _) = self.stale.past.first()?;
        let then = now.saturating_sub(self.stale.lag).unwrap_or(now).max(*first);
        let (_, state) = self.stale.past.iter().rev().find(|(time, _)| *time <= then)?;
        let mut state = Self::clone(state);
        // What happens to secrets meanwhile has happened to the real ones.
        state.advance(then, place, &mut secrets.clone());
        Some((state, then))
    }
}
