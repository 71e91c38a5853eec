//! A world with an operator that is started again whenever it dies.

use crate::{
    invariants::Watched,
    scenarios,
    servers::{Carrier, Servers},
};
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulation::{
    aws::{ACCOUNT, Cloud, Place, Region, sqs::Message},
    clock::Clock,
    kubernetes::{
        Cluster,
        controllers::{Controllers, Exit, Run},
        resource::{DEPLOYMENTS, EVENTS, JOBS, LEASES, PLATFORMS, PODS, SECRETS},
        store::{Change, Key, Subresource, Write},
    },
    wire::{Break, Wire},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
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
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

const NAMESPACE: &str = "media";
pub const REGION: &str = "eu-central-1";
/// How long the world may take until it is as the spec says.
const LONGEST: Duration = Duration::from_secs(3 * 3600);

pub struct World {
    pub cluster: Cluster,
    pub cloud: Cloud,
    epoch: Timestamp,
    /// That of the operator that dies.
    wire: Wire,
    /// Ends it in order.
    stop: CancellationToken,
    /// What was seen to be wrong.
    watched: Watched,
    /// They end with it.
    tasks: Mutex<JoinSet<()>>,
}

/// A world in which time stands still.
pub struct Frozen {
    cluster: Cluster,
    cloud: Cloud,
    at: Timestamp,
}

impl Frozen {
    /// A world that goes on from here, with an operator that dies where it shall, and Jobs that run as said.
    pub fn with_operator(
        &self,
        dies: Option<Break>,
        runs: impl FnMut(&Value) -> Run + Send + 'static,
    ) -> World {
        let clock = Clock::starting_at(self.at);
        World::of(self.cluster.copy(clock), self.cloud.copy(clock), self.at, dies, runs)
    }
}

impl Carrier for Wire {
    async fn carry<T: Send + 'static>(
        &self,
        name: String,
        talk: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        self.converse(name, talk).await
    }
}

/// A transcoding that ends well.
pub fn well() -> Run {
    Run { lasts: SignedDuration::from_secs(10), exit: Exit::Code { code: 0, message: String::new() } }
}

impl World {
    /// A Wednesday at noon, with an operator that dies where it shall, once, and is started again.
    pub fn new(dies: Option<Break>) -> Self {
        let epoch: Timestamp = "2026-07-01T12:00:00Z".parse().unwrap();
        let clock = Clock::starting_at(epoch);
        Self::of(Cluster::new(clock), Cloud::new(clock), epoch, dies, |_| well())
    }

    /// Stops everything, and keeps what there is.
    pub fn freeze(self) -> Frozen {
        Frozen { at: self.cloud.clock().now(), cluster: self.cluster, cloud: self.cloud }
    }

    fn of(
        cluster: Cluster,
        cloud: Cloud,
        epoch: Timestamp,
        dies: Option<Break>,
        runs: impl FnMut(&Value) -> Run + Send + 'static,
    ) -> Self {
        let (wire, stop, mut tasks) = (Wire::breaking(dies), CancellationToken::new(), JoinSet::new());
        let watched = Watched::begin(&cluster, &cloud, &mut tasks);
        tasks.spawn(Controllers::new(&cluster, runs).run());
        let tasks = Mutex::new(tasks);
        let world = Self { cluster, cloud, epoch, wire: wire.clone(), stop: stop.clone(), watched, tasks };
        let first = world.operator("first", &wire);
        let second = world.operator("second", &Wire::default());
        // One whose connections are cut is dead; one whose requests hang goes on, and may lose the lease.
        let (cut, stopped) = (wire.clone(), stop.clone());
        world.spawn(async move {
            tokio::select! {
                () = first.run(stop) => {}
                () = cut.cut() => {}
            }
        });
        world.spawn(async move {
            tokio::select! {
                () = wire.silent() => {}
                () = stopped.cancelled() => {}
            }
            second.run(CancellationToken::new()).await;
        });
        world
    }

    /// Ends the operator in order, as an upgrade does, and starts another one.
    pub fn replace_operator(&self) {
        self.stop.cancel();
    }

