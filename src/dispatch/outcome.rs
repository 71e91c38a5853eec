//! outcome: where a Job stands and why it failed, from its status and its pod's.

use super::attempt::{Failure, Phase, Trouble};
use crate::api::names;
use contract::{
    Reason, TerminationMessage,
    job::{EXIT_DONE, EXIT_PERMANENT},
};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ContainerStateTerminated, ContainerStatus, Pod},
};
use kube::ResourceExt;

/// Name of the container that keeps the Job contract.
pub const CONTAINER: &str = names::TRANSCODER;
/// Longest message that is taken from a pod, in characters.
const MAX_MESSAGE: usize = 1024;
/// What the kubelet calls a container that does not start until someone mends something.
const CANNOT_START: [&str; 9] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "ImageInspectError",
    "RegistryUnavailable",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
];

/// Where a Job stands. `ordered` is the failure for which its end was ordered.
#[must_use]
pub fn phase(job: &Job, pods: &[&Pod], ordered: Option<&Failure>) -> Phase {
    let status = job.status.as_ref();
    let condition = |kind: &str| {
        status
            .and_then(|status| status.conditions.as_ref())
            .and_then(|conditions| conditions.iter().find(|it| it.type_ == kind && it.status == "True"))
    };
    if let Some(complete) = condition("Complete") {
        let at = status.and_then(|it| it.completion_time.as_ref()).or(complete.last_transition_time.as_ref());
        return Phase::Succeeded { at: at.map(|time| time.0).unwrap_or_default() };
    }
    if let Some(failed) = condition("Failed") {
        let at = failed.last_transition_time.as_ref().map(|time| time.0).unwrap_or_default();
        let failure = match ordered {
            Some(failure) => failure.clone(),
            None => failure(pods, failed.reason.as_deref()),
        };
        return Phase::Failed { at, failure };
    }
    let pod = newest(pods);
    if pod.is_some_and(is_running) {
        return Phase::Running;
    }
    Phase::Pending { trouble: pod.and_then(trouble) }
}

fn newest<'a>(pods: &[&'a Pod]) -> Option<&'a Pod> {
    pods.iter().copied().max_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0))
}

fn container(pod: &Pod) -> Option<&ContainerStatus> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    statuses.iter().find(|status| status.name == CONTAINER).or(statuses.first())
}

fn is_running(pod: &Pod) -> bool {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running")
        || container(pod)
            .and_then(|status| status.state.as_ref())
            .is_some_and(|state| state.running.is_some())
}

fn trouble(pod: &Pod) -> Option<Trouble> {
    let waiting = container(pod)?.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().filter(|reason| CANNOT_START.contains(reason))?;
    let started = pod.status.as_ref()?.start_time.as_ref().or(pod.metadata.creation_timestamp.as_ref())?;
    let message = waiting.message.as_deref().unwrap_or_default();
    Some(Trouble { since: started.0, message: shorten(&format!("{reason}: {message}")) })
}

/// Whether one of the pods has ended, and so tells why.
#[must_use]
pub fn tell(pods: &[&Pod]) -> bool {
    pods.iter().any(|pod| has_ended(pod))
}

fn has_ended(pod: &Pod) -> bool {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Failed")
        || container(pod).is_some_and(|it| it.state.as_ref().is_some_and(|s| s.terminated.is_some()))
}

/// Why a Job failed: by the pod that failed last, for others may have been lost to their nodes before.
fn failure(pods: &[&Pod], job_reason: Option<&str>) -> Failure {
    let failed: Vec<&Pod> = pods.iter().copied().filter(|pod| has_ended(pod)).collect();
    let Some(pod) = newest(&failed) else {
        return if job_reason == Some("DeadlineExceeded") {
            transient(Reason::DeadlineExceeded, DEADLINE)
        } else {
            transient(
                Reason::Unknown,
                "the pod is gone and left no reason; look at the events of its namespace",
            )
        };
    };
    let status = pod.status.as_ref();
    match status.and_then(|status| status.reason.as_deref()) {
        Some("DeadlineExceeded") => return transient(Reason::DeadlineExceeded, DEADLINE),
        Some("Evicted") => {
            return transient(Reason::DiskFull, &evicted(status.and_then(|it| it.message.as_deref())));
        }
        _ => {}
    }
    match container(pod).and_then(|status| status.state.as_ref()?.terminated.as_ref()) {
        Some(terminated) => of_container(terminated),
        None => transient(
            Reason::Unknown,
            status.and_then(|it| it.message.as_deref()).unwrap_or("the pod failed before it started"),
        ),
    }
}

