//! A world with an operator that is started again whenever it dies.

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulation::{
    aws::{ACCOUNT, Cloud, Place, Region},
    clock::Clock,
    kubernetes::{
        Cluster, Effect,
        controllers::{Controllers, Exit, Run},
        resource::{JOBS, PLATFORMS, PODS},
        store::{Change, Key, Subresource, Write},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use streaming_operator::{
    aws::Accounts,
    controller::{Controller, Replica, lease::Timing},
    metrics::Metrics,
    settings::{EXTERNAL_ID_PREFIX, Images, Settings},
    surroundings::{self, Surroundings},
};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

const NAMESPACE: &str = "media";
const REGION: &str = "eu-central-1";
/// How long the world may take until it is as the spec says.
const LONGEST: Duration = Duration::from_secs(1200);

pub struct World {
    pub cluster: Cluster,
    cloud: Cloud,
    epoch: Timestamp,
    /// Requests of operators so far.
    requests: Arc<AtomicUsize>,
}

/// A transcoding that ends well.
fn well() -> Run {
    Run { lasts: SignedDuration::from_secs(10), exit: Exit::Code { code: 0, message: String::new() } }
}

/// Where an operator dies.
#[derive(Clone, Copy, Debug)]
pub struct Crash {
    /// At which of its requests.
    pub at: usize,
    /// Whether that is still performed.
    pub performed: bool,
}

impl World {
    /// A Wednesday at noon, with an operator that dies where it shall, once.
    pub fn new(crash: Option<Crash>) -> Self {
        let epoch: Timestamp = "2026-07-01T12:00:00Z".parse().unwrap();
        let clock = Clock::starting_at(epoch);
        let world =
            Self { cluster: Cluster::new(clock), cloud: Cloud::new(clock), epoch, requests: Arc::default() };
        tokio::spawn(Controllers::new(&world.cluster, |_| well()).run());
        let (dies, requests) = (Arc::new(Notify::new()), Arc::clone(&world.requests));
        let told = Arc::clone(&dies);
        let mut is_dead = false;
        world.cluster.set_fault(move |_| {
            let number = requests.fetch_add(1, Ordering::Relaxed);
            let crash = crash.filter(|crash| crash.at == number);
            if let Some(crash) = crash {
                is_dead = true;
                told.notify_one();
                return Some(if crash.performed { Effect::CutReply } else { Effect::CutRequest });
            }
            is_dead.then_some(Effect::CutRequest)
        });
        let (cluster, first, second) =
            (world.cluster.clone(), world.operator("first"), world.operator("second"));
        tokio::spawn(async move {
            let running = tokio::spawn(first.run(CancellationToken::new()));
            dies.notified().await;
            running.abort();
            cluster.clear_fault();
            // A process that died is started again.
            second.run(CancellationToken::new()).await;
        });
        world
    }

    fn operator(&self, identity: &str) -> Controller {
        let (client, metrics) = (self.cluster.client(), Metrics::default());
        let config = self.cloud.sdk_config(REGION);
        let accounts = Accounts::with_config(client.clone(), metrics.clone(), config);
        let clock = surroundings::Clock::starting_at(self.epoch);
        let replica = Replica {
            identity: identity.to_owned(),
            lease_namespace: NAMESPACE.to_owned(),
            lease_name: "streaming-operator".to_owned(),
            timing: Timing::default(),
            concurrency: 4,
        };
        let settings = Settings {
            images: Images::named(|name| format!("example.com/{name}:1")),
            allowed_aws_endpoints: Vec::new(),
            allowed_roles: Vec::new(),
            external_id_prefix: EXTERNAL_ID_PREFIX.to_owned(),
            operator_identity_namespaces: vec!["*".to_owned()],
            watch_namespaces: vec![NAMESPACE.to_owned()],
            resync: Duration::from_secs(600),
        };
        Controller::new(Surroundings { client, accounts, clock, metrics }, settings, replica)
    }

    /// Requests of operators so far.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    fn platform() -> Key {
        Key { resource: PLATFORMS, namespace: NAMESPACE.to_owned(), name: "tv".to_owned() }
    }

    /// Applies the platform, as a user does.
    pub fn apply(&self, spec: &str) {
        let spec: Value = serde_saphyr::from_str(spec).unwrap();
        self.cluster.with(|store, now| {
            let write = Write { manager: "kubectl", subresource: Subresource::Main, now };
            store.apply(&Self::platform(), &json!({"spec": spec}), true, write).unwrap();
        });
    }

    fn condition(&self, kind: &str) -> Option<Value> {
        let platform = self.cluster.with(|store, _| store.get(&Self::platform()))?;
        let conditions = platform["status"]["conditions"].as_array()?.clone();
        let is_current = |it: &Value| it["observedGeneration"] == platform["metadata"]["generation"];
        conditions.into_iter().find(|it| it["type"] == kind && is_current(it))
    }

    /// Waits until the operator says of the present spec that all is done.
    pub async fn settled(&self) {
        let started = Instant::now();
        loop {
            let is = |kind: &str, status: &str| self.condition(kind).is_some_and(|it| it["status"] == status);
            if is("Ready", "True") && is("Reconciling", "False") {
                return;
            }
            assert!(
                started.elapsed() < LONGEST,
                "not settled: {:?} {:?} {:#?}",
                self.condition("Ready"),
                self.condition("Reconciling"),
                self.cluster.with(|store, _| store
                    .all()
                    .filter(|(key, _)| ["pods", "deployments"].contains(&key.resource.plural))
                    .map(|(key, value)| format!(
                        "{} {} {}",
                        key.name, value["spec"]["replicas"], value["status"]
                    ))
                    .collect::<Vec<_>>())
            );
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Puts a clip into the platform's input bucket, as a client of S3 does.
    pub fn upload(&self, key: &str) {
        let platform = self.cluster.with(|store, _| store.get(&Self::platform())).unwrap();
        let bucket = platform["status"]["transcoding"]["inputBucket"].as_str().unwrap().to_owned();
        self.in_region(|region, now| {
            let Region { s3, sqs, place, .. } = region;
            s3.write(&bucket, key, Bytes::from_static(b"clip"), now, place, sqs);
        });
    }

    /// Every message that is on a queue comes a second time, as S3 may do with its events.
    pub fn send_again(&self) {
        self.in_region(|region, now| {
            let queues = region.sqs.queues.iter();
            let bodies = queues.flat_map(|(name, queue)| {
                queue.messages.iter().map(move |message| (name.clone(), message.body.clone()))
            });
            for (queue, body) in bodies.collect::<Vec<_>>() {
                region.sqs.send(&queue, &body, now);
            }
        });
    }

    /// Messages on all queues but the one of outcomes, which nobody reads here.
    pub fn messages(&self) -> usize {
        self.in_region(|region, _| {
            let queues = region.sqs.queues.iter().filter(|(name, _)| !name.contains("events"));
            queues.map(|(_, queue)| queue.messages.len()).sum()
        })
    }

    fn in_region<T>(&self, act: impl FnOnce(&mut Region, Timestamp) -> T) -> T {
        self.cloud.with(&Place { account: ACCOUNT.to_owned(), region: REGION.to_owned() }, act)
    }

    /// Jobs that ever completed, and those that are there and did not end.
    pub fn jobs_done_and_active(&self) -> (usize, usize) {
        let is_over = |job: &Value, kinds: &[&str]| {
            let conditions = job["status"]["conditions"].as_array();
            conditions.is_some_and(|all| all.iter().any(|it| kinds.iter().any(|kind| it["type"] == *kind)))
        };
        self.cluster.with(|store, _| {
            let done: BTreeSet<_> = store
                .since(0)
                .filter(|change| change.key.resource == JOBS)
                .filter(|change| change.after.as_ref().is_some_and(|job| is_over(job, &["Complete"])))
                .map(|change| change.key.name.clone())
                .collect();
            let jobs = store.all().filter(|(key, _)| key.resource == JOBS);
            (done.len(), jobs.filter(|(_, job)| !is_over(job, &["Complete", "Failed"])).count())
        })
    }

    /// Each Job that was ever made, with the piece of work that it is for.
    pub fn jobs_made(&self) -> Vec<(String, String)> {
        let made = |change: &Arc<Change>| {
            let job =
                change.after.as_ref().filter(|_| change.before.is_none() && change.key.resource == JOBS)?;
            let request = job.pointer("/metadata/annotations")?.to_string();
            Some((change.key.name.clone(), request))
        };
        self.cluster.with(|store, _| store.since(0).filter_map(made).collect())
    }

    /// What there is, without what differs from one run to the next: versions, UIDs, times, generated passwords.
    pub fn state(&self) -> BTreeMap<String, Value> {
        let lasting = |key: &Key| ![PODS.plural, "leases", "events"].contains(&key.resource.plural);
        let shown = |value: &Value| {
            let mut spec = value["spec"].clone();
            // A hash over the content of Secrets.
            if let Some(annotations) = spec.pointer_mut("/template/metadata/annotations") {
                *annotations = Value::Null;
            }
            let keys: Vec<_> =
                value["data"].as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect();
            json!({"labels": value["metadata"]["labels"], "spec": spec, "keys": keys})
        };
        self.cluster.with(|store, _| {
            let all = store.all().filter(|(key, _)| lasting(key));
            all.map(|(key, value)| (format!("{}/{}", key.resource, key.name), shown(value))).collect()
        })
    }
}
