//! `streaming-operator queue`: what a person does about messages and Jobs.
//!
//! Runs wherever kubectl does, with the caller's own rights: it reads the platform's status for queues and
//! buckets, and the Secret that the spec names for credentials.

use crate::{
    api::{ConditionReason, ConditionType, StreamingPlatform, TranscodingStatus, names},
    aws::{self, Account, Accounts},
    dispatch::{
        attempt::{ANNOTATION_BODY, ANNOTATION_CANCEL, Attempt, Phase, Settlement},
        inbound::attribute,
        message::{Parsed, parse},
        sqs,
    },
    metrics::Metrics,
    platform::{AssumedRole, Aws, Credentials},
    settings,
};
use anyhow::{Context, Result, anyhow, bail, ensure};
use aws_sdk_s3::types::ObjectVersion;
use aws_sdk_sqs::types::Message;
use clap::{Args, Subcommand};
use contract::{
    Identity, Work,
    job::{JOB_RECORD, Source},
    message::ExplicitMessage,
};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::batch::v1::Job;
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    io::Write,
};

/// How many outputs are looked for at a time.
const CONCURRENCY: usize = 16;
/// How long messages of the dead-letter queue are hidden while they are looked at, in seconds.
const LOOK: i32 = 900;

/// Work on the queue of a platform.
#[derive(Debug, Args)]
pub struct QueueArgs {
    /// Namespace of the platform
    #[arg(short, long, default_value = "default", global = true)]
    namespace: String,
    /// Name of the platform
    #[arg(short, long, global = true)]
    platform: Option<String>,
    /// Reach AWS at this URL instead of spec.aws.endpointURL, for example through a port-forward
    #[arg(long, global = true)]
    endpoint_url: Option<String>,
    /// What the operator's external ids begin with, where the platform names a role
    #[arg(
        long,
        global = true,
        value_parser = settings::external_id_prefix,
        env = "STREAMING_OPERATOR_EXTERNAL_ID_PREFIX",
        default_value = settings::EXTERNAL_ID_PREFIX
    )]
    external_id_prefix: String,
    /// Say what would be done and do nothing
    #[arg(long, global = true)]
    dry_run: bool,
    #[command(subcommand)]
    command: QueueCommand,
}

#[derive(Debug, Subcommand)]
enum QueueCommand {
    /// Send what is on the dead-letter queue again; attempts are counted on
    Redrive {
        /// Only this piece of work
        #[arg(long, value_parser = identity)]
        identity: Option<Identity>,
    },
    /// Ask for every version in the input bucket that has no output
    Resync,
    /// End the Job of a piece of work and delete its messages
    Cancel {
        /// Which; see the label streamingplatform.dev/identity of the Job
        #[arg(long, value_parser = identity)]
        identity: Identity,
    },
    /// Try a piece of work again that failed for good or was cancelled
    Retry {
        /// Which; see status.transcoding.lastFailures of the platform
        #[arg(long, value_parser = identity)]
        identity: Identity,
    },
}

/// Whether the operator admits what the platform asks for. Its author may have named an endpoint that is not to
/// hear of the caller.
fn admitted(platform: &StreamingPlatform) -> Result<()> {
    let conditions = platform.status.iter().flat_map(|status| &status.conditions);
    let ready = conditions.into_iter().find(|it| it.type_ == ConditionType::Ready.as_str());
    let current = ready.filter(|it| it.observed_generation == platform.metadata.generation);
    let current = current.context(
        "the operator has not looked at the platform's last change; try again, or give --endpoint-url",
    )?;
    ensure!(
        current.reason != ConditionReason::NotAllowed.to_string(),
        "the operator refuses the platform: {}",
        current.message
    );
    Ok(())
}

fn identity(text: &str) -> Result<Identity, String> {
    Identity::parse(text).ok_or_else(|| "an identity has 20 characters of a-z and 2-7".to_owned())
}

