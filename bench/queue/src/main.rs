//! Latency from a message sent to its Job seen, for the operator and, in the same run and in turn with it,
//! for the least that could do the job: one long poll and one create.
//!
//! Both are measured by the same watch, on the same cluster and emulator, one message at a time. The
//! Jobs' pods can't be scheduled, so that no transcode disturbs the figures. All that a run makes carries the
//! time of its start in its name, and is deleted at its end.

use anyhow::{Context, Result, bail, ensure};
use aws_config::BehaviorVersion;
use clap::Parser;
use contract::{job::Source, message::ExplicitMessage};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::{
    api::{
        batch::v1::Job,
        core::v1::{Namespace, Secret},
    },
    jiff::Timestamp,
    serde::de::DeserializeOwned,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DeleteParams, PostParams},
    runtime::{
        WatchStreamExt,
        wait::{await_condition, conditions::is_deleted},
        watcher,
    },
};
use serde_json::json;
use std::{
    convert::Infallible,
    fmt::Debug,
    fs,
    io::Write,
    pin::pin,
    time::{Duration, Instant},
};
use streaming_operator::api::{StreamingPlatform, names::LABEL_IDENTITY};
use tokio::{signal, sync::mpsc, time::timeout};

/// The most that the operator's median may be of the bare consumer's.
const LIMIT: f64 = 2.0;
/// Longest wait for one Job, for the platform, or for the end of something.
const PATIENCE: Duration = Duration::from_secs(120);
/// A node selector that no node meets.
const NOWHERE: &str = "streamingplatform.dev/bench-nowhere";
/// Name of the platform.
const PLATFORM: &str = "bench";

/// Message to Job, against a bare long poll and create. Fails where the ratio of the medians is above 2.
///
/// Needs a cluster with the operator, and the AWS or emulator that it may use: `make bench-queue` sets both.
#[derive(Parser)]
struct Args {
    /// Messages for each of the two.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..))]
    messages: u32,
    /// AWS endpoint, as the operator's pods reach it.
    #[arg(long, env = "AWS_ENDPOINT_URL")]
    endpoint: String,
    /// AWS region.
    #[arg(long, env = "AWS_REGION")]
    region: String,
}

/// One run, and where it works.
struct Bench {
    args: Args,
    client: Client,
    sqs: aws_sdk_sqs::Client,
    /// Name of the namespace, and beginning of all other names.
    name: String,
    /// URL of the bare consumer's queue.
    bare_queue: String,
}

/// Seconds of each message, in the order of sending.
#[derive(Default)]
struct Latencies {
    bare: Vec<f64>,
    operator: Vec<f64>,
}

/// A Job that the watch told of.
struct Seen {
    /// The identity of its work, which the operator's Jobs have, else its name.
    which: String,
    at: Instant,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let client = Client::try_default().await.context("no cluster: set KUBECONFIG")?;
    let sqs = aws_sdk_sqs::Client::new(&aws_config::load_defaults(BehaviorVersion::latest()).await);
    let name = format!("bench-queue-{}", Timestamp::now().as_second());
    let made = sqs.create_queue().queue_name(&name).send().await?;
    let bare_queue = made.queue_url().context("SQS named no queue")?.to_owned();
    let bench = Bench { args, client, sqs, name, bare_queue };
    let load = load()?;
    let measured = tokio::select! {
        measured = bench.run() => measured,
        _ = signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    let cleaned = Box::pin(bench.clean_up()).await;
    let report = report(&measured?, &load)?;
    cleaned?;
    ensure!(report <= LIMIT, "the operator takes {report:.2} times as long; at most {LIMIT} is allowed");
    Ok(())
}

impl Bench {
    /// Measures both in turn, so that a drift of the machine's speed meets both.
    async fn run(&self) -> Result<Latencies> {
        let namespace = json!({"metadata": {"name": self.name}});
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces.create(&PostParams::default(), &serde_json::from_value(namespace)?).await?;
        let operator_queue = self.create_platform().await?;
        tokio::select! {
            latencies = self.measure(&operator_queue) => latencies,
            ended = self.consume_bare() => {
                let Err(error) = ended;
                Err(error.context("the bare consumer"))
            }
        }
    }

