//! What a database holds, modelled as one number that tests write, and the passwords of its users.

use jiff::Timestamp;

/// What was written, with its times, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Data {
    values: Vec<(Timestamp, u64)>,
    /// Users and their passwords.
    passwords: Vec<(Timestamp, (String, String))>,
}

impl Data {
    /// Writes a value.
    pub fn write(&mut self, now: Timestamp, value: u64) {
        self.values.push((now, value));
    }

    pub(super) fn set_password(&mut self, now: Timestamp, user: &str, password: &str) {
        self.passwords.push((now, (user.to_owned(), password.to_owned())));
    }

    /// The password of a user, where there is one of that name.
    pub(super) fn password(&self, user: &str) -> Option<String> {
        let mut set = self.passwords.iter().rev().map(|(_, set)| set);
        set.find(|(name, _)| name == user).map(|(_, password)| password.clone())
    }

    /// The value at a time: the last written by then.
    #[must_use]
    pub fn at(&self, time: Timestamp) -> Option<u64> {
        self.values.iter().rev().find(|(written, _)| *written <= time).map(|(_, value)| *value)
    }

    /// The present value.
    #[must_use]
    pub fn value(&self) -> Option<u64> {
        self.values.last().map(|(_, value)| *value)
    }

    /// What a copy holds that is made of the state at a time.
    #[must_use]
    pub fn until(&self, time: Timestamp) -> Self {
        Self { values: until(&self.values, time), passwords: until(&self.passwords, time) }
    }
}

fn until<T: Clone>(written: &[(Timestamp, T)], time: Timestamp) -> Vec<(Timestamp, T)> {
    written.iter().filter(|(at, _)| *at <= time).cloned().collect()
}
