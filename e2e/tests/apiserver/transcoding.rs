//! From a message to its settlement, against a real API server and an AWS emulator. Pods have no node: the
//! test decides how each ends.

use super::{DEADLINE, Test, condition};
use anyhow::{Context, Result};
use aws_sdk_s3::types::{
    BucketVersioningStatus, Event, NotificationConfiguration, QueueConfiguration, VersioningConfiguration,
};
use aws_sdk_sqs::types::QueueAttributeName;
use clap::Parser;
use contract::{Outcome, OutcomeEvent};
use e2e::{
    apiserver::{ApiServer, Emulator, Kubelet, Operator, REGION, settings},
    kind::{
        Check,
        aws::{ACCESS_KEY, SECRET_KEY, attribute},
        eventually,
    },
};
use jiff::Timestamp;
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use streaming_operator::{
    api::{ConditionType, StreamingPlatform, StreamingPlatformStatus, TranscodingStatus},
    metrics::Metrics,
    queue_cli::{self, QueueArgs},
};

/// How a pod ends.
pub(super) enum End {
    Done,
    NotMedia,
    Storage,
}

/// A platform with transcoding only, all of whose queues and buckets are there.
pub(super) struct Scene {
    pub test: Test,
    pub emulator: &'static Emulator,
    pub status: TranscodingStatus,
}

pub(super) fn spec(emulator: &Emulator) -> Value {
    json!({
        "aws": {
            "region": REGION,
            "endpointURL": emulator.endpoint,
            "credentialsSecretRef": {"name": "keys"},
            "tags": {"team": "media"},
        },
        "transcoding": {
            "queue": {"visibilityTimeout": "30s", "deletionPolicy": "Delete"},
            "input": {"deletionPolicy": "DeleteWithContents", "allowedOrigins": ["https://tv.example.com"]},
            "output": {"deletionPolicy": "DeleteWithContents"},
            "maxConcurrentJobs": 2,
            "maxAttempts": 2,
            "drainTimeout": "0s",
        },
    })
}

async fn operator(server: &ApiServer, emulator: &Emulator, namespace: &str, name: &str) -> Result<Operator> {
    let mut settings = settings(namespace);
    settings.allowed_aws_endpoints = vec![emulator.endpoint.clone()];
    Operator::with(server, settings, name).await
}

impl Scene {
    pub async fn start(name: &str, change: impl FnOnce(&mut Value)) -> Result<Self> {
        let (server, emulator) = (ApiServer::shared().await, Emulator::shared().await);
        let (client, namespace) = (server.client().await?, server.namespace(name).await?);
        let test = Test {
            operator: operator(server, emulator, &namespace, "first").await?,
            _kubelet: Kubelet::start(client.clone(), &namespace),
            client,
            namespace,
        };
        test.secret("keys", json!({"accessKeyID": ACCESS_KEY, "secretAccessKey": SECRET_KEY})).await?;
        let mut spec = spec(emulator);
        change(&mut spec);
        test.apply("tv", spec).await?;
        let status = ready(&test).await?;
        Ok(Self { test, emulator, status: status.transcoding.context("a status of transcoding")? })
    }

    /// Starts another operator in the place of one that ended.
    pub async fn operator(&mut self, name: &str) -> Result<()> {
        let server = ApiServer::shared().await;
        self.test.operator = operator(server, self.emulator, &self.test.namespace, name).await?;
        Ok(())
    }

    pub fn queue(&self) -> &str {
        self.status.queue_url.as_deref().unwrap_or_default()
    }

    pub fn input(&self) -> &str {
        self.status.input_bucket.as_deref().unwrap_or_default()
    }

    pub async fn jobs(&self) -> Result<Vec<Job>> {
        Ok(self.test.api::<Job>().list(&ListParams::default()).await?.items)
    }

    /// Waits until there are so many Jobs, oldest first.
    pub async fn until_jobs(&self, number: usize) -> Result<Vec<Job>> {
        eventually(&format!("{number} Jobs"), DEADLINE, async || {
            let mut jobs = self.jobs().await?;
            jobs.sort_by_key(|job| job.labels().get("streamingplatform.dev/attempt").cloned());
            Ok(if jobs.len() == number {
                Check::Done(jobs)
            } else {
                Check::NotYet(format!("{} Jobs", jobs.len()))
            })
        })
        .await
    }

