//! A database in Amazon RDS, every field decided.

use super::schedule::Schedule;
use crate::api::{
    DatabaseDeletionPolicy, DriftPolicy, MajorUpgrades, Management, MasterPassword, Restarts, VolumeType,
    WhenSuspended,
};
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// A database in Amazon RDS.
#[derive(Clone, Debug, PartialEq)]
pub struct AwsDatabase {
    /// The engine, and what only it has.
    pub engine: Engine,
    /// Version: a major one, or a minor one that it has at least.
    pub version: String,
    /// Whether AWS installs minor versions.
    pub auto_minor_version_upgrade: bool,
    /// How a new major version is brought.
    pub major_upgrades: MajorUpgrades,
    /// Identifier without the name of a restore.
    pub base_identifier: String,
    /// What a restore brings, where one was asked for.
    pub restore: Option<Restore>,
    /// Whether a database of that identifier that is not ours becomes ours.
    pub adopt: bool,
    /// How much of it is managed.
    pub management: Management,
    /// Name of the database.
    pub database_name: String,
    /// Name of the master user.
    pub master_username: String,
    /// Who keeps the master's password.
    pub master_password: MasterPassword,
    /// Where it can be reached from.
    pub network: Network,
    /// KMS key; none: AWS's own.
    pub kms_key_id: Option<String>,
    /// PostgreSQL's parameters.
    pub parameters: BTreeMap<String, String>,
    /// Days that automated backups are kept.
    pub backup_retention_days: i64,
    /// When they are taken.
    pub backup_window: String,
    /// When what interrupts is done.
    pub maintenance_window: Window,
    /// Which changes wait for what.
    pub restarts: Restarts,
    /// Whether AWS refuses to delete it.
    pub deletion_protection: bool,
    /// Whether the spec says so itself, which a deletion respects.
    pub deletion_protection_is_given: bool,
    /// Days that Performance Insights keeps; none: it is off.
    pub performance_insights_days: Option<i64>,
    /// Enhanced monitoring: seconds between two measurements, and the role.
    pub monitoring: Option<(i64, String)>,
    /// Logs that go to CloudWatch Logs.
    pub log_exports: BTreeSet<String>,
    /// What is before it.
    pub proxy: Option<Proxy>,
    /// How often the login gets a new password; none: only when asked.
    pub login_rotation_interval: Option<Duration>,
    /// What is done about drift.
    pub drift_policy: DriftPolicy,
    /// What becomes of it with the platform.
    pub deletion_policy: DatabaseDeletionPolicy,
    /// What becomes of it while the platform is suspended.
    pub when_suspended: WhenSuspended,
    /// How it is proven that it can be restored.
    pub restore_drill: Option<RestoreDrill>,
}

impl AwsDatabase {
    /// Identifier of the instance, or with Aurora of the cluster, that the platform uses.
    #[must_use]
    pub fn identifier(&self) -> String {
        match &self.restore {
            Some(restore) => format!("{}-{}", self.base_identifier, restore.name),
            None => self.base_identifier.clone(),
        }
    }

    /// The major version.
    #[must_use]
    pub fn major_version(&self) -> &str {
        self.version.split('.').next().unwrap_or(&self.version)
    }

    /// Whether RDS keeps the master's password in Secrets Manager.
    #[must_use]
    pub fn secrets_manager(&self) -> bool {
        self.master_password == MasterPassword::SecretsManager
    }
}

/// An engine, and what only it has.
#[derive(Clone, Debug, PartialEq)]
pub enum Engine {
    /// One RDS instance.
    Instance {
        /// Its class.
        class: String,
        /// Its storage.
        storage: InstanceStorage,
        /// Whether it has a standby in another zone.
        multi_az: bool,
    },
    /// An Aurora cluster.
    Aurora {
        /// Class of its instances; `db.serverless` where [`Self::Aurora::capacity`] is set.
        class: String,
        /// Capacity of Serverless v2.
        capacity: Option<Capacity>,
        /// Readers besides the writer.
        readers: u8,
    },
}

