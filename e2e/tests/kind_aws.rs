//! A platform whose database and cache are in AWS: real PostgreSQL and Redis behind the emulator's endpoints, used by
//! real pods through every change of the database's life.

use anyhow::{Context, Result, bail, ensure};
use aws_sdk_rds::{
    config::Region,
    types::{DbInstance, DbSnapshot},
};
use e2e::{
    fakecloud::Fakecloud,
    kind::{
        Check, Cluster, FRONTEND_NODE_PORT, Platform,
        api::{Api, Video, answer},
        clip, eventually,
        gateway::{self, Gateway},
        helm, inventory,
        platform::observed,
        spec,
    },
};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{ResourceExt, api::ListParams};
use redis::Commands;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};
use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};
use streaming_operator::api::{DataStatus, names};
use tokio::time::{MissedTickBehavior, interval};

const READY: Duration = Duration::from_secs(240);
const SOON: Duration = Duration::from_secs(60);
const ROLLED: Duration = Duration::from_secs(120);
/// Connection Secrets.
const DATABASE: &str = "tv-database";
const CACHE: &str = "tv-cache";
/// Writers of the load, and how often each writes.
const WRITERS: usize = 4;
const PACE: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread")]
async fn database_and_cache_in_aws_are_used_rotated_restored_and_deleted() -> Result<()> {
    let cluster = Cluster::connect().await?;
    let namespace = cluster.namespace("aws").await?;
    let fakecloud = Fakecloud::start_listening(gateway::address(&cluster.aws.endpoint)?).await?;
    let gateway = Gateway::open(&fakecloud.endpoint, &cluster.aws.endpoint).await?;
    let values = helm::values().await?;
    let mut allowed = values.clone();
    allowed["aws"]["allowedEndpoints"] = json!([cluster.aws.endpoint, gateway.url]);
    helm::upgrade_tree(&allowed).await?;

    let platform = cluster.platform(&namespace, "tv");
    let result = Box::pin(life(platform, &fakecloud, &gateway)).await;
    helm::upgrade_tree(&values).await?;
    result?;
    cluster.delete_namespace(&namespace).await
}

async fn life(platform: Platform, fakecloud: &Fakecloud, gateway: &Gateway) -> Result<()> {
    let mut scene = Scene::start(platform, fakecloud, gateway).await?;
    let video = Box::pin(used(&scene)).await?;
    Box::pin(rotated(&scene, &video)).await?;
    Box::pin(restored(&mut scene, &video)).await?;
    Box::pin(deleted(&scene)).await
}

struct Scene {
    platform: Platform,
    api: Api,
    rds: aws_sdk_rds::Client,
    elasticache: aws_sdk_elasticache::Client,
    spec: Value,
}

fn spec(platform: &Platform, gateway: &Gateway) -> Value {
    let mut aws = platform.cluster.aws_spec();
    aws["endpointURL"] = json!(gateway.url);
    let mut frontend = spec::component();
    frontend["exposure"] = json!({"type": "NodePort", "nodePort": FRONTEND_NODE_PORT});
    // One takes over from the other while pods roll.
    let mut backend = spec::component();
    backend["replicas"] = json!(2);
    json!({
        "aws": aws,
        "frontend": frontend,
        "backend": backend,
        "worker": spec::component(),
        "transcoding": spec::transcoding(),
        "database": {
            "provider": "AWS",
            "aws": {
                "masterPassword": "Kubernetes",
                "network": {"tls": false},
                "maintenance": {"restarts": "Immediately"},
            },
        },
        "cache": {
            "provider": "AWS",
            "deletionPolicy": "Delete",
            "aws": {"network": {"tls": false}, "maintenance": {"restarts": "Immediately"}},
        },
    })
}