    /// Ends the pod of a Job.
    pub async fn end(&self, job: &str, end: End) -> Result<()> {
        let api = self.test.api::<Pod>();
        let pods = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}"));
        let pod = eventually("the pod runs", DEADLINE, async || {
            let pods = api.list(&pods).await?;
            let running = |pod: &&Pod| {
                pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running")
            };
            Ok(pods.items.iter().find(running).map_or_else(
                || Check::NotYet(format!("{} pods", pods.items.len())),
                |pod| Check::Done(pod.name_any()),
            ))
        })
        .await?;
        let (phase, exit_code, message) = match end {
            End::Done => ("Succeeded", 0, String::new()),
            End::NotMedia => {
                ("Failed", 65, json!({"reason": "NOT_MEDIA", "message": "a text file"}).to_string())
            }
            End::Storage => ("Failed", 1, json!({"reason": "STORAGE", "message": "S3 says 503"}).to_string()),
        };
        let terminated = json!({"exitCode": exit_code, "message": message, "finishedAt": Timestamp::now()});
        let status = json!({"phase": phase, "containerStatuses": [{
            "name": "transcoder", "image": "test/transcoder:1", "imageID": "", "ready": false,
            "restartCount": 0, "state": {"terminated": terminated},
        }]});
        let patch = Patch::Strategic(json!({"status": status}));
        api.patch_status(&pod, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    pub async fn until_settled(&self, job: &str, how: &str) -> Result<()> {
        self.test
            .until::<Job, _>(job, &format!("it is settled as {how}"), |job| {
                let settled = job.annotations().get("streamingplatform.dev/settled").cloned();
                if settled.as_deref() == Some(how) { Ok(()) } else { Err(format!("{settled:?}")) }
            })
            .await
    }

    pub async fn until_queue_is_empty(&self) -> Result<()> {
        self.emulator.aws.wait_until_empty(self.queue(), DEADLINE).await
    }

    /// Runs `streaming-operator queue` for the platform.
    async fn queue_command(&self, line: &[&str]) -> Result<()> {
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            args: QueueArgs,
        }
        let place = ["queue", "--namespace", &self.test.namespace, "--platform", "tv"];
        let line = Line::try_parse_from(place.iter().chain(line))?;
        queue_cli::run(self.test.client.clone(), line.args).await
    }

    /// Waits for the Job of an attempt.
    async fn attempt(&self, identity: &str, number: u32) -> Result<String> {
        let labels =
            format!("streamingplatform.dev/identity={identity},streamingplatform.dev/attempt={number}");
        eventually(&format!("attempt {number} of {identity}"), DEADLINE, async || {
            let jobs = self.test.api::<Job>().list(&ListParams::default().labels(&labels)).await?;
            Ok(jobs
                .items
                .first()
                .map_or_else(|| Check::NotYet("no Job".to_owned()), |job| Check::Done(job.name_any())))
        })
        .await
    }

    /// Outcomes on the events queue, in the order in which they are told.
    pub async fn outcomes(&self, number: usize) -> Result<Vec<(Outcome, u32)>> {
        let queue = self.status.events_queue_url.as_deref().unwrap_or_default();
        let messages = self.emulator.aws.receive(queue, number, DEADLINE).await?;
        let mut events = Vec::new();
        for message in messages {
            let event: OutcomeEvent = serde_json::from_str(message.body().unwrap_or_default())?;
            events.push((event.data.outcome, event.data.attempt));
        }
        events.sort_by_key(|(outcome, attempt)| (*attempt, *outcome));
        Ok(events)
    }
}

pub(super) async fn ready(test: &Test) -> Result<StreamingPlatformStatus> {
    test.status("tv", "queues and buckets are there, and messages are received", |status| {
        condition(status, ConditionType::TranscodingReady).0 == "True"
            && condition(status, ConditionType::Ready).0 == "True"
    })
    .await
}

