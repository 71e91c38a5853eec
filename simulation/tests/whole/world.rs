//! A world with an operator that is started again whenever it dies.

use jiff::Timestamp;
use serde_json::{Value, json};
use simulation::{
    aws::Cloud,
    clock::Clock,
    kubernetes::{
        Cluster, Effect,
        controllers::Controllers,
        resource::{PLATFORMS, PODS},
        store::{Key, Subresource, Write},
    },
};
use std::{
    collections::BTreeMap,
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
/// How long the world may take until it is as the spec says.
const LONGEST: Duration = Duration::from_secs(1200);

pub struct World {
    pub cluster: Cluster,
    cloud: Cloud,
    epoch: Timestamp,
    /// Requests of operators so far.
    requests: Arc<AtomicUsize>,
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
        tokio::spawn(Controllers::new(&world.cluster, |_| unreachable!("there is no queue")).run());
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
            drop(second.run(CancellationToken::new()).await);
        });
        world
    }

    fn operator(&self, identity: &str) -> Controller {
        let (client, metrics) = (self.cluster.client(), Metrics::default());
        let config = self.cloud.sdk_config("eu-central-1");
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
