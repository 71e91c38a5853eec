//! Creation and deletion of replication groups.

use super::{
    super::{
        ElastiCache,
        engine::{Engine, NodeType, Release},
        fault::{combination, identifier, invalid_value},
        groups, times,
        window::Window,
    },
    Auth, Change, ClusterMode, Group, Kind, LogDelivery, Member, Presence, Shard, Status, Transit, scale,
};
use crate::aws::{
    Place,
    fault::Fault,
    query::{Answer, Parameters, Xml},
};
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// Nodes of a group with shards (ElastiCache User Guide, "Quotas for ElastiCache").
const MOST_NODES: usize = 90;
/// Nodes of a group without, and replicas of a shard besides the primary.
const MOST_MEMBERS: usize = 6;

impl ElastiCache {
    pub(in crate::aws::elasticache) fn create_replication_group(
        &mut self,
        p: &Parameters,
        now: Timestamp,
        place: &Place,
    ) -> Result<Answer, Fault> {
        let id = identifier("ReplicationGroupId", p.required("ReplicationGroupId")?, 40)?;
        let description = p.required("ReplicationGroupDescription")?.to_owned();
        if self.groups.contains_key(&id) {
            return Err(Fault::bad_request(
                "ReplicationGroupAlreadyExists",
                format!("Replication group {id} already exists."),
            ));
        }
        let restored = p.get("SnapshotName").map(|name| self.usable_snapshot(name)).transpose()?.cloned();
        let from = restored.as_ref();
        let engine = match p.get("Engine") {
            Some(engine) => Engine::read(engine)?,
            None => from.map_or(Engine::Redis, |snapshot| snapshot.config.release.engine),
        };
        let release = match (p.get("EngineVersion"), from) {
            (None, Some(snapshot)) if snapshot.config.release.engine == engine => snapshot.config.release,
            (version, _) => Release::find(engine, version)?,
        };
        if from.is_some_and(|snapshot| release.rank() < snapshot.config.release.rank()) {
            return Err(combination(format!(
                "The snapshot was made with a newer engine than {engine} {}",
                release.version
            )));
        }
        let node_type = match (p.get("CacheNodeType"), from) {
            (Some(name), _) => NodeType::find(name)?,
            (None, Some(snapshot)) => snapshot.config.node_type,
            (None, None) => NodeType::find(p.required("CacheNodeType")?)?,
        };
        let (shard_count, members) = counts(p, from.map(|snapshot| snapshot.config.shards.len()))?;
        let (parameter_group, cluster_mode) = self.parameter_group_for(p, release, shard_count)?;
        let automatic_failover = p.boolean("AutomaticFailoverEnabled")?.unwrap_or(false);
        let multi_az = p.boolean("MultiAZEnabled")?.unwrap_or(false);
        check_failover(automatic_failover, multi_az, members, cluster_mode)?;
        let transit = transit(p, Transit::Plain)?.unwrap_or(Transit::Plain);
        let (auth, user_groups) = self.access(p, transit, release)?;
        let encrypted_at_rest =
            p.boolean("AtRestEncryptionEnabled")?.unwrap_or_else(|| engine.encrypts_by_default());
        let kms_key = p.get("KmsKeyId").map(ToOwned::to_owned);
        if kms_key.is_some() && !encrypted_at_rest {
            return Err(combination("KmsKeyId is only valid when AtRestEncryptionEnabled is true"));
        }
        let subnet_group = p.get("CacheSubnetGroupName").unwrap_or("default").to_ascii_lowercase();
        self.subnet_group(&subnet_group)?;
        let data_tiering = p.boolean("DataTieringEnabled")?.unwrap_or(false);
        if data_tiering != node_type.tiers_data() {
            return Err(combination(format!(
                "DataTieringEnabled must be {} with node type {}",
                node_type.tiers_data(),
                node_type.name
            )));
        }
        let group = Group {
            arn: place.arn("elasticache", &format!("replicationgroup:{id}")),
            shards: shards(&id, shard_count, members, cluster_mode, &place.region, multi_az),
            security_groups: security_groups(p)?.unwrap_or_default(),
            port: port(p)?.unwrap_or(6379),
            retention: retention(p)?.unwrap_or(0),
            snapshot_window: match p.get("SnapshotWindow") {
                Some(text) => Window::daily(text)?,
                None => Window::picked_daily(&id),
            },
            maintenance_window: match p.get("PreferredMaintenanceWindow") {
                Some(text) => Window::weekly(text)?,
                None => Window::picked_weekly(&id),
            },
            auto_minor_upgrade: p.boolean("AutoMinorVersionUpgrade")?.unwrap_or(true),
            logs: log_deliveries(p, release, &[])?.unwrap_or_default(),
            topic: p.get("NotificationTopicArn").map(ToOwned::to_owned),
            tags: p.tags(),
            created: now,
            pending: Change::default(),
            value: from.and_then(|snapshot| snapshot.config.value.clone()),
            work: None,
            failed: false,
            failovers: Vec::new(),
            domain: domain(place),
            id: id.clone(),
            description,
            release,
            node_type,
            cluster_mode,
            automatic_failover,
            multi_az,
            encrypted_at_rest,
            kms_key,
            transit,
            auth,
            user_groups,
            parameter_group,
            subnet_group,
            data_tiering,
        };
        let windows = (group.snapshot_window, group.maintenance_window);
        self.groups.insert(id.clone(), group);
        self.due(windows.0.next(now), super::super::Due::SnapshotWindow(id.clone()));
        self.due(windows.1.next(now), super::super::Due::Maintenance(id.clone()));
        let takes = times::CREATE + if from.is_some() { times::RESTORE } else { SignedDuration::ZERO };
        self.begin(&id, Kind::Create, now, now + takes);
        self.answer_group(&id, now)
    }