/// Calls that change something in AWS, so far.
fn aws_writes(metrics: &Metrics) -> Result<u64> {
    let text = metrics.render()?;
    let writes =
        text.lines().filter(|line| line.starts_with("streaming_operator_aws_calls_total")).filter(|line| {
            ["\"Put", "\"Create", "\"Set", "\"Tag", "\"Delete"].iter().any(|verb| line.contains(verb))
        });
    writes.map(|line| Ok(line.rsplit(' ').next().context("a value")?.parse::<u64>()?)).sum()
}

#[tokio::test]
async fn queues_and_buckets_are_made_once_and_what_drifts_comes_back() -> Result<()> {
    let scene = Scene::start("made", |_| {}).await?;
    let (s3, sqs) = (&scene.emulator.aws.s3, &scene.emulator.aws.sqs);
    let attributes = sqs
        .get_queue_attributes()
        .queue_url(scene.queue())
        .attribute_names(aws_sdk_sqs::types::QueueAttributeName::All)
        .send()
        .await?
        .attributes
        .unwrap_or_default();
    let attribute = |name: &str| attributes.get(&name.into()).cloned().unwrap_or_default();
    assert_eq!(attribute("MessageRetentionPeriod"), "1209600");
    assert!(attribute("RedrivePolicy").contains("1000"), "{}", attribute("RedrivePolicy"));
    assert!(attribute("Policy").contains("aws:SourceAccount"), "{}", attribute("Policy"));
    let tags = sqs.list_queue_tags().queue_url(scene.queue()).send().await?.tags.unwrap_or_default();
    assert_eq!(tags.get("team").map(String::as_str), Some("media"));
    assert_eq!(tags.get("streamingplatform.dev/platform").map(String::as_str), Some("tv"));
    let cors = s3.get_bucket_cors().bucket(scene.input()).send().await?.cors_rules.unwrap_or_default();
    assert_eq!(cors[0].expose_headers(), ["ETag"]);

    // Another look at all of it changes nothing.
    let before = aws_writes(&scene.test.operator.metrics)?;
    let mut spec = spec(scene.emulator);
    spec["transcoding"]["maxAttempts"] = json!(3);
    scene.test.apply("tv", spec.clone()).await?;
    ready(&scene.test).await?;
    assert_eq!(
        aws_writes(&scene.test.operator.metrics)?,
        before,
        "{}",
        scene.test.operator.metrics.render()?
    );

    s3.delete_public_access_block().bucket(scene.input()).send().await?;
    s3.delete_bucket_cors().bucket(scene.input()).send().await?;
    sqs.untag_queue().queue_url(scene.queue()).tag_keys("team").send().await?;
    let retention = QueueAttributeName::MessageRetentionPeriod;
    let set = sqs.set_queue_attributes().queue_url(scene.queue());
    set.attributes(retention.clone(), "60").send().await?;
    spec["transcoding"]["maxAttempts"] = json!(2);
    scene.test.apply("tv", spec.clone()).await?;
    eventually("all are back", DEADLINE, async || {
        s3.get_public_access_block().bucket(scene.input()).send().await?;
        s3.get_bucket_cors().bucket(scene.input()).send().await?;
        let tags = sqs.list_queue_tags().queue_url(scene.queue()).send().await?.tags.unwrap_or_default();
        let get = sqs.get_queue_attributes().queue_url(scene.queue()).attribute_names(retention.clone());
        let kept = get.send().await?.attributes.and_then(|mut it| it.remove(&retention));
        let back = tags.contains_key("team") && kept.as_deref() == Some("1209600");
        Ok(if back { Check::Done(()) } else { Check::NotYet(format!("{tags:?}, {kept:?}")) })
    })
    .await?;

    // Nothing is left of the rules when the last origin goes.
    spec["transcoding"]["input"] = json!({"deletionPolicy": "DeleteWithContents"});
    scene.test.apply("tv", spec).await?;
    eventually("no rule is left", DEADLINE, async || {
        let rules = s3.get_bucket_cors().bucket(scene.input()).send().await;
        Ok(if rules.is_err() { Check::Done(()) } else { Check::NotYet(format!("{rules:?}")) })
    })
    .await?;
    scene.test.operator.stop().await
}