impl Scene {
    /// Applies the platform and waits until it serves.
    async fn start(platform: Platform, fakecloud: &Fakecloud, gateway: &Gateway) -> Result<Self> {
        let spec = spec(&platform, gateway);
        platform.apply(&spec).await?;
        Box::pin(platform.ready(READY)).await?;
        let region = Region::new(platform.cluster.aws.region.clone());
        let rds = aws_sdk_rds::config::Builder::from(&fakecloud.sdk).region(region.clone()).build();
        let elasticache = aws_sdk_elasticache::config::Builder::from(&fakecloud.sdk).region(region).build();
        let token = platform.secret("tv-api-token", "token").await?;
        let api = Api::new(&platform.cluster.frontend_url, &token);
        eventually("the page reaches the backend", SOON, async || Ok(Check::Done(api.videos().await?)))
            .await?;
        Ok(Self {
            api,
            spec,
            rds: aws_sdk_rds::Client::from_conf(rds),
            elasticache: aws_sdk_elasticache::Client::from_conf(elasticache),
            platform,
        })
    }

    /// Begins an upload, which is a row in the catalogue, and reads it back.
    async fn write(&self) -> Result<Video> {
        let upload = json!({"fileName": "a.mp4", "size": 1, "contentType": "video/mp4"});
        let upload = answer(self.api.request(Method::POST, "/api/uploads").json(&upload)).await?;
        self.read(upload["videoId"].as_str().context("an id")?).await
    }

    async fn read(&self, id: &str) -> Result<Video> {
        let shown = answer(self.api.anonymous(Method::GET, &format!("/api/videos/{id}"))).await?;
        Ok(serde_json::from_value(shown)?)
    }

    /// Plays the first of a video, which the backend takes for whole.
    async fn play(&self, video: &Video) -> Result<()> {
        let playback = video.playback.as_ref().context("it can be played")?;
        let answer = self.api.media(&playback.hls, &[]).await?.error_for_status()?;
        let caching = answer.headers().get("cache-control").context("Cache-Control")?.to_str()?;
        ensure!(caching.contains("immutable"), "{}: {caching}", playback.hls);
        Ok(())
    }

    /// Waits until the Deployments have the pods of `revisions`, and no others: those before them serve while they end.
    async fn rolled(&self, revisions: &[(&str, i64)]) -> Result<()> {
        for (component, wanted) in revisions {
            eventually(&format!("{component} has rolled"), ROLLED, async || {
                let deployment = self.deployment(component).await?;
                let found = revision(&deployment)?;
                let status = deployment.status.unwrap_or_default();
                let replicas = deployment.spec.and_then(|spec| spec.replicas).unwrap_or_default();
                let pods = self.pods(component).await?;
                let done = found == *wanted
                    && status.updated_replicas == Some(replicas)
                    && status.available_replicas == Some(replicas)
                    && i32::try_from(pods.len())? == replicas;
                Ok(if done {
                    Check::Done(())
                } else {
                    Check::NotYet(format!("{found}: {pods:?} {status:?}"))
                })
            })
            .await?;
        }
        Ok(())
    }

    async fn deployment(&self, component: &str) -> Result<Deployment> {
        Ok(self.platform.objects::<Deployment>().get(&format!("tv-{component}")).await?)
    }

