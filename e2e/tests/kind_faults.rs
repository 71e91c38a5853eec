//! Transcoding through faults: leaders that go, events that come twice, Jobs that are deleted, edits in between.

use anyhow::{Context, Result, ensure};
use contract::job::JobState;
use e2e::kind::{
    Cluster, Platform,
    aws::{Aws, Uploaded},
    clip,
    jobs::{History, JobHistory},
    platform::{Transcoding, has_reason, observed, transcoding},
    spec,
};
use futures::future::try_join_all;
use k8s_openapi::api::batch::v1::Job;
use kube::{Api, api::DeleteParams};
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};
use streaming_operator::api::ConditionReason;

const SOON: Duration = Duration::from_secs(60);
const CLIPS: u32 = 20;

struct Test {
    cluster: Cluster,
    platform: Platform,
    jobs: JobHistory,
    aws: Transcoding,
}

impl Test {
    /// A platform that does nothing but transcode, in a namespace of its own.
    async fn begin(name: &str, spec: &Value) -> Result<Self> {
        let cluster = Cluster::connect().await?;
        let namespace = cluster.namespace(name).await?;
        let platform = cluster.platform(&namespace, name);
        let jobs = JobHistory::follow(&cluster.client, &namespace);
        platform.apply(&transcoding_only(&cluster, spec)).await?;
        let aws = Box::pin(platform.transcoding(SOON)).await?;
        Ok(Self { cluster, platform, jobs, aws })
    }

    fn s3(&self) -> &Aws {
        &self.cluster.aws
    }

    async fn upload(&self, key: &str, seed: u32) -> Result<Uploaded> {
        self.s3().put(&self.aws.input, key, clip(seed).await?).await
    }

    /// Puts a clip, and sends what S3 says of it twice more.
    async fn upload_thrice_told(&self, key: String, clip: Vec<u8>) -> Result<Uploaded> {
        let object = self.s3().put(&self.aws.input, &key, clip).await?;
        self.s3().send(&self.aws.queue, &object.event()).await?;
        self.s3().send(&self.aws.queue, &object.event()).await?;
        Ok(object)
    }

    /// Waits until that much is done and some of the rest is under way.
    async fn under_way(&self, done: usize) -> Result<()> {
        let what = format!("{done} of {CLIPS} succeeded and others run");
        let all = CLIPS as usize;
        let wanted = |history: &History| {
            let succeeded = history.succeeded().len();
            succeeded == all || succeeded >= done && history.active().count() > 0
        };
        let history = self.jobs.wait(&what, Duration::from_secs(180), wanted).await?;
        ensure!(history.succeeded().len() < all, "all was done before its leader could be taken away");
        Ok(())
    }

    /// Whether the work has a whole output, made by that attempt.
    async fn succeeded(&self, object: &Uploaded, attempt: u32) -> Result<()> {
        let record =
            self.s3().job_record(&self.aws.output, &object.identity(), Duration::from_secs(90)).await?;
        ensure!(
            record.state == JobState::Succeeded && record.attempt == attempt,
            "{}: {record:?}",
            object.key
        );
        let prefix = format!("{}/", object.identity());
        let files = self.s3().list(&self.aws.output, &prefix).await?;
        for name in ["master.m3u8", "manifest.mpd", "180p/playlist.m3u8", "120p/playlist.m3u8", "poster.jpg"]
        {
            ensure!(files.contains_key(&format!("{prefix}{name}")), "{}: no {name} in {files:?}", object.key);
        }
        Ok(())
    }

    async fn end(self) -> Result<()> {
        let history = self.jobs.now();
        ensure!(history.overlaps.is_empty(), "two Jobs of one work at once: {:?}", history.overlaps);
        ensure!(history.gaps == 0, "the watch of Jobs was cut {} times", history.gaps);
        self.platform.delete().await?;
        self.platform.gone(Duration::from_secs(90)).await?;
        self.cluster.delete_namespace(&self.platform.namespace).await
    }
}

/// Two seconds that are like no other clip's; every other one has sound.
async fn clip(seed: u32) -> Result<Vec<u8>> {
    clip::video(2, seed.is_multiple_of(2), seed).await
}

