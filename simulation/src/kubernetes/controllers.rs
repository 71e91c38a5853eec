//! What a cluster's own controllers do with the objects: Deployments and StatefulSets become available, Jobs run
//! their pods, and what nobody owns any more goes.
//!
//! A step looks at everything and does what is due; between two steps nothing is remembered but what pods run. So
//! controllers that are late or restarted end where others do.

mod jobs;
mod workloads;

use super::{
    Cluster,
    resource::{AUTOSCALERS, DEPLOYMENTS, JOBS, PODS, Resource, STATEFUL_SETS},
    store::{Change, Key, Store, Subresource, Write, seconds},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

pub use jobs::{Exit, Run};

/// From a pod's making to its start.
const POD_STARTS: SignedDuration = SignedDuration::from_secs(3);
/// Who writes.
const MANAGER: &str = "kube-controller-manager";

/// The controllers of a cluster.
pub struct Controllers {
    cluster: Cluster,
    /// What becomes of the pod of a Job.
    runs: Box<dyn FnMut(&Value) -> Run + Send>,
    /// Pods that run, by UID: when they end, and how.
    running: BTreeMap<String, (Timestamp, Exit)>,
    /// Up to which version changes were looked at.
    seen: u64,
}

/// What a step found to be due later.
#[derive(Clone, Copy, Debug, Default)]
struct Agenda(Option<Timestamp>);

impl Agenda {
    /// Whether something is due; else it is noted.
    fn is_due(&mut self, at: Timestamp, now: Timestamp) -> bool {
        if at > now {
            self.0 = Some(self.0.map_or(at, |before| before.min(at)));
        }
        at <= now
    }
}

impl Controllers {
    /// Controllers that let the pod of each Job run as `runs` says when it starts.
    pub fn new(cluster: &Cluster, runs: impl FnMut(&Value) -> Run + Send + 'static) -> Self {
        Self { cluster: cluster.clone(), runs: Box::new(runs), running: BTreeMap::new(), seen: 0 }
    }

    /// Acts until it is dropped.
    pub async fn run(mut self) {
        let mut news = self.cluster.news.subscribe();
        let mut due = Some(self.cluster.clock.now());
        loop {
            news.borrow_and_update();
            let now = self.cluster.clock.now();
            if self.is_concerned() || due.is_some_and(|at| at <= now) {
                due = self.step().0;
            }
            let wait = due.map(|at| Duration::try_from(at.duration_since(now)).unwrap_or_default());
            tokio::select! {
                changed = news.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(wait.unwrap_or(Duration::MAX)), if wait.is_some() => {}
            }
        }
    }

    /// Whether something changed that a step looks at: what is made or goes, and what has pods.
    fn is_concerned(&mut self) -> bool {
        let since = self.seen;
        let (seen, is_concerned) = self.cluster.with(|store, _| {
            let concerns = |change: &Change| {
                let has_pods =
                    [DEPLOYMENTS, STATEFUL_SETS, JOBS, PODS, AUTOSCALERS].contains(&change.key.resource);
                has_pods || change.before.is_none() || change.after.is_none()
            };
            (store.revision(), store.since(since).any(|change| concerns(change)))
        });
        self.seen = seen;
        is_concerned
    }

    /// Does what is due, and says when more is.
    fn step(&mut self) -> Agenda {
        let cluster = self.cluster.clone();
        cluster.with(|store, now| {
            let mut agenda = Agenda::default();
            collect_garbage(store, now);
            workloads::step(store, now, &mut agenda);
            self.jobs(store, now, &mut agenda);
            agenda
        })
    }
}

/// What has owners, all of which are gone, goes.
fn collect_garbage(store: &mut Store, now: Timestamp) {
    loop {
        let uids: BTreeSet<String> = store.all().filter_map(|(_, value)| uid(value)).collect();
        let orphans: Vec<Key> = store
            .all()
            .filter(|(_, value)| {
                let owners = value["metadata"]["ownerReferences"].as_array();
                let is_gone = |owner: &Value| owner["uid"].as_str().is_none_or(|uid| !uids.contains(uid));
                owners.is_some_and(|owners| !owners.is_empty() && owners.iter().all(is_gone))
                    && value["metadata"].get("deletionTimestamp").is_none()
            })
            .map(|(key, _)| key.clone())
            .collect();
        if orphans.is_empty() {
            return;
        }
        for key in orphans {
            // It is there: it was just listed.
            let _: Result<Value, _> = store.delete(&key, &Value::Null, now);
        }
    }
}

fn uid(value: &Value) -> Option<String> {
    value["metadata"]["uid"].as_str().map(str::to_owned)
}

fn created_at(value: &Value) -> Timestamp {
    value["metadata"]["creationTimestamp"].as_str().and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// Every object of a kind.
fn list(store: &Store, resource: Resource) -> Vec<(Key, Arc<Value>)> {
    let all = store.shared().filter(|(key, _)| key.resource == resource);
    all.map(|(key, value)| (key.clone(), Arc::clone(value))).collect()
}

/// Those that an object is the controller of.
fn owned(store: &Store, resource: Resource, owner: &Value) -> Vec<(Key, Arc<Value>)> {
    let uid = &owner["metadata"]["uid"];
    let is_ours = |value: &Value| {
        value["metadata"]["ownerReferences"]
            .as_array()
            .is_some_and(|all| all.iter().any(|it| it["uid"] == *uid))
    };
    let all = store.shared().filter(|(key, value)| key.resource == resource && is_ours(value));
    all.map(|(key, value)| (key.clone(), Arc::clone(value))).collect()
}

/// Writes a status, where it is another one.
fn set_status(store: &mut Store, key: &Key, status: &Value, now: Timestamp) {
    if store.get(key).is_some_and(|there| there["status"] != *status) {
        let write = Write { manager: MANAGER, subresource: Subresource::Status, now };
        let _: Result<Value, _> = store.replace(key, &json!({"status": status}), write);
    }
}

fn create(store: &mut Store, key: &Key, value: Value, now: Timestamp) {
    let _: Result<Value, _> =
        store.create(key, value, Write { manager: MANAGER, subresource: Subresource::Main, now });
}

fn delete(store: &mut Store, key: &Key, now: Timestamp) {
    let _: Result<Value, _> = store.delete(key, &Value::Null, now);
}

/// The status of a pod that runs and is ready.
fn running(now: Timestamp) -> Value {
    json!({
        "phase": "Running",
        "startTime": seconds(now),
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": seconds(now)}],
    })
}

/// A pod of an object's template, with one more label.
fn pod_of(owner: &Value, label: &str, value: &str) -> Value {
    let template = &owner["spec"]["template"];
    let mut labels = template["metadata"]["labels"].clone();
    labels[label] = json!(value);
    json!({
        "metadata": {
            "labels": labels,
            "annotations": template["metadata"]["annotations"],
            "ownerReferences": made_by(owner),
        },
        "spec": template["spec"],
        "status": {"phase": "Pending"},
    })
}

/// The controller of what a template makes.
fn made_by(owner: &Value) -> Value {
    json!([{
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "controller": true,
        "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
    }])
}
