//! The least that could do the operator's work: a client that repeats its writes, and decides nothing.

use crate::{accounts::Change, audit::Request, fleet, world::World};
use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use http::Method;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, Client, ResourceExt};
use serde_json::Value;
use std::{collections::HashMap, time::Instant};

/// Everything that one platform is made of.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// The platform's UID when it was recorded.
    uid: String,
    /// What changed AWS.
    calls: Vec<Change>,
    /// The last write of each object, in their order.
    objects: Vec<Write>,
}

#[derive(Clone, Debug)]
struct Write {
    method: Method,
    uri: String,
    body: Value,
}

/// What the operator wrote for each of the platforms from `first` on: objects, not its status and finalizers.
///
/// # Errors
/// When a write has no body.
pub async fn recorded(
    world: &World,
    requests: &[Request],
    indices: impl Iterator<Item = usize>,
) -> Result<HashMap<usize, Recorded>> {
    let mut all = HashMap::new();
    let changes: Vec<_> = world.accounts.iter().map(|account| account.changes()).collect();
    for index in indices {
        let (name, namespace) = (fleet::name(index), fleet::namespace(index, world));
        let api: Api<streaming_operator::api::StreamingPlatform> =
            Api::namespaced(world.client.clone(), &namespace);
        let uid = api.get(&name).await?.uid().context("a platform has a UID")?;
        let calls = &changes[index % world.accounts.len()];
        let calls = calls.iter().filter(|call| call.names(&name)).cloned().collect();
        all.insert(index, Recorded { uid, calls, objects: Vec::new() });
    }
    for request in requests.iter().filter(|request| request.writes() && request.succeeded()) {
        if ["streamingplatforms", "events"].iter().any(|not| request.resource().starts_with(not)) {
            continue;
        }
        let mut body = request.request_object.clone().context("the audit log holds no body")?;
        // An object is the one that was observed; here it is another.
        body["metadata"].as_object_mut().context("a body without metadata")?.remove("uid");
        let method = if request.verb == "create" { Method::POST } else { Method::PATCH };
        let write = Write { method, uri: request.uri.clone(), body };
        let Some(recorded) = write.platform().and_then(|index| all.get_mut(&index)) else { continue };
        recorded.objects.retain(|other: &Write| other.key() != write.key());
        recorded.objects.push(write);
    }
    Ok(all)
}

impl Write {
    fn name(&self) -> &str {
        self.body["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// Number of the platform that the object is named after.
    fn platform(&self) -> Option<usize> {
        self.name().split('-').next()?.strip_prefix('p')?.parse().ok()
    }

    fn key(&self) -> (&str, &str) {
        (self.uri.split('?').next().unwrap_or_default(), self.name())
    }

    async fn repeat(&self, client: &Client, uid: (&str, &str)) -> Result<()> {
        let body = self.body.to_string().replace(uid.0, uid.1);
        let content =
            if self.method == Method::POST { "application/json" } else { "application/apply-patch+yaml" };
        let request = http::Request::builder()
            .method(self.method.clone())
            .uri(&self.uri)
            .header(http::header::CONTENT_TYPE, content)
            .body(body.into_bytes())?;
        client.request_text(request).await.with_context(|| format!("{} {}", self.method, self.uri))?;
        Ok(())
    }
}

/// Makes the platforms as they were recorded, so many at a time; tells when each Deployment was available, counted
/// from the beginning.
///
/// # Errors
/// When a write is refused.
pub async fn make(
    world: &World,
    recorded: &HashMap<usize, Recorded>,
    indices: Vec<usize>,
    concurrency: usize,
) -> Result<(Instant, Vec<Instant>)> {
    let client = world.server.operator_client().await?;
    let http = reqwest::Client::new();
    let deployments = indices.iter().map(|index| recorded[index].deployments()).sum();
    ensure!(deployments > 0, "no Deployment was recorded");
    let mut watch = fleet::Watch::start(Api::<Deployment>::all(world.client.clone()));
    let mine: std::collections::HashSet<_> = indices.iter().map(|index| fleet::name(*index)).collect();
    let is_mine = |deployment: &Deployment| {
        deployment.name_any().split('-').next().is_some_and(|name| mine.contains(name))
    };
    let begun = Instant::now();
    let making = stream::iter(indices).map(|index| make_one(world, &client, &http, index, &recorded[&index]));
    let making = making.buffer_unordered(concurrency).try_collect::<()>();
    let available = watch.until(deployments, |deployment| is_mine(deployment) && is_available(deployment));
    let ((), available) = tokio::try_join!(making, available)?;
    Ok((begun, available))
}

impl Recorded {
    fn deployments(&self) -> usize {
        self.objects.iter().filter(|write| write.uri.contains("/deployments/")).count()
    }

    /// Objects and calls.
    pub fn size(&self) -> (usize, usize) {
        (self.objects.len(), self.calls.len())
    }
}

async fn make_one(
    world: &World,
    client: &Client,
    http: &reqwest::Client,
    index: usize,
    recorded: &Recorded,
) -> Result<()> {
    let platform = fleet::create(&world.client, fleet::manifest(index, world)).await?;
    let uid = platform.uid().context("a platform has a UID")?;
    let account = &world.accounts[index % world.accounts.len()];
    for call in &recorded.calls {
        call.repeat(http, &account.url).await?;
    }
    for write in &recorded.objects {
        write.repeat(client, (&recorded.uid, &uid)).await?;
    }
    Ok(())
}

/// Whether a Deployment runs as it is specified now.
pub fn is_available(deployment: &Deployment) -> bool {
    let Some(status) = &deployment.status else { return false };
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    status.observed_generation == deployment.metadata.generation
        && status.updated_replicas.unwrap_or(0) == wanted
        && status.available_replicas.unwrap_or(0) == wanted
        && status.replicas.unwrap_or(0) == wanted
}
