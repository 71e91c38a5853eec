//! When something recurs, as a CronJob says it, in UTC.

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::{Timestamp, tz::TimeZone};
use std::fmt;

/// Times that recur.
#[derive(Clone, PartialEq)]
pub struct Schedule {
    text: String,
    cron: Cron,
}

impl Schedule {
    /// Reads five fields such as `0 5 * * 0`, or a name such as `@weekly`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(text).map_err(|error| error.to_string())?;
        let schedule = Self { text: text.to_owned(), cron };
        match schedule.after(Timestamp::UNIX_EPOCH) {
            Some(_) => Ok(schedule),
            None => Err("no day is ever such a day".to_owned()),
        }
    }

    /// The first of its times after `now`.
    #[must_use]
    pub fn after(&self, now: Timestamp) -> Option<Timestamp> {
        let next = self.cron.find_next_occurrence(&now.to_zoned(TimeZone::UTC), false);
        next.ok().map(|it| it.timestamp())
    }

    /// Whether a time is one of its times.
    #[must_use]
    pub fn has(&self, time: Timestamp) -> bool {
        self.cron.is_time_matching(&time.to_zoned(TimeZone::UTC)).unwrap_or_default()
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    // 2026-11-21 is a Saturday.
    #[case("0 5 * * 0", "2026-11-22T05:00:00Z")]
    #[case("0 5 * * SUN", "2026-11-22T05:00:00Z")]
    #[case("*/15 * * * ?", "2026-11-21T10:15:00Z")]
    #[case("30 1 1 jan *", "2027-01-01T01:30:00Z")]
    // The day of the month or that of the week, as in every cron.
    #[case("0 0 1 * 1", "2026-11-23T00:00:00Z")]
    #[case("@weekly", "2026-11-22T00:00:00Z")]
    fn the_next_time_is_found(#[case] text: &str, #[case] next: Timestamp) {
        let schedule = Schedule::parse(text).unwrap();
        assert_eq!(schedule.after("2026-11-21T10:00:00Z".parse().unwrap()), Some(next));
        assert!(schedule.has(next) && !schedule.has(next + jiff::SignedDuration::from_secs(60 * 7)));
    }

    #[test]
    fn its_own_time_is_not_after_it() {
        let at: Timestamp = "2026-11-22T05:00:00Z".parse().unwrap();
        let next = Schedule::parse("0 5 * * 0").unwrap().after(at).unwrap();
        assert_eq!(next.to_string(), "2026-11-29T05:00:00Z");
    }

    #[rstest]
    #[case("")]
    #[case("0 5 * *")]
    #[case("0 0 5 * * 0")]
    #[case("61 5 * * 0")]
    #[case("0 5 * * someday")]
    #[case("0 0 30 2 *")]
    fn what_is_no_schedule_is_refused(#[case] text: &str) {
        Schedule::parse(text).unwrap_err();
    }
}
