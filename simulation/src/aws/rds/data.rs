//! What a database holds, modelled as one number that tests write.

use jiff::Timestamp;

/// The values that were written, with their times, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Data(Vec<(Timestamp, u64)>);

impl Data {
    /// Writes a value.
    pub fn write(&mut self, now: Timestamp, value: u64) {
        self.0.push((now, value));
    }

    /// The value at a time: the last written by then.
    #[must_use]
    pub fn at(&self, time: Timestamp) -> Option<u64> {
        self.0.iter().rev().find(|(written, _)| *written <= time).map(|(_, value)| *value)
    }

    /// The present value.
    #[must_use]
    pub fn value(&self) -> Option<u64> {
        self.0.last().map(|(_, value)| *value)
    }

    /// What a copy holds that is made of the state at a time.
    #[must_use]
    pub fn until(&self, time: Timestamp) -> Self {
        Self(self.0.iter().copied().filter(|(written, _)| *written <= time).collect())
    }
}
