//! What must be so all along: looked at every other second, and at the end.

use serde_json::Value;
use simulation::{
    aws::{
        ACCOUNT, Cloud, Place, Region,
        rds::{NoSession, Session},
    },
    kubernetes::{
        Cluster,
        resource::{DEPLOYMENTS, PLATFORMS, PODS, SECRETS},
        store::{Key, Store},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::task::JoinSet;

/// How often it is looked.
const INTERVAL: Duration = Duration::from_secs(2);

/// What was seen to be wrong.
#[derive(Clone, Default)]
pub struct Watched(Arc<Mutex<BTreeSet<String>>>);

/// A login as a pod has it: host, database, user and password.
type Login = [String; 4];

/// Pods that run, by UID, with the logins that they were started with.
type Pods = BTreeMap<String, Vec<(String, Login)>>;

impl Watched {
    /// Looks from now on.
    pub fn begin(cluster: &Cluster, cloud: &Cloud, tasks: &mut JoinSet<()>) -> Self {
        let (watched, cluster, cloud) = (Self::default(), cluster.clone(), cloud.clone());
        let wrong = Arc::clone(&watched.0);
        tasks.spawn(async move {
            let (mut pods, mut images) = (Pods::new(), BTreeSet::new());
            loop {
                tokio::time::sleep(INTERVAL).await;
                let mut found = cluster.with(|store, _| {
                    note_pods(store, &mut pods);
                    note_images(store, &mut images);
                    readiness(store, &images)
                });
                let platform = cluster.with(|store, _| {
                    let mut platforms = store.all().filter(|(key, _)| key.resource == PLATFORMS);
                    platforms.next().map(|(_, platform)| platform.clone()).unwrap_or_default()
                });
                let cache = platform["status"]["cache"]["identifier"].as_str();
                // The one in use, and the one that is restored.
                let databases = if platform["spec"]["database"]["aws"]["restore"].is_null() { 1 } else { 2 };
                let place = Place { account: ACCOUNT.to_owned(), region: crate::world::REGION.to_owned() };
                found.extend(cloud.with(&place, |region, _| {
                    let refused = pods
                        .values()
                        .flatten()
                        .filter_map(|(secret, login)| refused(region, secret, login, cache));
                    refused
                        .collect::<Vec<_>>()
                        .into_iter()
                        .chain(too_many(region, databases))
                        .collect::<Vec<_>>()
                }));
                wrong.lock().unwrap().extend(found);
            }
        });
        watched
    }

    /// Fails where something was seen, or a password is outside of Secrets.
    pub fn check(&self, cluster: &Cluster) {
        let seen = self.0.lock().unwrap().clone();
        assert!(seen.is_empty(), "{seen:#?}");
        cluster.with(|store, _| {
            let passwords: BTreeSet<String> = store
                .since(0)
                .filter(|change| change.key.resource == SECRETS)
                .filter_map(|change| text(change.after.as_ref()?, "password"))
                .filter(|password| password.len() >= 16)
                .collect();
            for change in store.since(0).filter(|change| change.key.resource != SECRETS) {
                let Some(after) = &change.after else { continue };
                let written = after.to_string();
                let leaked = passwords.iter().any(|password| written.contains(password));
                assert!(!leaked, "a password is in {} {}: {written}", change.key.resource, change.key.name);
            }
        });
    }
}

/// A value of a Secret.
pub fn text(secret: &Value, key: &str) -> Option<String> {
    let data: k8s_openapi::ByteString = serde_json::from_value(secret["data"].get(key)?.clone()).ok()?;
    String::from_utf8(data.0).ok()
}

/// Notes the logins of pods that began to run, and forgets pods that are gone.
fn note_pods(store: &Store, pods: &mut Pods) {
    let uid = |pod: &Value| pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    let all = || store.all().filter(|(key, _)| key.resource == PODS);
    let there: BTreeSet<String> = all().map(|(_, pod)| uid(pod)).collect();
    pods.retain(|uid, _| there.contains(uid));
    for (key, pod) in all().filter(|(_, pod)| pod["status"]["phase"] == "Running") {
        pods.entry(uid(pod)).or_insert_with(|| {
            let spec = pod["spec"].to_string();
            let names =
                ["tv-database", "tv-cache"].into_iter().filter(|name| spec.contains(&format!("\"{name}\"")));
            names.filter_map(|name| Some((name.to_owned(), login(store, &key.namespace, name)?))).collect()
        });
    }
}

/// The login that a connection Secret holds; none: nothing in AWS.
fn login(store: &Store, namespace: &str, name: &str) -> Option<Login> {
    let secret =
        store.get(&Key { resource: SECRETS, namespace: namespace.to_owned(), name: name.to_owned() })?;
    let host = text(&secret, "host")?;
    let dbname = text(&secret, "dbname").unwrap_or_default();
    host.ends_with(".amazonaws.com").then_some(())?;
    Some([host, dbname, text(&secret, "username")?, text(&secret, "password")?])
}

/// What a server says to a login that it refuses.
fn refused(region: &mut Region, secret: &str, login: &Login, cache: Option<&str>) -> Option<String> {
    let [host, database, user, password] = login;
    let is_refused = if secret == "tv-database" {
        region.log_in(Session { host, database, user, password }) == Err(NoSession::WrongPassword)
    } else {
        let serves = |id: &str| region.elasticache.groups.get(id).is_some_and(|group| group.serves());
        cache.is_some_and(|id| serves(id) && !region.elasticache.lets_in(id, user, Some(password)))
    };
    is_refused.then(|| format!("a pod's login as {user} to {host} is refused"))
}

/// One platform has one of each.
fn too_many(region: &Region, databases: usize) -> Vec<String> {
    let counts = [
        ("databases", region.rds.instances.len(), databases),
        ("caches", region.elasticache.groups.len(), 1),
        ("buckets", region.s3.buckets.len(), 2),
        ("queues", region.sqs.queues.len(), 3),
    ];
    let wrong = counts.into_iter().filter(|(_, there, most)| there > most);
    wrong.map(|(what, there, _)| format!("{there} {what}")).collect()
}

/// Notes of which images pods ever ran.
fn note_images(store: &Store, images: &mut BTreeSet<String>) {
    let running =
        store.all().filter(|(key, pod)| key.resource == PODS && pod["status"]["phase"] == "Running");
    let image = |pod: &Value| pod["spec"]["containers"][0]["image"].as_str().map(str::to_owned);
    images.extend(running.filter_map(|(_, pod)| image(pod)));
}

/// A platform that says it is ready for its generation has the Deployments of that generation, and they had pods.
fn readiness(store: &Store, ran: &BTreeSet<String>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (key, platform) in store.all().filter(|(key, _)| key.resource == PLATFORMS) {
        let generation = &platform["metadata"]["generation"];
        let conditions = platform["status"]["conditions"].as_array().into_iter().flatten();
        let mut ready = conditions.filter(|it| it["type"] == "Ready" && it["status"] == "True");
        if !ready.any(|it| it["observedGeneration"] == *generation)
            || platform["metadata"].get("deletionTimestamp").is_some()
        {
            continue;
        }
        for part in ["frontend", "backend", "worker"] {
            let Some(image) = platform["spec"][part]["image"].as_str() else { continue };
            let name = format!("{}-{part}", key.name);
            let deployment = Key { resource: DEPLOYMENTS, namespace: key.namespace.clone(), name };
            let there = store.get(&deployment).unwrap_or_default();
            let has = &there["spec"]["template"]["spec"]["containers"][0]["image"];
            if has != image || !ran.contains(image) {
                wrong.push(format!(
                    "ready at generation {generation} with {part} {has}, and not with {image}"
                ));
            }
        }
    }
    wrong
}
