//! Invariants: what must hold of every change to an object, and of the queues at any time.

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use serde_json::Value;
use simulation::{
    aws::{Cloud, Place, Region},
    kubernetes::{
        Cluster,
        resource::{DEPLOYMENTS, JOBS, PLATFORMS, SECRETS},
        store::{Change, Key},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// How long after a change of the spec a Job may still be made by the one before it: watches lag up to a minute, and
/// requests arrive late.
const STALE: i64 = 180;

/// A piece of work, as far as it came.
#[derive(Debug, Default)]
struct Work {
    /// Jobs that did not end.
    active: BTreeSet<String>,
    /// Jobs that ended well.
    completed: u32,
    /// Jobs that failed for good.
    failed: u32,
    /// The fewest attempts that any spec of its platform admitted.
    attempts: u64,
    /// Whether one of them said that no other attempt would do better.
    is_broken: bool,
    /// Whether a Job of it was deleted: what it stood for may be forgotten.
    is_forgotten: bool,
}

/// Looks at everything that happens.
#[derive(Debug, Default)]
pub struct Inspector {
    /// The version up to which changes were looked at.
    seen: u64,
    /// Texts that are in Secrets only.
    secrets: BTreeSet<String>,
    /// By the label of the identity.
    works: BTreeMap<String, Work>,
    /// Jobs that did not end, with the UID of their platform.
    active: BTreeMap<String, String>,
    /// Specs of platforms by UID and generation.
    specs: BTreeMap<(String, i64), Value>,
    /// Slots that specs admit, by UID: since when.
    slots: BTreeMap<String, Vec<(Timestamp, u64)>>,
    /// Images that all pods of a Deployment had at some time, by the Deployment's owner and name.
    reached: BTreeSet<(String, String, String)>,
    /// Jobs whose creation arrived late: they count for no slot.
    pub late_jobs: BTreeSet<String>,
    /// Clips of which a Job completed at some time.
    pub done: BTreeSet<String>,
    /// What did not hold.
    pub broken: Vec<String>,
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn has_condition(value: &Value, kind: &str) -> bool {
    let all = value.pointer("/status/conditions").and_then(Value::as_array);
    all.is_some_and(|all| all.iter().any(|it| it["type"] == kind && it["status"] == "True"))
}

fn has_ended(job: &Value) -> bool {
    has_condition(job, "Complete") || has_condition(job, "Failed")
}

/// UID of the platform that owns an object.
pub fn owner(value: &Value) -> &str {
    text(value, "/metadata/ownerReferences/0/uid")
}

impl Inspector {
    fn broke(&mut self, what: String) {
        self.broken.push(what);
    }

    /// Looks at what changed since the last time.
    pub fn look(&mut self, cluster: &Cluster) {
        let changes: Vec<Arc<Change>> = cluster.with(|store, _| store.since(self.seen).cloned().collect());
        for change in changes {
            self.seen = change.revision;
            self.change(&change);
        }
    }

    fn change(&mut self, change: &Change) {
        let Change { key, before, after, at, .. } = change;
        if key.resource == JOBS {
            self.job(key, before.as_deref(), after.as_deref(), *at);
        }
        let Some(after) = after else { return };
        match key.resource {
            SECRETS => self.secret(after),
            PLATFORMS => self.platform(after, *at),
            DEPLOYMENTS => self.deployment(key, after),
            _ => {}
        }
        if key.resource != SECRETS {
            self.no_secret_in(&after.to_string(), &format!("{} {}", key.resource, key.name));
        }
    }

    fn secret(&mut self, secret: &Value) {
        let data = secret["data"].as_object().into_iter().flatten();
        for (_, value) in data.filter(|(name, _)| name.contains("password") || name.contains("token")) {
            let encoded = value.as_str().unwrap_or_default().to_owned();
            let plain = decoded(&encoded);
            self.secrets.extend([encoded, plain].into_iter().filter(|text| text.len() >= 8));
        }
    }

    /// Texts of Secrets stay in Secrets.
    pub fn no_secret_in(&mut self, text: &str, place: &str) {
        if let Some(secret) = self.secrets.iter().find(|secret| text.contains(secret.as_str())) {
            let broke = format!("the secret {secret:?} is in {place}: {text}");
            self.broke(broke);
        }
    }

    fn platform(&mut self, platform: &Value, at: Timestamp) {
        let uid = text(platform, "/metadata/uid").to_owned();
        let generation = platform["metadata"]["generation"].as_i64().unwrap_or_default();
        if self.specs.insert((uid.clone(), generation), platform["spec"].clone()).is_none() {
            let slots = platform.pointer("/spec/transcoding/maxConcurrentJobs").and_then(Value::as_u64);
            self.slots.entry(uid.clone()).or_default().push((at, slots.unwrap_or(0)));
        }
        let conditions = platform.pointer("/status/conditions").and_then(Value::as_array);
        let Some(ready) = conditions.and_then(|all| all.iter().find(|it| it["type"] == "Ready")) else {
            return;
        };
        let of = ready["observedGeneration"].as_i64().unwrap_or_default();
        if of > generation {
            self.broke(format!("Ready speaks of generation {of}, and there is only {generation}"));
        }
        if ready["status"] != "True" {
            return;
        }
        let Some(spec) = self.specs.get(&(uid.clone(), of)) else { return };
        let unreached: Vec<String> = images(spec)
            .into_iter()
            .map(|(part, image)| (uid.clone(), format!("{}-{part}", text(platform, "/metadata/name")), image))
            .filter(|wanted| !self.reached.contains(wanted))
            .map(|(_, name, image)| format!("{name} never ran {image}"))
            .collect();
        if !unreached.is_empty() {
            self.broke(format!("Ready for generation {of}, and {}", unreached.join(", ")));
        }
    }

    fn deployment(&mut self, key: &Key, deployment: &Value) {
        let status = &deployment["status"];
        let replicas = deployment["spec"]["replicas"].as_u64().unwrap_or(1);
        let is_whole = status["observedGeneration"] == deployment["metadata"]["generation"]
            && status["updatedReplicas"].as_u64() >= Some(replicas)
            && status["availableReplicas"].as_u64() >= Some(replicas);
        if is_whole {
            let image = text(deployment, "/spec/template/spec/containers/0/image").to_owned();
            self.reached.insert((owner(deployment).to_owned(), key.name.clone(), image));
        }
    }

    fn job(&mut self, key: &Key, before: Option<&Value>, after: Option<&Value>, at: Timestamp) {
        let Some(job) = after.or(before) else { return };
        let identity = text(job, "/metadata/labels/streamingplatform.dev~1identity").to_owned();
        let work = self.works.entry(identity.clone()).or_default();
        let mut broken = Vec::new();
        match (before, after) {
            (None, Some(_)) => {
                if !work.active.is_empty() {
                    broken
                        .push(format!("{} was made while {:?} ran for the same work", key.name, work.active));
                }
                if work.completed > 0 && !work.is_forgotten {
                    broken.push(format!("{} was made for work that was done", key.name));
                }
                work.active.insert(key.name.clone());
                let uid = owner(job);
                let specs = self.specs.iter().filter(|((of, _), _)| of == uid).map(|(_, spec)| spec);
                let attempts = specs.filter_map(|spec| spec.pointer("/transcoding/maxAttempts")?.as_u64());
                work.attempts = attempts.min().unwrap_or(1);
            }
            (_, None) => {
                work.active.remove(&key.name);
                work.is_forgotten = true;
            }
            (Some(before), Some(after)) if has_ended(after) && !has_ended(before) => {
                work.active.remove(&key.name);
                if is_done(after) {
                    work.completed += 1;
                    self.done.extend(clip(after));
                } else {
                    work.failed += 1;
                }
            }
            _ => {}
        }
        match after {
            Some(after) if !has_ended(after) => {
                self.active.insert(key.name.clone(), owner(after).to_owned());
            }
            _ => {
                self.active.remove(&key.name);
            }
        }
        if before.is_none() && after.is_some() {
            broken.extend(self.slots_kept(job, at));
        }
        self.broken.append(&mut broken);
    }

    /// No more Jobs than the spec admits, or admitted a short time ago, but for what a leader asked for before it lost
    /// the lead and what arrives when another one has filled the slots (0024).
    fn slots_kept(&self, made: &Value, at: Timestamp) -> Option<String> {
        let uid = owner(made);
        let history = self.slots.get(uid)?;
        let ended = history.iter().skip(1).map(|(since, _)| Some(*since)).chain([None]);
        let valid = history
            .iter()
            .zip(ended)
            .filter(|(_, until)| until.is_none_or(|until| at.duration_since(until).as_secs() < STALE));
        let most = valid.map(|((_, slots), _)| *slots).max().unwrap_or(0);
        let counted = self.active.iter().filter(|(job, of)| *of == uid && !self.late_jobs.contains(*job));
        let active = counted.count();
        (active as u64 > most).then(|| format!("{active} Jobs at a time, and {most} slots"))
    }

    /// The pod of a Job said that its input is broken.
    pub fn is_broken(&mut self, job: &Value) {
        let identity = text(job, "/metadata/labels/streamingplatform.dev~1identity").to_owned();
        self.works.entry(identity).or_default().is_broken = true;
    }

    /// Each clip that was told of is waiting, or was done, or is on the dead-letter queue.
    pub fn nothing_lost(&mut self, told: &BTreeSet<String>, cloud: &Cloud, place: &Place) {
        let waiting = cloud.with(place, |region, _| bodies(region));
        let is_waiting = |clip: &str| waiting.iter().any(|(_, body)| body.contains(clip));
        let lost: Vec<String> =
            told.difference(&self.done).filter(|clip| !is_waiting(clip)).cloned().collect();
        for clip in lost {
            self.broke(format!("{clip} is neither done nor on any queue"));
        }
    }

    /// One platform has one database in AWS, and one cache.
    pub fn one_of_each(&mut self, cloud: &Cloud, place: &Place) {
        let uids: BTreeSet<&String> = self.specs.keys().map(|(uid, _)| uid).collect();
        let all = cloud
            .with(place, |region, _| uids.iter().flat_map(|uid| servers(region, uid)).collect::<Vec<_>>());
        for (part, names) in all.into_iter().filter(|(_, names)| names.len() > 1) {
            self.broke(format!("a platform has more than one {part} in AWS: {names:?}"));
        }
    }

    /// The last spec of each platform that ever was, by UID.
    pub fn last_specs(&self) -> BTreeMap<&str, &Value> {
        self.specs.iter().map(|((uid, _), spec)| (uid.as_str(), spec)).collect()
    }

    /// A dead letter has a reason, and was right to be given up.
    pub fn dead_letter(
        &mut self,
        attributes: &BTreeMap<String, String>,
        body: &str,
        told: &BTreeSet<String>,
    ) {
        let attribute = |name: &str| {
            let named = attributes.iter().find(|(key, _)| key.to_lowercase().contains(name));
            named.map(|(_, value)| value.as_str()).unwrap_or_default()
        };
        if attribute("reason").is_empty() {
            self.broke(format!("a dead letter without a reason: {attributes:?} {body}"));
        }
        let Some(clip) = told.iter().find(|clip| body.contains(clip.as_str())) else { return };
        if self.done.contains(clip) {
            self.broke(format!("{clip} is done and dead-lettered"));
        }
        if !self.may_be_dead(attribute("identity")) {
            self.broke(format!("{clip} was given up too early: {attributes:?} {body}"));
        }
    }

    /// Whatever fails, there are no more requests in a minute than these. Returns how many there were.
    pub fn bounded(&mut self, requests: impl Iterator<Item = Timestamp>, most: u64) -> u64 {
        let mut minutes: BTreeMap<i64, u64> = BTreeMap::new();
        for at in requests {
            *minutes.entry(at.as_second() / 60).or_default() += 1;
        }
        let busiest = minutes.into_values().max().unwrap_or(0);
        if busiest > most {
            self.broke(format!("{busiest} requests in a minute; at most {most} are right"));
        }
        busiest
    }

    /// Whether a dead-lettered work failed as often as it may, or for good.
    fn may_be_dead(&self, identity: &str) -> bool {
        self.works.get(identity).is_some_and(|work| {
            work.is_broken || work.is_forgotten || u64::from(work.failed) >= work.attempts
        })
    }
}

/// Databases and caches in AWS that bear the UID of a platform.
pub fn servers(region: &Region, uid: &str) -> [(&'static str, Vec<String>); 2] {
    let databases = region.rds.instances.iter().filter(|(_, it)| it.tags.values().any(|tag| tag == uid));
    let caches = region.elasticache.groups.iter().filter(|(_, it)| it.tags.values().any(|tag| tag == uid));
    [
        ("database", databases.map(|(name, _)| name.clone()).collect()),
        ("cache", caches.map(|(name, _)| name.clone()).collect()),
    ]
}

/// Whether a Job is done.
pub fn is_done(job: &Value) -> bool {
    has_condition(job, "Complete")
}

/// Key of the source that a Job is for.
pub fn clip(job: &Value) -> Option<String> {
    let ticket = job.pointer("/metadata/annotations/streamingplatform.dev~1work")?.as_str()?;
    let ticket: Value = serde_json::from_str(ticket).ok()?;
    ticket.pointer("/request/source/key")?.as_str().map(str::to_owned)
}

/// What is on all queues but those of outcomes: the queue and the body.
pub fn bodies(region: &Region) -> Vec<(String, String)> {
    let queues = region.sqs.queues.iter().filter(|(name, _)| !name.contains("events"));
    queues.flat_map(|(name, queue)| queue.messages.iter().map(|it| (name.clone(), it.body.clone()))).collect()
}

/// Deployments that a spec asks for, by the end of their names, with their images.
pub fn images(spec: &Value) -> Vec<(String, String)> {
    let parts = ["frontend", "backend"].into_iter().map(|part| (part.to_owned(), spec.get(part)));
    let services = spec["services"].as_array().into_iter().flatten();
    let services = services.map(|service| (text(service, "/name").to_owned(), Some(service)));
    let wanted =
        parts.chain(services).filter_map(|(name, part)| Some((name, text(part?, "/image").to_owned())));
    wanted.collect()
}

fn decoded(text: &str) -> String {
    String::from_utf8_lossy(&BASE64_STANDARD.decode(text).unwrap_or_default()).into_owned()
}