#[tokio::test]
async fn an_upload_becomes_a_job_and_its_duplicates_meet_in_it() -> Result<()> {
    let scene = Scene::start("upload", |_| {}).await?;
    let aws = &scene.emulator.aws;
    let upload = aws.put(scene.input(), "a b/ä.mp4", "video").await?;
    let jobs = scene.until_jobs(1).await?;
    let name = jobs[0].name_any();
    assert_eq!(jobs[0].labels()["streamingplatform.dev/identity"], upload.identity().as_str());
    aws.send(scene.queue(), &upload.event()).await?;
    scene
        .test
        .until::<Job, _>(&name, "the duplicate waits with it", |job| {
            let held = job.annotations()["streamingplatform.dev/messages"].matches("messageId").count();
            if held == 2 { Ok(()) } else { Err(format!("{held} messages")) }
        })
        .await?;
    scene.end(&name, End::Done).await?;
    scene.until_settled(&name, "Succeeded").await?;
    // Late, once all is over; and twice in one message, which is taken apart.
    aws.send(scene.queue(), &upload.event()).await?;
    let mut twice: Value = serde_json::from_str(&upload.event())?;
    let record = twice["Records"][0].clone();
    twice["Records"] = json!([record, record]);
    aws.send(scene.queue(), &twice.to_string()).await?;
    scene.until_queue_is_empty().await?;
    assert_eq!(scene.jobs().await?.len(), 1);
    assert_eq!(scene.outcomes(2).await?, [(Outcome::Running, 1), (Outcome::Succeeded, 1)]);
    scene.test.operator.stop().await
}

#[tokio::test]
async fn a_bad_input_is_dead_lettered_at_once_and_a_passing_failure_is_tried_again() -> Result<()> {
    let scene = Scene::start("failure", |_| {}).await?;
    let aws = &scene.emulator.aws;
    aws.put(scene.input(), "text.mp4", "text").await?;
    let name = scene.until_jobs(1).await?[0].name_any();
    scene.end(&name, End::NotMedia).await?;
    scene.until_settled(&name, "DeadLettered").await?;
    aws.put(scene.input(), "good.mp4", "video").await?;
    let identity = |job: &Job| job.labels()["streamingplatform.dev/identity"].clone();
    let jobs = scene.until_jobs(2).await?;
    let first = jobs.iter().find(|job| job.name_any() != name).context("another Job")?;
    scene.end(&first.name_any(), End::Storage).await?;
    let jobs = scene.until_jobs(3).await?;
    let second = jobs.last().context("a second attempt")?;
    assert_eq!(identity(second), identity(first));
    scene.end(&second.name_any(), End::Storage).await?;
    scene.until_settled(&second.name_any(), "DeadLettered").await?;
    scene.until_settled(&first.name_any(), "Retried").await?;
    scene.until_queue_is_empty().await?;

    let dead = scene.status.dead_letter_queue_url.as_deref().unwrap_or_default();
    let mut told: Vec<_> = aws
        .receive(dead, 2, DEADLINE)
        .await?
        .iter()
        .map(|it| (attribute(it, "Reason").map(str::to_owned), attribute(it, "Attempts").map(str::to_owned)))
        .collect();
    told.sort();
    let expected = [("NOT_MEDIA", "1"), ("STORAGE", "2")]
        .map(|(reason, attempts)| (Some(reason.to_owned()), Some(attempts.to_owned())));
    assert_eq!(told, expected);
    let status = scene
        .test
        .status("tv", "the failures are told", |status| {
            condition(status, ConditionType::JobsHealthy).1 == "JobsFailed"
                && status.transcoding.as_ref().is_some_and(|it| it.last_failures.len() == 3)
        })
        .await?;
    assert_eq!(condition(&status, ConditionType::Ready).0, "True");
    scene.test.operator.stop().await
}

