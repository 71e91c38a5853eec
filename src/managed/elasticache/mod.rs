//! Amazon ElastiCache for Valkey and Redis OSS.

mod call;
pub mod group;
pub mod parameter_group;
pub mod serverless;
pub mod user;

pub use call::Call;

use group::Group;
use parameter_group::ParameterGroup;
use serverless::Serverless;
use std::collections::{BTreeMap, BTreeSet};
use user::{User, UserGroup};

use super::{Effect, Value};
use std::cmp::Ordering;

/// What is there of one platform's cache.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cache {
    /// The replication group of its identifier.
    pub group: Option<Group>,
    /// The serverless cache of its identifier.
    pub serverless: Option<Serverless>,
    /// Parameter groups of the platform, by name.
    pub parameter_groups: BTreeMap<String, ParameterGroup>,
    /// Subnets of the subnet group that the operator made.
    pub subnet_group: Option<BTreeSet<String>>,
    /// The platform's users by identifier.
    pub users: BTreeMap<String, User>,
    /// The platform's user group.
    pub user_group: Option<UserGroup>,
}

/// What a state means (ElastiCache API Reference, `ReplicationGroup` and `ServerlessCache`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It can be changed.
    Settled,
    /// AWS is at it; it can be changed when that is over.
    Moving,
    /// It is being deleted.
    Deleting,
    /// It needs someone's help; what to do.
    Broken(&'static str),
}

/// What a state means.
#[must_use]
pub fn phase(status: &str) -> Phase {
    match status {
        "available" => Phase::Settled,
        "deleting" => Phase::Deleting,
        "create-failed" => Phase::Broken(
            "AWS could not make it; see its events in ElastiCache, delete it there (it holds nothing), and correct cache.aws",
        ),
        // creating, modifying, snapshotting, and what AWS adds.
        _ => Phase::Moving,
    }
}

/// Whether a cache in this state can be connected to.
#[must_use]
pub fn serves(status: &str) -> bool {
    matches!(status, "available" | "modifying" | "snapshotting")
}

/// What a change of version does. AWS leads no version back.
fn version_effect(from: Option<&Value>, to: &Value) -> Effect {
    let parts = |version: &str| -> Vec<u32> {
        version.split('.').map(|part| part.parse().unwrap_or_default()).collect()
    };
    match from.map(|from| parts(from.text()).cmp(&parts(to.text()))) {
        Some(Ordering::Greater) => Effect::Impossible,
        Some(Ordering::Less | Ordering::Equal) | None => Effect::Restarts,
    }
}

/// What a change of engine does: Redis OSS becomes Valkey in place, and never the other way.
fn engine_effect(to: &Value) -> Effect {
    if to.text() == "valkey" { Effect::Restarts } else { Effect::Impossible }
}
