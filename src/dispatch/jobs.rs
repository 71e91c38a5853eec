//! jobs: the dispatcher's calls for Jobs.

use super::{
    attempt::{
        ANNOTATION_FAILURE, ANNOTATION_MESSAGES, ANNOTATION_SETTLED, Attempt, Failure, Held, Settlement,
        annotations, to_json,
    },
    outcome::{CONTAINER, LABEL_JOB},
    policy::Policy,
    settle,
    step::{Creation, Done, StepError},
};
use crate::{api::names, metrics::Metrics};
use contract::{Profile, TranscodeRequest, job::REQUEST_VARIABLE};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{EnvVar, Pod},
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy},
};
use serde_json::{Value, json};

/// Makes the Job of an attempt from the platform's prototype.
#[must_use]
pub fn build(mut job: Job, policy: &Policy, profile: &Profile, creation: &Creation) -> Job {
    let identity = creation.ticket.request.identity();
    let request = TranscodeRequest {
        attempt: creation.number,
        source: creation.ticket.request.source.clone(),
        output: settle::output(policy, &identity),
        profile: creation.ticket.request.profile.clone().unwrap_or_else(|| profile.clone()),
        identity: identity.clone(),
    };
    let labels =
        [(names::LABEL_IDENTITY, identity.to_string()), (names::LABEL_ATTEMPT, creation.number.to_string())];
    job.metadata.name = Some(creation.name.clone());
    job.annotations_mut().extend(annotations(&creation.ticket, &creation.body, &creation.held));
    job.labels_mut().extend(labels.clone().map(|(key, value)| (key.to_owned(), value)));
    if let Some(spec) = &mut job.spec {
        let metadata = spec.template.metadata.get_or_insert_default();
        metadata.labels.get_or_insert_default().extend(labels.map(|(key, value)| (key.to_owned(), value)));
        let containers = spec.template.spec.iter_mut().flat_map(|pod| &mut pod.containers);
        for container in containers.filter(|container| container.name == CONTAINER) {
            let env = container.env.get_or_insert_default();
            env.retain(|variable| variable.name != REQUEST_VARIABLE);
            env.push(EnvVar {
                name: REQUEST_VARIABLE.to_owned(),
                value: Some(to_json(&request)),
                ..EnvVar::default()
            });
        }
    }
    job
}

/// Calls for the Jobs of one namespace.
#[derive(Clone)]
pub struct Jobs {
    api: Api<Job>,
    pods: Api<Pod>,
    metrics: Metrics,
}

impl Jobs {
    /// For one namespace.
    #[must_use]
    pub fn new(client: Client, namespace: &str, metrics: Metrics) -> Self {
        let pods = Api::namespaced(client.clone(), namespace);
        Self { api: Api::namespaced(client, namespace), pods, metrics }
    }

    /// Makes a Job, or finds the one that has its name: someone, or we before a crash, made it.
    ///
    /// # Errors
    /// When the API server refuses or does not answer, or the name is taken by something else.
    pub async fn create(&self, job: &Job) -> Result<(Job, Done), StepError> {
        self.metrics.wrote("create", "Job");
        let made = match self.api.create(&PostParams::default(), job).await {
            Ok(made) => made,
            Err(kube::Error::Api(status)) if status.is_already_exists() => self
                .api
                .get(&job.name_any())
                .await
                .map_err(|cause| failed("reading", &job.name_any(), &cause))?,
            Err(cause) => {
                // A quota, an admission policy or a template that is not valid refuses every Job alike.
                let creation = matches!(&cause, kube::Error::Api(status) if matches!(status.code, 403 | 422));
                return Err(StepError { creation, ..failed("making", &job.name_any(), &cause) });
            }
        };
        let owner = |job: &Job| job.owner_references().first().map(|owner| owner.uid.clone());
        match Attempt::read(&made, &[]) {
            Some(attempt) if owner(&made) == owner(job) => Ok((made, Done::Made(Box::new(attempt)))),
            _ => Err(StepError {
                message: format!(
                    "Job {} is there and belongs to something else; delete it or wait until it is gone",
                    job.name_any()
                ),
                creation: false,
            }),
        }
    }