/// Runs a command on a platform of the cluster that `client` reaches.
///
/// # Errors
/// When the platform, its queues or AWS can't be reached, or there is nothing to do it to.
pub async fn run(client: Client, args: QueueArgs) -> Result<()> {
    let platform = args.platform.clone().context("name the platform with --platform")?;
    let session = Box::pin(Session::open(client, &args, platform)).await?;
    match &args.command {
        QueueCommand::Redrive { identity } => session.redrive(identity.as_ref()).await,
        QueueCommand::Resync => session.resync().await,
        QueueCommand::Cancel { identity } => session.cancel(identity).await,
        QueueCommand::Retry { identity } => session.retry(identity).await,
    }
}

/// A platform and how to reach what belongs to it.
struct Session {
    client: Client,
    namespace: String,
    dry_run: bool,
    account: Account,
    status: TranscodingStatus,
    input_prefix: String,
    output_prefix: String,
    platform: String,
}

impl Session {
    async fn open(client: Client, args: &QueueArgs, name: String) -> Result<Self> {
        let namespace = &args.namespace;
        let platform = Api::<StreamingPlatform>::namespaced(client.clone(), namespace)
            .get(&name)
            .await
            .with_context(|| format!("StreamingPlatform {namespace}/{name}"))?;
        let spec = &platform.spec;
        let (Some(aws), Some(transcoding)) = (&spec.aws, &spec.transcoding) else {
            bail!("{namespace}/{name} has no spec.transcoding");
        };
        let credentials = match (&aws.role_arn, &aws.credentials_secret_ref) {
            (Some(role), _) => {
                Credentials::Role(AssumedRole::new(role, &args.external_id_prefix, namespace, &name))
            }
            (None, Some(secret)) => Credentials::Secret(secret.name.clone()),
            (None, None) => Credentials::Operator,
        };
        if args.endpoint_url.is_none() && aws.endpoint_url.is_some() {
            admitted(&platform)?;
        }
        let aws = Aws {
            region: aws.region.clone(),
            credentials,
            endpoint_url: args.endpoint_url.clone().or_else(|| aws.endpoint_url.clone()),
            tags: BTreeMap::new(),
        };
        let account =
            Accounts::new(client.clone(), Metrics::default()).account(namespace, &aws, None).await?;
        let status = platform.status.and_then(|status| status.transcoding).unwrap_or_default();
        let prefix = |bucket: &Option<crate::api::Bucket>| {
            bucket.as_ref().and_then(|bucket| bucket.prefix.clone()).unwrap_or_default()
        };
        Ok(Self {
            client,
            namespace: namespace.clone(),
            platform: name,
            dry_run: args.dry_run,
            account,
            status,
            input_prefix: prefix(&transcoding.input),
            output_prefix: prefix(&transcoding.output),
        })
    }

