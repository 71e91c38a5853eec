//! Backup and maintenance windows, in UTC.

use super::{Fault, invalid_value};
use jiff::{SignedDuration, Timestamp};

const MINUTE: i64 = 60;
const DAY: i64 = 24 * 60;
const WEEK: i64 = 7 * DAY;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const SHORTEST: i64 = 30;

/// A span of time that comes back each day or week.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Minutes from midnight, or from midnight of Monday.
    start: i64,
    length: i64,
    period: i64,
}

impl Window {
    /// Reads `hh24:mi-hh24:mi`.
    ///
    /// # Errors
    /// For another form, or less than 30 minutes.
    pub fn daily(text: &str) -> Result<Self, Fault> {
        let read = || {
            let (from, to) = text.split_once('-')?;
            Self::between(clock(from)?, clock(to)?, DAY)
        };
        read().ok_or_else(|| invalid_value(format!("Invalid backup window format: {text}")))
    }

    /// Reads `ddd:hh24:mi-ddd:hh24:mi`.
    ///
    /// # Errors
    /// For another form, less than 30 minutes or more than a day.
    pub fn weekly(text: &str) -> Result<Self, Fault> {
        let read = || {
            let (from, to) = text.split_once('-')?;
            Self::between(weekday(from)?, weekday(to)?, WEEK).filter(|window| window.length <= DAY)
        };
        read().ok_or_else(|| invalid_value(format!("Invalid maintenance window format: {text}")))
    }

    fn between(start: i64, end: i64, period: i64) -> Option<Self> {
        let length = (end - start).rem_euclid(period);
        (length >= SHORTEST).then_some(Self { start, length, period })
    }

    /// The backup window that AWS chooses: 30 minutes in the night.
    #[must_use]
    pub fn chosen_daily(seed: u64) -> Self {
        Self { start: slot(seed), length: SHORTEST, period: DAY }
    }

    /// The maintenance window that AWS chooses: 30 minutes of a night, clear of the backup window.
    #[must_use]
    pub fn chosen_weekly(seed: u64) -> Self {
        let day = i64::try_from(seed / 16 % 7).unwrap_or_default();
        // The slots of one night are whole half hours, the backup's even and these odd ones.
        Self { start: day * DAY + slot(seed / 112) + SHORTEST, length: SHORTEST, period: WEEK }
    }

    /// Whether they share a minute.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        let (daily, weekly) = if self.period == DAY { (self, other) } else { (other, self) };
        let gap = (weekly.start - daily.start).rem_euclid(DAY);
        gap < daily.length || gap + weekly.length > DAY
    }

    /// Its next beginning after `now`.
    #[must_use]
    pub fn next(self, now: Timestamp) -> Timestamp {
        // The epoch was a Thursday.
        let period = self.period * MINUTE;
        let offset = (self.start - 3 * DAY).rem_euclid(self.period) * MINUTE;
        let wait = (offset - now.as_second()).rem_euclid(period);
        let wait = if wait == 0 { period } else { wait };
        let second = Timestamp::from_second(now.as_second()).unwrap_or(now);
        second.saturating_add(SignedDuration::from_secs(wait)).unwrap_or(Timestamp::MAX)
    }
}

impl std::fmt::Display for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let moment = |minute: i64| {
            let minute = minute.rem_euclid(self.period);
            let clock = format!("{:02}:{:02}", minute % DAY / 60, minute % 60);
            match usize::try_from(minute / DAY).ok().and_then(|day| DAYS.get(day)) {
                Some(day) if self.period == WEEK => format!("{day}:{clock}"),
                _ => clock,
            }
        };
        write!(f, "{}-{}", moment(self.start), moment(self.start + self.length))
    }
}

/// One of eight even half hours from 22:00 on.
fn slot(seed: u64) -> i64 {
    (22 * 60 + i64::try_from(seed % 8).unwrap_or_default() * 60).rem_euclid(DAY)
}

fn clock(text: &str) -> Option<i64> {
    let (hour, minute) = text.split_once(':')?;
    let two_digits = |part: &str| (part.len() == 2).then(|| part.parse::<i64>().ok()).flatten();
    let (hour, minute) = (two_digits(hour)?, two_digits(minute)?);
    ((0..24).contains(&hour) && (0..60).contains(&minute)).then_some(hour * 60 + minute)
}

fn weekday(text: &str) -> Option<i64> {
    let (day, time) = text.split_once(':')?;
    let day = DAYS.iter().position(|name| name.eq_ignore_ascii_case(day))?;
    Some(i64::try_from(day).ok()? * DAY + clock(time)?)
}
