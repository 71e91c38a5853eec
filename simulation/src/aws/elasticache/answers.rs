//! How the API answers besides what is asked: throttled, or from a state that is out of date.

use super::ElastiCache;
use crate::aws::{Place, fault::Fault};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// A bucket of tokens for each operation: a call takes one.
#[derive(Clone, Debug)]
pub struct Throttle {
    /// Calls that a full bucket admits at once.
    pub burst: u32,
    /// After this long a token comes back.
    pub refill: SignedDuration,
    /// By operation: when its bucket will be full again.
    full_at: BTreeMap<String, Timestamp>,
}

impl Throttle {
    /// Full buckets.
    #[must_use]
    pub fn new(burst: u32, refill: SignedDuration) -> Self {
        Self { burst, refill, full_at: BTreeMap::new() }
    }

    /// Takes a token, or refuses the call.
    pub(super) fn admit(&mut self, operation: &str, now: Timestamp) -> Result<(), Fault> {
        let full_at = self.full_at.entry(operation.to_owned()).or_insert(now);
        let next = (*full_at).max(now) + self.refill;
        let burst = i32::try_from(self.burst).unwrap_or(i32::MAX);
        if next.duration_since(now) > self.refill * burst {
            return Err(Fault::throttling());
        }
        *full_at = next;
        Ok(())
    }
}

/// States of the past, for describes that are out of date.
#[derive(Clone, Debug)]
pub(super) struct Lag {
    behind: SignedDuration,
    past: Vec<(Timestamp, ElastiCache)>,
}

impl ElastiCache {
    /// Lets describes answer the state of so long ago from now on, as an eventually consistent API may.
    pub fn describe_the_past(&mut self, behind: SignedDuration, now: Timestamp) {
        self.lag = Some(Box::new(Lag { behind, past: Vec::new() }));
        self.remember(now);
    }

    /// Keeps the state after a change, where describes are out of date.
    pub(super) fn remember(&mut self, now: Timestamp) {
        let Some(mut lag) = self.lag.take() else { return };
        lag.past.push((now, self.clone()));
        // What a describe answers from is the last state that is old enough; those before it are not needed.
        let old = lag.past.partition_point(|(at, _)| *at <= now - lag.behind);
        lag.past.drain(..old.saturating_sub(1));
        self.lag = Some(lag);
    }

    /// The state that describes are answered from.
    pub(super) fn described(&self, now: Timestamp, place: &Place) -> Option<(Self, Timestamp)> {
        let lag = self.lag.as_ref()?;
        let then = now - lag.behind;
        let known = lag.past.iter().rev().find(|(at, _)| *at <= then).or(lag.past.first())?;
        let mut state = known.1.clone();
        let then = then.max(known.0);
        state.advance(then, place);
        Some((state, then))
    }
}