    /// Reads a Job.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn get(&self, name: &str) -> Result<Option<Job>, StepError> {
        self.api.get_opt(name).await.map_err(|cause| failed("reading", name, &cause))
    }

    /// Lists the Jobs of a platform that did not succeed, as they are now and not as a watch shows them.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn unfinished(&self, platform: &str) -> Result<Vec<Job>, StepError> {
        let of_platform = format!(
            "{}={},{}={platform}",
            names::LABEL_MANAGED_BY,
            names::FIELD_MANAGER,
            names::LABEL_INSTANCE
        );
        let unfinished = ListParams::default().labels(&of_platform).fields("status.successful=0");
        let jobs = self.api.list(&unfinished).await.map_err(|cause| StepError {
            message: format!("listing the Jobs of platform {platform}: {}", told(&cause)),
            creation: false,
        })?;
        Ok(jobs.items)
    }

    /// Lists the pods of a Job.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn pods(&self, name: &str) -> Result<Vec<Pod>, StepError> {
        let of_job = ListParams::default().labels(&format!("{LABEL_JOB}={name}"));
        let pods =
            self.pods.list(&of_job).await.map_err(|cause| failed("listing the pods of", name, &cause))?;
        Ok(pods.items)
    }

    /// Writes the list of messages that wait for a Job.
    ///
    /// # Errors
    /// When the API server refuses or does not answer.
    pub async fn hold(&self, attempt: &Attempt, held: &[Held]) -> Result<Job, StepError> {
        self.patch(attempt, json!({ANNOTATION_MESSAGES: to_json(&held)}), json!({})).await
    }

    /// Ends a Job and keeps it: its deadline is over at once, and the Job controller stops its pod.
    ///
    /// # Errors
    /// When the API server refuses or does not answer.
    pub async fn abort(&self, attempt: &Attempt, failure: &Failure) -> Result<Job, StepError> {
        let spec = json!({"activeDeadlineSeconds": 1});
        self.patch(attempt, json!({ANNOTATION_FAILURE: to_json(failure)}), spec).await
    }

    /// Marks a Job as settled and lets its time to live begin.
    ///
    /// # Errors
    /// When the API server refuses or does not answer.
    pub async fn settle(
        &self,
        attempt: &Attempt,
        settlement: Settlement,
        failure: Option<&Failure>,
        ttl_seconds: i32,
    ) -> Result<Job, StepError> {
        let mut annotations = json!({ANNOTATION_SETTLED: settlement.to_string()});
        if let Some(failure) = failure {
            annotations[ANNOTATION_FAILURE] = Value::String(to_json(failure));
        }
        self.patch(attempt, annotations, json!({"ttlSecondsAfterFinished": ttl_seconds})).await
    }

    /// Deletes a Job and its pods.
    ///
    /// # Errors
    /// When the API server refuses or does not answer.
    pub async fn remove(&self, attempt: &Attempt) -> Result<Done, StepError> {
        self.metrics.wrote("delete", "Job");
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Background),
            preconditions: Some(Preconditions { uid: Some(attempt.uid.clone()), resource_version: None }),
            ..DeleteParams::default()
        };
        match self.api.delete(&attempt.name, &params).await {
            Ok(_) => Ok(Done::Plain),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(Done::Plain),
            Err(cause) => Err(failed("deleting", &attempt.name, &cause)),
        }
    }

    /// The UID in the patch makes it fail on another Job of that name.
    async fn patch(&self, attempt: &Attempt, annotations: Value, spec: Value) -> Result<Job, StepError> {
        self.metrics.wrote("patch", "Job");
        let patch = json!({"metadata": {"uid": attempt.uid, "annotations": annotations}, "spec": spec});
        let params =
            PatchParams { field_manager: Some(names::FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        self.api
            .patch(&attempt.name, &params, &Patch::Merge(&patch))
            .await
            .map_err(|cause| failed("changing", &attempt.name, &cause))
    }
}

fn failed(what: &str, name: &str, cause: &kube::Error) -> StepError {
    StepError { message: format!("{what} Job {name}: {}", told(cause)), creation: false }
}

fn told(cause: &kube::Error) -> String {
    match cause {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}