    /// Does something as long as there is this world.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.lock().unwrap().spawn(task);
    }

    /// A replica.
    pub fn operator(&self, identity: &str, wire: &Wire) -> Controller {
        let (client, metrics) = (self.cluster.client_on(wire), Metrics::default());
        let config = self.cloud.sdk_config_on(wire, REGION);
        let postgres = Postgres::by(Servers::new(&self.cloud, wire.clone()));
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
            operator_identity_namespaces: vec!["*".to_owned()],
            watch_namespaces: vec![NAMESPACE.to_owned()],
            ..Settings::new(Images::named(|name| format!("example.com/{name}:1")))
        };
        Controller::new(Surroundings { client, accounts, postgres, clock, metrics }, settings, replica)
    }

    /// Who holds the lease.
    pub fn leader(&self) -> String {
        let lease = self.cluster.with(|store, _| store.get(&Self::lease()));
        lease
            .map(|it| it["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned())
            .unwrap_or_default()
    }

    /// Requests of the operator that dies, as far as it lived.
    pub fn requests(&self) -> Vec<String> {
        self.wire.sent()
    }

    /// What the first operator sent before it was cut off arrives.
    pub fn deliver(&self) {
        self.wire.deliver();
    }

    /// Fails where something was seen that must never be.
    pub fn check(&self) {
        self.watched.check(&self.cluster);
    }

    fn platform() -> Key {
        Self::named("tv")
    }

    fn named(name: &str) -> Key {
        Key { resource: PLATFORMS, namespace: NAMESPACE.to_owned(), name: name.to_owned() }
    }

    fn lease() -> Key {
        Key { resource: LEASES, ..Self::named("streaming-operator") }
    }

    /// Someone held the lease when all began, and died.
    pub fn lease_of_the_dead(&self) {
        self.cluster.with(|store, now| {
            let write = Write { manager: "dead", subresource: Subresource::Main, now };
            let spec = json!({"holderIdentity": "dead", "leaseDurationSeconds": 15});
            store.apply(&Self::lease(), &json!({"spec": spec}), true, write).unwrap();
        });
    }

    /// Makes a platform beside it, which has an account of its own.
    pub fn apply_in_account(&self, name: &str, account: &str, spec: &str) {
        let data = [("accessKeyID", account), ("secretAccessKey", "secret")];
        let secret = Key { resource: SECRETS, ..Self::named("keys") };
        self.cluster.with(|store, now| {
            let write = Write { manager: "kubectl", subresource: Subresource::Main, now };
            let data: BTreeMap<_, _> = data.into_iter().collect();
            store.create(&secret, json!({"stringData": data}), write).unwrap();
            let mut spec: Value = serde_saphyr::from_str(spec).unwrap();
            spec["aws"]["credentialsSecretRef"] = json!({"name": "keys"});
            store.apply(&Self::named(name), &json!({"spec": spec}), true, write).unwrap();
        });
    }

    /// Waits until the operator says of a platform that all is done, and tells how long that took.
    pub async fn time_to_settle(&self, name: &str) -> Duration {
        let started = Instant::now();
        self.until("settled", |world| world.is_settled_of(name)).await;
        started.elapsed()
    }

    /// Annotates the platform, as a user does.
    pub fn annotate(&self, name: &str, value: &str) {
        self.cluster.with(|store, now| {
            let write = Write { manager: "kubectl-annotate", subresource: Subresource::Main, now };
            let patch = json!({"metadata": {"annotations": {name: value}}});
            store.merge_patch(&Self::platform(), &patch, write).unwrap();
        });
    }

    /// Deletes the platform, as a user does.
    pub fn delete(&self) {
        Self::delete_in(&self.cluster);
    }

    /// The same, where there is only the cluster.
    pub fn delete_in(cluster: &Cluster) {
        cluster.with(|store, now| store.delete(&Self::platform(), &Value::Null, now).unwrap());
    }

    /// Takes all finalizers away from the platform, as a user does who does not want to wait.
    pub fn take_finalizers(&self) {
        self.cluster.with(|store, now| {
            let write = Write { manager: "kubectl-patch", subresource: Subresource::Main, now };
            let patch = json!({"metadata": {"finalizers": null}});
            store.merge_patch(&Self::platform(), &patch, write).unwrap();
        });
    }

    /// The platform; none: it is gone.
    pub fn resource(&self) -> Option<Value> {
        self.cluster.with(|store, _| store.get(&Self::platform()))
    }

    /// The notes of all events with this reason.
    pub fn events(&self, reason: &str) -> String {
        self.cluster.with(|store, _| {
            let events =
                store.all().filter(|(key, event)| key.resource == EVENTS && event["reason"] == reason);
            events.map(|(_, event)| event["note"].as_str().unwrap_or_default().to_owned()).collect()
        })
    }

    /// Waits until something is so.
    pub async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let started = Instant::now();
        while !is_so(self) {
            assert!(
                started.elapsed() < LONGEST,
                "never: {what}; {:#?}",
                self.resource().map(|it| it["status"].clone())
            );
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    }

    /// How often AWS was asked for this so far, as an IAM policy calls it.
    pub fn asked(&self, action: &str) -> usize {
        self.cloud.calls().iter().filter(|call| call.action == action).count()
    }

    /// Applies the platform, as a user does.
    pub fn apply(&self, spec: &str) {
        let spec: Value = serde_saphyr::from_str(spec).unwrap();
        self.cluster.with(|store, now| {
            let write = Write { manager: "kubectl", subresource: Subresource::Main, now };
            store.apply(&Self::platform(), &json!({"spec": spec}), true, write).unwrap();
        });
    }

    fn condition(&self, name: &str, kind: &str) -> Option<Value> {
        let platform = self.cluster.with(|store, _| store.get(&Self::named(name)))?;
        let conditions = platform["status"]["conditions"].as_array()?.clone();
        let is_current = |it: &Value| it["observedGeneration"] == platform["metadata"]["generation"];
        conditions.into_iter().find(|it| it["type"] == kind && is_current(it))
    }

    /// Whether the operator says of the present spec that all is done.
    pub fn is_settled(&self) -> bool {
        self.is_settled_of("tv")
    }

    fn is_settled_of(&self, name: &str) -> bool {
        let is =
            |kind: &str, status: &str| self.condition(name, kind).is_some_and(|it| it["status"] == status);
        is("Ready", "True") && is("Reconciling", "False")
    }

    /// Waits for that.
    pub async fn settled(&self) {
        self.until("settled", Self::is_settled).await;
    }

    /// Puts a clip into the platform's input bucket, as a client of S3 does.
    pub fn upload(&self, key: &str) {
        let platform = self.resource().unwrap();
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

    /// Every pod that no Job made dies with its node.
    pub fn node_dies(&self) {
        self.cluster.with(|store, now| {
            let is_jobs = |pod: &Value| pod["metadata"]["ownerReferences"][0]["kind"] == "Job";
            let pods = store.all().filter(|(key, pod)| key.resource == PODS && !is_jobs(pod));
            for key in pods.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
                store.delete(&key, &Value::Null, now).unwrap();
            }
        });
    }

    /// Whether both logins were set as was asked, and no pod is left that has an earlier one.
    pub fn is_rotated(&self, asked: &str) -> bool {
        let is_done = |name: &str| {
            let key = Key { resource: SECRETS, namespace: NAMESPACE.to_owned(), name: name.to_owned() };
            let secret = self.cluster.with(|store, _| store.get(&key));
            secret.and_then(|secret| scenarios::asked(&secret)).as_deref() == Some(asked)
        };
        is_done("tv-database") && is_done("tv-cache") && self.is_rolled_out()
    }

    /// Whether each Deployment has as many pods as it wants, all of its present template.
    fn is_rolled_out(&self) -> bool {
        self.cluster.with(|store, _| {
            store.all().filter(|(key, _)| key.resource == DEPLOYMENTS).all(|(_, it)| {
                it["status"]["observedGeneration"] == it["metadata"]["generation"]
                    && it["status"]["updatedReplicas"] == it["status"]["replicas"]
            })
        })
    }

    /// Messages that wait for their work, or whose work goes on.
    pub fn messages_to_do(&self) -> usize {
        self.in_region(|region, _| {
            let of_work = |name: &str| !name.contains("events") && !name.contains("dead");
            let queues = region.sqs.queues.iter().filter(|(name, _)| of_work(name));
            queues.map(|(_, queue)| queue.messages.len()).sum()
        })
    }

    /// What nobody could do: the clip, and why.
    pub fn dead_letters(&self) -> BTreeSet<(String, String)> {
        self.in_region(|region, _| {
            let queues = region.sqs.queues.iter().filter(|(name, _)| name.contains("dead"));
            let letter = |message: &Message| {
                let event: Value = serde_json::from_str(&message.body).unwrap_or_default();
                let key = event.pointer("/Records/0/s3/object/key").and_then(Value::as_str);
                (key.unwrap_or(&message.body).to_owned(), message.attributes["Reason"].clone())
            };
            queues.flat_map(|(_, queue)| &queue.messages).map(letter).collect()
        })
    }

    /// What was told to be the end of each clip: its key, and the last word of the event's type. One that is told twice
    /// counts once.
    pub fn ends_told(&self) -> BTreeSet<(String, String)> {
        self.in_region(|region, _| {
            let queues = region.sqs.queues.iter().filter(|(name, _)| name.contains("events"));
            let told = |message: &Message| {
                let event: Value = serde_json::from_str(&message.body).ok()?;
                let (key, kind) = (event.pointer("/data/source/key")?.as_str()?, event["type"].as_str()?);
                let word = kind.rsplit('.').next()?;
                (!matches!(word, "running" | "retrying")).then(|| (key.to_owned(), word.to_owned()))
            };
            queues.flat_map(|(_, queue)| &queue.messages).filter_map(told).collect()
        })
    }

    /// Messages on all queues but the one of outcomes, which nobody reads here.
    pub fn messages(&self) -> usize {
        self.in_region(|region, _| {
            let queues = region.sqs.queues.iter().filter(|(name, _)| !name.contains("events"));
            queues.map(|(_, queue)| queue.messages.len()).sum()
        })
    }

    pub fn in_region<T>(&self, act: impl FnOnce(&mut Region, Timestamp) -> T) -> T {
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
        let lasting =
            |key: &Key| ![PODS.plural, JOBS.plural, "leases", "events"].contains(&key.resource.plural);
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
            let objects = all.map(|(key, value)| (format!("{}/{}", key.resource, key.name), shown(value)));
            objects.chain(self.state_in_aws()).collect()
        })
    }

    /// Likewise in AWS.
    fn state_in_aws(&self) -> BTreeMap<String, Value> {
        // A final snapshot has the time in its name.
        let timeless = |name: &str| name.trim_end_matches(|digit: char| digit.is_ascii_digit()).to_owned();
        self.in_region(|region, _| {
            let Region { rds, elasticache, s3, sqs, .. } = region;
            let mut all = BTreeMap::new();
            for (name, it) in &rds.instances {
                all.insert(
                    format!("database {name}"),
                    json!({
                        "settings": format!("{:?}", it.settings), "status": it.status(), "tags": it.tags,
                        "pending": format!("{:?}", it.pending), "secret": it.secret.is_some(),
                    }),
                );
            }
            for (name, it) in rds.snapshots.iter().filter(|(_, it)| !it.automated) {
                all.insert(format!("snapshot {}", timeless(name)), json!(it.tags));
            }
            for name in rds.subnet_groups.keys().chain(elasticache.parameter_groups.keys()) {
                all.insert(format!("group {name}"), Value::Null);
            }
            for (name, it) in &elasticache.groups {
                let nodes: Vec<_> = it.shards.iter().map(|shard| shard.members.len()).collect();
                all.insert(
                    format!("cache {name}"),
                    json!({
                        "nodes": nodes, "release": format!("{:?}", it.release), "users": it.user_groups,
                    }),
                );
            }
            for (name, it) in elasticache.snapshots.iter().filter(|(_, it)| !it.is_automatic) {
                all.insert(format!("cache snapshot {}", timeless(name)), json!(it.tags));
            }
            for (name, it) in &elasticache.users {
                all.insert(format!("user {name}"), json!({"access": it.access, "tags": it.tags}));
            }
            for (name, it) in &s3.buckets {
                all.insert(format!("bucket {name}"), json!(meaning(&it.settings)));
            }
            for (name, it) in &sqs.queues {
                all.insert(format!("queue {name}"), json!({"attributes": it.attributes, "tags": it.tags}));
            }
            all
        })
    }
}

/// What a bucket's settings say, however they were written: as AWS has them from the start, or as they were put.
fn meaning(settings: &BTreeMap<&'static str, String>) -> BTreeMap<&'static str, String> {
    let namespace = r#" xmlns="http://s3.amazonaws.com/doc/2006-03-01/""#;
    let plain =
        |text: &String| text.replace(namespace, "").replace("<BucketKeyEnabled>false</BucketKeyEnabled>", "");
    settings.iter().map(|(name, text)| (*name, plain(text))).collect()
}
