//! Replication groups and cache clusters as describes answer them.

use super::{
    super::{ElastiCache, combine, engine::Engine},
    AuthChange, Change, ClusterMode, Group, Kind, LogDelivery, Member, Presence, Shard, Status, Transit,
};
use crate::aws::{
    fault::Fault,
    query::{Answer, Parameters, Xml, page},
};
use jiff::Timestamp;
use std::fmt;

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Creating => "creating",
            Self::Available => "available",
            Self::Modifying => "modifying",
            Self::Snapshotting => "snapshotting",
            Self::Deleting => "deleting",
            Self::CreateFailed => "create-failed",
        })
    }
}

impl fmt::Display for ClusterMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disabled => "disabled",
            Self::Compatible => "compatible",
            Self::Enabled => "enabled",
        })
    }
}

impl Transit {
    pub(super) fn mode(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Preferred => Some("preferred"),
            Self::Required => Some("required"),
        }
    }
}

impl AuthChange {
    fn status(&self) -> &'static str {
        match self {
            Self::Set(_) => "SETTING",
            Self::Rotate(_) => "ROTATING",
            Self::Delete => "DELETING",
        }
    }
}

impl LogDelivery {
    fn xml(&self) -> Xml {
        let (structure, field) = match self.destination.as_str() {
            "kinesis-firehose" => ("KinesisFirehoseDetails", "DeliveryStream"),
            _ => ("CloudWatchLogsDetails", "LogGroup"),
        };
        let details = Xml::new().element(structure, Xml::new().text(field, &self.name));
        Xml::new()
            .text("LogType", &self.log)
            .text("DestinationType", &self.destination)
            .element("DestinationDetails", details)
            .text("LogFormat", &self.format)
    }
}

impl Group {
    /// What is being changed, and what waits.
    fn changes(&self) -> Change {
        match self.work.as_ref().map(|work| &work.kind) {
            Some(Kind::Change(change)) => self.pending.clone().and(Change::clone(change)),
            _ => self.pending.clone(),
        }
    }

    fn has_cluster_endpoint(&self) -> bool {
        self.cluster_mode == ClusterMode::Enabled
    }

    pub(in crate::aws::elasticache) fn xml(&self, now: Timestamp) -> Xml {
        let status = self.status();
        let failover = match self.changes().automatic_failover {
            Some(true) if status == Status::Modifying => "enabling",
            Some(false) if status == Status::Modifying => "disabling",
            _ if self.automatic_failover => "enabled",
            _ => "disabled",
        };
        let has_endpoints = self.serves();
        let configuration = format!("clustercfg.{}.{}", self.id, self.domain);
        let configuration = (has_endpoints && self.has_cluster_endpoint()).then_some(configuration);
        let xml = Xml::new()
            .text("ReplicationGroupId", &self.id)
            .text("Description", &self.description)
            .text("Status", status)
            .element("PendingModifiedValues", self.pending_xml(now))
            .texts("MemberClusters", "ClusterId", self.members().map(|(_, member)| &member.id))
            .list("NodeGroups", "NodeGroup", self.shards.iter().map(|shard| self.shard_xml(shard)))
            .optional("SnapshottingClusterId", (self.retention > 0).then(|| self.snapshotting_member()))
            .text("AutomaticFailover", failover)
            .text("MultiAZ", if self.multi_az { "enabled" } else { "disabled" });
        let xml = match configuration {
            Some(address) => xml.element("ConfigurationEndpoint", endpoint(&address, self.port)),
            None => xml,
        };
        xml.text("SnapshotRetentionLimit", self.retention)
            .text("SnapshotWindow", self.snapshot_window)
            .text("ClusterEnabled", self.cluster_mode == ClusterMode::Enabled)
            .text("ClusterMode", self.cluster_mode)
            .text("CacheNodeType", self.node_type.name)
            .text("AuthTokenEnabled", !self.auth.tokens.is_empty())
            .optional("AuthTokenLastModifiedDate", self.auth.changed)
            .text("TransitEncryptionEnabled", self.transit != Transit::Plain)
            .optional("TransitEncryptionMode", self.transit.mode())
            .text("AtRestEncryptionEnabled", self.encrypted_at_rest)
            .optional("KmsKeyId", self.kms_key.as_ref())
            .text("ARN", &self.arn)
            .texts("UserGroupIds", "member", &self.user_groups)
            .list("LogDeliveryConfigurations", "LogDeliveryConfiguration", self.logs_xml())
            .text("ReplicationGroupCreateTime", self.created)
            .text("DataTiering", if self.data_tiering { "enabled" } else { "disabled" })
            .text("AutoMinorVersionUpgrade", self.auto_minor_upgrade)
            .text("NetworkType", "ipv4")
            .text("IpDiscovery", "ipv4")
            .text("Engine", self.release.engine)
    }

    fn logs_xml(&self) -> Vec<Xml> {
        let status = if self.changes().logs.is_some() { "modifying" } else { "active" };
        self.logs.iter().map(|log| log.xml().text("Status", status)).collect()
    }