#[tokio::test]
async fn a_job_deleted_by_hand_is_a_failed_attempt_and_a_cancelled_one_the_end() -> Result<()> {
    let scene = Scene::start("byhand", |_| {}).await?;
    scene.emulator.aws.put(scene.input(), "a.mp4", "video").await?;
    let name = scene.until_jobs(1).await?[0].name_any();
    scene.test.api::<Job>().delete(&name, &DeleteParams::background()).await?;
    scene.test.gone::<Job>(&name).await?;
    let second = scene.until_jobs(1).await?[0].clone();
    assert_eq!(second.labels()["streamingplatform.dev/attempt"], "2");
    let cancel = json!({"metadata": {"annotations": {"streamingplatform.dev/cancel": "true"}}});
    scene.test.merge::<Job>(&second.name_any(), cancel).await?;
    scene.until_settled(&second.name_any(), "Cancelled").await?;
    scene.until_queue_is_empty().await?;
    assert_eq!(scene.jobs().await?.len(), 1);
    scene.test.operator.stop().await
}

#[tokio::test]
async fn what_failed_or_was_cancelled_is_tried_again_by_command() -> Result<()> {
    let scene = Scene::start("commands", |_| {}).await?;
    let aws = &scene.emulator.aws;
    let dead = scene.status.dead_letter_queue_url.as_deref().unwrap_or_default();

    let upload = aws.put(scene.input(), "a.mp4", "text").await?;
    let identity = upload.identity();
    let identity = identity.as_str();
    let first = scene.attempt(identity, 1).await?;
    scene.end(&first, End::NotMedia).await?;
    scene.until_settled(&first, "DeadLettered").await?;
    scene.queue_command(&["redrive", "--dry-run"]).await?;
    assert_eq!(aws.depth(dead).await?.visible, 1, "a dry run leaves it there");
    scene.queue_command(&["redrive"]).await?;
    let second = scene.attempt(identity, 2).await?;
    assert_eq!(aws.depth(dead).await?.visible, 0);
    scene.end(&second, End::NotMedia).await?;
    scene.until_settled(&second, "DeadLettered").await?;

    scene.queue_command(&["retry", "--identity", identity]).await?;
    let third = scene.attempt(identity, 3).await?;
    scene.queue_command(&["cancel", "--identity", identity]).await?;
    scene.until_settled(&third, "Cancelled").await?;
    scene.until_queue_is_empty().await?;

    scene.queue_command(&["retry", "--identity", identity]).await?;
    let fourth = scene.attempt(identity, 4).await?;
    scene.end(&fourth, End::Done).await?;
    scene.until_settled(&fourth, "Succeeded").await?;
    scene.until_queue_is_empty().await?;
    assert!(scene.queue_command(&["retry", "--identity", identity]).await.is_err(), "it succeeded");
    scene.test.operator.stop().await
}

#[tokio::test]
async fn a_resync_asks_for_what_has_no_output_and_nothing_else() -> Result<()> {
    let scene = Scene::start("resync", |_| {}).await?;
    let aws = &scene.emulator.aws;
    // From here on uploads are not announced, as when a notification was lost.
    let silent = aws.s3.put_bucket_notification_configuration().bucket(scene.input());
    silent.notification_configuration(NotificationConfiguration::builder().build()).send().await?;
    let done = aws.put(scene.input(), "done.mp4", "video").await?;
    let output = scene.status.output_bucket.as_deref().unwrap_or_default();
    let record = aws.s3.put_object().bucket(output).key(format!("{}/job.json", done.identity()));
    record.body(b"{}".to_vec().into()).send().await?;
    let replaced = aws.put(scene.input(), "twice.mp4", "video").await?;
    let latest = aws.put(scene.input(), "twice.mp4", "video again").await?;
    aws.put(scene.input(), "deleted.mp4", "video").await?;
    aws.s3.delete_object().bucket(scene.input()).key("deleted.mp4").send().await?;

    scene.queue_command(&["resync"]).await?;
    for upload in [replaced, latest] {
        let job = scene.attempt(upload.identity().as_str(), 1).await?;
        scene.end(&job, End::Done).await?;
        scene.until_settled(&job, "Succeeded").await?;
    }
    scene.until_queue_is_empty().await?;
    assert_eq!(scene.jobs().await?.len(), 2);
    scene.test.operator.stop().await
}