    async fn measure(&self, operator_queue: &str) -> Result<Latencies> {
        let mut seen = watch_jobs(Api::namespaced(self.client.clone(), &self.name));
        let mut latencies = Latencies::default();
        // The first of each opens connections and is not counted.
        for round in 0..=self.args.messages {
            let bare = format!("bare-{round}");
            let source = Source { bucket: "bench".into(), key: "none".into(), version_id: None };
            let message = ExplicitMessage::with_id(source, format!("{}-{round}", self.name));
            let (body, identity) = (serde_json::to_string(&message)?, message.identity().to_string());
            // What a side still does after its Job is made falls to either one as often.
            for operators_turn in [round % 2 == 1, round % 2 == 0] {
                let latency = if operators_turn {
                    self.latency(operator_queue, &body, &identity, &mut seen).await.context("the operator")?
                } else {
                    self.latency(&self.bare_queue, &bare, &bare, &mut seen)
                        .await
                        .context("the bare consumer")?
                };
                let kept = if operators_turn { &mut latencies.operator } else { &mut latencies.bare };
                kept.extend((round > 0).then_some(latency));
            }
        }
        Ok(latencies)
    }

    /// Seconds from just before the send until the watch tells of the message's own Job.
    async fn latency(
        &self,
        queue: &str,
        body: &str,
        job: &str,
        seen: &mut mpsc::UnboundedReceiver<Seen>,
    ) -> Result<f64> {
        let sent = Instant::now();
        self.sqs.send_message().queue_url(queue).message_body(body).send().await?;
        let its_own = async {
            loop {
                let Seen { which, at } = seen.recv().await.context("the watch ended")?;
                if which == job {
                    return anyhow::Ok(at);
                }
            }
        };
        let at =
            timeout(PATIENCE, its_own).await.with_context(|| format!("no Job {job} within 2 minutes"))??;
        Ok((at - sent).as_secs_f64())
    }

    /// The least that could do the job.
    async fn consume_bare(&self) -> Result<Infallible> {
        let jobs: Api<Job> = Api::namespaced(self.client.clone(), &self.name);
        loop {
            let receive = self.sqs.receive_message().queue_url(&self.bare_queue);
            let received = receive.wait_time_seconds(20).max_number_of_messages(10).send().await?;
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
                    self.sqs
                        .delete_message()
                        .queue_url(&self.bare_queue)
                        .receipt_handle(handle)
                        .send()
                        .await?;
                }
            }
        }
    }

    /// A platform with transcoding only, with a slot for every message. Gives the URL of its queue.
    async fn create_platform(&self) -> Result<String> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.name);
        let variable = |name| std::env::var(name).with_context(|| format!("{name} is not set"));
        let secret = json!({"metadata": {"name": "aws-credentials"}, "stringData": {
            "accessKeyID": variable("AWS_ACCESS_KEY_ID")?, "secretAccessKey": variable("AWS_SECRET_ACCESS_KEY")?}});
        secrets.create(&PostParams::default(), &serde_json::from_value(secret)?).await?;

        let Args { messages, endpoint, region } = &self.args;
        let platforms: Api<StreamingPlatform> = Api::namespaced(self.client.clone(), &self.name);
        let platform: StreamingPlatform = serde_json::from_value(json!({
            "apiVersion": "streamingplatform.dev/v1alpha1", "kind": "StreamingPlatform",
            "metadata": {"name": PLATFORM},
            "spec": {
                "aws": {"region": region, "endpointURL": endpoint, "credentialsSecretRef": {"name": "aws-credentials"}},
                "transcoding": {
                    "maxConcurrentJobs": messages + 10, "drainTimeout": "1s",
                    "queue": {"deletionPolicy": "Delete"},
                    "input": {"deletionPolicy": "DeleteWithContents"},
                    "output": {"deletionPolicy": "DeleteWithContents"},
                    "job": {"scheduling": {"nodeSelector": {NOWHERE: "true"}}},
                },
            },
        }))?;
        platforms.create(&PostParams::default(), &platform).await?;
        let only = watcher::Config::default().fields(&format!("metadata.name={PLATFORM}"));
        let mut changes = pin!(watcher(platforms, only).applied_objects());
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

    /// Deletes what the run made, however far it came.
    async fn clean_up(&self) -> Result<()> {
        // The platform goes first: what settles it with AWS needs the Secret, which goes with the namespace.
        let platforms: Api<StreamingPlatform> = Api::namespaced(self.client.clone(), &self.name);
        let platform = Box::pin(gone(platforms, PLATFORM)).await;
        let queue = self.sqs.delete_queue().queue_url(&self.bare_queue).send().await;
        let namespace = gone::<Namespace>(Api::all(self.client.clone()), &self.name).await;
        platform?;
        queue.with_context(|| format!("delete {}", self.bare_queue))?;
        namespace
    }
}