    pub(super) fn answer_group(&self, id: &str, now: Timestamp) -> Result<Answer, Fault> {
        Ok(Xml::new().element("ReplicationGroup", self.group(id)?.xml(now)).into())
    }

    /// The parameter group that is asked for or fits by default, and the cluster mode that follows.
    fn parameter_group_for(
        &self,
        p: &Parameters,
        release: Release,
        shards: usize,
    ) -> Result<(String, ClusterMode), Fault> {
        let asked = p.get("ClusterMode").map(ClusterMode::read).transpose()?;
        let default = match asked {
            Some(mode) => mode,
            None if shards > 1 => ClusterMode::Enabled,
            None => ClusterMode::Disabled,
        };
        let Some(name) = p.get("CacheParameterGroupName") else {
            return Ok((groups::default_name(release, default), default));
        };
        let found = self.parameter_group(name)?;
        if found.family != release.family {
            return Err(combination(format!(
                "Expected a parameter group of family {} but found one of family {}",
                release.family, found.family
            )));
        }
        let mode = match (asked, found.is_clustered()) {
            (Some(mode), clustered) if (mode == ClusterMode::Disabled) == clustered => {
                return Err(combination(format!(
                    "Parameter group {name} does not fit ClusterMode {mode}: see its cluster-enabled"
                )));
            }
            (Some(mode), _) => mode,
            (None, true) => ClusterMode::Enabled,
            (None, false) => ClusterMode::Disabled,
        };
        if mode == ClusterMode::Disabled && shards > 1 {
            return Err(combination(
                "Use a parameter group with cluster-enabled=yes for several node groups",
            ));
        }
        Ok((name.to_owned(), mode))
    }

    fn access(
        &self,
        p: &Parameters,
        transit: Transit,
        release: Release,
    ) -> Result<(Auth, Vec<String>), Fault> {
        let user_groups = p.list("UserGroupIds").unwrap_or_default();
        let token = p.get("AuthToken");
        if (token.is_some() || !user_groups.is_empty()) && transit == Transit::Plain {
            return Err(combination(
                "AUTH and user groups are supported with TransitEncryptionEnabled true only",
            ));
        }
        if token.is_some() && !user_groups.is_empty() {
            return Err(combination("AuthToken and UserGroupIds can't be combined"));
        }
        if user_groups.len() > 1 {
            return Err(invalid_value("A replication group can have one user group only"));
        }
        for id in &user_groups {
            self.user_group_for(id, release)?;
        }
        let auth = match token {
            Some(token) => Auth { tokens: vec![auth_token(token)?], open: false, changed: None },
            None => Auth::none(),
        };
        Ok((auth, user_groups.iter().map(|id| id.to_ascii_lowercase()).collect()))
    }

    pub(in crate::aws::elasticache) fn delete_replication_group(
        &mut self,
        p: &Parameters,
        now: Timestamp,
        place: &Place,
    ) -> Result<Answer, Fault> {
        let group = self.group(p.required("ReplicationGroupId")?)?;
        if group.status() != Status::CreateFailed {
            group.must_be_available()?;
        }
        if p.boolean("RetainPrimaryCluster")?.unwrap_or(false) {
            return Err(combination("RetainPrimaryCluster: this fake has no clusters outside of groups"));
        }
        let id = group.id.clone();
        let mut until = now + times::DELETE;
        if let Some(name) = p.get("FinalSnapshotIdentifier") {
            group.must_be_available()?;
            let name = self.new_snapshot_name("FinalSnapshotIdentifier", name)?;
            self.take_snapshot(&id, name, false, now, place);
            until += times::SNAPSHOT;
        }
        self.begin(&id, Kind::Delete, now, until);
        self.answer_group(&id, now)
    }
}

