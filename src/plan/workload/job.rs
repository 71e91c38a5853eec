//! The Job that transcodes one source, as far as it is the same for all: the dispatcher adds name, identity,
//! attempt and request.

use super::pod;
use crate::{
    api::names,
    plan::{environment, object},
    platform::{Platform, Transcoding},
};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{Container, PodSpec},
};
use serde_json::{Value, json};

/// Where a Job may write; also in its `SCRATCH_DIR`.
pub const SCRATCH: &str = "/scratch";

/// The Job of a platform without name, identity, attempt and request. `None` without transcoding.
///
/// The operator counts attempts and retries them, so the Job itself never does; a pod that is lost to its
/// node is replaced, once it is really gone. The deadline is the pod's, which counts from its start: a Job's
/// own would count while the pod waits for a node.
#[must_use]
pub fn prototype(platform: &Platform) -> Option<Job> {
    let transcoding = platform.transcoding.as_ref()?;
    let job = json!({
        "metadata": {
            "namespace": platform.namespace,
            "labels": platform.labels(names::TRANSCODER),
            "ownerReferences": [object::owner(platform)],
        },
        "spec": {
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": { "rules": [{
                "action": "Ignore",
                "onPodConditions": [{ "type": "DisruptionTarget", "status": "True" }],
            }]},
            "template": pod_template(platform, transcoding),
        },
    });
    Some(serde_json::from_value(job).expect("validate has seen that the pod template is one"))
}

/// The pods of a Job, with the user's template merged over them.
pub(super) fn pod_template(platform: &Platform, transcoding: &Transcoding) -> Value {
    let job = &transcoding.job;
    let container = Container {
        name: names::TRANSCODER.to_owned(),
        image: Some(job.image.reference.clone()),
        env: Some(environment::of_job(platform, job)),
        resources: Some(job.resources.clone()),
        volume_mounts: Some(vec![pod::mount("scratch", SCRATCH)]),
        ..Default::default()
    };
    let mut spec = PodSpec {
        containers: vec![container],
        volumes: Some(vec![pod::scratch("scratch", Some(&job.scratch_size))]),
        restart_policy: Some("Never".to_owned()),
        active_deadline_seconds: i64::try_from(job.deadline.as_secs()).ok(),
        service_account_name: Some(platform.name.child(names::TRANSCODER)),
        ..pod::scheduled(&job.scheduling, &job.image_pull_secrets)
    };
    pod::secure(&mut spec, &job.image);
    pod::finish(platform, names::TRANSCODER, spec, job.pod_template.as_ref())
}