    fn pending_xml(&self, now: Timestamp) -> Xml {
        let change = self.changes();
        let mut xml = Xml::new()
            .optional("PrimaryClusterId", change.primary.as_ref())
            .optional(
                "AutomaticFailoverStatus",
                change.automatic_failover.map(|enabled| if enabled { "enabled" } else { "disabled" }),
            )
            .optional("AuthTokenStatus", change.auth.as_ref().map(AuthChange::status))
            .optional("TransitEncryptionEnabled", change.transit.map(|to| to != Transit::Plain))
            .optional("TransitEncryptionMode", change.transit.and_then(Transit::mode))
            .optional("ClusterMode", change.cluster_mode);
        if let Some(progress) = self.resharding_progress(now) {
            let migration = Xml::new().text("ProgressPercentage", format!("{progress:.1}"));
            xml = xml.element("Resharding", Xml::new().element("SlotMigration", migration));
        }
        if !(change.user_groups_to_add.is_empty() && change.user_groups_to_remove.is_empty()) {
            let groups = Xml::new().texts("UserGroupIdsToAdd", "member", change.user_groups_to_add).texts(
                "UserGroupIdsToRemove",
                "member",
                change.user_groups_to_remove,
            );
            xml = xml.element("UserGroups", groups);
        }
        match change.logs {
            Some(logs) => xml.list("LogDeliveryConfigurations", "member", logs.iter().map(LogDelivery::xml)),
            None => xml,
        }
    }

    fn resharding_progress(&self, now: Timestamp) -> Option<f64> {
        let work = self.work.as_ref().filter(|work| matches!(work.kind, Kind::Reshard))?;
        let (passed, whole) = (now.duration_since(work.since), work.until.duration_since(work.since));
        Some(100.0 * passed.as_secs_f64() / whole.as_secs_f64())
    }

    fn shard_xml(&self, shard: &Shard) -> Xml {
        let mut xml = Xml::new().text("NodeGroupId", &shard.id).text("Status", self.status());
        if self.serves() && !self.has_cluster_endpoint() {
            let (primary, reader) = if self.transit != Transit::Plain {
                (
                    format!("master.{}.{}", self.id, self.domain),
                    format!("replica.{}.{}", self.id, self.domain),
                )
            } else {
                let (hash, rest) = self.domain.split_once('.').unwrap_or_default();
                let address = |name: &str| format!("{name}.{hash}.ng.{}.{rest}", shard.id);
                (address(&self.id), address(&format!("{}-ro", self.id)))
            };
            xml = xml
                .element("PrimaryEndpoint", endpoint(&primary, self.port))
                .element("ReaderEndpoint", endpoint(&reader, self.port));
        }
        if self.cluster_mode == ClusterMode::Enabled {
            xml = xml.optional("Slots", shard.slots.map(|(first, last)| format!("{first}-{last}")));
        }
        xml.list(
            "NodeGroupMembers",
            "NodeGroupMember",
            shard.members.iter().map(|member| self.member_xml(shard, member)),
        )
    }

    fn member_xml(&self, shard: &Shard, member: &Member) -> Xml {
        let xml = Xml::new()
            .text("CacheClusterId", &member.id)
            .text("CacheNodeId", "0001")
            .text("PreferredAvailabilityZone", &member.zone);
        if self.has_cluster_endpoint() {
            // Roles change without the control plane there; AWS leaves them out.
            return xml;
        }
        let role = if shard.primary == member.id { "primary" } else { "replica" };
        let xml = xml.text("CurrentRole", role);
        if self.serves() && member.presence != Presence::Coming {
            return xml.element("ReadEndpoint", endpoint(&self.node_address(member), self.port));
        }
        xml
    }

    fn node_address(&self, member: &Member) -> String {
        if self.transit != Transit::Plain {
            return format!("{}.{}.{}", member.id, self.id, self.domain);
        }
        let (hash, rest) = self.domain.split_once('.').unwrap_or_default();
        format!("{}.{hash}.0001.{rest}", member.id)
    }

    fn member_status(&self, member: &Member) -> Status {
        match (member.presence, self.status()) {
            (Presence::Coming, _) => Status::Creating,
            (Presence::Going, _) => Status::Deleting,
            (Presence::Staying, Status::Snapshotting) if member.id != self.snapshotting_member() => {
                Status::Available
            }
            (Presence::Staying, status) => status,
        }
    }

