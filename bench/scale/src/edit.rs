//! One platform edited among many: from the edit to the applied Deployment, and until it runs.

use crate::{
    audit::{AuditLog, Request},
    bare,
    fleet::{self, Watch},
    report::{percentile, say, table},
    usage::load,
    world::World,
};
use anyhow::{Context, Result};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use streaming_operator::api::{StreamingPlatform, names};
use tokio::time::sleep;

/// The variable that an edit sets.
const VARIABLE: &str = "EDIT";
/// Name of the bare client's Deployment.
const BARE: &str = "bare-frontend";
/// Between two edits, so that none meets what the one before left to do.
const PAUSE: Duration = Duration::from_secs(1);
/// Edited platforms lie so far apart.
const STRIDE: usize = 37;

#[derive(clap::Args)]
pub struct Args {
    /// Platforms that are there.
    #[arg(long, default_value_t = 1000)]
    platforms: usize,
    /// Edits by each.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    edits: u32,
    /// Platforms that the operator works on at a time.
    #[arg(long, default_value_t = 32)]
    concurrency: usize,
}

/// Seconds from each edit.
#[derive(Default)]
struct Latencies {
    applied: Vec<f64>,
    done: Vec<f64>,
}

/// Measures and prints.
pub async fn run(args: Args) -> Result<()> {
    let world = World::start(fleet::accounts_for(args.platforms), Duration::from_secs(1)).await?;
    fleet::prepare(&world).await?;
    let operator = world.operator(args.concurrency).await?;
    let mut log = AuditLog::at(&world.server.audit_log());
    let mut platforms = Watch::start(Api::<StreamingPlatform>::all(world.client.clone()));
    let creating = fleet::create_all(&world, 0..args.platforms, args.concurrency);
    tokio::try_join!(creating, platforms.until(args.platforms, fleet::is_ready))?;
    say(&format!("{} platforms are Ready; {:.0} MiB", args.platforms, operator.usage()?.rss_mib))?;
    let mut bare = BareDeployment::of(&log.news()?, &fleet::namespace(0, &world))?;
    let mut deployments = Watch::start(Api::<Deployment>::all(world.client.clone()));
    let bare_client = world.server.operator_client().await?;
    bare.apply(&bare_client, "begin").await?;
    until_rolled_out(&mut deployments, BARE, "begin").await?;
    let (load_before, mut by_operator, mut by_bare) = (load()?, Latencies::default(), Latencies::default());
    for edit in 0..args.edits {
        let value = format!("edit-{edit}");
        for operators_turn in [edit % 2 == 0, edit % 2 == 1] {
            sleep(PAUSE).await;
            let (begun, latencies) =
                (Instant::now(), if operators_turn { &mut by_operator } else { &mut by_bare });
            let (applied, done) = if operators_turn {
                let index = edit as usize * STRIDE % args.platforms;
                edit_platform(&world, index, &value).await?;
                let deployment = format!("{}-frontend", fleet::name(index));
                let (applied, _) = until_rolled_out(&mut deployments, &deployment, &value).await?;
                let (name, namespace) = (fleet::name(index), fleet::namespace(index, &world));
                let generation = Api::<StreamingPlatform>::namespaced(world.client.clone(), &namespace)
                    .get(&name)
                    .await?
                    .metadata
                    .generation;
                (applied, until_ready(&mut platforms, &name, generation).await?)
            } else {
                bare.apply(&bare_client, &value).await?;
                until_rolled_out(&mut deployments, BARE, &value).await?
            };
            latencies.applied.push((applied - begun).as_secs_f64());
            latencies.done.push((done - begun).as_secs_f64());
        }
    }
    print(&args, &load_before, &by_bare, &by_operator)
}

