//! The kinds of Kubernetes objects that a plan may hold: what is watched, applied, pruned and granted by RBAC.

use kube::core::{ApiResource, GroupVersionKind};
use std::fmt;

/// A kind of object that the operator owns. (Jobs are the dispatcher's and not planned.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Configuration.
    ConfigMap,
    /// Generated passwords and connection strings.
    Secret,
    /// Identity of pods.
    ServiceAccount,
    /// Address of a component.
    Service,
    /// A stateless component.
    Deployment,
    /// An embedded database or cache.
    StatefulSet,
    /// The volume of one. Its StatefulSet makes it; the operator only lets it grow, and never deletes it.
    PersistentVolumeClaim,
    /// Scales a Deployment.
    HorizontalPodAutoscaler,
    /// Bounds voluntary disruption.
    PodDisruptionBudget,
    /// Who may talk to whom.
    NetworkPolicy,
    /// A way in, by an ingress controller.
    Ingress,
    /// A way in, by the Gateway API.
    HttpRoute,
}

impl Kind {
    /// Every kind, in the order in which objects are applied.
    pub const ALL: [Self; 12] = [
        Self::ServiceAccount,
        Self::ConfigMap,
        Self::Secret,
        Self::NetworkPolicy,
        Self::Service,
        Self::StatefulSet,
        Self::PersistentVolumeClaim,
        Self::Deployment,
        Self::HorizontalPodAutoscaler,
        Self::PodDisruptionBudget,
        Self::Ingress,
        Self::HttpRoute,
    ];

    /// Group, version, kind and plural.
    #[must_use]
    pub fn api_resource(self) -> ApiResource {
        let (group, version, kind, plural) = match self {
            Self::ConfigMap => ("", "v1", "ConfigMap", "configmaps"),
            Self::Secret => ("", "v1", "Secret", "secrets"),
            Self::ServiceAccount => ("", "v1", "ServiceAccount", "serviceaccounts"),
            Self::Service => ("", "v1", "Service", "services"),
            Self::Deployment => ("apps", "v1", "Deployment", "deployments"),
            Self::StatefulSet => ("apps", "v1", "StatefulSet", "statefulsets"),
            Self::PersistentVolumeClaim => ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
            Self::HorizontalPodAutoscaler => {
                ("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
            }
            Self::PodDisruptionBudget => ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
            Self::NetworkPolicy => ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"),
            Self::Ingress => ("networking.k8s.io", "v1", "Ingress", "ingresses"),
            Self::HttpRoute => ("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes"),
        };
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
    }

    /// Whether every cluster serves this kind. One that does not is asked for it by discovery.
    #[must_use]
    pub fn is_built_in(self) -> bool {
        self != Self::HttpRoute
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.api_resource().kind)
    }
}

/// An object within the platform's namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
}

impl ObjectKey {
    /// Names an object.
    pub fn new(kind: Kind, name: impl Into<String>) -> Self {
        Self { kind, name: name.into() }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// A platform, by where it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlatformKey {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl PlatformKey {
    /// Names a platform.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for PlatformKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Whether a resource version is newer than another of the same kind. They are numbers that grow (KEP-5504); of those
/// that are not, none is newer.
#[must_use]
pub fn is_newer(version: Option<&str>, than: Option<&str>) -> bool {
    let number = |version: Option<&str>| version.and_then(|it| it.parse::<u128>().ok());
    matches!((number(version), number(than)), (Some(version), Some(than)) if version > than)
}
