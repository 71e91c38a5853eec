//! What `spec.database` and `spec.cache` have in common.

use k8s_openapi::{
    api::core::v1::{LocalObjectReference, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity,
};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