/// Deletes an object and waits until it is gone, as is one that was never made.
async fn gone<K>(api: Api<K>, name: &str) -> Result<()>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let Some(object) = api.get_opt(name).await? else { return Ok(()) };
    api.delete(name, &DeleteParams::default()).await?;
    let uid = object.uid().unwrap_or_default();
    timeout(PATIENCE, await_condition(api, name, is_deleted(&uid)))
        .await
        .with_context(|| format!("{name} is still there 2 minutes after it was deleted"))??;
    Ok(())
}

/// Every new Job of the namespace with the instant at which the watch told of it.
fn watch_jobs(jobs: Api<Job>) -> mpsc::UnboundedReceiver<Seen> {
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut known = std::collections::HashSet::new();
        let mut events = pin!(watcher(jobs, watcher::Config::default()).default_backoff().applied_objects());
        while let Some(event) = events.next().await {
            let at = Instant::now();
            // After an error the watch begins anew, and tells of every Job again.
            let Ok(job) = event else { continue };
            let which = job.labels().get(LABEL_IDENTITY).cloned().unwrap_or_else(|| job.name_any());
            if known.insert(job.name_any()) && sender.send(Seen { which, at }).is_err() {
                return;
            }
        }
    });
    receiver
}

/// The machine's load average.
fn load() -> Result<String> {
    let text = fs::read_to_string("/proc/loadavg").context("read /proc/loadavg")?;
    Ok(text.split(' ').take(3).collect::<Vec<_>>().join(" "))
}

/// The value below which `share` of the sorted samples lie (nearest rank).
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

/// Prints the table, and gives the ratio of the medians.
fn report(latencies: &Latencies, load_before: &str) -> Result<f64> {
    let sorted = |samples: &[f64]| {
        let mut samples = samples.to_vec();
        samples.sort_by(f64::total_cmp);
        samples
    };
    let (bare, operator) = (sorted(&latencies.bare), sorted(&latencies.operator));
    let mut out = std::io::stdout().lock();
    let now = Timestamp::now().strftime("%F %H:%M UTC");
    writeln!(out, "message sent to Job seen, n={} each, in turn; {now}", bare.len())?;
    writeln!(out, "load average {load_before} before, {} after\n", load()?)?;
    writeln!(out, "| | p50 | p90 | max |\n|---|---|---|---|")?;
    for (name, samples) in [("bare long poll + create", &bare), ("operator", &operator)] {
        let [p50, p90, max] = [0.5, 0.9, 1.0].map(|share| percentile(samples, share) * 1000.0);
        writeln!(out, "| {name} | {p50:.0} ms | {p90:.0} ms | {max:.0} ms |")?;
    }
    let [p50, p90] = [0.5, 0.9].map(|share| percentile(&operator, share) / percentile(&bare, share));
    writeln!(out, "| ratio | {p50:.2} (at most {LIMIT}) | {p90:.2} | |")?;
    Ok(p50)
}