    /// Revisions of all that uses the database, each `more` times rolled.
    async fn revisions(&self, more: i64) -> Result<[(&'static str, i64); 2]> {
        let backend = revision(&self.deployment("backend").await?)?;
        let worker = revision(&self.deployment("worker").await?)?;
        Ok([("backend", backend + more), ("worker", worker + more)])
    }

    async fn pods(&self, component: &str) -> Result<Vec<String>> {
        let labels = ListParams::default().labels(&format!("app.kubernetes.io/name={component}"));
        Ok(self.platform.objects::<Pod>().list(&labels).await?.iter().map(ResourceExt::name_any).collect())
    }

    /// How often the backend's pods found in the cache what they asked it for.
    async fn cache_hits(&self) -> Result<u64> {
        let mut hits = 0;
        for name in self.pods("backend").await? {
            let namespace = &self.platform.namespace;
            let path = format!("/api/v1/namespaces/{namespace}/pods/{name}:8080/proxy/metrics");
            let request = http::Request::get(path).body(Vec::new())?;
            let metrics = self.platform.cluster.client.request_text(request).await?;
            let hit =
                metrics.lines().find_map(|line| line.strip_prefix(r#"cache_lookups_total{result="hit"} "#));
            hits += hit.map_or(Ok(0), str::parse)?;
        }
        Ok(hits)
    }

    async fn status(&self) -> Result<DataStatus> {
        self.platform
            .get()
            .await?
            .status
            .and_then(|status| status.database)
            .context("a status of the database")
    }

    async fn database(&self) -> Result<PgConnection> {
        Ok(PgConnection::connect(&self.platform.secret(DATABASE, "uri").await?).await?)
    }

    /// Waits until the Secret has another login than that user's.
    async fn another_login(&self, before: &str) -> Result<()> {
        eventually("the Secret has another login", ROLLED, async || {
            let now = self.platform.secret(DATABASE, "uri").await?;
            if now != before {
                return Ok(Check::Done(()));
            }
            Ok(Check::NotYet(format!("{:?}", self.status().await?)))
        })
        .await
    }

    async fn instances(&self) -> Result<Vec<String>> {
        let found = self.rds.describe_db_instances().send().await?.db_instances.unwrap_or_default();
        Ok(found.iter().filter_map(DbInstance::db_instance_identifier).map(str::to_owned).collect())
    }

    async fn snapshots(&self, of: &str) -> Result<Vec<DbSnapshot>> {
        let found = self.rds.describe_db_snapshots().db_instance_identifier(of).send().await?;
        Ok(found.db_snapshots.unwrap_or_default())
    }
}

fn revision(deployment: &Deployment) -> Result<i64> {
    let revision = deployment.annotations().get("deployment.kubernetes.io/revision").context("a revision")?;
    Ok(revision.parse()?)
}

/// The API writes and reads PostgreSQL; what is played is remembered in Redis. Returns a video that is Ready.
async fn used(scene: &Scene) -> Result<Video> {
    let written = scene.write().await?;
    ensure!(written.state == "Uploading", "{written:?}");
    let id = scene.api.upload("clip.mp4", "video/mp4", &clip::video(2, false, 1).await?).await?;
    let video = scene.api.wait(&id, "Ready", READY).await?;
    let rows: i64 =
        sqlx::query_scalar("SELECT count(*) FROM videos").fetch_one(&mut scene.database().await?).await?;
    ensure!(rows == 2, "{rows} rows in RDS's PostgreSQL");

    scene.play(&video).await?;
    let cache = redis::Client::open(scene.platform.secret(CACHE, "uri").await?)?;
    let keys: Vec<String> = cache.get_connection()?.keys("*")?;
    let identity = video.playback.as_ref().and_then(|it| it.hls.split('/').nth(2)).context("an identity")?;
    ensure!(keys.len() == 1 && keys[0].contains(identity), "ElastiCache's Redis has {keys:?}");
    Ok(video)
}

/// The login is rotated while the API is written to: pods roll once, and nobody notices.
async fn rotated(scene: &Scene, video: &Video) -> Result<()> {
    let rolled = scene.revisions(1).await?;
    let before = scene.platform.secret(DATABASE, "uri").await?;
    let (over, writes) = (AtomicBool::new(false), AtomicUsize::new(0));
    let writer = async || -> Result<()> {
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !over.load(Ordering::Relaxed) {
            pace.tick().await;
            scene.write().await.context("a write while the login is rotated")?;
            writes.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    let load = futures::future::try_join_all((0..WRITERS).map(|_| writer()));
    let rotation = async {
        scene.platform.annotate(names::ANNOTATION_ROTATE_LOGIN, "1").await?;
        scene.another_login(&before).await?;
        scene.rolled(&rolled).await?;
        over.store(true, Ordering::Relaxed);
        anyhow::Ok(())
    };
    let ((), _) = tokio::try_join!(rotation, load)?;
    ensure!(writes.load(Ordering::Relaxed) > 10 * WRITERS, "{writes:?} writes");
    PgConnection::connect(&before).await.context("what was started with the login before goes on")?;

    // Pods that know nothing yet learn from the cache what is whole.
    ensure!(scene.cache_hits().await? == 0, "pods are new");
    scene.play(video).await?;
    ensure!(scene.cache_hits().await? == 1, "Redis was asked");
    ensure!(scene.revisions(0).await? == rolled, "pods rolled once");
    Ok(())
}

/// A snapshot, damage, a restore: the rows are back.
async fn restored(scene: &mut Scene, video: &Video) -> Result<()> {
    let first = scene.status().await?.identifier.context("an identifier")?;
    let snapshot = format!("{first}-good");
    scene
        .rds
        .create_db_snapshot()
        .db_instance_identifier(&first)
        .db_snapshot_identifier(&snapshot)
        .send()
        .await?;
    eventually("the snapshot is available", SOON, async || {
        let all = scene.snapshots(&first).await?;
        Ok(match all.first().and_then(DbSnapshot::status) {
            Some("available") => Check::Done(()),
            other => Check::NotYet(format!("{other:?}")),
        })
    })
    .await?;
    let later = scene.write().await?;
    let damaged = scene.platform.secret(DATABASE, "uri").await?;
    scene.database().await?.execute("DROP TABLE videos CASCADE").await?;
    scene.read(&video.id).await.expect_err("a catalogue without its table");

    let rolled = scene.revisions(1).await?;
    scene.spec["database"]["aws"]["restore"] = json!({"name": "one", "snapshotIdentifier": snapshot});
    scene.platform.apply(&scene.spec).await?;
    scene.another_login(&damaged).await?;
    scene.rolled(&rolled).await?;
    Box::pin(scene.platform.ready(SOON)).await?;
    let back = scene.read(&video.id).await?;
    ensure!(back.state == "Ready", "{back:?}");
    scene.play(&back).await?;
    scene.write().await?;
    let gone = scene.api.anonymous(Method::GET, &format!("/api/videos/{}", later.id)).send().await?.status();
    ensure!(gone == StatusCode::NOT_FOUND, "a row that came after the snapshot: {gone}");

    let second = format!("{first}-one");
    ensure!(scene.instances().await?.len() == 2, "what it replaces is kept");
    scene.platform.annotate(names::ANNOTATION_CONFIRM_RESTORE, "one").await?;
    eventually("only the restored database is left", SOON, async || {
        let found = scene.instances().await?;
        Ok(if found == [second.clone()] { Check::Done(()) } else { Check::NotYet(format!("{found:?}")) })
    })
    .await?;
    Box::pin(scene.platform.wait("at rest", SOON, observed)).await?;
    scene.read(&video.id).await?;
    Ok(())
}

/// A final snapshot is left, and nothing else.
async fn deleted(scene: &Scene) -> Result<()> {
    let identifier = scene.status().await?.identifier.context("an identifier")?;
    let transcoding = Box::pin(scene.platform.transcoding(SOON)).await?;
    scene.platform.delete().await?;
    scene.platform.gone(ROLLED).await?;

    let snapshots = scene.snapshots(&identifier).await?;
    let [last] = &snapshots[..] else { bail!("one snapshot, not {snapshots:?}") };
    let name = last.db_snapshot_identifier().unwrap_or_default();
    ensure!(name.starts_with(&format!("{identifier}-final-")), "{name}");
    ensure!(last.status() == Some("available"), "{last:?}");
    ensure!(scene.instances().await?.is_empty(), "{:?}", scene.instances().await?);
    let groups = scene.rds.describe_db_parameter_groups().send().await?;
    let left = groups.db_parameter_groups().iter().filter_map(|it| it.db_parameter_group_name());
    let left: Vec<_> = left.filter(|name| !name.starts_with("default.")).collect();
    ensure!(left.is_empty(), "parameter groups are left: {left:?}");
    let caches = scene.elasticache.describe_replication_groups().send().await?;
    ensure!(caches.replication_groups().is_empty(), "{caches:?}");
    let prefix = transcoding.input.strip_suffix("input").context("the bucket's name ends with its part")?;
    let others = scene.platform.cluster.aws.names(prefix).await?;
    ensure!(others.is_empty(), "{others:?}");
    inventory::holds_exactly(&scene.platform.cluster, &scene.platform.namespace, &[], SOON).await
}
