//! What a resource goes through: its status, and what is to come.

use jiff::{SignedDuration, Timestamp};
use std::collections::VecDeque;

/// A status as AWS names it, such as `available` or `storage-full`.
pub type Status = &'static str;

/// A status for a time, and what has happened at its end.
#[derive(Clone, Debug)]
pub struct Phase<F> {
    /// What describes show meanwhile.
    pub status: Status,
    /// How long.
    pub lasts: SignedDuration,
    /// What is done when it ends.
    pub finish: F,
}

/// Phases one after another, and the status between them.
#[derive(Clone, Debug)]
pub struct Progress<F> {
    /// Status when nothing goes on.
    pub rest: Status,
    phases: VecDeque<Phase<F>>,
    until: Option<Timestamp>,
}

impl<F> Progress<F> {
    /// Nothing goes on.
    #[must_use]
    pub fn resting(rest: Status) -> Self {
        Self { rest, phases: VecDeque::new(), until: None }
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> Status {
        self.phases.front().map_or(self.rest, |phase| phase.status)
    }

    /// Whether nothing goes on.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.phases.is_empty()
    }

    /// Adds a phase at the end; it begins at once if there is no other.
    pub fn add(&mut self, now: Timestamp, status: Status, lasts: SignedDuration, finish: F) {
        self.phases.push_back(Phase { status, lasts, finish });
        if self.until.is_none() {
            self.begin(now);
        }
    }

    /// Drops all phases, and rests.
    pub fn rest_at(&mut self, rest: Status) {
        *self = Self::resting(rest);
    }

    /// Makes the present phase end later.
    pub fn prolong(&mut self, by: SignedDuration) {
        self.until = self.until.map(|until| later(until, by));
    }

    /// What is done at the end of the present phase and of those to come.
    pub fn finishes(&self) -> impl Iterator<Item = &F> {
        self.phases.iter().map(|phase| &phase.finish)
    }

    /// When the present phase ends.
    #[must_use]
    pub fn due(&self) -> Option<Timestamp> {
        self.until
    }

    /// Ends the present phase and begins the next; what is to be done now.
    pub fn finish(&mut self, now: Timestamp) -> Option<F> {
        let phase = self.phases.pop_front()?;
        self.begin(now);
        Some(phase.finish)
    }

    fn begin(&mut self, now: Timestamp) {
        self.until = self.phases.front().map(|phase| later(now, phase.lasts));
    }
}

/// A time after another.
pub(super) fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.saturating_add(by).unwrap_or(Timestamp::MAX)
}