    /// What stands in the status, or why it does not yet.
    fn named<'a>(&self, value: &'a Option<String>, what: &str) -> Result<&'a str> {
        value.as_deref().ok_or_else(|| {
            anyhow!("the status of {} names no {what}; is TranscodingReady true?", self.platform)
        })
    }

    async fn redrive(&self, only: Option<&Identity>) -> Result<()> {
        let count = self.redrive_where(|identity| only.is_none_or(|only| identity == Some(only))).await?;
        let would = if self.dry_run { "would be " } else { "" };
        say(&format!("{count} messages {would}sent again"))
    }

    /// Sends what `matches` from the dead-letter queue again, one message for each piece of work.
    async fn redrive_where(&self, matches: impl Fn(Option<&Identity>) -> bool) -> Result<usize> {
        let queue = self.named(&self.status.queue_url, "queue")?;
        let dead_letter = self.named(&self.status.dead_letter_queue_url, "dead-letter queue")?;
        let (mut seen, mut sent) = (HashSet::new(), BTreeSet::new());
        let mut kept = Vec::new();
        loop {
            let messages = self.look(dead_letter).await?;
            let fresh: Vec<_> =
                messages.into_iter().filter(|message| seen.insert(message.message_id.clone())).collect();
            if fresh.is_empty() {
                break;
            }
            for message in fresh {
                let identity = identity_of(&message);
                if !matches(identity.as_ref()) {
                    kept.push(message);
                    continue;
                }
                let what = identity.map_or_else(|| format!("{:?}", message.message_id), |it| it.to_string());
                let first = sent.insert(what.clone());
                if self.dry_run {
                    say(&format!("{what}: {}", text(&message, attribute::REASON)))?;
                    kept.push(message);
                    continue;
                }
                if first {
                    let body = message.body.as_deref().unwrap_or_default();
                    sqs::send(&self.account, queue, body, &attributes_of(&message)).await?;
                    say(&format!("{what}: sent again"))?;
                }
                self.account
                    .sqs
                    .delete_message()
                    .queue_url(dead_letter)
                    .set_receipt_handle(message.receipt_handle)
                    .send()
                    .await
                    .map_err(|error| anyhow!("{dead_letter}: {}", aws::explain(&error)))?;
            }
        }
        for message in kept {
            let shown = self.account.sqs.change_message_visibility().queue_url(dead_letter);
            let shown = shown.set_receipt_handle(message.receipt_handle).visibility_timeout(0);
            // One that was looked at for too long is visible again already.
            if let Err(error) = shown.send().await {
                tracing::debug!(error = aws::explain(&error), "a message was visible already");
            }
        }
        Ok(sent.len())
    }

    async fn look(&self, queue: &str) -> Result<Vec<Message>> {
        let output = self
            .account
            .sqs
            .receive_message()
            .queue_url(queue)
            .max_number_of_messages(10)
            .wait_time_seconds(1)
            .visibility_timeout(LOOK)
            .message_attribute_names("All")
            .send()
            .await
            .map_err(|error| anyhow!("{queue}: {}", aws::explain(&error)))?;
        Ok(output.messages.unwrap_or_default())
    }

    async fn resync(&self) -> Result<()> {
        let queue = self.named(&self.status.queue_url, "queue")?;
        let input = self.named(&self.status.input_bucket, "input bucket")?;
        let output = self.named(&self.status.output_bucket, "output bucket")?;
        let at_work: BTreeSet<Identity> =
            self.jobs(None).await?.into_iter().map(|attempt| attempt.key.identity).collect();
        let missing: Vec<Source> = stream::iter(self.versions(input).await?)
            .map(|source| self.missing(output, source, &at_work))
            .buffered(CONCURRENCY)
            .try_filter_map(|source| async { Ok(source) })
            .try_collect()
            .await?;
        for source in &missing {
            let (key, version) = (&source.key, source.version_id.as_deref().unwrap_or_default());
            say(&format!("s3://{input}/{key} version {version}"))?;
            if !self.dry_run {
                let body = serde_json::to_string(&ExplicitMessage::for_source(source.clone()))?;
                sqs::send(&self.account, queue, &body, &BTreeMap::new()).await?;
            }
        }
        let would = if self.dry_run { "would be " } else { "" };
        say(&format!("{} versions without an output {would}asked for", missing.len()))
    }

    /// The source, where it has no output and no Job.
    async fn missing(
        &self,
        output: &str,
        source: Source,
        at_work: &BTreeSet<Identity>,
    ) -> Result<Option<Source>> {
        let work = Work::Object {
            bucket: source.bucket.clone(),
            key: source.key.clone(),
            version: source.version_id.clone().unwrap_or_default(),
        };
        let identity = work.identity();
        if at_work.contains(&identity) {
            return Ok(None);
        }
        let record = format!("{}{identity}/{JOB_RECORD}", self.output_prefix);
        match self.account.s3.head_object().bucket(output).key(&record).send().await {
            Ok(_) => Ok(None),
            Err(error) if error.raw_response().is_some_and(|it| it.status().as_u16() == 404) => {
                Ok(Some(source))
            }
            Err(error) => Err(anyhow!("s3://{output}/{record}: {}", aws::explain(&error))),
        }
    }

    /// Every version of every object that is not deleted.
    async fn versions(&self, bucket: &str) -> Result<Vec<Source>> {
        let (mut found, mut deleted) = (Vec::new(), HashSet::new());
        let (mut key_marker, mut version_marker) = (None, None);
        loop {
            let page = self
                .account
                .s3
                .list_object_versions()
                .bucket(bucket)
                .prefix(&self.input_prefix)
                .set_key_marker(key_marker)
                .set_version_id_marker(version_marker)
                .send()
                .await
                .map_err(|error| anyhow!("bucket {bucket}: {}", aws::explain(&error)))?;
            let markers = page.delete_markers.unwrap_or_default();
            deleted
                .extend(markers.into_iter().filter(|it| it.is_latest == Some(true)).filter_map(|it| it.key));
            for version in page.versions.unwrap_or_default() {
                found.push(source_of(bucket, version)?);
            }
            if page.is_truncated != Some(true) {
                break;
            }
            (key_marker, version_marker) = (page.next_key_marker, page.next_version_id_marker);
        }
        found.retain(|source| !deleted.contains(&source.key));
        Ok(found)
    }

    async fn cancel(&self, identity: &Identity) -> Result<()> {
        let attempt = self
            .jobs(Some(identity))
            .await?
            .into_iter()
            .filter(|attempt| attempt.settled.is_none())
            .max_by_key(|attempt| attempt.number)
            .with_context(|| format!("no Job of {identity} is at work or waits for another attempt"))?;
        if !self.dry_run {
            let patch = json!({"metadata": {"annotations": {ANNOTATION_CANCEL: "true"}}});
            self.api().patch(&attempt.name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
        }
        let would = if self.dry_run { "would be " } else { "" };
        say(&format!("Job {} {would}cancelled; the operator ends it and deletes its messages", attempt.name))
    }

    async fn retry(&self, identity: &Identity) -> Result<()> {
        if self.redrive_where(|other| other == Some(identity)).await? > 0 {
            return Ok(());
        }
        // The copy is gone, or there was none: the Job still knows the message.
        let attempts = self.jobs(Some(identity)).await?;
        let last = attempts.into_iter().max_by_key(|attempt| attempt.number).with_context(|| {
            format!("{identity} is neither on the dead-letter queue nor on a Job; upload it again, or resync")
        })?;
        ensure!(
            !matches!(last.phase, Phase::Succeeded { .. }),
            "{identity} succeeded; to transcode it anew, ask the backend or send a message with an id of its own"
        );
        ensure!(
            matches!(last.settled, Some(Settlement::DeadLettered | Settlement::Cancelled)),
            "{identity} is at work, or waits for its next attempt"
        );
        let job = self.api().get(&last.name).await?;
        let body = job.annotations().get(ANNOTATION_BODY).context("the Job has lost its message")?;
        let attributes = [
            (attribute::ATTEMPTS.to_owned(), last.number.to_string()),
            (attribute::IDENTITY.to_owned(), identity.to_string()),
        ]
        .into();
        if !self.dry_run {
            let queue = self.named(&self.status.queue_url, "queue")?;
            sqs::send(&self.account, queue, body, &attributes).await?;
        }
        let would = if self.dry_run { "would be " } else { "" };
        say(&format!("{identity}: {would}sent again"))
    }

    fn api(&self) -> Api<Job> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The Jobs of the platform, or those of one piece of work.
    async fn jobs(&self, identity: Option<&Identity>) -> Result<Vec<Attempt>> {
        let mut selector = format!(
            "{}={},{}={}",
            names::LABEL_MANAGED_BY,
            names::FIELD_MANAGER,
            names::LABEL_INSTANCE,
            self.platform
        );
        if let Some(identity) = identity {
            selector = format!("{selector},{}={identity}", names::LABEL_IDENTITY);
        }
        let jobs = self.api().list(&ListParams::default().labels(&selector)).await?;
        Ok(jobs.items.iter().filter_map(|job| Attempt::read(job, &[])).collect())
    }
}

