//! `spec.cache`: what the services can afford to lose.

use super::{DeletionPolicy, Embedded, ExternalConnection};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