#[tokio::test]
async fn more_messages_than_slots_stay_on_the_queue() -> Result<()> {
    let scene = Scene::start("slots", |_| {}).await?;
    for key in ["a", "b", "c"] {
        scene.emulator.aws.put(scene.input(), key, "video").await?;
    }
    let jobs = scene.until_jobs(2).await?;
    scene
        .test
        .status("tv", "one message is left for others", |status| {
            let depth = status.transcoding.as_ref().and_then(|it| it.queue).unwrap_or_default();
            depth.visible == 1 && depth.in_flight == 2
        })
        .await?;
    for job in &jobs {
        scene.end(&job.name_any(), End::Done).await?;
    }
    let jobs = scene.until_jobs(3).await?;
    for job in &jobs {
        if job.annotations().get("streamingplatform.dev/settled").is_none() {
            drop(scene.end(&job.name_any(), End::Done).await);
        }
    }
    scene.until_queue_is_empty().await?;
    scene.test.operator.stop().await
}

/// Ids of the entries of a bucket's notifications.
async fn entries(s3: &aws_sdk_s3::Client, bucket: &str) -> Result<Vec<String>> {
    let output = s3.get_bucket_notification_configuration().bucket(bucket).send().await?;
    Ok(output.queue_configurations().iter().filter_map(|entry| entry.id.clone()).collect())
}

#[tokio::test]
async fn an_existing_bucket_keeps_all_but_our_notification() -> Result<()> {
    let aws = &Emulator::shared().await.aws;
    let bucket = "uploads-of-someone-else";
    aws.s3.create_bucket().bucket(bucket).send().await?;
    let versioning = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    aws.s3.put_bucket_versioning().bucket(bucket).versioning_configuration(versioning).send().await?;
    aws.sqs.create_queue().queue_name("theirs").send().await?;
    let arn = format!("arn:aws:sqs:{REGION}:000000000000:theirs");
    let entry = QueueConfiguration::builder().id("theirs").queue_arn(arn).events(Event::S3ObjectRemoved);
    let configuration = NotificationConfiguration::builder().queue_configurations(entry.build()?).build();
    let put = aws.s3.put_bucket_notification_configuration().bucket(bucket);
    put.notification_configuration(configuration).send().await?;

    let scene = Scene::start("existing", |spec| {
        spec["transcoding"]["input"] = json!({"bucket": bucket, "prefix": "up/"});
    })
    .await?;
    assert_eq!(entries(&aws.s3, bucket).await?.len(), 2);
    aws.put(bucket, "elsewhere/a.mp4", "video").await?;
    let upload = aws.put(bucket, "up/a.mp4", "video").await?;
    let jobs = scene.until_jobs(1).await?;
    assert_eq!(jobs[0].labels()["streamingplatform.dev/identity"], upload.identity().as_str());
    scene.test.delete::<StreamingPlatform>("tv").await?;
    scene.test.gone::<StreamingPlatform>("tv").await?;
    assert_eq!(entries(&aws.s3, bucket).await?, ["theirs"]);
    assert_eq!(aws.list(bucket, "").await?.len(), 2);
    scene.test.operator.stop().await
}

#[tokio::test]
async fn deletion_empties_and_deletes_what_the_spec_says() -> Result<()> {
    let scene = Scene::start("gone", |_| {}).await?;
    let aws = &scene.emulator.aws;
    aws.put(scene.input(), "a.mp4", "video").await?;
    aws.put(scene.input(), "a.mp4", "video again").await?;
    scene.until_jobs(2).await?;
    scene.test.delete::<StreamingPlatform>("tv").await?;
    scene.test.gone::<StreamingPlatform>("tv").await?;
    assert!(!aws.has_bucket(scene.input()).await?);
    assert!(!aws.has_queue(scene.queue()).await?);
    scene.test.operator.stop().await
}
