//! KEDA's operator in a process of its own, with a `ScaledJob` for one queue.
//!
//! What counts messages for HPAs, and its webhooks, have no part in `ScaledJob`s and do not run.

use crate::{accounts::REGION, fleet, queue::flow, usage::Usage, world::World};
use anyhow::{Context, Result, bail};
use e2e::{
    kind::{Check, eventually},
    process::{Guard, Program, free_port},
};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::{
    api::core::v1::Pod, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, ResourceExt,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams},
    runtime::{WatchStreamExt, watcher},
};
use serde_json::{Value, json};
use std::{collections::HashSet, convert::Infallible, env, fs, path::Path, time::Duration};

/// How long it may take until it looks at the queue.
const START: Duration = Duration::from_secs(60);
/// Calls of its pods at a time.
const TAKING: usize = 32;
/// Names of what is made for it.
const NAME: &str = "keda";

/// It runs until this is dropped.
pub struct Keda {
    guard: Guard,
}

impl Keda {
    /// Starts it with these flags and a `ScaledJob` of one Job a message with that `scaling`, and waits until that is
    /// ready.
    ///
    /// # Errors
    /// When it is not ready in time; with the end of its log.
    pub async fn start(world: &World, flags: &[&str], queue: &str, scaling: Value) -> Result<Self> {
        install(world).await?;
        let certificates = certificates(world.server.directory())?;
        let guard = Program::new("KEDA", "keda")?
            .args([
                format!("--cert-dir={certificates}"),
                format!("--metrics-service-bind-address=127.0.0.1:{}", free_port()?),
                "--enable-prometheus-metrics=false".to_owned(),
                "--health-probe-bind-address=0".to_owned(),
            ])
            .args(flags.iter().map(ToString::to_string))
            .env("KUBECONFIG", &world.server.admin_kubeconfig().display().to_string())
            .env("WATCH_NAMESPACE", "")
            .env("KEDA_CLUSTER_OBJECT_NAMESPACE", &fleet::namespace(0, world))
            .start(world.server.directory(), NAME)?;
        let keda = Self { guard };
        let ready = async {
            create(world, "TriggerAuthentication", authentication()).await?;
            let scaled_job = create(world, "ScaledJob", scaled_job(world, queue, scaling)).await?;
            eventually("the ScaledJob is ready", START, async || {
                let conditions = scaled_job.get(NAME).await?.data["status"]["conditions"].take();
                let is_ready = |it: &Value| it["type"] == "Ready" && it["status"] == "True";
                Ok(match conditions.as_array().into_iter().flatten().any(is_ready) {
                    true => Check::Done(()),
                    false => Check::NotYet(conditions.to_string()),
                })
            })
            .await
        };
        ready.await.with_context(|| keda.log_tail())?;
        Ok(keda)
    }

    /// What it uses.
    ///
    /// # Errors
    /// When it ended.
    pub fn usage(&self) -> Result<Usage> {
        Usage::of(self.guard.pid()?)
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        self.guard.log_tail()
    }
}

/// Its CRDs, from the folder that `KEDA_CRDS` names.
async fn install(world: &World) -> Result<()> {
    let folder = env::var("KEDA_CRDS").context("KEDA_CRDS is not set: `make bench-queue` sets it")?;
    let crds = Api::<CustomResourceDefinition>::all(world.client.clone());
    let mut names = Vec::new();
    for file in fs::read_dir(&folder).with_context(|| format!("read {folder}"))? {
        let text = fs::read_to_string(file?.path())?;
        let crd: CustomResourceDefinition = serde_saphyr::from_str(&text)?;
        names.push(crds.create(&PostParams::default(), &crd).await?.name_any());
    }
    eventually("KEDA's CRDs are served", START, async || {
        for name in &names {
            let status = crds.get(name).await?.status.unwrap_or_default();
            let conditions = status.conditions.unwrap_or_default();
            if !conditions.iter().any(|it| it.type_ == "Established" && it.status == "True") {
                return Ok(Check::NotYet(name.clone()));
            }
        }
        Ok(Check::Done(()))
    })
    .await
}

/// A folder with what its gRPC server shows and asks for.
fn certificates(directory: &Path) -> Result<String> {
    let folder = directory.join("keda-certificates");
    fs::create_dir(&folder)?;
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    for (file, content) in [
        ("ca.crt", made.cert.pem()),
        ("tls.crt", made.cert.pem()),
        ("tls.key", made.signing_key.serialize_pem()),
    ] {
        fs::write(folder.join(file), content)?;
    }
    Ok(folder.display().to_string())
}

/// Applies one of KEDA's objects. Gives what is there of its kind.
async fn create(world: &World, kind: &str, spec: Value) -> Result<Api<DynamicObject>> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("keda.sh", "v1alpha1", kind));
    let api = Api::namespaced_with(world.client.clone(), &fleet::namespace(0, world), &resource);
    let object = DynamicObject::new(NAME, &resource).data(json!({ "spec": spec }));
    api.patch(NAME, &PatchParams::apply("bench"), &Patch::Apply(object)).await?;
    Ok(api)
}

fn authentication() -> Value {
    let from = |parameter: &str, key: &str| json!({"parameter": parameter, "name": "aws", "key": key});
    json!({"secretTargetRef": [from("awsAccessKeyID", "accessKeyID"), from("awsSecretAccessKey", "secretAccessKey")]})
}

fn scaled_job(world: &World, queue: &str, scaling: Value) -> Value {
    let mut spec = json!({
        "jobTargetRef": flow::job_spec(),
        "triggers": [{
            "type": "aws-sqs-queue",
            "metadata": {
                "queueURL": queue,
                // Messages for each Job; 5 where nothing is said.
                "queueLength": "1",
                "awsRegion": REGION,
                "awsEndpoint": world.accounts[0].url,
            },
            "authenticationRef": {"name": NAME},
        }],
    });
    if let (Value::Object(spec), Value::Object(scaling)) = (&mut spec, scaling) {
        spec.extend(scaling);
    }
    spec
}

/// Does what runs in KEDA's pods: each takes one message and deletes it, as soon as it runs.
///
/// # Errors
/// When SQS refuses; it ends only so.
pub async fn take_messages(world: &World, queue: &str) -> Result<Infallible> {
    let (sqs, pods) = (&world.sqs().await, Api::<Pod>::all(world.client.clone()));
    let mut begun = HashSet::new();
    watcher(pods, watcher::Config::default())
        .default_backoff()
        .applied_objects()
        // After an error the watch begins anew by itself.
        .filter_map(async |pod| pod.ok())
        .filter(|pod| {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            let begins = matches!(phase, Some("Running" | "Succeeded")) && begun.insert(pod.name_any());
            async move { begins }
        })
        .map(Ok)
        .try_for_each_concurrent(TAKING, async |_| take(sqs, queue).await)
        .await?;
    bail!("the watch ended")
}

/// Takes a message, if there is one.
async fn take(sqs: &aws_sdk_sqs::Client, queue: &str) -> Result<()> {
    for message in sqs.receive_message().queue_url(queue).send().await?.messages() {
        let delete = sqs.delete_message().queue_url(queue);
        delete.set_receipt_handle(message.receipt_handle.clone()).send().await?;
    }
    Ok(())
}