fn source_of(bucket: &str, version: ObjectVersion) -> Result<Source> {
    let key = version.key.unwrap_or_default();
    let version = version.version_id.filter(|id| id != "null").with_context(|| {
        format!("s3://{bucket}/{key} has no version, so that its output can't be told; turn versioning on")
    })?;
    Ok(Source { bucket: bucket.to_owned(), key, version_id: Some(version) })
}

/// The identity of a message on the dead-letter queue: as the operator wrote it, else as its body says.
fn identity_of(message: &Message) -> Option<Identity> {
    Identity::parse(&text(message, attribute::IDENTITY)).or_else(|| {
        match parse(message.body.as_deref().unwrap_or_default()) {
            Ok(Parsed::Transcode(request)) => Some(request.identity()),
            _ => None,
        }
    })
}

/// A message that SQS itself dead-lettered has no attributes of ours: its attempts are not known.
fn attributes_of(message: &Message) -> BTreeMap<String, String> {
    [
        attribute::REASON,
        attribute::MESSAGE,
        attribute::ATTEMPTS,
        attribute::IDENTITY,
        attribute::ORIGINAL_MESSAGE_ID,
    ]
    .into_iter()
    .map(|name| (name.to_owned(), text(message, name)))
    .filter(|(_, value)| !value.is_empty())
    .collect()
}

