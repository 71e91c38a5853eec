//! What a restore drill makes: an instance, or an Aurora cluster with one instance, which bears a mark.
//!
//! Guarantee: nothing counts as scratch but what bears the mark *and* the name that is derived from it. A mark on
//! another database, by whatever accident, does not deliver it to a drill, which deletes without a snapshot.

use super::{cluster::Cluster, instance::Instance};
use crate::api::{RunningDrill, names};
use data_encoding::BASE32_NOPAD;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, fmt};

/// So much of the database's identifier is part of that of its scratch. With what follows it, and the number of a
/// member, it fits into AWS's 63 characters. What follows is longer than the name of a restore can be, so that
/// neither is ever taken for the other.
const STEM: usize = 40;

/// Everything that drills of one platform made and that is still there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scratch {
    /// Instances by identifier, members of clusters included.
    pub instances: BTreeMap<String, (Mark, Instance)>,
    /// Aurora clusters by identifier.
    pub clusters: BTreeMap<String, (Mark, Cluster)>,
}

/// Which drill made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// When the drill was due.
    pub slot: Timestamp,
    /// When its restore was called.
    pub started_at: Timestamp,
    /// The time whose state is restored, or a later one.
    pub restored_to: Timestamp,
}

impl Mark {
    /// The mark in these tags of what has this name. `base`: identifier of the database without that of a restore.
    #[must_use]
    pub fn of(base: &str, name: &str, tags: &BTreeMap<String, String>) -> Option<Self> {
        let mark = Self::parse(tags.get(names::TAG_DRILL)?)?;
        let server = identifier(base, mark.slot);
        (name == server || name == member(&server)).then_some(mark)
    }

    fn parse(tag: &str) -> Option<Self> {
        let mut times = tag.split(' ').map(|time| time.parse().ok());
        let mark = Self { slot: times.next()??, started_at: times.next()??, restored_to: times.next()?? };
        times.next().is_none().then_some(mark)
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { slot, started_at, restored_to } = self;
        write!(f, "{slot} {started_at} {restored_to}")
    }
}

impl From<&RunningDrill> for Mark {
    fn from(drill: &RunningDrill) -> Self {
        Self { slot: drill.slot.0, started_at: drill.started_at.0, restored_to: drill.restored_to.0 }
    }
}

impl From<Mark> for RunningDrill {
    fn from(mark: Mark) -> Self {
        let Mark { slot, started_at, restored_to } = mark;
        Self { slot: Time(slot), started_at: Time(started_at), restored_to: Time(restored_to) }
    }
}

/// Identifier of the scratch instance, or with Aurora of the cluster, of the drill that was due then.
#[must_use]
pub fn identifier(base: &str, slot: Timestamp) -> String {
    let digest = Sha256::digest(format!("{base} {}", slot.as_second()));
    let tail = BASE32_NOPAD.encode(&digest[..5]).to_ascii_lowercase();
    let stem = &base[..base.floor_char_boundary(STEM)];
    format!("{}-drill-{tail}", stem.trim_end_matches('-'))
}

/// Identifier of the only instance of a scratch cluster.
#[must_use]
pub fn member(cluster: &str) -> String {
    format!("{cluster}-1")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark() -> Mark {
        let at = |time: &str| time.parse().unwrap();
        Mark {
            slot: at("2026-11-22T05:00:00Z"),
            started_at: at("2026-11-22T05:00:41Z"),
            restored_to: at("2026-11-22T04:56:00Z"),
        }
    }

    fn tags(value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(names::TAG_DRILL.to_owned(), value.to_owned())])
    }

    #[test]
    fn what_is_marked_is_found_again() {
        let (tags, name) = (tags(&mark().to_string()), identifier("tv", mark().slot));
        assert_eq!(Mark::of("tv", &name, &tags), Some(mark()));
        assert_eq!(Mark::of("tv", &member(&name), &tags), Some(mark()));
        assert_eq!(Mark::from(&RunningDrill::from(mark())), mark());
    }

    #[test]
    fn a_mark_on_another_database_does_not_make_it_scratch() {
        let tags = tags(&mark().to_string());
        let of_another_drill = identifier("tv", mark().started_at);
        for name in ["tv", "tv-drill", "tv-one", "tv-1", &of_another_drill, &identifier("radio", mark().slot)]
        {
            assert_eq!(Mark::of("tv", name, &tags), None, "{name}");
        }
        let name = identifier("tv", mark().slot);
        for mark in ["", "true", "2026-11-22T05:00:00Z", &format!("{} x", mark())] {
            assert_eq!(Mark::of("tv", &name, &self::tags(mark)), None, "{mark}");
        }
        assert_eq!(Mark::of("tv", &name, &BTreeMap::new()), None);
    }

    #[test]
    fn identifiers_are_such_as_aws_takes() {
        for base in ["tv".to_owned(), "a".repeat(50), format!("{}-{}", "b".repeat(39), "c".repeat(10))] {
            let name = member(&identifier(&base, mark().slot));
            assert!(name.len() <= 63 && !name.contains("--"), "{name}");
            assert!(name.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-'));
            assert_eq!(name, member(&identifier(&base, mark().slot)));
        }
    }
}
