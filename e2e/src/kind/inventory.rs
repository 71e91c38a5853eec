//! Everything that is in a namespace, of whatever kind.

use super::{CREDENTIALS, Check, Cluster, eventually};
use anyhow::Result;
use kube::{
    Api, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams},
    discovery::{Discovery, Scope, verbs},
};
use std::{collections::BTreeSet, time::Duration};

/// Groups of what is measured and told: it goes by itself, later.
const RECORDS: [&str; 2] = ["metrics.k8s.io", "events.k8s.io"];

/// Waits until a namespace holds these objects, each as `Kind/name`, beside what Kubernetes and
/// [`Cluster::namespace`] put there. Garbage collection takes a moment.
///
/// # Errors
/// When it holds others at the deadline, or lacks one.
pub async fn holds_exactly(
    cluster: &Cluster,
    namespace: &str,
    wanted: &[&str],
    deadline: Duration,
) -> Result<()> {
    let kinds = kinds(cluster).await?;
    let credentials = format!("Secret/{CREDENTIALS}");
    let given = ["ConfigMap/kube-root-ca.crt", "ServiceAccount/default", &credentials];
    let wanted: BTreeSet<String> = wanted.iter().chain(&given).map(ToString::to_string).collect();
    eventually(&format!("{namespace} holds {wanted:?}"), deadline, async || {
        let mut found = BTreeSet::new();
        for kind in &kinds {
            let objects: Api<DynamicObject> = Api::namespaced_with(cluster.client.clone(), namespace, kind);
            let objects = objects.list_metadata(&ListParams::default()).await?;
            found.extend(objects.iter().map(|object| format!("{}/{}", kind.kind, object.name_any())));
        }
        Ok(if found == wanted { Check::Done(()) } else { Check::NotYet(format!("{found:?}")) })
    })
    .await
}

/// Every kind of object that a namespace can hold.
async fn kinds(cluster: &Cluster) -> Result<Vec<ApiResource>> {
    let discovery = Discovery::new(cluster.client.clone()).exclude(&RECORDS).run_aggregated().await?;
    let kinds = discovery.groups().flat_map(|group| group.recommended_resources());
    Ok(kinds
        .filter(|(kind, can)| {
            can.scope == Scope::Namespaced && can.supports_operation(verbs::LIST) && kind.kind != "Event"
        })
        .map(|(kind, _)| kind)
        .collect())
}
