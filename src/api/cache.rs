//! `spec.cache`: what the services can afford to lose.

use super::{
    DatabaseDeletionPolicy, DriftPolicy, Embedded, ExternalConnection, Maintenance, Management, schema,
};
use kube::{KubeSchema, core::Duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A Redis-compatible cache. Its connection Secret is `<platform>-cache`, with the keys `host`, `port`,
/// `password` and `uri`; one in AWS also has `username`, and with replicas `reader-host` and `reader-uri`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("(self.provider == 'External') == has(self.external)",
    "cache: provider External goes with cache.external, and only with it"))]
#[x_kube(validation = ("self.provider == 'Embedded' || !has(self.embedded)",
    "cache.embedded belongs to provider Embedded"))]
#[x_kube(validation = ("self.provider == 'AWS' || !has(self.aws)", "cache.aws belongs to provider AWS"))]
#[x_kube(validation = ("self.provider != 'External' || !has(self.deletionPolicy)",
    "cache.deletionPolicy belongs to providers AWS and Embedded: an external cache is never deleted"))]
#[x_kube(validation = ("self.provider == 'AWS' || !has(self.deletionPolicy) || self.deletionPolicy != 'Snapshot'",
    "cache.deletionPolicy Snapshot belongs to provider AWS; Retain keeps the volume of an embedded cache"))]
#[x_kube(validation = ("self.provider == oldSelf.provider || oldSelf.provider != 'Embedded' || !has(oldSelf.deletionPolicy) || oldSelf.deletionPolicy != 'Delete'",
    "cache.provider: with deletionPolicy Delete, changing the provider would delete the data; set deletionPolicy to Retain first"))]
#[x_kube(validation = ("self.provider != 'Embedded' || oldSelf.provider != 'Embedded' || (has(self.embedded) && has(self.embedded.storage) && has(self.embedded.storage.storageClassName) ? self.embedded.storage.storageClassName : '') == (has(oldSelf.embedded) && has(oldSelf.embedded.storage) && has(oldSelf.embedded.storage.storageClassName) ? oldSelf.embedded.storage.storageClassName : '')",
    "cache.embedded.storage.storageClassName is immutable: Kubernetes can't move a volume to another class"))]
#[x_kube(validation = ("self.provider != 'Embedded' || oldSelf.provider != 'Embedded' || quantity(has(self.embedded) && has(self.embedded.storage) && has(self.embedded.storage.size) ? self.embedded.storage.size : '1Gi').compareTo(quantity(has(oldSelf.embedded) && has(oldSelf.embedded.storage) && has(oldSelf.embedded.storage.size) ? oldSelf.embedded.storage.size : '1Gi')) >= 0",
    "cache.embedded.storage.size can't shrink: a volume only grows (1Gi when left out)"))]
#[x_kube(validation = ("self.provider == oldSelf.provider || oldSelf.provider != 'AWS'",
    "cache.provider can't be changed from AWS: the cache is there; make another platform beside this one"))]
#[x_kube(validation = ("self.provider != 'AWS' || oldSelf.provider != 'AWS' || (has(self.aws) && has(self.aws.identifier) ? self.aws.identifier : '') == (has(oldSelf.aws) && has(oldSelf.aws.identifier) ? oldSelf.aws.identifier : '')",
    "cache.aws.identifier is immutable: another one would be another, empty cache"))]
#[x_kube(validation = ("self.provider != 'AWS' || oldSelf.provider != 'AWS' || (has(self.aws) && has(self.aws.kmsKeyID) ? self.aws.kmsKeyID : '') == (has(oldSelf.aws) && has(oldSelf.aws.kmsKeyID) ? oldSelf.aws.kmsKeyID : '')",
    "cache.aws.kmsKeyID is immutable: AWS encrypts with another key only what it restores from a snapshot"))]
#[x_kube(validation = ("self.provider != 'AWS' || oldSelf.provider != 'AWS' || (has(self.aws) && has(self.aws.snapshotName) ? self.aws.snapshotName : '') == (has(oldSelf.aws) && has(oldSelf.aws.snapshotName) ? oldSelf.aws.snapshotName : '')",
    "cache.aws.snapshotName is immutable: a cache only begins with a snapshot"))]
#[x_kube(validation = ("self.provider != 'AWS' || oldSelf.provider != 'AWS' || (has(self.aws) && has(self.aws.engine) ? self.aws.engine : 'Valkey') == (has(oldSelf.aws) && has(oldSelf.aws.engine) ? oldSelf.aws.engine : 'Valkey') || (has(self.aws) && has(self.aws.engine) ? self.aws.engine : 'Valkey') == 'Valkey'",
    "cache.aws.engine can't go back to Redis (Valkey when left out): AWS only takes a cache from Redis OSS to Valkey"))]
