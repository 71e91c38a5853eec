//! A replication group: a primary and its replicas, or with cluster mode several of these.

use super::{Call, Phase, engine_effect, parameter_group, phase, user, version_effect};
use crate::{
    api::CacheLog,
    managed::{
        Change, Effect, Setting, Settings, Value, difference, holds_unwanted, is_key_met, is_version_met,
    },
    platform::{
        AwsCache, Platform,
        cache::{LogDestination, Nodes},
    },
};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Settings of a replication group. The order is that of the tables in the docs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupSetting {
    /// Valkey or Redis OSS.
    Engine,
    /// Version of the engine.
    EngineVersion,
    /// CPU and memory.
    NodeType,
    /// Replicas of each primary; several numbers where shards differ.
    Replicas,
    /// Whether there are shards.
    ClusterMode,
    /// How many.
    Shards,
    /// Whether a replica takes over.
    AutomaticFailover,
    /// Whether nodes lie in several zones.
    MultiAz,
    /// Subnet group.
    SubnetGroup,
    /// Security groups.
    SecurityGroups,
    /// Whether connections are encrypted.
    Tls,
    /// User group.
    UserGroup,
    /// Whether an AUTH token logs in.
    AuthToken,
    /// Parameter group.
    ParameterGroup,
    /// Whether it is encrypted at rest.
    Encrypted,
    /// With which KMS key.
    KmsKey,
    /// Days that automatic snapshots are kept.
    SnapshotRetention,
    /// When they are taken.
    SnapshotWindow,
    /// When AWS maintains it.
    MaintenanceWindow,
    /// Whether AWS installs minor versions.
    AutoMinorVersionUpgrade,
    /// Logs that are delivered.
    LogDelivery,
}

use GroupSetting as S;

impl Setting for GroupSetting {
    const ALL: &'static [Self] = &[
        S::Engine,
        S::EngineVersion,
        S::NodeType,
        S::Replicas,
        S::ClusterMode,
        S::Shards,
        S::AutomaticFailover,
        S::MultiAz,
        S::SubnetGroup,
        S::SecurityGroups,
        S::Tls,
        S::UserGroup,
        S::AuthToken,
        S::ParameterGroup,
        S::Encrypted,
        S::KmsKey,
        S::SnapshotRetention,
        S::SnapshotWindow,
        S::MaintenanceWindow,
        S::AutoMinorVersionUpgrade,
        S::LogDelivery,
    ];

    fn field(self) -> &'static str {
        match self {
            S::Engine => "engine",
            S::EngineVersion => "version",
            S::NodeType => "nodeType",
            S::Replicas => "replicas",
            S::ClusterMode => "shards (with or without)",
            S::Shards => "shards",
            S::AutomaticFailover => "automatic failover",
            S::MultiAz => "multiAZ",
            S::SubnetGroup => "network.subnetGroupName",
            S::SecurityGroups => "network.securityGroupIDs",
            S::Tls => "network.tls",
            S::UserGroup => "user group",
            S::AuthToken => "AUTH token",
            S::ParameterGroup => "parameter group",
            S::Encrypted => "encryption at rest",
            S::KmsKey => "kmsKeyID",
            S::SnapshotRetention => "snapshots.retentionDays",
            S::SnapshotWindow => "snapshots.window",
            S::MaintenanceWindow => "maintenance.window",
            S::AutoMinorVersionUpgrade => "autoMinorVersionUpgrade",
            S::LogDelivery => "logDelivery",
        }
    }

    fn effect(self, from: Option<&Value>, to: &Value) -> Effect {
        match self {
            S::Engine => engine_effect(to),
            S::EngineVersion => version_effect(from, to),
            // AWS calls it online: it syncs new nodes and moves the endpoints to them. The primary moves for
            // some seconds, in which no write succeeds.
            S::NodeType => Effect::Restarts,
            // Whoever logged in otherwise, or not at all, is kept out from then on.
            S::UserGroup | S::AuthToken => Effect::Restarts,
            // AWS turns the first and the third on in place only together with all clients.
            S::ClusterMode | S::SubnetGroup | S::Tls | S::Encrypted | S::KmsKey => Effect::Impossible,
            S::Replicas
            | S::Shards
            | S::AutomaticFailover
            | S::MultiAz
            | S::SecurityGroups
            | S::ParameterGroup
            | S::SnapshotRetention
            | S::SnapshotWindow
            | S::MaintenanceWindow
            | S::AutoMinorVersionUpgrade
            | S::LogDelivery => Effect::Online,
        }
    }

    fn is_met(self, wanted: &Value, seen: &Value) -> bool {
        match self {
            S::EngineVersion => is_version_met(wanted.text(), seen.text()),
            S::KmsKey => is_key_met(wanted.text(), seen.text()),
            _ => wanted == seen,
        }
    }
}

/// A replication group as ElastiCache describes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Group {
    /// Its identifier.
    pub identifier: String,
    /// Its ARN.
    pub arn: String,
    /// AWS's word for its state.
    pub status: String,
    /// Host and port that take writes, or with cluster mode tell where everything is.
    pub endpoint: Option<(String, u16)>,
    /// Host that spreads over the replicas.
    pub reader_endpoint: Option<String>,
    /// Its settings.
    pub settings: Settings<GroupSetting>,
    /// Those that AWS will set by itself, in its window.
    pub pending: Settings<GroupSetting>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// The node that takes writes, where AWS tells it: not with cluster mode.
    pub primary: Option<String>,
    /// Replicas by shard.
    pub shards: BTreeMap<String, i64>,
}

