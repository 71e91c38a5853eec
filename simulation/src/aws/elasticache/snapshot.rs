//! Snapshots of replication groups: by hand, before a deletion, and in the daily window.

use super::{
    Due, ElastiCache, combine,
    fault::{combination, identifier, invalid_value},
    replication_group::{Group, Status},
    times,
};
use crate::aws::{
    Place,
    fault::Fault,
    query::{Answer, Parameters, Xml, page},
};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// A snapshot.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Name.
    pub name: String,
    /// ARN.
    pub arn: String,
    /// Whether AWS made it, and removes it.
    pub is_automatic: bool,
    /// The group as it was, its data included.
    pub config: Group,
    /// When it was taken.
    pub taken: Timestamp,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Creating { until: Timestamp },
    Available,
    Deleting { until: Timestamp },
}

impl Snapshot {
    /// Whether it is complete.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.state == State::Available
    }

    fn status(&self) -> &'static str {
        match self.state {
            State::Creating { .. } => "creating",
            State::Available => "available",
            State::Deleting { .. } => "deleting",
        }
    }

    fn xml(&self) -> Xml {
        let config = &self.config;
        let nodes = config.shards.iter().map(|shard| {
            Xml::new()
                .text("CacheClusterId", shard.members.last().map_or("", |member| member.id.as_str()))
                .text("NodeGroupId", &shard.id)
                .text("CacheNodeId", "0001")
                .text("CacheSize", "5 MB")
                .text("CacheNodeCreateTime", config.created)
                .optional("SnapshotCreateTime", self.is_available().then_some(self.taken))
        });
        Xml::new()
            .text("SnapshotName", &self.name)
            .text("ReplicationGroupId", &config.id)
            .text("ReplicationGroupDescription", &config.description)
            .text("SnapshotStatus", self.status())
            .text("SnapshotSource", if self.is_automatic { "automated" } else { "manual" })
            .text("CacheNodeType", config.node_type.name)
            .text("Engine", config.release.engine)
            .text("EngineVersion", config.release.version)
            .text("PreferredMaintenanceWindow", config.maintenance_window)
            .text("Port", config.port)
            .text("CacheParameterGroupName", &config.parameter_group)
            .text("CacheSubnetGroupName", &config.subnet_group)
            .text("VpcId", "vpc-1")
            .text("AutoMinorVersionUpgrade", config.auto_minor_upgrade)
            .text("SnapshotRetentionLimit", config.retention)
            .text("SnapshotWindow", config.snapshot_window)
            .text("NumNodeGroups", config.shards.len())
            .text("AutomaticFailover", if config.automatic_failover { "enabled" } else { "disabled" })
            .list("NodeSnapshots", "NodeSnapshot", nodes)
            .optional("KmsKeyId", config.kms_key.as_ref())
            .text("ARN", &self.arn)
            .text("DataTiering", if config.data_tiering { "enabled" } else { "disabled" })
    }
}

impl ElastiCache {
    pub(super) fn snapshot(&self, name: &str) -> Result<&Snapshot, Fault> {
        self.snapshots
            .get(&name.to_ascii_lowercase())
            .ok_or_else(|| Fault::not_found("SnapshotNotFoundFault", format!("Snapshot {name} not found.")))
    }

    /// A snapshot that can be restored or copied.
    pub(super) fn usable_snapshot(&self, name: &str) -> Result<&Snapshot, Fault> {
        let snapshot = self.snapshot(name)?;
        if snapshot.is_available() {
            return Ok(snapshot);
        }
        Err(Fault::bad_request(
            "InvalidSnapshotState",
            format!("Snapshot {name} is {}: wait until it is available", snapshot.status()),
        ))
    }

    /// Refuses the name of a snapshot that is taken.
    pub(super) fn new_snapshot_name(&self, parameter: &str, name: &str) -> Result<String, Fault> {
        let name = identifier(parameter, name, 255)?;
        if self.snapshots.contains_key(&name) {
            return Err(Fault::bad_request(
                "SnapshotAlreadyExistsFault",
                format!("Snapshot with specified name already exists: {name}"),
            ));
        }
        Ok(name)
    }

    /// Takes a snapshot of the data as it is now.
    pub(super) fn take_snapshot(
        &mut self,
        id: &str,
        name: String,
        is_automatic: bool,
        now: Timestamp,
        place: &Place,
    ) {
        let Some(config) = self.groups.get(id).cloned() else { return };
        let until = now + times::SNAPSHOT;
        let snapshot = Snapshot {
            arn: place.arn("elasticache", &format!("snapshot:{name}")),
            name: name.clone(),
            is_automatic,
            tags: BTreeMap::new(),
            config,
            taken: now,
            state: State::Creating { until },
        };
        self.snapshots.insert(name.clone(), snapshot);
        self.due(until, Due::Snapshot(name));
    }

    pub(super) fn snapshot_is_due(&mut self, name: &str, at: Timestamp) {
        let Some(snapshot) = self.snapshots.get_mut(name) else { return };
        match snapshot.state {
            State::Creating { until } if until == at => snapshot.state = State::Available,
            State::Deleting { until } if until == at => {
                self.snapshots.remove(name);
            }
            State::Creating { .. } | State::Deleting { .. } | State::Available => {}
        }
    }