fn print(args: &Args, load_before: &str, bare: &Latencies, operator: &Latencies) -> Result<()> {
    let row = |what: &str, bare: &[f64], operator: &[f64]| {
        let show = |samples: &[f64]| {
            let [p50, p90] = [0.5, 0.9].map(|share| percentile(samples, share) * 1000.0);
            format!("{p50:.0} ms; {p90:.0} ms")
        };
        let ratio = percentile(operator, 0.5) / percentile(bare, 0.5);
        vec![what.to_owned(), show(bare), show(operator), format!("{ratio:.2}")]
    };
    let title = format!("one of {} platforms edited, n={} each, in turn", args.platforms, args.edits);
    table(
        &title,
        (load_before, &load()?),
        &["p50; p90", "bare client", "operator", "ratio of p50"],
        &[
            row("edit → Deployment applied", &bare.applied, &operator.applied),
            row("edit → rolled out, and Ready", &bare.done, &operator.done),
        ],
    )
}

async fn edit_platform(world: &World, index: usize, value: &str) -> Result<()> {
    let api: Api<StreamingPlatform> = Api::namespaced(world.client.clone(), &fleet::namespace(index, world));
    let patch = json!({"spec": {"frontend": {"env": [{"name": VARIABLE, "value": value}]}}});
    api.patch(&fleet::name(index), &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

/// Waits until the pods of a Deployment have the value; when it had the value itself, and when they did.
async fn until_rolled_out(
    deployments: &mut Watch<Deployment>,
    name: &str,
    value: &str,
) -> Result<(Instant, Instant)> {
    let mut applied = None;
    loop {
        let (at, deployment) = deployments.next().await.with_context(|| format!("{name} with {value}"))?;
        if deployment.name_any() != name || !has_value(&deployment, value) {
            continue;
        }
        let applied = *applied.get_or_insert(at);
        if bare::is_available(&deployment) {
            return Ok((applied, at));
        }
    }
}

fn has_value(deployment: &Deployment, value: &str) -> bool {
    let pod = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    let mut variables =
        pod.iter().flat_map(|pod| &pod.containers).flat_map(|container| container.env.iter().flatten());
    variables.any(|variable| variable.name == VARIABLE && variable.value.as_deref() == Some(value))
}

/// Waits until a platform is Ready with that generation.
async fn until_ready(
    platforms: &mut Watch<StreamingPlatform>,
    name: &str,
    generation: Option<i64>,
) -> Result<Instant> {
    loop {
        let (at, platform) = platforms.next().await?;
        if platform.name_any() == name
            && platform.metadata.generation == generation
            && fleet::is_ready(&platform)
        {
            return Ok(at);
        }
    }
}

/// The frontend of the first platform under another name, which no operator knows.
struct BareDeployment {
    namespace: String,
    body: Value,
}

impl BareDeployment {
    fn of(requests: &[Request], namespace: &str) -> Result<Self> {
        let name = format!("{}-frontend", fleet::name(0));
        let write = requests.iter().rfind(|request| {
            request.resource() == "deployments"
                && request.request_object.as_ref().is_some_and(|body| body["metadata"]["name"] == *name)
        });
        let body =
            write.and_then(|write| write.request_object.clone()).context("no Deployment was recorded")?;
        // Other values of the labels by which it and its pods are the platform's.
        let label =
            |label: &str, value: &str| json!({label: value}).to_string().trim_matches(['{', '}']).to_owned();
        let text = body
            .to_string()
            .replace(
                &label(names::LABEL_MANAGED_BY, names::FIELD_MANAGER),
                &label(names::LABEL_MANAGED_BY, "bench"),
            )
            .replace(&label(names::LABEL_INSTANCE, &fleet::name(0)), &label(names::LABEL_INSTANCE, "bare"));
        let mut body: Value = serde_json::from_str(&text)?;
        body["metadata"]["name"] = BARE.into();
        body["metadata"]["namespace"] = namespace.into();
        if let Some(metadata) = body["metadata"].as_object_mut() {
            metadata.remove("ownerReferences");
        }
        Ok(Self { namespace: namespace.to_owned(), body })
    }

    async fn apply(&mut self, client: &kube::Client, value: &str) -> Result<()> {
        let container = &mut self.body["spec"]["template"]["spec"]["containers"][0];
        container["env"] = json!([{"name": VARIABLE, "value": value}]);
        let api: Api<Deployment> = Api::namespaced(client.clone(), &self.namespace);
        let params = PatchParams::apply("bench").force();
        api.patch(BARE, &params, &Patch::Apply(&self.body)).await.context("apply the bare Deployment")?;
        Ok(())
    }
}
