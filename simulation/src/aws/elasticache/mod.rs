//! ElastiCache for Redis OSS and Valkey: replication groups, users, parameter and subnet groups, snapshots,
//! serverless caches.

pub mod answers;
pub mod engine;
mod event;
mod fault;
pub mod groups;
pub mod replication_group;
pub mod serverless;
pub mod snapshot;
mod tags;
pub mod times;
pub mod update;
pub mod user;
pub mod window;

use super::{
    Place,
    fault::Fault,
    query::{Answer, Parameters, Xml},
};
use answers::{Lag, Throttle};
use event::Event;
use groups::{ParameterGroup, SubnetGroup};
use jiff::Timestamp;
use replication_group::Group;
use serverless::{ServerlessCache, ServerlessSnapshot};
use snapshot::Snapshot;
use std::collections::{BTreeMap, BTreeSet};
use update::ServiceUpdate;
use user::{User, UserGroup};

/// ElastiCache in one account and region.
#[derive(Clone, Debug, Default)]
pub struct ElastiCache {
    /// Replication groups by identifier.
    pub groups: BTreeMap<String, Group>,
    /// Users by identifier.
    pub users: BTreeMap<String, User>,
    /// User groups by identifier.
    pub user_groups: BTreeMap<String, UserGroup>,
    /// Parameter groups by name, besides AWS's own.
    pub parameter_groups: BTreeMap<String, ParameterGroup>,
    /// Subnet groups by name.
    pub subnet_groups: BTreeMap<String, SubnetGroup>,
    /// Snapshots by name.
    pub snapshots: BTreeMap<String, Snapshot>,
    /// Identifiers of replication groups whose creation fails.
    pub failing_creations: BTreeSet<String>,
    /// Serverless caches by name.
    pub serverless: BTreeMap<String, ServerlessCache>,
    /// Snapshots of serverless caches by name.
    pub serverless_snapshots: BTreeMap<String, ServerlessSnapshot>,
    /// Service updates by name.
    pub service_updates: BTreeMap<String, ServiceUpdate>,
    /// Throttling; `None`: there is none.
    pub throttle: Option<Throttle>,
    lag: Option<Box<Lag>>,
    events: Vec<Event>,
    due: BTreeSet<(Timestamp, Due)>,
}

/// What happens at a time. Each looks at what it finds then: one that came too late does nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// A replication group's work ends.
    Group(String),
    /// A replication group's snapshot window opens.
    SnapshotWindow(String),
    /// A replication group's maintenance window opens, or work within it has ended.
    Maintenance(String),
    /// A snapshot is complete or gone.
    Snapshot(String),
    /// A user's change is there.
    User(String),
    /// A user group's change is there.
    UserGroup(String),
    /// A serverless cache's work ends.
    Serverless(String),
    /// A serverless cache's time of the daily snapshot has come.
    ServerlessDaily(String),
    /// A serverless cache's snapshot is complete.
    ServerlessSnapshot(String),
}

impl ElastiCache {
    pub(super) fn advance(&mut self, now: Timestamp, place: &Place) {
        while let Some((at, due)) = self.due.pop_first() {
            if at > now {
                self.due.insert((at, due));
                return;
            }
            match due {
                Due::Group(id) => self.group_is_due(&id, at),
                Due::SnapshotWindow(id) => self.snapshot_window_is_due(&id, at, place),
                Due::Maintenance(id) => self.maintenance_is_due(&id, at),
                Due::Snapshot(name) => self.snapshot_is_due(&name, at),
                Due::User(id) => self.user_is_due(&id, at),
                Due::UserGroup(id) => self.user_group_is_due(&id, at),
                Due::Serverless(name) => self.serverless_is_due(&name, at),
                Due::ServerlessDaily(name) => self.serverless_day_is_due(&name, at, place),
                Due::ServerlessSnapshot(name) => self.serverless_snapshot_is_due(&name, at),
            }
        }
    }

    pub(super) fn call(
        &mut self,
        operation: &str,
        p: &Parameters,
        now: Timestamp,
        place: &Place,
    ) -> Result<Answer, Fault> {
        if let Some(throttle) = &mut self.throttle {
            throttle.admit(operation, now)?;
        }
        self.provide_defaults(place);
        if operation.starts_with("Describe") {
            return match self.described(now, place) {
                Some((mut past, then)) => past.perform(operation, p, then, place),
                None => self.perform(operation, p, now, place),
            };
        }
        let answer = self.perform(operation, p, now, place);
        self.remember(now);
        answer
    }