/// Shards, and members of each.
fn counts(p: &Parameters, restored_shards: Option<usize>) -> Result<(usize, usize), Fault> {
    let count = |name: &str, least: i64, most: usize| -> Result<Option<usize>, Fault> {
        let Some(value) = p.integer(name)? else { return Ok(None) };
        let fits = usize::try_from(value).ok().filter(|fit| value >= least && *fit <= most);
        let refuse = || invalid_value(format!("{name} must be between {least} and {most}; it is {value}"));
        fits.map(Some).ok_or_else(refuse)
    };
    let nodes = count("NumCacheClusters", 1, MOST_MEMBERS)?;
    let shards = count("NumNodeGroups", 1, 500)?;
    let replicas = count("ReplicasPerNodeGroup", 0, MOST_MEMBERS - 1)?;
    if nodes.is_some() && (shards.is_some() || replicas.is_some()) {
        return Err(combination(
            "NumCacheClusters can't be combined with NumNodeGroups or ReplicasPerNodeGroup",
        ));
    }
    let (shards, members) = match nodes {
        Some(nodes) => (restored_shards.unwrap_or(1), nodes),
        None => (shards.or(restored_shards).unwrap_or(1), replicas.unwrap_or(0) + 1),
    };
    check_node_count(shards * members)?;
    Ok((shards, members))
}

pub(super) fn check_node_count(nodes: usize) -> Result<(), Fault> {
    if nodes <= MOST_NODES {
        return Ok(());
    }
    Err(Fault::bad_request(
        "NodeQuotaForClusterExceeded",
        format!("A cluster can have {MOST_NODES} nodes; {nodes} were asked for"),
    ))
}

pub(super) fn check_failover(
    automatic_failover: bool,
    multi_az: bool,
    members: usize,
    mode: ClusterMode,
) -> Result<(), Fault> {
    if mode != ClusterMode::Disabled && !automatic_failover {
        return Err(combination("AutomaticFailoverEnabled must be true with cluster mode"));
    }
    if automatic_failover && members < 2 && mode == ClusterMode::Disabled {
        return Err(combination("When using automatic failover, there must be at least 2 cache clusters"));
    }
    if multi_az && !automatic_failover {
        return Err(combination("MultiAZEnabled needs AutomaticFailoverEnabled"));
    }
    if multi_az && members < 2 {
        return Err(combination("MultiAZEnabled needs at least one replica in each node group"));
    }
    Ok(())
}

fn shards(
    id: &str,
    count: usize,
    members: usize,
    mode: ClusterMode,
    region: &str,
    spread: bool,
) -> Vec<Shard> {
    let mut shards: Vec<Shard> = (1..=count)
        .map(|shard| {
            let shard = format!("{shard:04}");
            let members: Vec<Member> = (1..=members)
                .map(|index| Member {
                    id: member_id(id, mode, &shard, index),
                    zone: zone(region, if spread { index } else { 1 }),
                    presence: Presence::Coming,
                })
                .collect();
            let primary = members.first().map(|member| member.id.clone()).unwrap_or_default();
            Shard { id: shard, members, primary, slots: None }
        })
        .collect();
    scale::share_slots(&mut shards);
    shards
}

pub(super) fn member_id(group: &str, mode: ClusterMode, shard: &str, index: usize) -> String {
    match mode {
        ClusterMode::Disabled => format!("{group}-{index:03}"),
        ClusterMode::Compatible | ClusterMode::Enabled => format!("{group}-{shard}-{index:03}"),
    }
}

pub(super) fn zone(region: &str, index: usize) -> String {
    format!("{region}{}", ["a", "b", "c"][(index + 2) % 3])
}

/// `abc123.euc1.cache.amazonaws.com`, the first part the account's.
fn domain(place: &Place) -> String {
    let account = Sha256::digest(format!("{}/{}", place.account, place.region));
    let hash: String = account.iter().take(3).map(|byte| format!("{byte:02x}")).collect();
    let mut parts = place.region.split('-');
    let first = parts.next().unwrap_or_default();
    let (direction, number) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    format!("{hash}.{first}{}{number}.cache.amazonaws.com", direction.get(..1).unwrap_or_default())
}