/// Storage of an RDS instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstanceStorage {
    /// Volume type.
    pub kind: VolumeType,
    /// Size to begin with, in GiB.
    pub gib: i64,
    /// Size up to which it grows by itself, in GiB; none: it does not.
    pub max_gib: Option<i64>,
    /// Operations a second.
    pub iops: Option<i64>,
    /// MiB a second.
    pub throughput: Option<i64>,
}

impl InstanceStorage {
    /// The volume type in AWS's word.
    #[must_use]
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            VolumeType::Gp3 => "gp3",
            VolumeType::Io2 => "io2",
        }
    }
}

/// Capacity of Aurora Serverless v2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Least, in halves of an Aurora capacity unit.
    pub min_halves: i64,
    /// Most, in halves of one.
    pub max_halves: i64,
    /// Pauses after so long without a connection.
    pub auto_pause_after: Option<Duration>,
}

/// Where a database can be reached from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// Its subnet group.
    pub subnets: Subnets,
    /// Its security groups; empty: the VPC's default one.
    pub security_groups: BTreeSet<String>,
    /// Certificate authority; none: AWS's default.
    pub ca_certificate: Option<String>,
    /// Whether connections are encrypted.
    pub tls: bool,
}

/// RDS Proxy before a database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxy {
    /// Role that it reads the logins' secrets with.
    pub role: String,
    /// Its subnets.
    pub subnets: BTreeSet<String>,
    /// Its security groups; empty: the VPC's default one.
    pub security_groups: BTreeSet<String>,
    /// A client's connection that is idle for so long is closed.
    pub idle_client_timeout: Duration,
    /// How long a client waits for a connection.
    pub borrow_timeout: Duration,
    /// Share of the database's connections that it may use, in percent.
    pub max_connections_percent: i64,
    /// Share that it keeps open while nobody uses them, in percent.
    pub max_idle_connections_percent: i64,
}

/// The subnets of a database or cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Subnets {
    /// Those of the default VPC.
    #[default]
    Default,
    /// A subnet group that is there.
    Group(String),
    /// Subnets, of which the operator makes a group.
    Ids(BTreeSet<String>),
}

/// A restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restore {
    /// Its name.
    pub name: String,
    /// Of what.
    pub source: RestoreSource,
}

/// How it is proven that a database can be restored.
#[derive(Clone, Debug, PartialEq)]
pub struct RestoreDrill {
    /// When.
    pub schedule: Schedule,
    /// What the restored database is asked; none: whether it has tables.
    pub query: Option<String>,
    /// Class of the scratch instance; none: that of the database.
    pub class: Option<String>,
    /// A drill that has no answer after so long has failed.
    pub timeout: Duration,
}

/// What is restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestoreSource {
    /// A snapshot.
    Snapshot(String),
    /// A database at a point in time.
    PointInTime {
        /// Its identifier; none: the one in use before.
        from: Option<String>,
        /// When; none: the latest that can be.
        time: Option<Timestamp>,
    },
}

/// A weekly window in UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Minutes from Monday 00:00.
    start: u32,
    /// How long, in minutes.
    length: u32,
}

