//! Latency from a message sent to its Job seen, for the operator and, in the same run and in turn with it,
//! for the least that could do the job: one long poll and one create.
//!
//! Both are measured by the same watch, on the same cluster and emulator, one message at a time. The
//! Jobs' pods can't be scheduled, so that no transcode disturbs the figures.

use anyhow::{Context, Result, bail};
use aws_config::BehaviorVersion;
use clap::Parser;
use contract::{job::Source, message::ExplicitMessage};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::{batch::v1::Job, core::v1::Namespace};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, PostParams},
    runtime::{WatchStreamExt, watcher},
};
use serde_json::json;
use std::{
    io::Write,
    pin::pin,
    time::{Duration, Instant},
};
use streaming_operator::api::StreamingPlatform;
use tokio::{sync::mpsc, time::timeout};

/// Longest wait for one Job or for the platform.
const PATIENCE: Duration = Duration::from_secs(120);
/// A node selector that no node meets.
const NOWHERE: &str = "streamingplatform.dev/bench-nowhere";

/// Message to Job, against a bare long poll and create.
///
/// Needs a cluster with the operator, and the AWS or emulator that it may use: `make bench-queue` sets both.
#[derive(Parser)]
struct Args {
    /// Messages for each of the two.
    #[arg(long, default_value_t = 40)]
    messages: usize,
    /// AWS endpoint, as the operator's pods reach it.
    #[arg(long, env = "AWS_ENDPOINT_URL")]
    endpoint: String,
    /// AWS region.
    #[arg(long, env = "AWS_REGION")]
    region: String,
    /// Namespace that is made for the bench and deleted after it.
    #[arg(long, default_value = "bench-queue")]
    namespace: String,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let client = Client::try_default().await.context("no cluster: set KUBECONFIG")?;
    let sqs = aws_sdk_sqs::Client::new(&aws_config::load_defaults(BehaviorVersion::latest()).await);
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces
        .create(
            &PostParams::default(),
            &serde_json::from_value(json!({"metadata": {"name": args.namespace}}))?,
        )
        .await?;
    let result = run(&args, &client, &sqs).await;
    // The platform goes first: its finalizer settles with SQS what is left.
    let platforms: Api<StreamingPlatform> = Api::namespaced(client.clone(), &args.namespace);
    let _ = platforms.delete("bench", &DeleteParams::default()).await;
    namespaces.delete(&args.namespace, &DeleteParams::default()).await?;
    let (bare, operator) = result?;
    report(&args, bare, operator)
}

/// Measures both in turn, so that a drift of the machine's speed meets both.
async fn run(args: &Args, client: &Client, sqs: &aws_sdk_sqs::Client) -> Result<(Vec<f64>, Vec<f64>)> {
    let jobs: Api<Job> = Api::namespaced(client.clone(), &args.namespace);
    let mut seen = watch_jobs(jobs.clone());
    let operator_queue = create_platform(args, client).await?;
    let bare_queue = sqs.create_queue().queue_name("bench-queue-bare").send().await?;
    let bare_queue = bare_queue.queue_url().context("SQS named no queue")?.to_owned();
    let consumer = tokio::spawn(bare_consumer(sqs.clone(), bare_queue.clone(), jobs));

    let (mut bare, mut operator) = (Vec::new(), Vec::new());
    // The first of each opens connections and is not counted.
    for round in 0..=args.messages {
        let body = format!("bare-{round}");
        let latency = measure(sqs, &bare_queue, body, &mut seen).await.context("the bare consumer")?;
        let source = Source { bucket: "bench".into(), key: "none".into(), version_id: None };
        let body = serde_json::to_string(&ExplicitMessage::with_id(source, format!("bench-{round}")))?;
        let theirs = measure(sqs, &operator_queue, body, &mut seen).await.context("the operator")?;
        if round > 0 {
            bare.push(latency);
            operator.push(theirs);
        }
    }
    consumer.abort();
    sqs.delete_queue().queue_url(&bare_queue).send().await?;
    Ok((bare, operator))
}

/// Seconds from just before the send to the next new Job.
async fn measure(
    sqs: &aws_sdk_sqs::Client,
    queue: &str,
    body: String,
    seen: &mut mpsc::UnboundedReceiver<(String, Instant)>,
) -> Result<f64> {
    let sent = Instant::now();
    sqs.send_message().queue_url(queue).message_body(body).send().await?;
    let (_, at) = timeout(PATIENCE, seen.recv())
        .await
        .context("no Job within 2 minutes")?
        .context("the watch ended")?;
    Ok((at - sent).as_secs_f64())
}