fn text(message: &Message, name: &str) -> String {
    let attributes = message.message_attributes.as_ref();
    attributes.and_then(|it| it.get(name)).and_then(|it| it.string_value.clone()).unwrap_or_default()
}

fn say(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn message(body: &str, identity: Option<&str>) -> Message {
        let builder = Message::builder().body(body);
        match identity {
            Some(identity) => builder.message_attributes(attribute::IDENTITY, sqs::attribute(identity)),
            None => builder,
        }
        .build()
    }

    #[test]
    fn the_identity_of_a_dead_letter_is_read_from_its_attribute_or_its_body() {
        let source = Source { bucket: "in".into(), key: "a".into(), version_id: Some("v".into()) };
        let explicit = ExplicitMessage::for_source(source);
        let body = serde_json::to_string(&explicit).unwrap();
        assert_eq!(identity_of(&message(&body, None)), Some(explicit.identity()));
        let other = "abcdefghijklmnopqrst";
        assert_eq!(identity_of(&message(&body, Some(other))), Identity::parse(other));
        assert_eq!(identity_of(&message("hello", None)), None);
    }

    #[rstest]
    #[case(1, "Ready", None)]
    #[case(1, "NotAllowed", Some("spec.aws.endpointURL: no"))]
    #[case(2, "Ready", Some("has not looked at"))]
    fn an_endpoint_is_called_only_where_the_operator_admits_it(
        #[case] generation: i64,
        #[case] reason: &str,
        #[case] refused: Option<&str>,
    ) {
        let ready = serde_json::json!({
            "type": "Ready", "status": "False", "reason": reason, "message": "spec.aws.endpointURL: no",
            "observedGeneration": 1, "lastTransitionTime": "2026-07-01T12:00:00Z",
        });
        let mut platform = crate::plan::testing::from_spec(serde_json::json!({}));
        platform.metadata.generation = Some(generation);
        platform.status = serde_json::from_value(serde_json::json!({"conditions": [ready]})).unwrap();
        let said = admitted(&platform).err().map(|error| error.to_string());
        assert_eq!(said.is_some(), refused.is_some(), "{said:?}");
        assert!(said.unwrap_or_default().contains(refused.unwrap_or_default()));
    }

    #[test]
    fn a_version_is_needed_to_tell_an_output() {
        let version = |id: &str| ObjectVersion::builder().key("a").version_id(id).build();
        assert!(source_of("in", version("null")).is_err());
        assert_eq!(source_of("in", version("v1")).unwrap().version_id.as_deref(), Some("v1"));
    }
}
