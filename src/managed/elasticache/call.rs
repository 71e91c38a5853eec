//! The calls to ElastiCache.

use super::{group::GroupSetting, serverless::ServerlessSetting, user::Role};
use crate::managed::{Setting, Settings};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// One call to ElastiCache.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// Make a replication group.
    CreateGroup {
        /// Its identifier.
        identifier: String,
        /// Its settings.
        settings: Settings<GroupSetting>,
        /// Its tags.
        tags: BTreeMap<String, String>,
        /// The snapshot that it begins with; none: it is empty.
        snapshot: Option<String>,
    },
    /// Change a replication group.
    ModifyGroup {
        /// Its identifier.
        identifier: String,
        /// Only the settings that differ.
        settings: Settings<GroupSetting>,
        /// At once, or in AWS's next window.
        immediately: bool,
        /// The user group in whose place another one comes.
        instead_of_user_group: Option<String>,
    },
    /// Give shards another number of replicas.
    SetReplicas {
        /// The replication group.
        identifier: String,
        /// Replicas of each primary.
        replicas: i64,
        /// Whether these are more than there were.
        grow: bool,
        /// The shards that have another number; empty: the group has no cluster mode.
        shards: BTreeSet<String>,
    },
    /// Give a replication group another number of shards.
    SetShards {
        /// The replication group.
        identifier: String,
        /// How many.
        count: i64,
        /// Those that go; their slots move to the others first.
        remove: BTreeSet<String>,
    },
    /// Delete a replication group.
    DeleteGroup {
        /// Its identifier.
        identifier: String,
        /// The snapshot to take before; none: no snapshot.
        final_snapshot: Option<String>,
    },
    /// Make a serverless cache.
    CreateServerless {
        /// Its name.
        identifier: String,
        /// Its settings.
        settings: Settings<ServerlessSetting>,
        /// Its tags.
        tags: BTreeMap<String, String>,
    },
    /// Change a serverless cache.
    ModifyServerless {
        /// Its name.
        identifier: String,
        /// Only the settings that differ; of the bounds all.
        settings: Settings<ServerlessSetting>,
    },
    /// Delete a serverless cache.
    DeleteServerless {
        /// Its name.
        identifier: String,
        /// The snapshot to take before; none: no snapshot.
        final_snapshot: Option<String>,
    },
    /// Add tags.
    Tag {
        /// To what.
        arn: String,
        /// Only those that differ.
        tags: BTreeMap<String, String>,
    },
    /// Take tags away.
    Untag {
        /// From what.
        arn: String,
        /// Their keys.
        keys: BTreeSet<String>,
    },
    /// Make a parameter group.
    CreateParameterGroup {
        /// Its name.
        name: String,
        /// Its family, such as `valkey8`.
        family: String,
        /// Its tags.
        tags: BTreeMap<String, String>,
    },
    /// Set parameters of a group.
    SetParameters {
        /// Its name.
        name: String,
        /// Value by name.
        parameters: BTreeMap<String, String>,
    },
    /// Give parameters of a group their default again.
    ResetParameters {
        /// Its name.
        name: String,
        /// Their names.
        parameters: BTreeSet<String>,
    },
    /// Delete a parameter group.
    DeleteParameterGroup {
        /// Its name.
        name: String,
    },
    /// Make a subnet group.
    CreateSubnetGroup {
        /// Its name.
        name: String,
        /// Its subnets.
        subnets: BTreeSet<String>,
        /// Its tags.
        tags: BTreeMap<String, String>,
    },
    /// Set the subnets of a group.
    ModifySubnetGroup {
        /// Its name.
        name: String,
        /// Its subnets.
        subnets: BTreeSet<String>,
    },
    /// Delete a subnet group.
    DeleteSubnetGroup {
        /// Its name.
        name: String,
    },
    /// Make a user, with a password that nobody knows.
    CreateUser {
        /// Its identifier.
        identifier: String,
        /// What it is for.
        role: Role,
        /// Its engine, in AWS's word.
        engine: &'static str,
        /// Its tags.
        tags: BTreeMap<String, String>,
    },
    /// Delete a user.
    DeleteUser {
        /// Its identifier.
        identifier: String,
    },
    /// Make a user group.
    CreateUserGroup {
        /// Its identifier.
        identifier: String,
        /// Its users.
        users: BTreeSet<String>,
        /// Its engine, in AWS's word.
        engine: &'static str,
        /// Its tags.
        tags: BTreeMap<String, String>,
    },
    /// Delete a user group.
    DeleteUserGroup {
        /// Its identifier.
        identifier: String,
    },
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateGroup { identifier, .. } => write!(f, "make replication group {identifier}"),
            Self::ModifyGroup { identifier, settings, .. } => {
                write!(f, "set {} of replication group {identifier}", fields(settings))
            }
            Self::SetReplicas { identifier, replicas, .. } => {
                write!(f, "set replicas of replication group {identifier} to {replicas}")
            }
            Self::SetShards { identifier, count, .. } => {
                write!(f, "set shards of replication group {identifier} to {count}")
            }
            Self::DeleteGroup { identifier, final_snapshot: Some(snapshot) } => {
                write!(f, "delete replication group {identifier} after snapshot {snapshot}")
            }
            Self::DeleteGroup { identifier, .. } => write!(f, "delete replication group {identifier}"),
            Self::CreateServerless { identifier, .. } => write!(f, "make serverless cache {identifier}"),
            Self::ModifyServerless { identifier, settings } => {
                write!(f, "set {} of serverless cache {identifier}", fields(settings))
            }
            Self::DeleteServerless { identifier, final_snapshot: Some(snapshot) } => {
                write!(f, "delete serverless cache {identifier} after snapshot {snapshot}")
            }
            Self::DeleteServerless { identifier, .. } => write!(f, "delete serverless cache {identifier}"),
            Self::Tag { arn, .. } => write!(f, "tag {arn}"),
            Self::Untag { arn, .. } => write!(f, "take tags from {arn}"),
            Self::CreateParameterGroup { name, .. } => write!(f, "make parameter group {name}"),
            Self::SetParameters { name, parameters } => {
                write!(f, "set {} in parameter group {name}", list(parameters.keys()))
            }
            Self::ResetParameters { name, parameters } => {
                write!(f, "reset {} in parameter group {name}", list(parameters))
            }
            Self::DeleteParameterGroup { name } => write!(f, "delete parameter group {name}"),
            Self::CreateSubnetGroup { name, .. } => write!(f, "make subnet group {name}"),
            Self::ModifySubnetGroup { name, .. } => write!(f, "set the subnets of group {name}"),
            Self::DeleteSubnetGroup { name } => write!(f, "delete subnet group {name}"),
            Self::CreateUser { identifier, .. } => write!(f, "make user {identifier}"),
            Self::DeleteUser { identifier } => write!(f, "delete user {identifier}"),
            Self::CreateUserGroup { identifier, .. } => write!(f, "make user group {identifier}"),
            Self::DeleteUserGroup { identifier } => write!(f, "delete user group {identifier}"),
        }
    }
}

fn fields<S: Setting>(settings: &Settings<S>) -> String {
    settings.keys().map(|setting| setting.field()).collect::<Vec<_>>().join(", ")
}

fn list<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    names.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}