/// What a pod did that the kubelet evicted and that counts as failed: it took more of the node's disk than its volumes
/// or its container may. One that makes way for others has the condition `DisruptionTarget`, and is replaced.
fn evicted(message: Option<&str>) -> String {
    let message = message.unwrap_or("the pod took more of the node's disk than it may");
    format!(
        "the pod was evicted: {}; raise transcoding.job.scratchSize",
        message.trim_end_matches([' ', '.'])
    )
}

const DEADLINE: &str =
    "the attempt took longer than transcoding.job.deadline; raise it, or give the Job more CPU";

fn of_container(terminated: &ContainerStateTerminated) -> Failure {
    if terminated.reason.as_deref() == Some("OOMKilled") {
        return transient(
            Reason::OutOfMemory,
            "the container went over its memory limit; raise transcoding.job.resources.limits.memory",
        );
    }
    if terminated.reason.as_deref() == Some("StartError") {
        let message = terminated.message.as_deref().unwrap_or_default();
        return transient(Reason::CannotStart, &format!("the container could not be started: {message}"));
    }
    let said = terminated
        .message
        .as_deref()
        .and_then(|message| serde_json::from_str::<TerminationMessage>(message.trim()).ok());
    let why = said.map_or_else(
        || TerminationMessage {
            reason: Reason::Unknown,
            message: if terminated.exit_code == EXIT_DONE {
                "the container ended well, yet its pod failed; look at its other containers".into()
            } else {
                format!(
                    "the container ended with exit code {} and no termination message; look at its log",
                    terminated.exit_code
                )
            },
        },
        |said| TerminationMessage { reason: constant(said.reason), message: shorten(&said.message) },
    );
    Failure { permanent: terminated.exit_code == EXIT_PERMANENT, why }
}

