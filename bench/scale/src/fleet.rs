//! Platforms: whole ones, with all services, a queue and buckets; database and cache are outside.

use crate::{
    accounts::{Account, REGION},
    world::World,
};
use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::PostParams,
    runtime::{WatchStreamExt, watcher},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    fmt::Debug,
    time::{Duration, Instant},
};
use streaming_operator::api::StreamingPlatform;
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

/// Longest that nothing may become ready while something is waited for.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Most platforms of one account: it takes so many calls a second, whoever makes them.
const PER_ACCOUNT: usize = 50;

/// How many accounts so many platforms share.
pub fn accounts_for(platforms: usize) -> usize {
    platforms.div_ceil(PER_ACCOUNT)
}

/// Where the platform of that number lives; there is a namespace for each account.
pub fn namespace(index: usize, world: &World) -> String {
    format!("bench-{}", index % world.accounts.len())
}

/// Name of the platform of that number.
pub fn name(index: usize) -> String {
    format!("p{index:04}")
}

/// Makes the namespaces, with the Secrets that platforms name.
///
/// # Errors
/// When the API server refuses.
pub async fn prepare(world: &World) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(world.client.clone());
    for index in 0..world.accounts.len() {
        let name = format!("bench-{index}");
        let namespace = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        namespaces.create(&PostParams::default(), &namespace).await?;
        let secrets: Api<Secret> = Api::namespaced(world.client.clone(), &name);
        for (secret, data) in [
            (
                "aws",
                json!({"accessKeyID": Account::access_key(index), "secretAccessKey": Account::SECRET_KEY}),
            ),
            ("postgres", json!({"uri": "postgres://media:secret@db.example.com/media"})),
            ("redis", json!({"uri": "rediss://cache.example.com"})),
        ] {
            let secret = json!({"metadata": {"name": secret}, "stringData": data});
            secrets.create(&PostParams::default(), &serde_json::from_value(secret)?).await?;
        }
    }
    Ok(())
}

/// The platform of that number.
pub fn manifest(index: usize, world: &World) -> Value {
    let outside = |secret: &str| json!({"provider": "External", "external": {"secretRef": {"name": secret}}});
    json!({
        "apiVersion": "streamingplatform.dev/v1alpha1", "kind": "StreamingPlatform",
        "metadata": {"name": name(index), "namespace": namespace(index, world)},
        "spec": {
            "aws": aws(index, world),
            "frontend": {"replicas": 1},
            "backend": {"replicas": 1},
            "worker": {"replicas": 1},
            "transcoding": {},
            "database": outside("postgres"),
            "cache": outside("redis"),
        },
    })
}

/// `spec.aws` of the platform of that number.
pub fn aws(index: usize, world: &World) -> Value {
    let account = &world.accounts[index % world.accounts.len()];
    json!({"region": REGION, "endpointURL": account.url, "credentialsSecretRef": {"name": "aws"}})
}

/// Creates a platform.
///
/// # Errors
/// When the API server refuses.
pub async fn create(client: &Client, manifest: Value) -> Result<StreamingPlatform> {
    let platform: StreamingPlatform = serde_json::from_value(manifest)?;
    let api: Api<StreamingPlatform> =
        Api::namespaced(client.clone(), &platform.namespace().unwrap_or_default());
    let name = platform.name_any();
    api.create(&PostParams::default(), &platform).await.with_context(|| format!("create {name}"))
}

/// Creates the first platform, with transcoding only, and waits until it is Ready. Gives the URL of its queue.
///
/// # Errors
/// When the API server refuses, or nothing happens for [`PATIENCE`].
pub async fn create_queue(world: &World, transcoding: Value) -> Result<String> {
    let mut watch = Watch::start(Api::<StreamingPlatform>::all(world.client.clone()));
    let manifest = json!({
        "apiVersion": "streamingplatform.dev/v1alpha1", "kind": "StreamingPlatform",
        "metadata": {"name": name(0), "namespace": namespace(0, world)},
        "spec": {"aws": aws(0, world), "transcoding": transcoding},
    });
    create(&world.client, manifest).await?;
    loop {
        let (_, platform) = watch.next().await.context("a platform that is Ready")?;
        if is_ready(&platform) {
            let transcoding = platform.status.and_then(|status| status.transcoding);
            return transcoding.and_then(|it| it.queue_url).context("the platform has no queue");
        }
    }
}

/// Creates the platforms of these numbers, so many at a time.
///
/// # Errors
/// When the API server refuses one.
pub async fn create_all(
    world: &World,
    indices: impl Iterator<Item = usize>,
    concurrency: usize,
) -> Result<()> {
    let creating = indices.map(|index| create(&world.client, manifest(index, world)));
    stream::iter(creating).buffer_unordered(concurrency).map_ok(drop).try_collect().await
}

/// Whether the platform is Ready as it is specified now.
pub fn is_ready(platform: &StreamingPlatform) -> bool {
    let status = platform.status.iter().flat_map(|status| &status.conditions);
    status.into_iter().any(|condition| {
        condition.type_ == "Ready"
            && condition.status == "True"
            && condition.observed_generation == platform.metadata.generation
    })
}

/// Tells of each object that a watch shows, with when.
pub struct Watch<K> {
    seen: mpsc::UnboundedReceiver<(Instant, K)>,
    task: JoinHandle<()>,
}

impl<K> Watch<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    /// Begins.
    pub fn start(api: Api<K>) -> Self {
        let (sender, seen) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            let config = watcher::Config::default();
            let mut objects = std::pin::pin!(watcher(api, config).default_backoff().applied_objects());
            while let Some(object) = objects.next().await {
                // After an error the watch begins anew by itself.
                let Ok(object) = object else { continue };
                if sender.send((Instant::now(), object)).is_err() {
                    return;
                }
            }
        });
        Self { seen, task }
    }

    /// The next object.
    ///
    /// # Errors
    /// When nothing happens for [`PATIENCE`].
    pub async fn next(&mut self) -> Result<(Instant, K)> {
        let next =
            timeout(PATIENCE, self.seen.recv()).await.context("the watch tells of nothing any more")?;
        next.context("the watch ended")
    }

    /// Waits until so many are as asked for; when each first was, in that order.
    ///
    /// # Errors
    /// When nothing happens for [`PATIENCE`].
    pub async fn until(&mut self, number: usize, ready: impl Fn(&K) -> bool) -> Result<Vec<Instant>> {
        let mut since = HashMap::new();
        while since.len() < number {
            let (at, object) = self.next().await.with_context(|| format!("{} of {number}", since.len()))?;
            if ready(&object) {
                since.entry((object.namespace(), object.name_any())).or_insert(at);
            }
        }
        let mut instants: Vec<_> = since.into_values().collect();
        instants.sort();
        Ok(instants)
    }
}

impl<K> Drop for Watch<K> {
    fn drop(&mut self) {
        self.task.abort();
    }
}
