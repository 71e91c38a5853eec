//! Why pods are not available, in one sentence a person can act on.

use crate::{
    api::names,
    kinds::{Kind, ObjectKey},
};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::{ResourceExt, api::DynamicObject};
use std::collections::BTreeMap;

/// Longest part of a message of Kubernetes or of a container that is passed on.
const QUOTE: usize = 300;

/// How a trouble begins where no pod is made at all.
pub const REFUSED: &str = "Kubernetes refuses its pods";

/// Why a component is not available; the most telling one is the least.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Trouble {
    /// The smaller, the more telling.
    rank: u8,
    /// One sentence.
    message: String,
    /// The component.
    component: String,
}

/// The most telling trouble of each component, by the component's name.
pub fn troubles<'a>(
    objects: &BTreeMap<ObjectKey, DynamicObject>,
    of_pods: impl Iterator<Item = &'a Trouble>,
) -> BTreeMap<String, String> {
    let refused = objects.iter().filter(|(key, _)| key.kind == Kind::Deployment).filter_map(|(_, object)| {
        let message = format!("{REFUSED}: {}", quote(&replica_failure(object)?));
        Some(Trouble { rank: 0, message, component: object.labels().get(names::LABEL_NAME)?.clone() })
    });
    let mut all: Vec<_> = refused.chain(of_pods.cloned()).collect();
    // Of a component's, the last one is the one that is kept.
    all.sort_by(|one, other| other.cmp(one));
    all.into_iter().map(|trouble| (trouble.component, trouble.message)).collect()
}

/// The message of a Deployment's condition `ReplicaFailure`: quota or admission refuses its pods.
fn replica_failure(deployment: &DynamicObject) -> Option<String> {
    let conditions = deployment.data.get("status")?.get("conditions")?.as_array()?;
    let condition = conditions.iter().find(|c| c["type"] == "ReplicaFailure" && c["status"] == "True")?;
    Some(condition["message"].as_str().unwrap_or("no reason given").to_owned())
}

/// What is wrong with a pod of a component, if anything is.
pub fn trouble(pod: &Pod) -> Option<Trouble> {
    if pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let (rank, message) = wrong(pod)?;
    Some(Trouble { rank, message, component: pod.labels().get(names::LABEL_NAME)?.clone() })
}

fn wrong(pod: &Pod) -> Option<(u8, String)> {
    let status = pod.status.as_ref()?;
    let containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    let of_container = containers.filter_map(|c| container_trouble(&pod.name_any(), c)).min();
    of_container.or_else(|| {
        let scheduled =
            status.conditions.iter().flatten().find(|c| c.type_ == "PodScheduled" && c.status == "False")?;
        (scheduled.reason.as_deref() == Some("Unschedulable")).then(|| {
            let why = scheduled.message.as_deref().unwrap_or("no node fits");
            (2, format!("pod {} finds no node: {}", pod.name_any(), quote(why)))
        })
    })
}

fn container_trouble(pod: &str, container: &ContainerStatus) -> Option<(u8, String)> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let message = waiting.message.as_deref().unwrap_or_default();
    match waiting.reason.as_deref()? {
        reason @ ("ImagePullBackOff" | "ErrImagePull" | "InvalidImageName" | "ErrImageNeverPull") => Some((
            1,
            format!(
                "pod {pod} can't pull image {} ({reason}): check its name and imagePullSecrets",
                container.image
            ),
        )),
        reason @ ("CreateContainerConfigError" | "CreateContainerError" | "RunContainerError") => {
            Some((1, format!("pod {pod} can't start {} ({reason}): {}", container.name, quote(message))))
        }
        "CrashLoopBackOff" => {
            let last = container.last_state.as_ref().and_then(|s| s.terminated.as_ref());
            let how = last.map_or_else(String::new, |t| match t.reason.as_deref() {
                Some("OOMKilled") => {
                    " (last: out of memory, OOMKilled; raise resources.limits.memory)".into()
                }
                _ => format!(" (last exit code {})", t.exit_code),
            });
            Some((
                1,
                format!(
                    "pod {pod}: container {} crashes again and again{how}; see `kubectl logs {pod} --previous`",
                    container.name
                ),
            ))
        }
        _ => None,
    }
}

fn quote(text: &str) -> String {
    let text = text.trim();
    if text.chars().count() <= QUOTE {
        return text.to_owned();
    }
    text.chars().take(QUOTE).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::{Value, json};

    fn pod(name: &str, status: Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {"app.kubernetes.io/name": "backend"}},
            "status": status,
        }))
        .unwrap()
    }

    fn waiting(reason: &str, last: Value) -> Value {
        json!({"containerStatuses": [{
            "name": "main", "image": "nowhere/backend:1", "imageID": "", "ready": false, "restartCount": 3,
            "state": {"waiting": {"reason": reason, "message": "secret \"x\" not found"}}, "lastState": last,
        }]})
    }

    #[rstest]
    #[case::image(waiting("ImagePullBackOff", json!({})), "can't pull image nowhere/backend:1 (ImagePullBackOff)")]
    #[case::config(waiting("CreateContainerConfigError", json!({})), "secret \"x\" not found")]
    #[case::crash(waiting("CrashLoopBackOff", json!({"terminated": {"exitCode": 3}})), "last exit code 3")]
    #[case::oom(waiting("CrashLoopBackOff", json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}})), "OOMKilled")]
    #[case::node(json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes: Insufficient cpu"}]}), "Insufficient cpu")]
    fn a_trouble_is_told(#[case] status: Value, #[case] expected: &str) {
        let pods = trouble(&pod("a", status));
        let troubles = troubles(&BTreeMap::new(), pods.iter());
        assert!(troubles["backend"].contains(expected), "{troubles:?}");
    }

    #[rstest]
    #[case::starting(waiting("ContainerCreating", json!({})))]
    #[case::nothing_yet(json!({}))]
    fn a_pod_that_starts_is_no_trouble(#[case] status: Value) {
        assert_eq!(trouble(&pod("a", status)), None);
    }

    #[test]
    fn a_refusal_by_quota_comes_before_a_pod_without_a_node() {
        let deployment: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "demo-backend", "labels": {"app.kubernetes.io/name": "backend"}},
            "status": {"conditions": [{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: pods"}]},
        }))
        .unwrap();
        let objects = BTreeMap::from([(ObjectKey::new(Kind::Deployment, "demo-backend"), deployment)]);
        let stuck = pod(
            "a",
            json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]}),
        );
        assert!(troubles(&objects, trouble(&stuck).iter())["backend"].contains("exceeded quota: pods"));
    }
}
