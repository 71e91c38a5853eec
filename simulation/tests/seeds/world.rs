//! A cluster, AWS, and replicas of the operator that come and go.

use crate::{
    chaos::{Chaos, Line, Shared, State, lock},
    inspector::{self, Inspector},
    script::{self, Act, MARK, Script},
    servers::Servers,
};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use rand::{SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use simulation::{
    aws::{ACCOUNT, Cloud, Place, Region},
    clock::Clock,
    kubernetes::{
        Cluster,
        controllers::{Controllers, Exit, Run},
        resource::{DEPLOYMENTS, PLATFORMS, PODS, SECRETS},
        store::{Key, Subresource, Write},
    },
};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use streaming_operator::{
    apply::sessions::Postgres,
    aws::Accounts,
    controller::{Controller, Replica, lease::Timing},
    metrics::Metrics,
    settings::{Images, Settings},
    surroundings::{self, Surroundings},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const NAMESPACE: &str = "media";
const REGION: &str = "eu-central-1";

pub struct World {
    pub cluster: Cluster,
    pub cloud: Cloud,
    pub chaos: Shared,
    inspector: Mutex<Inspector>,
    resync: Duration,
    /// What each replica is told to do.
    orders: Vec<mpsc::UnboundedSender<Order>>,
    /// Ways of the processes that run, by replica.
    ways: Mutex<Vec<Option<Cluster>>>,
    /// Clips that queues were told of.
    told: Mutex<BTreeSet<String>>,
}

/// What befalls a process.
enum Order {
    Kill(Duration),
    Stop(Duration),
    CutOff(Duration),
}

fn seconds(rng: &Shared, from: u64, to: u64) -> SignedDuration {
    SignedDuration::from_secs(from.saturating_add(lock(rng).below(to - from)).cast_signed())
}

impl World {
    pub fn new(epoch: Timestamp, script: &Script, rng: &mut StdRng) -> Arc<Self> {
        let clock = Clock::starting_at(epoch);
        let chaos = Chaos::new(StdRng::from_rng(rng), script.kubernetes, script.aws);
        let (orders, inboxes): (Vec<_>, Vec<_>) =
            (0..script.replicas).map(|_| mpsc::unbounded_channel()).unzip();
        let world = Arc::new(Self {
            cluster: Cluster::new(clock),
            cloud: Cloud::new(clock),
            chaos,
            inspector: Mutex::default(),
            resync: script.resync,
            orders,
            ways: Mutex::new(vec![None; script.replicas]),
            told: Mutex::default(),
        });
        let pods = Arc::clone(&world);
        tokio::spawn(Controllers::new(&world.cluster, move |job| pods.run(job)).run());
        for (replica, inbox) in inboxes.into_iter().enumerate() {
            tokio::spawn(Arc::clone(&world).keep_up(replica, inbox));
        }
        world
    }

    pub fn inspector(&self) -> MutexGuard<'_, Inspector> {
        self.inspector.lock().unwrap()
    }

    pub fn place() -> Place {
        Place { account: ACCOUNT.to_owned(), region: REGION.to_owned() }
    }

    pub fn in_region<T>(&self, act: impl FnOnce(&mut Region, Timestamp) -> T) -> T {
        self.cloud.with(&Self::place(), act)
    }

    /// What the pod of a Job does: as its clip's name says, unless something befalls its node.
    fn run(&self, job: &Value) -> Run {
        let clip = inspector::clip(job).unwrap_or_default();
        let lasts = seconds(&self.chaos, 1, 90);
        if lock(&self.chaos).happens(0.05) {
            lock(&self.chaos).count("pods: disrupted");
            return Run { lasts, exit: Exit::Disrupted };
        }
        if lock(&self.chaos).happens(0.02) {
            lock(&self.chaos).count("pods: out of memory");
            return Run { lasts, exit: Exit::OutOfMemory };
        }
        let attempt = job.pointer("/metadata/labels/streamingplatform.dev~1attempt").and_then(Value::as_str);
        let attempt: u32 = attempt.and_then(|text| text.parse().ok()).unwrap_or(1);
        let fate = clip.split('.').nth(1).unwrap_or_default();
        let fails = fate.strip_prefix("fails-").and_then(|text| text.parse().ok()).unwrap_or(0);
        let (code, reason) = match fate {
            "broken" => {
                self.inspector().is_broken(job);
                (65, "NOT_MEDIA")
            }
            _ if attempt <= fails => (1, "INTERNAL"),
            _ => (0, ""),
        };
        let message = if code == 0 {
            String::new()
        } else {
            json!({"reason": reason, "message": "simulated"}).to_string()
        };
        Run { lasts, exit: Exit::Code { code, message } }
    }

    /// Runs a replica's processes, one after the other.
    async fn keep_up(self: Arc<Self>, replica: usize, mut orders: mpsc::UnboundedReceiver<Order>) {
        for process in 0_u32.. {
            let stop = CancellationToken::new();
            let http = self.cloud.sdk_config(REGION).http_client().unwrap();
            let line = Line::new(http, &self.chaos);
            let way = self.cluster.another_way();
            let sent = line.clone();
            way.set_fault(move |request| sent.kubernetes(request));
            self.ways.lock().unwrap()[replica] = Some(way.clone());
            let operator = self.operator(&format!("replica-{replica}-{process}"), &way, &line);
            let metrics = operator.1;
            let mut running = tokio::spawn(operator.0.run(stop.clone()));
            let rest = loop {
                let order = tokio::select! {
                    biased;
                    ended = &mut running => {
                        match ended {
                            Ok(()) => self.inspector().broken.push("a replica ended by itself".to_owned()),
                            Err(panic) => self.inspector().broken.push(format!("the operator panicked: {panic}")),
                        }
                        break Duration::from_secs(2);
                    }
                    Some(order) = orders.recv() => order,
                };
                match order {
                    Order::CutOff(lasts) => {
                        line.set(State::CutOff);
                        way.break_watches(false);
                        let line = line.clone();
                        tokio::spawn(async move {
                            tokio::time::sleep(lasts).await;
                            line.set(State::Up);
                        });
                    }
                    Order::Kill(down) => break down,
                    Order::Stop(down) => {
                        stop.cancel();
                        // As the kubelet does.
                        drop(tokio::time::timeout(Duration::from_secs(30), &mut running).await);
                        break down;
                    }
                }
            };
            line.set(State::Dead);
            way.break_watches(false);
            running.abort();
            self.ways.lock().unwrap()[replica] = None;
            if metrics.render().unwrap().contains("outcome=\"Panicked\"}") {
                self.inspector().broken.push("a reconcile panicked".to_owned());
            }
            tokio::time::sleep(rest).await;
        }
    }

    fn operator(&self, identity: &str, way: &Cluster, line: &Line) -> (Controller, Metrics) {
        let (client, metrics) = (way.client(), Metrics::default());
        let config = self.cloud.sdk_config(REGION).into_builder();
        let config = config.http_client(SharedHttpClient::new(line.clone())).build();
        let accounts = Accounts::with_config(client.clone(), metrics.clone(), config);
        let clock = surroundings::Clock::starting_at(self.cloud.clock().now());
        let replica = Replica {
            identity: identity.to_owned(),
            lease_namespace: NAMESPACE.to_owned(),
            lease_name: "streaming-operator".to_owned(),
            timing: Timing::default(),
            concurrency: 4,
        };
        let settings = Settings {
            operator_identity_namespaces: vec!["*".to_owned()],
            watch_namespaces: vec![NAMESPACE.to_owned()],
            resync: self.resync,
            ..Settings::new(Images::named(|name| format!("example.com/{name}:1")))
        };
        let postgres = Postgres::by(Servers::new(&self.cloud, line.clone()));
        let surroundings = Surroundings { client, accounts, postgres, clock, metrics: metrics.clone() };
        (Controller::new(surroundings, settings, replica), metrics)
    }

    fn key(platform: usize) -> Key {
        Key { resource: PLATFORMS, namespace: NAMESPACE.to_owned(), name: script::name(platform) }
    }

    /// A platform as it is.
    pub fn platform(&self, platform: usize) -> Option<Value> {
        self.cluster.with(|store, _| store.get(&Self::key(platform)))
    }

    fn order(&self, replica: usize, order: Order) {
        // Whoever receives it lives as long as the world.
        drop(self.orders[replica].send(order));
    }

    fn on_way(&self, replica: usize, act: impl FnOnce(&Cluster)) {
        if let Some(way) = &self.ways.lock().unwrap()[replica] {
            act(way);
        }
    }

    /// Lets something happen.
    pub fn act(&self, act: &Act) {
        match act {
            Act::Apply { platform, spec } => self.apply(*platform, spec),
            Act::Delete { platform } => self.delete(&Self::key(*platform)),
            Act::Secret { is_there } => self.secret(*is_there),
            Act::Upload { platform, clip } => self.upload(*platform, clip),
            Act::TellAgain { platform } => self.tell_again(*platform),
            Act::Garbage { platform, body } => self.garbage(*platform, body),
            Act::Edit { nth, how } => self.edit(*nth, *how),
            Act::Remove { nth } => self.remove(*nth),
            Act::NodeDies { nth } => self.node_dies(*nth),
            Act::Kill { replica, down } => self.order(*replica, Order::Kill(*down)),
            Act::Stop { replica, down } => self.order(*replica, Order::Stop(*down)),
            Act::CutOff { replica, lasts } => self.order(*replica, Order::CutOff(*lasts)),
            Act::Lag { replica, by } => self.on_way(*replica, |way| way.set_watch_lag(*by)),
            Act::Stutter { replica, on } => self.on_way(*replica, |way| way.set_stutter(*on)),
            Act::Break { replica, forget } => self.on_way(*replica, |way| way.break_watches(*forget)),
        }
        let text = format!("{act:?}");
        lock(&self.chaos).count(&format!("acts: {}", text.split(' ').next().unwrap_or_default()));
    }

    /// From now on all is as it should be.
    pub fn calm(&self) {
        lock(&self.chaos).end();
        for way in self.ways.lock().unwrap().iter().flatten() {
            way.set_watch_lag(Duration::ZERO);
            way.set_stutter(false);
        }
        self.secret(true);
    }

    pub fn apply(&self, platform: usize, spec: &Value) {
        self.cluster.with(|store, now| {
            let write = Write { manager: "kubectl", subresource: Subresource::Main, now };
            // One that is being deleted can be changed, too.
            store.apply(&Self::key(platform), &json!({"spec": spec}), true, write).unwrap();
        });
    }

    fn delete(&self, key: &Key) {
        // It may be gone already.
        self.cluster.with(|store, now| drop(store.delete(key, &Value::Null, now)));
    }

    fn secret(&self, is_there: bool) {
        let key = Key { resource: SECRETS, namespace: NAMESPACE.to_owned(), name: "login".to_owned() };
        if !is_there {
            return self.delete(&key);
        }
        let data = |text: &str| BASE64_STANDARD.encode(text);
        let value = json!({"data": {
            "host": data("db.example.com"), "port": data("5432"), "dbname": data("tv"), "username": data("tv"),
            "password": data(MARK), "uri": data(&format!("postgres://tv:{MARK}@db.example.com:5432/tv")),
        }});
        self.cluster.with(|store, now| {
            let write = Write { manager: "kubectl", subresource: Subresource::Main, now };
            drop(store.apply(&key, &value, true, write));
        });
    }

    fn transcoding(&self, platform: usize, field: &str) -> Option<String> {
        Some(self.platform(platform)?["status"]["transcoding"][field].as_str()?.to_owned())
    }

    fn upload(&self, platform: usize, clip: &str) {
        let Some(bucket) = self.transcoding(platform, "inputBucket") else { return };
        let is_told = self.in_region(|region, now| {
            let Region { s3, sqs, place, .. } = region;
            s3.write(&bucket, clip, Bytes::from_static(b"clip"), now, place, sqs);
            // A bucket tells nobody before it is set up.
            inspector::bodies(region).iter().any(|(_, body)| body.contains(clip))
        });
        if is_told {
            self.told.lock().unwrap().insert(clip.to_owned());
        }
    }

    fn queue(&self, platform: usize) -> Option<String> {
        Some(self.transcoding(platform, "queueURL")?.rsplit('/').next()?.to_owned())
    }

    fn tell_again(&self, platform: usize) {
        let Some(name) = self.queue(platform) else { return };
        self.in_region(|region, now| {
            let bodies = inspector::bodies(region).into_iter().filter(|(queue, _)| *queue == name);
            for (queue, body) in bodies {
                region.sqs.send(&queue, &body, now);
            }
        });
    }

    fn garbage(&self, platform: usize, body: &str) {
        let Some(name) = self.queue(platform) else { return };
        self.in_region(|region, now| region.sqs.send(&name, body, now));
    }

    fn edit(&self, nth: usize, how: usize) {
        self.cluster.with(|store, now| {
            let all: Vec<_> = store.all().filter(|(key, _)| key.resource == DEPLOYMENTS).collect();
            let Some((key, value)) = all.get(nth % all.len().max(1)).map(|(key, value)| ((*key).clone(), (*value).clone()))
            else {
                return;
            };
            let mut containers = value["spec"]["template"]["spec"]["containers"].clone();
            containers[0]["image"] = json!("edited:1");
            let patch = match how {
                0 => json!({"spec": {"replicas": 7}}),
                1 => json!({"spec": {"template": {"spec": {"containers": containers}}}}),
                2 => json!({"metadata": {"labels": {"app.kubernetes.io/name": "other"}}}),
                _ => json!({"spec": {"template": {"metadata": {"annotations": {"example.com/restarted": now.to_string()}}}}}),
            };
            let write = Write { manager: "kubectl-edit", subresource: Subresource::Main, now };
            store.merge_patch(&key, &patch, write).unwrap();
        });
    }

    /// Deletes an object that a platform owns; not its passwords and volumes, which nobody can bring back.
    fn remove(&self, nth: usize) {
        let key = self.cluster.with(|store, _| {
            let spared =
                ["streamingplatforms", "secrets", "pods", "leases", "events", "persistentvolumeclaims"];
            let all = store.all().filter(|(key, _)| !spared.contains(&key.resource.plural));
            let all: Vec<_> = all.map(|(key, _)| key.clone()).collect();
            all.get(nth % all.len().max(1)).cloned()
        });
        if let Some(key) = key {
            self.delete(&key);
        }
    }

    fn node_dies(&self, nth: usize) {
        let pods = self.cluster.with(|store, _| {
            let pods = store.all().filter(|(key, _)| key.resource == PODS).step_by(nth);
            pods.map(|(key, pod)| (key.clone(), pod.clone())).collect::<Vec<_>>()
        });
        for (key, pod) in pods {
            let is_of_job = pod["metadata"]["labels"].get("batch.kubernetes.io/job-name").is_some();
            if !is_of_job {
                self.delete(&key);
            } else if pod["status"]["phase"] == "Running" {
                let status = json!({"phase": "Failed", "conditions": [
                    {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"},
                ]});
                self.cluster.with(|store, now| {
                    let write =
                        Write { manager: "kube-controller-manager", subresource: Subresource::Status, now };
                    store.replace(&key, &json!({"status": status}), write).unwrap();
                });
            }
        }
    }

    /// Looks whether everything holds.
    pub fn inspect(&self) {
        let deleted = std::mem::take(&mut lock(&self.chaos).has_deleted);
        let mut inspector = self.inspector();
        inspector.late_jobs.append(&mut lock(&self.chaos).late_jobs);
        inspector.look(&self.cluster);
        inspector.one_of_each(&self.cloud, &Self::place());
        if deleted {
            inspector.nothing_lost(&self.told.lock().unwrap(), &self.cloud, &Self::place());
        }
    }

    pub fn told(&self) -> BTreeSet<String> {
        self.told.lock().unwrap().clone()
    }
}