    fn perform(
        &mut self,
        operation: &str,
        p: &Parameters,
        now: Timestamp,
        place: &Place,
    ) -> Result<Answer, Fault> {
        match operation {
            "CreateReplicationGroup" => self.create_replication_group(p, now, place),
            "DescribeReplicationGroups" => self.describe_replication_groups(p, now),
            "DescribeCacheClusters" => self.describe_cache_clusters(p),
            "ModifyReplicationGroup" => self.modify_replication_group(p, now),
            "IncreaseReplicaCount" => self.change_replica_count(p, true, now, place),
            "DecreaseReplicaCount" => self.change_replica_count(p, false, now, place),
            "ModifyReplicationGroupShardConfiguration" => self.reshard(p, now, place),
            "TestFailover" => self.test_failover(p, now),
            "DeleteReplicationGroup" => self.delete_replication_group(p, now, place),
            "AddTagsToResource" => self.add_tags(p),
            "ListTagsForResource" => self.list_tags(p),
            "RemoveTagsFromResource" => self.remove_tags(p),
            "CreateCacheParameterGroup" => self.create_parameter_group(p, place),
            "DescribeCacheParameterGroups" => self.describe_parameter_groups(p, place),
            "ModifyCacheParameterGroup" => self.modify_parameter_group(p),
            "ResetCacheParameterGroup" => self.reset_parameter_group(p),
            "DeleteCacheParameterGroup" => self.delete_parameter_group(p),
            "DescribeCacheParameters" => self.describe_parameters(p),
            "CreateCacheSubnetGroup" => self.create_subnet_group(p, place),
            "ModifyCacheSubnetGroup" => self.modify_subnet_group(p),
            "DescribeCacheSubnetGroups" => self.describe_subnet_groups(p),
            "DeleteCacheSubnetGroup" => self.delete_subnet_group(p),
            "CreateUser" => self.create_user(p, place),
            "ModifyUser" => self.modify_user(p, now),
            "DescribeUsers" => self.describe_users(p),
            "DeleteUser" => self.delete_user(p, now),
            "CreateUserGroup" => self.create_user_group(p, now, place),
            "ModifyUserGroup" => self.modify_user_group(p, now),
            "DescribeUserGroups" => self.describe_user_groups(p),
            "DeleteUserGroup" => self.delete_user_group(p, now),
            "CreateSnapshot" => self.create_snapshot(p, now, place),
            "CopySnapshot" => self.copy_snapshot(p, now, place),
            "DescribeSnapshots" => self.describe_snapshots(p),
            "DeleteSnapshot" => self.delete_snapshot(p, now),
            "CreateServerlessCache" => self.create_serverless(p, now, place),
            "DescribeServerlessCaches" => self.describe_serverless(p),
            "ModifyServerlessCache" => self.modify_serverless(p, now),
            "DeleteServerlessCache" => self.delete_serverless(p, now, place),
            "CreateServerlessCacheSnapshot" => self.create_serverless_snapshot(p, now, place),
            "DescribeServerlessCacheSnapshots" => self.describe_serverless_snapshots(p),
            "DeleteServerlessCacheSnapshot" => self.delete_serverless_snapshot(p),
            "DescribeUpdateActions" => self.describe_update_actions(p),
            "BatchApplyUpdateAction" => self.apply_service_update(p, now),
            "DescribeEvents" => self.describe_events(p, now),
            "DescribeCacheEngineVersions" => engine::describe_versions(p),
            "ListAllowedNodeTypeModifications" => self.list_allowed_node_types(p),
            _ => Err(Fault::bad_request("InvalidAction", format!("Could not find operation {operation}"))),
        }
    }

    /// What a client of a replication group or serverless cache writes: the last value is what it reads.
    ///
    /// # Errors
    /// When there is none of this name that serves.
    pub fn write(&mut self, id: &str, value: impl Into<String>) -> Result<(), Fault> {
        let group = self.groups.get_mut(id).filter(|group| group.serves()).map(|group| &mut group.value);
        let serverless = self.serverless.get_mut(id).filter(|cache| cache.serves());
        let place = group.or(serverless.map(|cache| &mut cache.value));
        *place.ok_or_else(|| Fault::not_found("NotServing", format!("{id} takes no connections")))? =
            Some(value.into());
        Ok(())
    }

    /// Whether a client gets in to a replication group or serverless cache: as `default` with an AUTH token or
    /// without any, or as a user of its user group.
    #[must_use]
    pub fn lets_in(&self, id: &str, user: &str, password: Option<&str>) -> bool {
        let group = self.groups.get(id).filter(|group| group.serves());
        let serverless = self.serverless.get(id).filter(|cache| cache.serves());
        let user_groups: Vec<&String> = match (group, serverless) {
            (Some(group), _) if group.user_groups.is_empty() => {
                let is_token = |password: &str| group.auth.tokens.iter().any(|token| token == password);
                return user == "default" && password.map_or(group.auth.open, is_token);
            }
            (Some(group), _) => group.user_groups.iter().collect(),
            (None, Some(cache)) => match &cache.settings.user_group {
                Some(user_group) => vec![user_group],
                None => return user == "default" && password.is_none(),
            },
            (None, None) => return false,
        };
        let ids =
            user_groups.into_iter().filter_map(|id| self.user_groups.get(id)).flat_map(|group| &group.users);
        let mut users = ids.filter_map(|id| self.users.get(id));
        users.any(|known| known.name == user && known.lets_in(password))
    }

    fn due(&mut self, at: Timestamp, due: Due) {
        self.due.insert((at, due));
    }

    /// What each account has from the start.
    fn provide_defaults(&mut self, place: &Place) {
        self.users.entry("default".to_owned()).or_insert_with(|| User::provided(place));
        self.subnet_groups.entry("default".to_owned()).or_insert_with(|| SubnetGroup::provided(place));
    }
}

/// A listing's answer.
fn combine(name: &str, item: &str, items: impl IntoIterator<Item = Xml>, marker: Option<String>) -> Answer {
    Xml::new().list(name, item, items).optional("Marker", marker).into()
}