    fn cluster_xml(&self, member: &Member, with_nodes: bool) -> Xml {
        let status = self.member_status(member);
        let arn =
            self.arn.replacen(&format!("replicationgroup:{}", self.id), &format!("cluster:{}", member.id), 1);
        let parameter_group = Xml::new()
            .text("CacheParameterGroupName", &self.parameter_group)
            .text("ParameterApplyStatus", "in-sync")
            .element("CacheNodeIdsToReboot", Xml::new());
        let groups = self
            .security_groups
            .iter()
            .map(|id| Xml::new().text("SecurityGroupId", id).text("Status", "active"));
        let change = self.changes();
        let pending = Xml::new()
            .optional("EngineVersion", change.release.map(|release| release.version))
            .optional("CacheNodeType", change.node_type.map(|node_type| node_type.name))
            .optional("AuthTokenStatus", change.auth.as_ref().map(AuthChange::status))
            .optional("TransitEncryptionEnabled", change.transit.map(|to| to != Transit::Plain))
            .optional("TransitEncryptionMode", change.transit.and_then(Transit::mode));
        let xml = Xml::new()
            .text("CacheClusterId", &member.id)
            .text("CacheNodeType", self.node_type.name)
            .text("Engine", self.release.engine)
            .text("EngineVersion", self.release.version)
            .text("CacheClusterStatus", status)
            .text("NumCacheNodes", 1)
            .text("PreferredAvailabilityZone", &member.zone)
            .text("CacheClusterCreateTime", self.created)
            .text("PreferredMaintenanceWindow", self.maintenance_window)
            .element("PendingModifiedValues", pending)
            .element("CacheParameterGroup", parameter_group)
            .text("CacheSubnetGroupName", &self.subnet_group)
            .text("AutoMinorVersionUpgrade", self.auto_minor_upgrade)
            .list("SecurityGroups", "member", groups)
            .text("ReplicationGroupId", &self.id)
            .text("SnapshotRetentionLimit", self.retention)
            .text("SnapshotWindow", self.snapshot_window)
            .text("AuthTokenEnabled", !self.auth.tokens.is_empty())
            .optional("AuthTokenLastModifiedDate", self.auth.changed)
            .text("TransitEncryptionEnabled", self.transit != Transit::Plain)
            .optional("TransitEncryptionMode", self.transit.mode())
            .text("AtRestEncryptionEnabled", self.encrypted_at_rest)
            .text("ARN", arn)
            .text("ReplicationGroupLogDeliveryEnabled", !self.logs.is_empty())
            .text("NetworkType", "ipv4")
            .text("IpDiscovery", "ipv4");
        let xml = match &self.topic {
            Some(topic) => xml.element(
                "NotificationConfiguration",
                Xml::new().text("TopicArn", topic).text("TopicStatus", "active"),
            ),
            None => xml,
        };
        if !with_nodes {
            return xml;
        }
        let mut node = Xml::new()
            .text("CacheNodeId", "0001")
            .text("CacheNodeStatus", status)
            .text("CacheNodeCreateTime", self.created)
            .text("ParameterGroupStatus", "in-sync")
            .text("CustomerAvailabilityZone", &member.zone);
        if self.serves() && member.presence != Presence::Coming {
            node = node.element("Endpoint", endpoint(&self.node_address(member), self.port));
        }
        xml.list("CacheNodes", "CacheNode", [node])
    }
}

/// An `Endpoint`.
pub(in crate::aws::elasticache) fn endpoint(address: &str, port: u16) -> Xml {
    Xml::new().text("Address", address).text("Port", port)
}

impl ElastiCache {
    pub(in crate::aws::elasticache) fn describe_replication_groups(
        &self,
        parameters: &Parameters,
        now: Timestamp,
    ) -> Result<Answer, Fault> {
        let groups: Vec<&Group> = match parameters.get("ReplicationGroupId") {
            Some(id) => vec![self.group(id)?],
            None => self.groups.values().collect(),
        };
        let page = page(parameters, groups.into_iter().map(|group| (group.id.clone(), group)))?;
        let groups = page.items.into_iter().map(|group| group.xml(now));
        Ok(combine("ReplicationGroups", "ReplicationGroup", groups, page.marker))
    }

    pub(in crate::aws::elasticache) fn describe_cache_clusters(
        &self,
        parameters: &Parameters,
    ) -> Result<Answer, Fault> {
        let with_nodes = parameters.boolean("ShowCacheNodeInfo")?.unwrap_or(false);
        // All clusters of this fake belong to groups.
        let only_others = parameters.boolean("ShowCacheClustersNotInReplicationGroups")?.unwrap_or(false);
        let wanted = parameters.get("CacheClusterId").map(str::to_ascii_lowercase);
        let mut clusters: Vec<(&Group, &Member)> = self
            .groups
            .values()
            .flat_map(|group| group.members().map(move |(_, member)| (group, member)))
            .filter(|(_, member)| wanted.as_ref().is_none_or(|id| *id == member.id))
            .collect();
        if let Some(id) = wanted.filter(|_| clusters.is_empty()) {
            return Err(Fault::not_found("CacheClusterNotFound", format!("CacheCluster not found: {id}")));
        }
        if only_others {
            clusters.clear();
        }
        clusters.sort_by(|(_, one), (_, other)| one.id.cmp(&other.id));
        let clusters = clusters.into_iter().map(|found| (found.1.id.clone(), found));
        let page = page(parameters, clusters)?;
        let clusters = page.items.into_iter().map(|(group, member)| group.cluster_xml(member, with_nodes));
        Ok(combine("CacheClusters", "CacheCluster", clusters, page.marker))
    }
}

impl Engine {
    /// Whether encryption at rest is on where nothing is said (ElastiCache API Reference,
    /// `CreateReplicationGroup`).
    pub(super) fn encrypts_by_default(self) -> bool {
        self == Self::Valkey
    }
}