const WEEK: u32 = 7 * 24 * 60;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl Window {
    /// Shortest window that RDS takes, in minutes.
    pub const SHORTEST: u32 = 30;

    /// Reads `sun:03:00-sun:04:00`. `None`: it is none, or shorter than AWS takes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let minute = |text: &str| {
            let (day, time) = text.split_once(':')?;
            let day = DAYS.iter().position(|it| *it == day)?;
            let (hours, minutes) = time.split_once(':')?;
            let (hours, minutes): (u32, u32) = (hours.parse().ok()?, minutes.parse().ok()?);
            (hours < 24 && minutes < 60)
                .then(|| u32::try_from(day).unwrap_or_default() * 24 * 60 + hours * 60 + minutes)
        };
        let (start, end) = text.split_once('-')?;
        let (start, end) = (minute(start)?, minute(end)?);
        let length = (end + WEEK - start) % WEEK;
        (length >= Self::SHORTEST).then_some(Self { start, length })
    }

    /// How long it is, in minutes.
    #[must_use]
    pub fn minutes(&self) -> u32 {
        self.length
    }

    /// Whether a time lies in it.
    #[must_use]
    pub fn contains(&self, now: Timestamp) -> bool {
        (minute_of_week(now) + WEEK - self.start) % WEEK < self.length
    }

    /// Whether it overlaps a daily window such as `01:30-02:30`.
    #[must_use]
    pub fn overlaps_daily(&self, daily: &str) -> bool {
        const DAY: u32 = 24 * 60;
        let minute = |text: &str| {
            let (hours, minutes) = text.split_once(':')?;
            Some(hours.parse::<u32>().ok()? * 60 + minutes.parse::<u32>().ok()?)
        };
        let Some((start, end)) = daily.split_once('-') else { return false };
        let (Some(start), Some(end)) = (minute(start), minute(end)) else { return false };
        let length = (end + DAY - start) % DAY;
        let (ours, theirs) = (self.start % DAY, start % DAY);
        (theirs + DAY - ours) % DAY < self.length || (ours + DAY - theirs) % DAY < length
    }

    /// When it begins next, or now where it has begun.
    #[must_use]
    pub fn next(&self, now: Timestamp) -> Timestamp {
        if self.contains(now) {
            return now;
        }
        let minutes = (self.start + WEEK - minute_of_week(now)) % WEEK;
        let whole = now.as_second() - now.as_second().rem_euclid(60);
        Timestamp::from_second(whole + i64::from(minutes) * 60).unwrap_or(Timestamp::MAX)
    }
}

impl std::fmt::Display for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = |minute: u32| {
            let minute = minute % WEEK;
            let day = DAYS[(minute / (24 * 60)) as usize];
            format!("{day}:{:02}:{:02}", minute / 60 % 24, minute % 60)
        };
        write!(f, "{}-{}", at(self.start), at(self.start + self.length))
    }
}

fn minute_of_week(now: Timestamp) -> u32 {
    // 1970-01-01 was a Thursday, the fourth day.
    let minutes = now.as_second().div_euclid(60) + 3 * 24 * 60;
    u32::try_from(minutes.rem_euclid(i64::from(WEEK))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("sun:03:00-sun:04:00")]
    #[case("sun:23:30-mon:00:30")]
    #[case("wed:00:00-thu:00:00")]
    fn a_window_is_written_as_it_was_read(#[case] text: &str) {
        assert_eq!(Window::parse(text).unwrap().to_string(), text);
    }

    #[rstest]
    #[case("sun:03:00-sun:03:29")]
    #[case("sun:03:00-sun:24:00")]
    #[case("son:03:00-son:04:00")]
    #[case("03:00-04:00")]
    fn what_is_no_window_is_none(#[case] text: &str) {
        assert_eq!(Window::parse(text), None);
    }

    #[rstest]
    // 2026-11-21 is a Saturday.
    #[case("2026-11-21T10:00:30Z", "2026-11-22T03:00:00Z")]
    #[case("2026-11-22T02:59:59Z", "2026-11-22T03:00:00Z")]
    #[case("2026-11-22T03:30:00Z", "2026-11-22T03:30:00Z")]
    #[case("2026-11-22T04:00:00Z", "2026-11-29T03:00:00Z")]
    fn the_next_window_is_found(#[case] now: Timestamp, #[case] next: Timestamp) {
        assert_eq!(Window::parse("sun:03:00-sun:04:00").unwrap().next(now), next);
    }

    #[test]
    fn a_window_over_the_end_of_the_week_contains_both_sides() {
        let window = Window::parse("sun:23:30-mon:00:30").unwrap();
        let contains = |time: &str| window.contains(time.parse().unwrap());
        assert!(contains("2026-11-22T23:45:00Z") && contains("2026-11-23T00:29:00Z"));
        assert!(!contains("2026-11-23T00:30:00Z") && !contains("2026-11-22T23:29:00Z"));
    }
}
