//! managed: resources in AWS, one file each with the same four parts: what it shall be (desired), what it is
//! (observed), how the two differ, and the calls that make up for it. Pure.
//!
//! A resource is a table of settings. A setting knows its field in the spec, what changing it does to whoever
//! is connected, and when what AWS shows is as good as what is wanted: AWS's defaults, aliases and pending
//! values are no difference.

pub mod elasticache;
pub mod parameters;
pub mod rds;
pub mod s3;
pub mod sqs;

use crate::api::DataStatus;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// What was observed of a managed database or cache, and what the status said of it before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen<T> {
    /// What is there.
    pub resource: T,
    /// Why AWS could not be observed now; what is here then is what was last seen.
    pub failure: Option<Failure>,
    /// The identifier that the status named before: it was there, and may have held data.
    pub identifier: Option<String>,
    /// Since when changes wait.
    pub pending_since: Option<Timestamp>,
    /// The generation of the spec that it was brought to before; a later difference is drift.
    pub settled_generation: Option<i64>,
    /// Whether the server refused the login that the connection Secret holds.
    pub login_refused: bool,
}

impl<T: Default> Seen<T> {
    /// Nothing is seen yet; this is what the status told.
    #[must_use]
    pub fn told_by(status: Option<&DataStatus>) -> Self {
        Self {
            identifier: status.and_then(|status| status.identifier.clone()),
            pending_since: status.and_then(|status| status.pending_since.as_ref()).map(|at| at.0),
            settled_generation: status.and_then(|status| status.settled_generation),
            ..Self::default()
        }
    }
}

/// Why AWS could not be observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Whether a Secret or a key of it is missing, which is the user's to mend.
    pub credentials: bool,
    /// What went wrong, and what to do.
    pub message: String,
}

/// What changing a setting does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// It takes effect while the server goes on.
    Online,
    /// The server restarts, or fails over to its standby.
    Restarts,
    /// It takes another server, to which the data is moved.
    Replaces,
    /// AWS can't change it, and the API server refuses the change.
    Impossible,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Online => "online",
            Self::Restarts => "restarts",
            Self::Replaces => "replaces",
            Self::Impossible => "impossible",
        })
    }
}

/// The value of a setting.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Value {
    /// Text.
    Text(String),
    /// A whole number.
    Number(i64),
    /// On or off.
    Flag(bool),
    /// Names, in no order.
    Names(BTreeSet<String>),
}

impl Value {
    /// The text of a text; else empty.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Number(_) | Self::Flag(_) | Self::Names(_) => "",
        }
    }

    /// The number of a number; else 0.
    #[must_use]
    pub fn number(&self) -> i64 {
        match self {
            Self::Number(number) => *number,
            Self::Text(_) | Self::Flag(_) | Self::Names(_) => 0,
        }
    }

    /// Whether a flag is on.
    #[must_use]
    pub fn flag(&self) -> bool {
        matches!(self, Self::Flag(true))
    }

    /// The names of names; else none.
    #[must_use]
    pub fn names(&self) -> BTreeSet<String> {
        match self {
            Self::Names(names) => names.clone(),
            Self::Text(_) | Self::Number(_) | Self::Flag(_) => BTreeSet::new(),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => write!(f, "{number}"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Names(names) if names.is_empty() => f.write_str("none"),
            Self::Names(names) => f.write_str(&names.iter().cloned().collect::<Vec<_>>().join(", ")),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<BTreeSet<String>> for Value {
    fn from(names: BTreeSet<String>) -> Self {
        Self::Names(names)
    }
}

/// A setting of a kind of resource.
pub trait Setting: Copy + Ord + fmt::Debug + 'static {
    /// Every one.
    const ALL: &'static [Self];

    /// Its field in the spec, below that of the resource; in words where it has none.
    fn field(self) -> &'static str;

    /// What changing it does.
    fn effect(self, from: Option<&Value>, to: &Value) -> Effect;

    /// Whether what AWS shows is as good as what is wanted.
    fn is_met(self, wanted: &Value, seen: &Value) -> bool {
        wanted == seen
    }
}

/// Values of settings. One that is not named is AWS's to choose.
pub type Settings<S> = BTreeMap<S, Value>;

/// A setting that is not as it shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change<S> {
    /// Which one.
    pub setting: S,
    /// What it is; none: AWS shows nothing.
    pub from: Option<Value>,
    /// What it shall be.
    pub to: Value,
}

impl<S: Setting> Change<S> {
    /// What making it does.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.setting.effect(self.from.as_ref(), &self.to)
    }
}