    /// Makes the day's snapshot, and removes those that were kept long enough.
    pub(super) fn snapshot_window_is_due(&mut self, id: &str, at: Timestamp, place: &Place) {
        let Some(group) = self.groups.get(id).filter(|group| group.snapshot_window.contains(at)) else {
            return;
        };
        if group.snapshot_window.begins(at) {
            let next = group.snapshot_window.next(at);
            self.due(next, Due::SnapshotWindow(id.to_owned()));
        }
        let Some(group) = self.groups.get(id).filter(|group| group.retention > 0) else { return };
        match (group.status(), group.busy_until()) {
            (Status::Available, _) => {}
            // It waits for other work, within the window.
            (Status::Modifying | Status::Snapshotting, Some(until)) => {
                return self.due(until, Due::SnapshotWindow(id.to_owned()));
            }
            _ => return,
        }
        let kept = SignedDuration::from_hours(24 * group.retention);
        self.snapshots.retain(|_, snapshot| {
            let is_old = snapshot.is_automatic && at.duration_since(snapshot.taken) >= kept;
            !(is_old && snapshot.config.id == id)
        });
        let name = format!("automatic.{id}-{}", at.strftime("%Y-%m-%d-%H-%M"));
        self.take_snapshot(id, name, true, at, place);
        self.begin_snapshotting(id, at);
    }

    pub(super) fn create_snapshot(
        &mut self,
        p: &Parameters,
        now: Timestamp,
        place: &Place,
    ) -> Result<Answer, Fault> {
        let name = p.required("SnapshotName")?;
        let id = match (p.get("ReplicationGroupId"), p.get("CacheClusterId")) {
            (Some(id), None) => {
                let group = self.group(id)?;
                group.must_be_available()?;
                group.id.clone()
            }
            (None, Some(member)) => self.group_of_cluster(member)?,
            _ => return Err(combination("Give either ReplicationGroupId or CacheClusterId")),
        };
        let name = self.new_snapshot_name("SnapshotName", name)?;
        self.take_snapshot(&id, name.clone(), false, now, place);
        self.begin_snapshotting(&id, now);
        self.tag_snapshot(&name, p);
        self.answer_snapshot(&name)
    }

    fn group_of_cluster(&self, member: &str) -> Result<String, Fault> {
        let has = |group: &&Group| group.members().any(|(_, known)| known.id == member);
        let Some(group) = self.groups.values().find(has) else {
            return Err(Fault::not_found(
                "CacheClusterNotFound",
                format!("CacheCluster not found: {member}"),
            ));
        };
        if group.status() != Status::Available {
            return Err(Fault::bad_request(
                "InvalidCacheClusterState",
                format!("Cache cluster {member} is not in available state: it is {}.", group.status()),
            ));
        }
        Ok(group.id.clone())
    }

    pub(super) fn copy_snapshot(
        &mut self,
        p: &Parameters,
        now: Timestamp,
        place: &Place,
    ) -> Result<Answer, Fault> {
        let source = self.usable_snapshot(p.required("SourceSnapshotName")?)?;
        let name = self.new_snapshot_name("TargetSnapshotName", p.required("TargetSnapshotName")?)?;
        let until = now + times::SNAPSHOT;
        let copy = Snapshot {
            name: name.clone(),
            arn: place.arn("elasticache", &format!("snapshot:{name}")),
            is_automatic: false,
            state: State::Creating { until },
            ..source.clone()
        };
        self.snapshots.insert(name.clone(), copy);
        self.due(until, Due::Snapshot(name.clone()));
        self.tag_snapshot(&name, p);
        self.answer_snapshot(&name)
    }

    fn tag_snapshot(&mut self, name: &str, p: &Parameters) {
        if let Some(snapshot) = self.snapshots.get_mut(name) {
            snapshot.tags.extend(p.tags());
        }
    }

    fn answer_snapshot(&self, name: &str) -> Result<Answer, Fault> {
        Ok(Xml::new().element("Snapshot", self.snapshot(name)?.xml()).into())
    }

    pub(super) fn describe_snapshots(&self, p: &Parameters) -> Result<Answer, Fault> {
        let (group, member) = (p.get("ReplicationGroupId"), p.get("CacheClusterId"));
        let automatic = match p.get("SnapshotSource") {
            None => None,
            Some("system") => Some(true),
            Some("user") => Some(false),
            Some(other) => {
                return Err(invalid_value(format!("SnapshotSource {other} must be system or user")));
            }
        };
        let found: Vec<&Snapshot> = match p.get("SnapshotName") {
            Some(name) => vec![self.snapshot(name)?],
            None => self.snapshots.values().collect(),
        };
        let matching = found.into_iter().filter(|snapshot| {
            group.is_none_or(|id| id == snapshot.config.id)
                && member.is_none_or(|id| snapshot.config.members().any(|(_, known)| known.id == id))
                && automatic.is_none_or(|automatic| automatic == snapshot.is_automatic)
        });
        let page = page(p, matching.map(|snapshot| (snapshot.name.clone(), snapshot)))?;
        Ok(combine("Snapshots", "Snapshot", page.items.into_iter().map(Snapshot::xml), page.marker))
    }

    pub(super) fn delete_snapshot(&mut self, p: &Parameters, now: Timestamp) -> Result<Answer, Fault> {
        let name = self.usable_snapshot(p.required("SnapshotName")?)?.name.clone();
        let until = now + times::SNAPSHOT_DELETE;
        if let Some(snapshot) = self.snapshots.get_mut(&name) {
            snapshot.state = State::Deleting { until };
        }
        self.due(until, Due::Snapshot(name.clone()));
        self.answer_snapshot(&name)
    }
}