/// What encryption in transit is asked for; `None`: nothing is said.
pub(super) fn transit(p: &Parameters, current: Transit) -> Result<Option<Transit>, Fault> {
    let enabled = p.boolean("TransitEncryptionEnabled")?;
    match (enabled, p.get("TransitEncryptionMode")) {
        (None, None) => Ok(None),
        (Some(false), None) => Ok(Some(Transit::Plain)),
        (Some(true), None) if current == Transit::Plain => Ok(Some(Transit::Required)),
        (Some(true), None) => Ok(None),
        (None, Some(_)) if current == Transit::Plain => {
            Err(combination("TransitEncryptionMode needs TransitEncryptionEnabled true"))
        }
        (Some(false), Some(_)) => {
            Err(combination("TransitEncryptionMode needs TransitEncryptionEnabled true"))
        }
        (_, Some("preferred")) => Ok(Some(Transit::Preferred)),
        (_, Some("required")) => Ok(Some(Transit::Required)),
        (_, Some(mode)) => Err(invalid_value(format!("Invalid TransitEncryptionMode: {mode}"))),
    }
}

/// ElastiCache User Guide, "Authenticating with the AUTH command".
pub(super) fn auth_token(token: &str) -> Result<String, Fault> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!&#$^<>-".contains(&byte);
    if (16..=128).contains(&token.len()) && token.bytes().all(allowed) {
        return Ok(token.to_owned());
    }
    Err(invalid_value(
        "Invalid AuthToken provided: it must have 16 to 128 characters, letters, digits and !&#$^<>- only",
    ))
}

pub(super) fn security_groups(p: &Parameters) -> Result<Option<Vec<String>>, Fault> {
    let Some(ids) = p.list("SecurityGroupIds") else { return Ok(None) };
    match ids.iter().find(|id| !id.starts_with("sg-")) {
        Some(id) => Err(invalid_value(format!("Invalid security group ID: {id}"))),
        None => Ok(Some(ids)),
    }
}

pub(super) fn retention(p: &Parameters) -> Result<Option<i64>, Fault> {
    let days = p.integer("SnapshotRetentionLimit")?;
    match days.filter(|days| !(0..=35).contains(days)) {
        Some(days) => {
            Err(invalid_value(format!("SnapshotRetentionLimit must be 0 to 35 days; it is {days}")))
        }
        None => Ok(days),
    }
}

fn port(p: &Parameters) -> Result<Option<u16>, Fault> {
    let Some(port) = p.integer("Port")? else { return Ok(None) };
    let fits = u16::try_from(port).ok().filter(|port| *port >= 1150);
    fits.map(Some).ok_or_else(|| invalid_value(format!("Port must be 1150 to 65535; it is {port}")))
}

/// All log deliveries, once those in `LogDeliveryConfigurations` have changed; `None`: nothing is said.
pub(super) fn log_deliveries(
    p: &Parameters,
    release: Release,
    current: &[LogDelivery],
) -> Result<Option<Vec<LogDelivery>>, Fault> {
    let Some(entries) = p.structures("LogDeliveryConfigurations") else { return Ok(None) };
    let mut logs = current.to_vec();
    let mut named = BTreeSet::new();
    for entry in entries {
        let log = entry.required("LogType")?.to_owned();
        if !["slow-log", "engine-log"].contains(&log.as_str()) || !named.insert(log.clone()) {
            return Err(invalid_value(format!("LogType {log} must be slow-log or engine-log, each once")));
        }
        if release.rank() == 0 {
            return Err(combination(format!("{log} needs an engine of 6.2 at least")));
        }
        logs.retain(|known| known.log != log);
        if entry.boolean("Enabled")? == Some(false) {
            continue;
        }
        let destination = entry.required("DestinationType")?.to_owned();
        let field = match destination.as_str() {
            "cloudwatch-logs" => "DestinationDetails.CloudWatchLogsDetails.LogGroup",
            "kinesis-firehose" => "DestinationDetails.KinesisFirehoseDetails.DeliveryStream",
            other => return Err(invalid_value(format!("Invalid DestinationType: {other}"))),
        };
        let name = entry.required(field)?.to_owned();
        let format = entry.required("LogFormat")?.to_owned();
        logs.push(LogDelivery { log, destination, name, format });
    }
    logs.sort_by(|one, other| one.log.cmp(&other.log));
    Ok(Some(logs))
}

impl ClusterMode {
    pub(super) fn read(text: &str) -> Result<Self, Fault> {
        match text {
            "disabled" => Ok(Self::Disabled),
            "compatible" => Ok(Self::Compatible),
            "enabled" => Ok(Self::Enabled),
            other => Err(invalid_value(format!("Invalid ClusterMode: {other}"))),
        }
    }
}