/// How what AWS shows differs from what is wanted. A value that AWS will set by itself (`pending`) counts as
/// if it were set.
#[must_use]
pub fn difference<S: Setting>(
    wanted: &Settings<S>,
    seen: &Settings<S>,
    pending: &Settings<S>,
) -> Vec<Change<S>> {
    let differs = |(setting, to): (&S, &Value)| {
        let from = pending.get(setting).or_else(|| seen.get(setting));
        (!from.is_some_and(|from| setting.is_met(to, from))).then(|| Change {
            setting: *setting,
            from: from.cloned(),
            to: to.clone(),
        })
    };
    wanted.iter().filter_map(differs).collect()
}

/// AWS shows a key as its ARN, whichever way it was given; an alias can't be told from its key.
fn is_key_met(wanted: &str, seen: &str) -> bool {
    wanted == seen || wanted.contains("alias/") || seen.ends_with(&format!("key/{wanted}"))
}

/// Whether AWS will set something in its window that is not wanted. Any change made at once would set it off.
fn holds_unwanted<S: Setting>(wanted: &Settings<S>, pending: &Settings<S>) -> bool {
    pending
        .iter()
        .any(|(setting, value)| wanted.get(setting).is_none_or(|wanted| !setting.is_met(wanted, value)))
}

/// Whether a version is as good as the one asked for: `16` is met by any 16.x, `16.3` by 16.3 and what AWS
/// made of it later.
#[must_use]
pub fn is_version_met(wanted: &str, seen: &str) -> bool {
    let parts = |version: &str| -> Vec<u32> {
        version.split('.').map(|part| part.parse().unwrap_or_default()).collect()
    };
    let (wanted, seen) = (parts(wanted), parts(seen));
    wanted.first() == seen.first() && seen >= wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("16", "16.3", true)]
    #[case("16.3", "16.3", true)]
    #[case("16.3", "16.10", true)]
    #[case("16.3", "16.2", false)]
    #[case("16", "17.1", false)]
    #[case("17", "16.9", false)]
    #[case("7.1", "7.1.0", true)]
    fn a_version_is_met_by_what_aws_makes_of_it(#[case] wanted: &str, #[case] seen: &str, #[case] met: bool) {
        assert_eq!(is_version_met(wanted, seen), met);
    }

    /// Field and effect of each setting, as a table of the docs has them in its first and last column.
    fn documented(text: &str, heading: &str) -> Vec<(String, String)> {
        let rows = text.lines().skip_while(|line| !line.starts_with(&format!("| {heading} |"))).skip(2);
        rows.map_while(|line| line.strip_prefix("| ")?.strip_suffix(" |"))
            .filter_map(|row| Some((row.split_once(" | ")?.0, row.rsplit_once(" | ")?.1)))
            .map(|(field, effect)| (field.trim_matches('`').to_owned(), effect.to_owned()))
            .collect()
    }

    fn settings<S: Setting>() -> Vec<(String, String)> {
        let effect = |setting: S| setting.effect(None, &Value::Flag(true)).to_string();
        S::ALL.iter().map(|it| (it.field().to_owned(), effect(*it))).collect()
    }

    #[test]
    fn the_docs_tell_each_setting_of_queues_and_buckets_and_its_effect() {
        let text = include_str!("../../docs/storage.md");
        assert_eq!(documented(text, "queue"), settings::<sqs::QueueSetting>());
        assert_eq!(documented(text, "bucket"), settings::<s3::BucketSetting>());
    }
}
