//! Jobs of one pod, as the operator makes them: `backoffLimit: 0`, pods that a disruption took are replaced.

use super::{
    Agenda, Controllers, POD_STARTS, create, created_at, delete, list, owned, pod_of, running, set_status,
    uid,
};
use crate::kubernetes::{
    resource::{JOBS, PODS},
    store::{Key, Store, seconds},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// What becomes of a pod of a Job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// How long it runs.
    pub lasts: SignedDuration,
    /// How it ends.
    pub exit: Exit,
}

/// How a pod of a Job ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Its container ends.
    Code {
        /// The exit code.
        code: i32,
        /// The termination message.
        message: String,
    },
    /// Its node dies, or it is evicted.
    Disrupted,
    /// Its container goes over its memory limit.
    OutOfMemory,
}

impl Controllers {
    pub(super) fn jobs(&mut self, store: &mut Store, now: Timestamp, agenda: &mut Agenda) {
        let all = list(store, PODS);
        self.running.retain(|running, _| all.iter().any(|(_, pod)| uid(pod).as_deref() == Some(running)));
        for (key, job) in list(store, JOBS) {
            if job["metadata"].get("deletionTimestamp").is_some() {
                continue;
            }
            match finished_at(&job) {
                Some(at) => expire(store, &key, &job, at, now, agenda),
                None => self.go_on(store, &key, &job, now, agenda),
            }
        }
    }

    fn go_on(&mut self, store: &mut Store, key: &Key, job: &Value, now: Timestamp, agenda: &mut Agenda) {
        let started = job["status"]["startTime"].as_str().and_then(|text| text.parse().ok()).unwrap_or(now);
        let pods = owned(store, PODS, job);
        let deadline = job["spec"]["activeDeadlineSeconds"].as_i64().map(SignedDuration::from_secs);
        let deadline = deadline.and_then(|after| started.checked_add(after).ok());
        if deadline.is_some_and(|at| agenda.is_due(at, now)) {
            pods.iter().for_each(|(key, _)| delete(store, key, now));
            return finish(store, key, started, Err("DeadlineExceeded"), now);
        }
        let is_disrupted = |pod: &Value| {
            pod["status"]["conditions"]
                .as_array()
                .is_some_and(|all| all.iter().any(|it| it["type"] == "DisruptionTarget"))
        };
        let lost = pods.iter().filter(|(_, pod)| is_disrupted(pod)).count();
        let Some((of_pod, pod)) = pods.iter().find(|(_, pod)| !is_disrupted(pod)) else {
            let pod = Key {
                resource: PODS,
                namespace: key.namespace.clone(),
                name: format!("{}-{lost}", key.name),
            };
            create(store, &pod, pod_of(job, "batch.kubernetes.io/job-name", &key.name), now);
            set_status(store, key, &json!({"startTime": seconds(started), "active": 1}), now);
            agenda.is_due(now.saturating_add(POD_STARTS).unwrap_or(now), now);
            return;
        };
        match pod["status"]["phase"].as_str() {
            Some("Succeeded") => finish(store, key, started, Ok(()), now),
            Some("Failed") => finish(store, key, started, Err("BackoffLimitExceeded"), now),
            _ => self.pod(store, of_pod, pod, job, now, agenda),
        }
    }

    /// Starts a pod that is due, and ends one that is over.
    fn pod(
        &mut self,
        store: &mut Store,
        key: &Key,
        pod: &Value,
        job: &Value,
        now: Timestamp,
        agenda: &mut Agenda,
    ) {
        let starts = created_at(pod).saturating_add(POD_STARTS).unwrap_or(now);
        if !agenda.is_due(starts, now) {
            return;
        }
        let id = uid(pod).unwrap_or_default();
        let (ends, exit) = self.running.entry(id).or_insert_with(|| {
            let Run { lasts, exit } = (self.runs)(job);
            (now.saturating_add(lasts).unwrap_or(now), exit)
        });
        let (ends, exit) = (*ends, exit.clone());
        if pod["status"]["phase"] != "Running" {
            set_status(store, key, &running(now), now);
        }
        if agenda.is_due(ends, now) {
            set_status(store, key, &ended(pod, &exit, now), now);
            // The Job is looked at again, now that its pod ended.
            agenda.0 = Some(now);
        }
    }
}

fn finished_at(job: &Value) -> Option<Timestamp> {
    let conditions = job["status"]["conditions"].as_array()?;
    let last = conditions.iter().find(|it| it["type"] == "Complete" || it["type"] == "Failed")?;
    last["lastTransitionTime"].as_str()?.parse().ok()
}

/// A Job that ended goes when its time to live is over.
fn expire(store: &mut Store, key: &Key, job: &Value, at: Timestamp, now: Timestamp, agenda: &mut Agenda) {
    let Some(seconds) = job["spec"]["ttlSecondsAfterFinished"].as_i64() else { return };
    if agenda.is_due(at.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(at), now) {
        delete(store, key, now);
    }
}

fn finish(store: &mut Store, key: &Key, started: Timestamp, result: Result<(), &str>, now: Timestamp) {
    let at = seconds(now);
    let condition = |kind: &str, reason: &str| json!({"type": kind, "status": "True", "reason": reason, "message": "", "lastTransitionTime": at, "lastProbeTime": at});
    let status = match result {
        Ok(()) => json!({
            "startTime": seconds(started), "completionTime": at, "succeeded": 1,
            "conditions": [condition("SuccessCriteriaMet", "CompletionsReached"), condition("Complete", "CompletionsReached")],
        }),
        Err(reason) => json!({
            "startTime": seconds(started), "failed": 1,
            "conditions": [condition("FailureTarget", reason), condition("Failed", reason)],
        }),
    };
    set_status(store, key, &status, now);
}

fn ended(pod: &Value, exit: &Exit, now: Timestamp) -> Value {
    let (phase, state) = match exit {
        Exit::Code { code: 0, message } => {
            ("Succeeded", json!({"exitCode": 0, "reason": "Completed", "message": message}))
        }
        Exit::Code { code, message } => {
            ("Failed", json!({"exitCode": code, "reason": "Error", "message": message}))
        }
        Exit::OutOfMemory => ("Failed", json!({"exitCode": 137, "reason": "OOMKilled"})),
        Exit::Disrupted => ("Failed", json!({"exitCode": 137, "reason": "Error"})),
    };
    let conditions = match exit {
        Exit::Disrupted => json!([{
            "type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager",
            "lastTransitionTime": seconds(now),
        }]),
        _ => json!([]),
    };
    let container = &pod["spec"]["containers"][0];
    json!({
        "phase": phase,
        "startTime": pod["status"]["startTime"],
        "conditions": conditions,
        "containerStatuses": [{
            "name": container["name"], "image": container["image"], "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": state},
        }],
    })
}