impl Group {
    /// What its state means.
    #[must_use]
    pub fn phase(&self) -> Phase {
        phase(&self.status)
    }
}

/// What a replication group shall be.
#[must_use]
pub fn desired(
    platform: &Platform,
    cache: &AwsCache,
    nodes: &Nodes,
    subnet_group: Option<&str>,
) -> Settings<S> {
    let mut wanted = Settings::from([
        (S::Engine, Value::from(cache.engine_name())),
        (S::EngineVersion, cache.version.clone().into()),
        (S::NodeType, nodes.node_type.clone().into()),
        (S::Replicas, replicas([nodes.replicas])),
        (S::ClusterMode, nodes.shards.is_some().into()),
        (S::AutomaticFailover, nodes.automatic_failover().into()),
        (S::MultiAz, nodes.multi_az.into()),
        (S::Tls, cache.tls.into()),
        (S::ParameterGroup, parameter_group::name(platform, cache).into()),
        (S::Encrypted, true.into()),
        (S::SnapshotRetention, cache.snapshot_retention_days.into()),
        (S::SnapshotWindow, cache.snapshot_window.clone().into()),
        (S::MaintenanceWindow, nodes.maintenance_window.to_string().into()),
        (S::AutoMinorVersionUpgrade, nodes.auto_minor_version_upgrade.into()),
        (S::LogDelivery, nodes.logs.iter().map(log).collect::<BTreeSet<_>>().into()),
    ]);
    if cache.tls {
        wanted.insert(S::UserGroup, user::group_identifier(platform).into());
        wanted.insert(S::AuthToken, false.into());
    }
    let optional = [
        (S::Shards, nodes.shards.map(Value::from)),
        (S::SubnetGroup, subnet_group.map(Value::from)),
        (S::KmsKey, cache.kms_key_id.clone().map(Value::from)),
    ];
    wanted.extend(optional.into_iter().filter_map(|(setting, value)| Some((setting, value?))));
    if !cache.security_groups.is_empty() {
        wanted.insert(S::SecurityGroups, cache.security_groups.clone().into());
    }
    wanted
}

/// Numbers of replicas as one value.
#[must_use]
pub fn replicas(counts: impl IntoIterator<Item = i64>) -> Value {
    counts.into_iter().map(|count| count.to_string()).collect::<BTreeSet<_>>().into()
}

/// A log and where it goes, as one name: AWS's words for the log and its destination, and the destination's
/// name.
fn log((log, destination): (&CacheLog, &LogDestination)) -> String {
    let log = match log {
        CacheLog::SlowLog => "slow-log",
        CacheLog::EngineLog => "engine-log",
    };
    match destination {
        LogDestination::LogGroup(name) => format!("{log}:cloudwatch-logs:{name}"),
        LogDestination::DeliveryStream(name) => format!("{log}:kinesis-firehose:{name}"),
    }
}

/// How a replication group differs from what it shall be.
#[must_use]
pub fn changes(wanted: &Settings<S>, group: &Group) -> Vec<Change<S>> {
    difference(wanted, &group.settings, &group.pending)
}

/// The next call of these changes. AWS takes one at a time: first what adds replicas, which failover needs,
/// last what takes them away, which failover forbids.
#[must_use]
pub fn next(wanted: &Settings<S>, nodes: &Nodes, group: &Group, changes: &[Change<S>]) -> Option<Call> {
    let changes_it = |setting: S| changes.iter().any(|change| change.setting == setting);
    let fewer = |count: &&i64| **count < nodes.replicas;
    if changes_it(S::Replicas) && group.shards.values().any(|count| fewer(&count)) {
        return Some(set_replicas(nodes, group, true));
    }
    let is_plain = |change: &&Change<S>| !matches!(change.setting, S::Replicas | S::Shards);
    let settings: Settings<S> =
        changes.iter().filter(is_plain).map(|change| (change.setting, change.to.clone())).collect();
    if !settings.is_empty() {
        let immediately = !holds_unwanted(wanted, &group.pending);
        let before = group.settings.get(&S::UserGroup).map(|it| it.text().to_owned());
        return Some(Call::ModifyGroup {
            identifier: group.identifier.clone(),
            instead_of_user_group: before.filter(|it| settings.contains_key(&S::UserGroup) && !it.is_empty()),
            settings,
            immediately,
        });
    }
    if changes_it(S::Replicas) {
        return Some(set_replicas(nodes, group, false));
    }
    let count = nodes.shards.filter(|_| changes_it(S::Shards))?;
    let surplus = group.shards.keys().skip(usize::try_from(count).unwrap_or(usize::MAX));
    Some(Call::SetShards { identifier: group.identifier.clone(), count, remove: surplus.cloned().collect() })
}

fn set_replicas(nodes: &Nodes, group: &Group, grow: bool) -> Call {
    let differs = |count: i64| if grow { count < nodes.replicas } else { count > nodes.replicas };
    let shards = group.shards.iter().filter(|(_, count)| nodes.shards.is_some() && differs(**count));
    Call::SetReplicas {
        identifier: group.identifier.clone(),
        replicas: nodes.replicas,
        grow,
        shards: shards.map(|(shard, _)| shard.clone()).collect(),
    }
}
