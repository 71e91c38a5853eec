//! The transcoder's disk is full. These Jobs are real ones.

use crate::judge;
use anyhow::{Context, Result, ensure};
use e2e::kind::{
    Cluster, Platform,
    aws::{Uploaded, attribute},
    clip,
    flow::Tally,
    jobs::{History, JobHistory},
    platform::{Transcoding, transcoding},
    record::Row,
    replicas::Replicas,
    spec,
};
use serde_json::{Value, json};
use std::time::Duration;
use streaming_operator::api::JobFailure;

const SOON: Duration = Duration::from_secs(90);
/// The kubelet looks at volumes every ten seconds.
const TRIED: Duration = Duration::from_secs(120);
/// Too little for any clip.
const TINY: &str = "64Ki";
/// What an image does that knows no limit of its volume.
const HEEDLESS: &str = "head -c 20000000 /dev/zero >/scratch/full; sleep 300";

struct Test {
    cluster: Cluster,
    platform: Platform,
    aws: Transcoding,
    jobs: JobHistory,
    replicas: Replicas,
}

impl Test {
    async fn begin(name: &str, change: impl FnOnce(&mut Value)) -> Result<Self> {
        let cluster = Cluster::connect().await?;
        let namespace = cluster.namespace(name).await?;
        let platform = cluster.platform(&namespace, name);
        let jobs = JobHistory::follow(&cluster.client, &namespace);
        let replicas = Replicas::follow(&cluster.client);
        let mut wanted = spec::transcoding();
        change(&mut wanted);
        platform.apply(&json!({"aws": cluster.aws_spec(), "transcoding": wanted})).await?;
        let aws = Box::pin(platform.transcoding(SOON)).await?;
        Ok(Self { cluster, platform, aws, jobs, replicas })
    }

    async fn upload(&self) -> Result<Uploaded> {
        self.cluster.aws.put(&self.aws.input, "clip.mp4", clip::video(2, true, 1).await?).await
    }

    /// The failure that the status tells, once it does.
    async fn failed(&self) -> Result<JobFailure> {
        let wanted = |platform: &_| !transcoding(platform).last_failures.is_empty();
        let platform = self.platform.wait("a failed attempt is in the status", TRIED, wanted).await?;
        transcoding(&platform).last_failures.into_iter().next().context("a failure")
    }

    /// Writes the row, and takes all away.
    async fn end(self, scenario: &'static str, done: String, succeeded: bool) -> Result<()> {
        self.cluster.aws.wait_until_empty(&self.aws.queue, SOON).await?;
        let History { jobs, overlaps, .. } = self.jobs.now();
        let letters = self.cluster.aws.drain(&self.aws.dead_letters).await?.len();
        let tally = Tally {
            messages: 1,
            works: 1,
            jobs: jobs.len(),
            succeeded: usize::from(succeeded),
            dead_lettered: letters,
            lost: Vec::new(),
            doubled: overlaps,
        };
        let restarts = self.replicas.restarts();
        judge(&Row { scenario, done, tally, restarts, ..Row::default() })?;
        self.platform.delete().await?;
        self.platform.gone(SOON).await?;
        self.cluster.delete_namespace(&self.platform.namespace).await
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; `make faults` runs it"]
async fn a_full_disk_is_told_and_more_room_lets_the_next_attempt_succeed() -> Result<()> {
    let test = Test::begin("disk", |wanted| wanted["job"]["scratchSize"] = json!(TINY)).await?;
    let uploaded = test.upload().await?;
    let failure = Box::pin(test.failed()).await?;
    ensure!(failure.reason == "DISK_FULL" && !failure.dead_lettered, "{failure:?}");
    let aws = test.cluster.aws_spec();
    test.platform.apply(&json!({"aws": aws, "transcoding": spec::transcoding()})).await?;
    let identity = uploaded.identity();
    let record = test.cluster.aws.job_record(&test.aws.output, &identity, TRIED).await?;
    ensure!(record.attempt > 1, "{record:?}");
    let done = format!(
        "the bundled transcoder with a scratch volume of {TINY}: `{}: {}`; then with room, attempt {} succeeded",
        failure.reason, failure.message, record.attempt
    );
    Box::pin(test.end("disk full", done, true)).await
}

/// An image that writes past its volume's limit is evicted by the kubelet, which leaves no termination message.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; `make faults` runs it"]
async fn a_pod_that_is_evicted_for_its_disk_is_dead_lettered_with_the_reason() -> Result<()> {
    let test = Test::begin("evicted", |wanted| {
        wanted["job"]["scratchSize"] = json!("1Mi");
        wanted["maxAttempts"] = json!(1);
        wanted["job"]["podTemplate"] = json!({"spec": {"containers": [
            {"name": "transcoder", "command": ["sh", "-c", HEEDLESS]},
        ]}});
    })
    .await?;
    test.upload().await?;
    let failure = Box::pin(test.failed()).await?;
    ensure!(failure.reason == "DISK_FULL" && failure.dead_lettered, "{failure:?}");
    ensure!(failure.message.contains("transcoding.job.scratchSize"), "{failure:?}");
    let letters = test.cluster.aws.receive(&test.aws.dead_letters, 1, SOON).await?;
    let letter = letters.first().context("a letter")?;
    ensure!(attribute(letter, "Reason") == Some("DISK_FULL"), "{letters:?}");
    let handle = letter.receipt_handle().context("a handle")?;
    let sqs = &test.cluster.aws.sqs;
    let visible = sqs.change_message_visibility().queue_url(&test.aws.dead_letters).receipt_handle(handle);
    visible.visibility_timeout(0).send().await?;
    let done = format!(
        "an image that writes past its volume's limit, evicted: `{}: {}`",
        failure.reason, failure.message
    );
    Box::pin(test.end("disk full, evicted", done, false)).await
}
