//! Stands in for a kubelet: pods of a namespace become ready, as no node runs them.

use futures::{StreamExt, pin_mut};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
    runtime::{WatchStreamExt, watcher},
};
use serde_json::json;
use tokio::task::JoinHandle;

/// Makes pods ready until it is dropped.
pub struct Kubelet(JoinHandle<()>);

impl Kubelet {
    /// Begins with the pods of `namespace`.
    #[must_use]
    pub fn start(client: Client, namespace: &str) -> Self {
        let api = Api::<Pod>::namespaced(client, namespace);
        Self(tokio::spawn(async move {
            let pods = watcher(api.clone(), watcher::Config::default()).default_backoff().applied_objects();
            pin_mut!(pods);
            while let Some(pod) = pods.next().await {
                if let Ok(pod) = pod
                    && !is_ready(&pod)
                {
                    // It fails for a pod that is gone meanwhile, which then needs nothing.
                    drop(api.patch_status(&pod.name_any(), &PatchParams::default(), &ready()).await);
                }
            }
        }))
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn ready() -> Patch<serde_json::Value> {
    let now = Timestamp::now();
    let conditions = ["PodScheduled", "Initialized", "ContainersReady", "Ready"]
        .map(|kind| json!({"type": kind, "status": "True", "lastTransitionTime": now}));
    Patch::Strategic(json!({"status": {"phase": "Running", "startTime": now, "conditions": conditions}}))
}