fn transcoding_only(cluster: &Cluster, transcoding: &Value) -> Value {
    json!({"aws": cluster.aws_spec(), "transcoding": transcoding})
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_clips_survive_three_leaders_and_every_event_sent_twice() -> Result<()> {
    let test = Box::pin(Test::begin("many", &spec::transcoding())).await?;
    let mut clips = Vec::new();
    for seed in 0..CLIPS {
        clips.push((format!("clips/{seed:02} & more.mp4"), clip(seed).await?));
    }
    let uploads = clips.into_iter().map(|(key, clip)| test.upload_thrice_told(key, clip));
    let uploaded = try_join_all(uploads).await?;
    // The first and the last leave in order, the second crashes; each while some of the work is done.
    test.under_way(2).await?;
    test.cluster.stop_leader().await?;
    test.under_way(7).await?;
    test.cluster.crash_leader().await?;
    test.under_way(13).await?;
    test.cluster.stop_leader().await?;
    let all: BTreeSet<_> = uploaded.iter().map(|object| object.identity().to_string()).collect();
    ensure!(all.len() == CLIPS as usize, "distinct works");
    test.jobs
        .wait("all succeeded", Duration::from_secs(240), |h| {
            all.iter().all(|id| h.succeeded().contains(id.as_str()))
        })
        .await?;
    for object in &uploaded {
        test.succeeded(object, 1).await?;
    }
    let records = test.s3().list(&test.aws.output, "").await?;
    let records = records.keys().filter(|key| key.ends_with("/job.json")).count();
    ensure!(records == all.len(), "{records} job.json for {} works", all.len());
    test.s3().wait_until_empty(&test.aws.queue, Duration::from_secs(90)).await?;
    test.s3().wait_until_empty(&test.aws.dead_letters, Duration::from_secs(5)).await?;
    let jobs = test.jobs.now().jobs;
    ensure!(jobs.len() == all.len(), "works that nobody asked for, or one that was begun twice: {jobs:?}");
    Box::pin(test.platform.wait("status counts them", SOON, |platform| {
        let status = transcoding(platform);
        status.jobs.succeeded == i64::from(CLIPS)
            && status.jobs.running == 0
            && status.dead_lettered == Some(0)
    }))
    .await?;
    Box::pin(test.end()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_survive_deletion_by_hand_edits_and_suspension() -> Result<()> {
    let mut held = spec::transcoding();
    held["job"]["podTemplate"] = spec::held();
    let test = Box::pin(Test::begin("hands", &held)).await?;

    // Two versions of one key are two works.
    let first = test.upload("same.mp4", 1).await?;
    let second = test.upload("same.mp4", 2).await?;
    ensure!(first.identity() != second.identity());
    let history = test.jobs.wait("a Job for each version", SOON, |h| h.active().count() == 2).await?;
    let running: BTreeSet<_> = history.jobs.keys().cloned().collect();
    Box::pin(test.platform.wait("both run", SOON, |p| transcoding(p).jobs.running == 2)).await?;

    edit_and_suspend(&test, &running).await?;
    deleted_jobs_are_tried_again(&test, &history.of(first.identity().as_str())[0].name, [&first, &second])
        .await?;
    Box::pin(test.end()).await
}

/// The ladder's command is mended while Jobs run: they stay. Then the platform is suspended: they stay, too,
/// and a new upload waits on the queue.
async fn edit_and_suspend(test: &Test, running: &BTreeSet<String>) -> Result<()> {
    let mut spec = transcoding_only(&test.cluster, &spec::transcoding());
    spec["suspend"] = json!(true);
    test.platform.apply(&spec).await?;
    Box::pin(
        test.platform.wait("Suspended", SOON, |p| observed(p) && has_reason(p, ConditionReason::Suspended)),
    )
    .await?;
    let third = test.upload("third.mp4", 3).await?;
    Box::pin(test.platform.wait("the third waits on the queue", SOON, |platform| {
        transcoding(platform).queue.is_some_and(|depth| depth.visible == 1)
    }))
    .await?;
    let history = test.jobs.now();
    ensure!(history.of(third.identity().as_str()).is_empty(), "a suspended platform starts no Job");
    let active: BTreeSet<_> =
        history.jobs.iter().filter(|(_, j)| !j.deleted).map(|(uid, _)| uid.clone()).collect();
    ensure!(active == *running, "Jobs that ran before an edit go on: {:?}", history.jobs);

    spec["suspend"] = json!(false);
    test.platform.apply(&spec).await?;
    test.succeeded(&third, 1).await
}

/// A Job deleted by hand is a failed attempt: another follows and succeeds.
async fn deleted_jobs_are_tried_again(test: &Test, first: &str, objects: [&Uploaded; 2]) -> Result<()> {
    let jobs: Api<Job> = test.platform.objects();
    let names = test.jobs.now();
    let names: Vec<_> = names.active().map(|job| job.name.clone()).collect();
    ensure!(names.iter().any(|name| name == first), "{first} is among {names:?}");
    for name in &names {
        jobs.delete(name, &DeleteParams::background()).await.with_context(|| format!("delete {name}"))?;
    }
    for object in objects {
        test.succeeded(object, 2).await?;
        let attempts = test.jobs.now();
        let attempts = attempts.of(object.identity().as_str());
        ensure!(attempts.iter().map(|job| job.attempt).eq([1, 2]), "{attempts:?}");
    }
    test.s3().wait_until_empty(&test.aws.queue, SOON).await?;
    test.s3().wait_until_empty(&test.aws.dead_letters, Duration::from_secs(5)).await
}