#[x_kube(validation = ("self.provider != 'AWS' || oldSelf.provider != 'AWS' || (has(self.aws) && has(self.aws.shards)) == (has(oldSelf.aws) && has(oldSelf.aws.shards))",
    "cache.aws.shards can't be added or taken out: clients of a cache with shards speak another protocol; its number can change"))]
#[x_kube(validation = ("self.provider != 'AWS' || oldSelf.provider != 'AWS' || (has(self.aws) && has(self.aws.serverless)) == (has(oldSelf.aws) && has(oldSelf.aws.serverless))",
    "cache.aws.serverless can't be added or taken out: AWS can't turn one into the other; restore a snapshot into another platform"))]
#[x_kube(validation = ("self.provider != 'AWS' || oldSelf.provider != 'AWS' || (has(self.aws) && has(self.aws.network) && has(self.aws.network.subnetGroupName) ? self.aws.network.subnetGroupName : '') == (has(oldSelf.aws) && has(oldSelf.aws.network) && has(oldSelf.aws.network.subnetGroupName) ? oldSelf.aws.network.subnetGroupName : '')",
    "cache.aws.network.subnetGroupName is immutable: AWS moves no cache to other subnets"))]
#[x_kube(validation = ("self.provider != 'AWS' || oldSelf.provider != 'AWS' || (has(self.aws) && has(self.aws.network) && has(self.aws.network.tls) ? self.aws.network.tls : true) == (has(oldSelf.aws) && has(oldSelf.aws.network) && has(oldSelf.aws.network.tls) ? oldSelf.aws.network.tls : true)",
    "cache.aws.network.tls is immutable (true when left out)"))]
pub struct Cache {
    /// Who runs it.
    pub provider: CacheProvider,
    /// What becomes of the data when the platform, or this part of it, is removed; when left out `Snapshot` in
    /// AWS and `Retain` in the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DatabaseDeletionPolicy>,
    /// One small Redis-compatible server in the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedded: Option<Embedded>,
    /// A cache that is there already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalConnection>,
    /// Amazon ElastiCache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws: Option<AwsCache>,
}

/// Who runs the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CacheProvider {
    /// Amazon ElastiCache; the operator makes and changes it.
    #[serde(rename = "AWS")]
    Aws,
    /// The operator, in the cluster: one server without replicas.
    Embedded,
    /// Someone else; the platform is told how to connect.
    External,
}

/// A cache in Amazon ElastiCache. What is left out is chosen by `spec.size`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("!has(self.serverless) || !(has(self.nodeType) || has(self.replicas) || has(self.shards) || has(self.multiAZ) || has(self.parameters) || has(self.maintenance) || has(self.autoMinorVersionUpgrade) || has(self.logDelivery) || has(self.snapshotName))",
    "cache.aws.serverless: AWS decides nodeType, replicas, shards, multiAZ, parameters, maintenance, autoMinorVersionUpgrade and logDelivery itself, and snapshotName is not restored into it; take them out"))]
#[x_kube(validation = ("!has(self.multiAZ) || !self.multiAZ || !has(self.replicas) || self.replicas >= 1",
    "cache.aws.multiAZ needs a replica: set replicas to 1 or more"))]
#[x_kube(validation = ("!has(self.network) || !has(self.network.subnetGroupName) || !has(self.network.subnetIDs)",
    "cache.aws.network: set subnetGroupName or subnetIDs, not both"))]
#[x_kube(validation = ("!has(self.serverless) || !has(self.network) || !has(self.network.subnetGroupName)",
    "cache.aws.network.subnetGroupName: a serverless cache takes subnetIDs"))]