/// Every new Job of the namespace with the instant at which the watch told of it.
fn watch_jobs(jobs: Api<Job>) -> mpsc::UnboundedReceiver<(String, Instant)> {
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut known = std::collections::HashSet::new();
        let mut events = pin!(watcher(jobs, watcher::Config::default()).default_backoff().applied_objects());
        while let Some(Ok(job)) = events.next().await {
            if known.insert(job.name_any()) && sender.send((job.name_any(), Instant::now())).is_err() {
                return;
            }
        }
    });
    receiver
}

/// The least that could do the job.
async fn bare_consumer(sqs: aws_sdk_sqs::Client, queue: String, jobs: Api<Job>) -> Result<()> {
    loop {
        let received = sqs
            .receive_message()
            .queue_url(&queue)
            .wait_time_seconds(20)
            .max_number_of_messages(10)
            .send()
            .await?;
        for message in received.messages() {
            let job = json!({
                "metadata": {"name": message.body().unwrap_or_default()},
                "spec": {"template": {"spec": {
                    "restartPolicy": "Never",
                    "nodeSelector": {NOWHERE: "true"},
                    "containers": [{"name": "none", "image": "none"}],
                }}},
            });
            jobs.create(&PostParams::default(), &serde_json::from_value(job)?).await?;
            if let Some(handle) = message.receipt_handle() {
                sqs.delete_message().queue_url(&queue).receipt_handle(handle).send().await?;
            }
        }
    }
}

/// A platform with transcoding only, with a slot for every message. Gives the URL of its queue.
async fn create_platform(args: &Args, client: &Client) -> Result<String> {
    let secrets: Api<k8s_openapi::api::core::v1::Secret> = Api::namespaced(client.clone(), &args.namespace);
    let variable = |name| std::env::var(name).with_context(|| format!("{name} is not set"));
    let secret = json!({"metadata": {"name": "aws-credentials"}, "stringData": {
        "accessKeyID": variable("AWS_ACCESS_KEY_ID")?, "secretAccessKey": variable("AWS_SECRET_ACCESS_KEY")?}});
    secrets.create(&PostParams::default(), &serde_json::from_value(secret)?).await?;

    let platforms: Api<StreamingPlatform> = Api::namespaced(client.clone(), &args.namespace);
    let platform: StreamingPlatform = serde_json::from_value(json!({
        "apiVersion": "streamingplatform.dev/v1alpha1", "kind": "StreamingPlatform",
        "metadata": {"name": "bench"},
        "spec": {
            "aws": {"region": args.region, "endpointURL": args.endpoint, "credentialsSecretRef": {"name": "aws-credentials"}},
            "transcoding": {
                "maxConcurrentJobs": args.messages + 10, "drainTimeout": "1s",
                "queue": {"deletionPolicy": "Delete"},
                "input": {"deletionPolicy": "Delete"}, "output": {"deletionPolicy": "Delete"},
                "job": {"scheduling": {"nodeSelector": {NOWHERE: "true"}}},
            },
        },
    }))?;
    platforms.create(&PostParams::default(), &platform).await?;
    let mut changes =
        pin!(watcher(platforms, watcher::Config::default().fields("metadata.name=bench")).applied_objects());
    let ready = async {
        while let Some(platform) = changes.try_next().await? {
            let status = platform.status.unwrap_or_default();
            let ready = status.conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True");
            if let (true, Some(url)) = (ready, status.transcoding.and_then(|t| t.queue_url)) {
                return Ok(url);
            }
        }
        bail!("the watch ended")
    };
    timeout(PATIENCE, ready)
        .await
        .context("the platform is not Ready within 2 minutes; is the operator installed?")?
}

/// The value below which `share` of the sorted samples lie (nearest rank).
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

/// Prints the table and the ratio.
fn report(args: &Args, mut bare: Vec<f64>, mut operator: Vec<f64>) -> Result<()> {
    bare.sort_by(f64::total_cmp);
    operator.sort_by(f64::total_cmp);
    let mut out = std::io::stdout().lock();
    writeln!(out, "message sent to Job seen, n={} each, in turn\n", args.messages)?;
    writeln!(out, "| | p50 | p90 | max |\n|---|---|---|---|")?;
    for (name, samples) in [("bare long poll + create", &bare), ("operator", &operator)] {
        let [p50, p90, max] = [0.5, 0.9, 1.0].map(|share| percentile(samples, share) * 1000.0);
        writeln!(out, "| {name} | {p50:.0} ms | {p90:.0} ms | {max:.0} ms |")?;
    }
    let [p50, p90] = [0.5, 0.9].map(|share| percentile(&operator, share) / percentile(&bare, share));
    writeln!(out, "| ratio | {p50:.2} | {p90:.2} | |")?;
    Ok(())
}