/// A reason as an image of someone's own may bring it, bounded to what a label of a metric or a message
/// attribute may hold.
fn constant(reason: Reason) -> Reason {
    let name = reason.as_str();
    let valid = (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    if valid { reason } else { Reason::Unknown }
}

fn transient(reason: Reason, message: &str) -> Failure {
    Failure { permanent: false, why: TerminationMessage { reason, message: shorten(message) } }
}

/// One line of bounded length, without control characters.
pub(super) fn shorten(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let line: String = line.chars().filter(|c| !c.is_control()).collect();
    match line.char_indices().nth(MAX_MESSAGE) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// On a pod: its Job. The Job controller puts it there.
pub const LABEL_JOB: &str = "batch.kubernetes.io/job-name";

/// The Job of a pod.
#[must_use]
pub fn job_of(pod: &Pod) -> Option<&str> {
    pod.labels().get(LABEL_JOB).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::{Value, json};

    fn pod(status: Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p", "creationTimestamp": "2026-11-21T03:00:00Z"}, "status": status
        }))
        .unwrap()
    }

    fn terminated(state: Value) -> Value {
        json!({"phase": "Failed", "containerStatuses": [
            {"name": "sidecar", "image": "", "imageID": "", "ready": false, "restartCount": 0,
             "state": {"terminated": {"exitCode": 0}}},
            {"name": CONTAINER, "image": "", "imageID": "", "ready": false, "restartCount": 0,
             "state": {"terminated": state}}
        ]})
    }

    fn failed_job() -> Job {
        serde_json::from_value(json!({"status": {"conditions": [
            {"type": "FailureTarget", "status": "True"},
            {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded",
             "lastTransitionTime": "2026-11-21T03:05:00Z"}
        ]}}))
        .unwrap()
    }

    #[rstest]
    #[case(terminated(json!({"exitCode": 65, "message": r#"{"reason":"NOT_MEDIA","message":"a text file"}"#})), "NOT_MEDIA", true)]
    #[case(terminated(json!({"exitCode": 65})), "UNKNOWN", true)]
    #[case(terminated(json!({"exitCode": 1, "message": r#"{"reason":"STORAGE","message":"S3 says 503"}"#})), "STORAGE", false)]
    #[case(terminated(json!({"exitCode": 1, "message": r#"{"reason":"no constant!","message":"x"}"#})), "UNKNOWN", false)]
    #[case(terminated(json!({"exitCode": 137, "reason": "OOMKilled"})), "OUT_OF_MEMORY", false)]
    #[case(terminated(json!({"exitCode": 137, "reason": "Error"})), "UNKNOWN", false)]
    #[case(json!({"phase": "Failed", "reason": "DeadlineExceeded"}), "DEADLINE_EXCEEDED", false)]
    #[case(json!({"phase": "Failed", "message": "node shut down"}), "UNKNOWN", false)]
    #[case(evicted_pod(), "DISK_FULL", false)]
    fn a_failure_is_read_from_the_pod(#[case] status: Value, #[case] reason: &str, #[case] permanent: bool) {
        let pod = pod(status);
        let Phase::Failed { failure, .. } = phase(&failed_job(), &[&pod], None) else { panic!("not failed") };
        assert_eq!((failure.why.reason.as_str(), failure.permanent), (reason, permanent));
        assert!(!failure.why.message.is_empty());
    }

    /// As the kubelet leaves it when a volume went over its limit.
    fn evicted_pod() -> Value {
        let mut status = terminated(json!({"exitCode": 137, "reason": "Error"}));
        status["reason"] = json!("Evicted");
        status["message"] = json!("Usage of EmptyDir volume \"scratch\" exceeds the limit \"1Mi\". ");
        status
    }

    #[test]
    fn a_container_that_never_started_says_what_the_runtime_said() {
        let state = json!({"exitCode": 128, "reason": "StartError", "message": "runc create failed: unable to freeze"});
        let pod = pod(terminated(state));
        let failure = failure(&[&pod], None);
        assert_eq!(
            failure.why.message,
            "the container could not be started: runc create failed: unable to freeze"
        );
        assert_eq!((failure.why.reason, failure.permanent), (Reason::CannotStart, false));
    }

    #[test]
    fn an_evicted_pod_says_what_to_raise() {
        let Phase::Failed { failure, .. } = phase(&failed_job(), &[&pod(evicted_pod())], None) else {
            panic!("not failed")
        };
        assert_eq!(
            failure.why.message,
            "the pod was evicted: Usage of EmptyDir volume \"scratch\" exceeds the limit \"1Mi\"; raise transcoding.job.scratchSize"
        );
    }

    #[test]
    fn an_ordered_end_tells_its_own_reason() {
        let why = TerminationMessage { reason: Reason::CannotStart, message: "no such image".into() };
        let ordered = Failure { why, permanent: false };
        let phase = phase(&failed_job(), &[], Some(&ordered));
        assert!(matches!(phase, Phase::Failed { failure, .. } if failure == ordered));
    }

    #[test]
    fn a_container_that_cannot_start_is_trouble_and_one_that_is_made_is_not() {
        let waiting = |reason: &str| {
            pod(json!({"phase": "Pending", "startTime": "2026-11-21T03:00:01Z", "containerStatuses": [
                {"name": CONTAINER, "image": "", "imageID": "", "ready": false, "restartCount": 0,
                 "state": {"waiting": {"reason": reason, "message": "because"}}}]}))
        };
        let active: Job = serde_json::from_value(json!({"status": {"active": 1}})).unwrap();
        let trouble = |pod: &Pod| match phase(&active, &[pod], None) {
            Phase::Pending { trouble } => trouble.map(|it| it.message),
            other => panic!("{other:?}"),
        };
        assert_eq!(trouble(&waiting("ImagePullBackOff")).as_deref(), Some("ImagePullBackOff: because"));
        assert_eq!(trouble(&waiting("ContainerCreating")), None);
    }

    proptest! {
        #[test]
        fn no_termination_message_breaks_the_reader(message in ".{0,4096}", exit_code in any::<i32>()) {
            let failure = of_container(&ContainerStateTerminated {
                exit_code, message: Some(message), ..Default::default()
            });
            prop_assert!(failure.why.message.chars().count() <= MAX_MESSAGE + 1);
            prop_assert!(!failure.why.message.contains('\n'));
        }
    }
}
