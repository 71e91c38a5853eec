//! `spec.database` and `spec.cache`: where the services keep their data.

use k8s_openapi::{
    api::core::v1::{LocalObjectReference, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity,
};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A PostgreSQL database. Its connection Secret is `<platform>-database`, with the keys `host`, `port`,
/// `dbname`, `username`, `password` and `uri`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("(self.provider == 'External') == has(self.external)",
    "database: provider External goes with database.external, and only with it"))]
#[x_kube(validation = ("self.provider == 'Embedded' || !has(self.embedded)",
    "database.embedded belongs to provider Embedded"))]
#[x_kube(validation = ("self.provider == 'Embedded' || !has(self.deletionPolicy)",
    "database.deletionPolicy belongs to provider Embedded: an external database is never deleted"))]
#[x_kube(validation = ("self.provider == oldSelf.provider || oldSelf.provider != 'Embedded' || !has(oldSelf.deletionPolicy) || oldSelf.deletionPolicy != 'Delete'",
    "database.provider: with deletionPolicy Delete, changing the provider would delete the data; set deletionPolicy to Retain first"))]
#[x_kube(validation = ("self.provider != 'Embedded' || oldSelf.provider != 'Embedded' || (has(self.embedded) && has(self.embedded.storage) && has(self.embedded.storage.storageClassName) ? self.embedded.storage.storageClassName : '') == (has(oldSelf.embedded) && has(oldSelf.embedded.storage) && has(oldSelf.embedded.storage.storageClassName) ? oldSelf.embedded.storage.storageClassName : '')",
    "database.embedded.storage.storageClassName is immutable: Kubernetes can't move a volume to another class"))]
#[x_kube(validation = ("self.provider != 'Embedded' || oldSelf.provider != 'Embedded' || quantity(has(self.embedded) && has(self.embedded.storage) && has(self.embedded.storage.size) ? self.embedded.storage.size : '10Gi').compareTo(quantity(has(oldSelf.embedded) && has(oldSelf.embedded.storage) && has(oldSelf.embedded.storage.size) ? oldSelf.embedded.storage.size : '10Gi')) >= 0",
    "database.embedded.storage.size can't shrink: a volume only grows (10Gi when left out)"))]
pub struct Database {
    /// Who runs it.
    pub provider: DatabaseProvider,
    /// What becomes of the data when the platform, or this part of it, is removed; `Retain` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// One small PostgreSQL in the cluster, for trying out and for tests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedded: Option<Embedded>,
    /// A database that is there already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalConnection>,
}

/// Who runs the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DatabaseProvider {
    /// The operator, in the cluster: one PostgreSQL without replicas, for trying out and for tests.
    Embedded,
    /// Someone else; the platform is told how to connect.
    External,
}

/// A Redis-compatible cache. Its connection Secret is `<platform>-cache`, with the keys `host`, `port`,
/// `password` and `uri`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("(self.provider == 'External') == has(self.external)",
    "cache: provider External goes with cache.external, and only with it"))]
#[x_kube(validation = ("self.provider == 'Embedded' || !has(self.embedded)",
    "cache.embedded belongs to provider Embedded"))]
#[x_kube(validation = ("self.provider == 'Embedded' || !has(self.deletionPolicy)",
    "cache.deletionPolicy belongs to provider Embedded: an external cache is never deleted"))]
#[x_kube(validation = ("self.provider == oldSelf.provider || oldSelf.provider != 'Embedded' || !has(oldSelf.deletionPolicy) || oldSelf.deletionPolicy != 'Delete'",
    "cache.provider: with deletionPolicy Delete, changing the provider would delete the data; set deletionPolicy to Retain first"))]
#[x_kube(validation = ("self.provider != 'Embedded' || oldSelf.provider != 'Embedded' || (has(self.embedded) && has(self.embedded.storage) && has(self.embedded.storage.storageClassName) ? self.embedded.storage.storageClassName : '') == (has(oldSelf.embedded) && has(oldSelf.embedded.storage) && has(oldSelf.embedded.storage.storageClassName) ? oldSelf.embedded.storage.storageClassName : '')",
    "cache.embedded.storage.storageClassName is immutable: Kubernetes can't move a volume to another class"))]
#[x_kube(validation = ("self.provider != 'Embedded' || oldSelf.provider != 'Embedded' || quantity(has(self.embedded) && has(self.embedded.storage) && has(self.embedded.storage.size) ? self.embedded.storage.size : '1Gi').compareTo(quantity(has(oldSelf.embedded) && has(oldSelf.embedded.storage) && has(oldSelf.embedded.storage.size) ? oldSelf.embedded.storage.size : '1Gi')) >= 0",
    "cache.embedded.storage.size can't shrink: a volume only grows (1Gi when left out)"))]
pub struct Cache {
    /// Who runs it.
    pub provider: CacheProvider,
    /// What becomes of the data when the platform, or this part of it, is removed; `Retain` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// One small Redis-compatible server in the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedded: Option<Embedded>,
    /// A cache that is there already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalConnection>,
}

/// Who runs the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CacheProvider {
    /// The operator, in the cluster: one server without replicas.
    Embedded,
    /// Someone else; the platform is told how to connect.
    External,
}

/// What becomes of data that is no longer asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// It stays, with what opens it.
    #[default]
    Retain,
    /// It is deleted.
    Delete,
}

/// A server that the operator runs in the cluster: a StatefulSet of one replica with a volume.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Embedded {
    /// Image that keeps the contract of the official image (`postgres`, `redis` or `valkey/valkey`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^\S+$"))]
    pub image: Option<String>,
    /// The volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
    /// CPU and memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
}

/// A volume.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// Size of the volume; 10Gi for a database and 1Gi for a cache when left out. It can grow, not shrink.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("isQuantity(self) && quantity(self).isGreaterThan(quantity('0'))",
        "storage.size must be a positive quantity such as 10Gi"))]
    #[schemars(length(max = 32))]
    pub size: Option<Quantity>,
    /// Storage class; the cluster's default when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub storage_class_name: Option<String>,
}

/// How to connect to a server that someone else runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalConnection {
    /// Secret whose key `uri` holds the connection string: `postgres://...` or `redis://...` (`rediss://` with TLS).
    pub secret_ref: LocalObjectReference,
}
