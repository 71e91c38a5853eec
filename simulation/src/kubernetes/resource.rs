//! What the API serves.

use std::fmt;

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resource {
    /// API group; empty: core.
    pub group: &'static str,
    /// Version.
    pub version: &'static str,
    /// As in a path.
    pub plural: &'static str,
    /// As in a manifest.
    pub kind: &'static str,
}

const fn resource(
    group: &'static str,
    version: &'static str,
    plural: &'static str,
    kind: &'static str,
) -> Resource {
    Resource { group, version, plural, kind }
}

/// Platforms.
pub const PLATFORMS: Resource =
    resource("streamingplatform.dev", "v1alpha1", "streamingplatforms", "StreamingPlatform");
/// Deployments.
pub const DEPLOYMENTS: Resource = resource("apps", "v1", "deployments", "Deployment");
/// Stateful sets.
pub const STATEFUL_SETS: Resource = resource("apps", "v1", "statefulsets", "StatefulSet");
/// Volume claims.
pub const VOLUME_CLAIMS: Resource = resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim");
/// Jobs.
pub const JOBS: Resource = resource("batch", "v1", "jobs", "Job");
/// Pods.
pub const PODS: Resource = resource("", "v1", "pods", "Pod");
/// Secrets.
pub const SECRETS: Resource = resource("", "v1", "secrets", "Secret");
/// Autoscalers.
pub const AUTOSCALERS: Resource =
    resource("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler");
/// Leases.
pub const LEASES: Resource = resource("coordination.k8s.io", "v1", "leases", "Lease");

/// Events.
pub const EVENTS: Resource = resource("events.k8s.io", "v1", "events", "Event");

/// Everything that is served; all of it is namespaced.
pub const ALL: &[Resource] = &[
    PLATFORMS,
    DEPLOYMENTS,
    STATEFUL_SETS,
    VOLUME_CLAIMS,
    JOBS,
    PODS,
    SECRETS,
    LEASES,
    resource("", "v1", "configmaps", "ConfigMap"),
    resource("", "v1", "serviceaccounts", "ServiceAccount"),
    resource("", "v1", "services", "Service"),
    AUTOSCALERS,
    resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget"),
    resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy"),
    resource("networking.k8s.io", "v1", "ingresses", "Ingress"),
    EVENTS,
];

impl Resource {
    /// `v1`, `apps/v1`.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// What a path names.
    #[must_use]
    pub fn find(group: &str, version: &str, plural: &str) -> Option<Self> {
        ALL.iter().copied().find(|it| it.group == group && it.version == version && it.plural == plural)
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.plural)
    }
}