pub struct AwsCache {
    /// `Valkey` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<CacheEngine>,
    /// Version that it has at least, such as `8.0`; when left out 8.0 of Valkey and 7.1 of Redis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8), regex(pattern = r"^[1-9][0-9]?\.[0-9]{1,2}$"))]
    pub version: Option<String>,
    /// Whether AWS installs minor versions in the maintenance window; true when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_minor_version_upgrade: Option<bool>,
    /// Identifier of the replication group or serverless cache; derived from the platform's UID when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 40), regex(pattern = r"^[a-z](-?[a-z0-9])*$"))]
    pub identifier: Option<String>,
    /// Whether a cache of that identifier which the operator did not make becomes its own. What would change is
    /// shown in the status first; nothing is changed until that is approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopt: Option<bool>,
    /// `ObserveOnly`: the operator tells the state and changes nothing; `Full` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub management: Option<Management>,
    /// Type of the nodes, such as `cache.t4g.micro`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = r"^cache\.[a-z0-9]+\.[a-z0-9]+$"))]
    pub node_type: Option<String>,
    /// Replicas of the primary, or with `shards` of each primary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 5))]
    pub replicas: Option<i32>,
    /// Cluster mode with so many shards. Clients must speak the cluster protocol; without it there is one primary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 90))]
    pub shards: Option<i32>,
    /// Whether the nodes lie in several zones; true when left out and there are replicas.
    #[serde(default, rename = "multiAZ", skip_serializing_if = "Option::is_none")]
    pub multi_az: Option<bool>,
    /// A serverless cache instead of nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serverless: Option<ServerlessCache>,
    /// Where it can be reached from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<CacheNetwork>,
    /// KMS key (ID, ARN or alias) that it is encrypted with at rest; AWS's own key when left out.
    #[serde(default, rename = "kmsKeyID", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub kms_key_id: Option<String>,
    /// The engine's parameters that differ from AWS's defaults; kept in a parameter group of the platform's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 100))]
    #[x_kube(validation = ("self.all(k, k.matches('^[a-z][a-z0-9-]{0,127}$') && size(self[k]) <= 1024 && k != 'cluster-enabled')",
        "cache.aws.parameters: names are lower-case, values have at most 1024 characters; cluster-enabled is set by shards"))]
    pub parameters: BTreeMap<String, String>,
    /// Automatic snapshots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots: Option<CacheSnapshots>,
    /// A snapshot that a new cache begins with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub snapshot_name: Option<String>,
    /// When changes that interrupt are made. The window has an hour at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<Maintenance>,
    /// Logs that are delivered; none when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["log"]))]
    pub log_delivery: Option<Vec<LogDelivery>>,
    /// How often the login gets a new password; 30 days (720h) when left out, 0s: only when asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub login_rotation_interval: Option<Duration>,
    /// What is done about a setting that someone changed outside; `Repair` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift_policy: Option<DriftPolicy>,
}

/// An engine of Amazon ElastiCache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CacheEngine {
    /// Valkey.
    #[default]
    Valkey,
    /// Redis OSS.
    Redis,
}

/// Bounds of a serverless cache, which AWS scales between them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("!has(self.minStorageGB) || !has(self.maxStorageGB) || self.minStorageGB <= self.maxStorageGB",
    "cache.aws.serverless: minStorageGB must not be above maxStorageGB"))]
#[x_kube(validation = ("!has(self.minECPUPerSecond) || !has(self.maxECPUPerSecond) || self.minECPUPerSecond <= self.maxECPUPerSecond",
    "cache.aws.serverless: minECPUPerSecond must not be above maxECPUPerSecond"))]
pub struct ServerlessCache {
    /// Storage that is paid for in any case, in GB.
    #[serde(default, rename = "minStorageGB", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 5000))]
    pub min_storage_gb: Option<i32>,
    /// Most storage, in GB; chosen by `spec.size` when left out.
    #[serde(default, rename = "maxStorageGB", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 5000))]
    pub max_storage_gb: Option<i32>,
    /// ElastiCache Processing Units a second that are held ready and paid for in any case.
    #[serde(default, rename = "minECPUPerSecond", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1000, max = 15_000_000))]
    pub min_ecpu_per_second: Option<i32>,
    /// Most ElastiCache Processing Units a second; chosen by `spec.size` when left out.
    #[serde(default, rename = "maxECPUPerSecond", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1000, max = 15_000_000))]
    pub max_ecpu_per_second: Option<i32>,
}

/// Where a cache can be reached from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CacheNetwork {
    /// A subnet group that is there; the default VPC's when neither this nor `subnetIDs` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub subnet_group_name: Option<String>,
    /// Subnets, of which the operator makes a subnet group.
    #[serde(default, rename = "subnetIDs", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20), extend("x-kubernetes-list-type" = "set"), inner(length(max = 64), regex(pattern = r"^subnet-[0-9a-z]+$")))]
    pub subnet_ids: Option<Vec<String>>,
    /// Security groups; they must admit the platform's pods. The VPC's default one when left out.
    #[serde(default, rename = "securityGroupIDs", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 5), extend("x-kubernetes-list-type" = "set"), inner(length(max = 64), regex(pattern = r"^sg-[0-9a-z]+$")))]
    pub security_group_ids: Option<Vec<String>>,
    /// Whether connections are encrypted; only an emulator may do without, and then there is no login either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<bool>,
}

/// Automatic snapshots of a cache.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CacheSnapshots {
    /// Days that they are kept; 1 when left out, 0: there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 35))]
    pub retention_days: Option<i32>,
    /// When they are taken, in UTC, an hour at least; `01:30-02:30` when left out. A serverless cache takes them
    /// at its beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 11),
        regex(pattern = r"^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$")
    )]
    pub window: Option<String>,
}

/// Where a log goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("has(self.logGroup) != has(self.deliveryStream)",
    "cache.aws.logDelivery: set one of logGroup and deliveryStream"))]
pub struct LogDelivery {
    /// Which log.
    pub log: CacheLog,
    /// Log group of CloudWatch Logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub log_group: Option<String>,
    /// Delivery stream of Amazon Data Firehose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub delivery_stream: Option<String>,
}

/// A log of a cache; both are delivered as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum CacheLog {
    /// Commands that took long.
    SlowLog,
    /// The engine's log.
    EngineLog,
}
