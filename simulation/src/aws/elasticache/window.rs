//! Windows: the daily one of snapshots, the weekly one of maintenance. All times are UTC.

use super::fault::invalid_value;
use crate::aws::fault::Fault;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use std::fmt;

const DAY: i64 = 24 * 60;
const WEEK: i64 = 7 * DAY;
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// The shortest window (ElastiCache API Reference, `PreferredMaintenanceWindow` and `SnapshotWindow`).
const SHORTEST: i64 = 60;

/// A stretch of time that comes back each day or week. In minutes; a week begins on Sunday.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    period: i64,
    start: i64,
    length: i64,
}

impl Window {
    /// Reads `05:00-06:00`.
    pub(super) fn daily(text: &str) -> Result<Self, Fault> {
        Self::read(text, "SnapshotWindow", "hh24:mi-hh24:mi", DAY, minute_of_day)
    }

    /// Reads `sun:05:00-sun:06:00`.
    pub(super) fn weekly(text: &str) -> Result<Self, Fault> {
        Self::read(text, "PreferredMaintenanceWindow", "ddd:hh24:mi-ddd:hh24:mi", WEEK, |text| {
            let (day, time) = text.split_once(':')?;
            let day = DAYS.iter().position(|known| known.eq_ignore_ascii_case(day))?;
            Some(i64::try_from(day).ok()? * DAY + minute_of_day(time)?)
        })
    }

    fn read(
        text: &str,
        name: &str,
        form: &str,
        period: i64,
        minute: impl Fn(&str) -> Option<i64>,
    ) -> Result<Self, Fault> {
        let ends = text.split_once('-').and_then(|(start, end)| Some((minute(start)?, minute(end)?)));
        let Some((start, end)) = ends else {
            return Err(invalid_value(format!("{name} {text:?} must have the form {form}")));
        };
        let length = (end - start).rem_euclid(period);
        if !(SHORTEST..=DAY).contains(&length) {
            return Err(invalid_value(format!("{name} {text:?} must be 60 minutes to 24 hours long")));
        }
        Ok(Self { period, start, length })
    }

    /// Reads `05:00`, when a window of an hour begins.
    pub(super) fn daily_at(text: &str) -> Option<Self> {
        Some(Self { period: DAY, start: minute_of_day(text)?, length: SHORTEST })
    }

    /// The daily window that AWS picks: an hour that the identifier decides.
    pub(super) fn picked_daily(identifier: &str) -> Self {
        Self { period: DAY, start: picked(identifier, 24) * 60, length: SHORTEST }
    }

    /// The weekly window that AWS picks: a half hour apart from the snapshots'.
    pub(super) fn picked_weekly(identifier: &str) -> Self {
        let day = picked(&format!("{identifier}/day"), 7);
        let hour = (picked(identifier, 24) + 2) % 24;
        Self { period: WEEK, start: day * DAY + hour * 60 + 30, length: SHORTEST }
    }

    /// When a daily one begins, `hh:mm`.
    pub(super) fn start(self) -> String {
        format!("{:02}:{:02}", self.start / 60, self.start % 60)
    }

    /// When it next begins, later than `after`.
    pub(super) fn next(self, after: Timestamp) -> Timestamp {
        let rest = (self.start - self.minute(after)).rem_euclid(self.period);
        let rest = if rest == 0 { self.period } else { rest };
        let minute = Timestamp::from_second(after.as_second().div_euclid(60) * 60).unwrap_or(after);
        minute.saturating_add(SignedDuration::from_mins(rest)).unwrap_or(Timestamp::MAX)
    }

    /// Whether it begins in the minute of `at`.
    pub(super) fn begins(self, at: Timestamp) -> bool {
        self.minute(at) == self.start
    }

    /// Whether `at` is within it.
    pub(super) fn contains(self, at: Timestamp) -> bool {
        (self.minute(at) - self.start).rem_euclid(self.period) < self.length
    }

    fn minute(self, at: Timestamp) -> i64 {
        // The epoch was a Thursday.
        (at.as_second().div_euclid(60) + 4 * DAY).rem_euclid(self.period)
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = |minute: i64| {
            let minute = minute.rem_euclid(self.period);
            let day = usize::try_from(minute / DAY).unwrap_or_default();
            let day = if self.period == WEEK { format!("{}:", DAYS[day]) } else { String::new() };
            format!("{day}{:02}:{:02}", minute % DAY / 60, minute % 60)
        };
        write!(f, "{}-{}", moment(self.start), moment(self.start + self.length))
    }
}

fn minute_of_day(text: &str) -> Option<i64> {
    let (hour, minute) = text.split_once(':')?;
    let (hour, minute): (i64, i64) = (hour.parse().ok()?, minute.parse().ok()?);
    ((0..24).contains(&hour) && (0..60).contains(&minute)).then_some(hour * 60 + minute)
}

/// A number below `choices` that the text decides.
fn picked(text: &str, choices: i64) -> i64 {
    i64::from(Sha256::digest(text)[0]) % choices
}
