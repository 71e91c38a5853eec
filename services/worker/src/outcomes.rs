//! The events queue: each outcome is merged into its video.
//!
//! Flow: receive, read `job.json` of a success, merge in one transaction, delete the message.
//! Guarantees: a message is deleted only after its outcome is committed, so it counts at least once; merging is
//! idempotent and does not depend on the order, so more than once does no harm.
//! A message that no retry can help is left on the queue for a newer release that may understand it, and given
//! up with an error in the log after `EVENTS_MAX_RECEIVES`; one that failed for a passing cause comes back.

use crate::record;
use aws_sdk_s3::{
    error::{DisplayErrorContext, SdkError},
    operation::head_object::HeadObjectError,
};
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName::ApproximateReceiveCount};
use catalog::{Catalog, Edit, Report, Storage, StoreError, Video, storage::StorageError, video::About};
use contract::{JobRecord, Outcome, OutcomeEvent, job::Source};
use http::StatusCode;
use jiff::Timestamp;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};
use service_common::Shutdown;
use std::time::Duration;
use tokio::{sync::watch, time::timeout};
use tracing::Instrument;
use uuid::Uuid;

/// Seconds of a long poll that fit in the time that a pod has to end.
pub const WAIT_SECONDS: i32 = 10;
/// What SQS gives at once.
const BATCH: i32 = 10;
/// Pause after a receive that failed.
const PAUSE: Duration = Duration::from_secs(2);
/// How long one message may be worked on: a batch ends with its slowest message, so none may hang.
pub const HANDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// How often the search for a video and its insertion may lose to another replica.
const MAX_RACES: usize = 3;

/// Consumes the events queue.
pub struct Consumer {
    /// The catalogue.
    pub catalog: Catalog,
    /// Buckets and prefixes.
    pub storage: Storage,
    /// For `job.json`, and for sources that appear.
    pub s3: aws_sdk_s3::Client,
    /// For the queue.
    pub sqs: aws_sdk_sqs::Client,
    /// The queue.
    pub queue_url: String,
    /// How often a message that can't be understood is received before it is given up.
    pub max_receives: u32,
    /// Seconds of a long poll; draining takes as long.
    pub wait_seconds: i32,
    /// How long one message may be worked on; then it comes back.
    pub handle_timeout: Duration,
    /// What became of the messages.
    pub metrics: Metrics,
}

/// Counts messages by what became of them.
#[derive(Clone, Default)]
pub struct Metrics(Family<Labels, Counter>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    result: Handled,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Handled {
    /// It changed a video.
    Merged,
    /// It was known already.
    Known,
    /// It speaks of no source, so of no video.
    NoVideo,
    /// It can't be understood and is left on the queue.
    Bad,
    /// It could not be understood too often, and was given up.
    GivenUp,
    /// It failed for a passing cause and comes back.
    Failed,
}

/// Why a message was not merged.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// The body is no event of an outcome.
    #[error("the body is no event of an outcome: {0}")]
    NotAnEvent(#[from] serde_json::Error),
    /// The catalogue refused or can't be reached.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// S3 can't be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The database or S3 did not answer.
    #[error("nothing came of it within {0:?}")]
    TimedOut(Duration),
    /// Other replicas were faster each time.
    #[error("the video of {0} was added and removed while it was looked for")]
    Raced(String),
}

impl HandleError {
    /// Whether no retry by this release can help: the message itself is at fault.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::NotAnEvent(_) => true,
            Self::Store(error) => error.is_lasting(),
            Self::Storage(_) | Self::TimedOut(_) | Self::Raced(_) => false,
        }
    }
}

impl Metrics {
    /// Shows them in that registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "worker_events",
            "Messages of the events queue, by what became of them",
            self.0.clone(),
        );
    }

    fn count(&self, result: Handled) {
        self.0.get_or_create(&Labels { result }).inc();
    }

    /// How many messages ended so.
    #[must_use]
    pub fn of(&self, result: Handled) -> u64 {
        self.0.get(&Labels { result }).map_or(0, |counter| counter.get())
    }
}

impl Consumer {
    /// Consumes until draining begins; a receive under way is finished and its messages are handled. Tells
    /// `reachable` whether the queue can be reached.
    pub async fn run(&self, shutdown: &Shutdown, reachable: &watch::Sender<Result<(), String>>) {
        // The first receive does not wait, so that readiness does not wait for it.
        let mut wait_seconds = 0;
        while !shutdown.is_draining() {
            match self.receive(wait_seconds).await {
                Ok(messages) => {
                    wait_seconds = self.wait_seconds;
                    reachable.send_if_modified(|state| std::mem::replace(state, Ok(())).is_err());
                    futures::future::join_all(messages.iter().map(|message| self.settle(message))).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "the events queue can't be received from; trying again");
                    reachable.send_modify(|state| *state = Err(error));
                    tokio::select! {
                        () = shutdown.draining() => {}
                        () = tokio::time::sleep(PAUSE) => {}
                    }
                }
            }
        }
    }

    async fn receive(&self, wait_seconds: i32) -> Result<Vec<Message>, String> {
        let receive = self.sqs.receive_message().queue_url(&self.queue_url);
        let receive = receive.max_number_of_messages(BATCH).wait_time_seconds(wait_seconds);
        let received = receive.message_system_attribute_names(ApproximateReceiveCount).send().await;
        match received {
            Ok(received) => Ok(received.messages.unwrap_or_default()),
            Err(error) => Err(DisplayErrorContext(&error).to_string()),
        }
    }

    /// Handles one message and takes it from the queue if it is done with.
    async fn settle(&self, message: &Message) {
        let span = tracing::info_span!(
            "event",
            message = message.message_id().unwrap_or_default(),
            trace_id = tracing::field::Empty,
        );
        service_common::telemetry::record_trace_id(&span);
        async {
            let handle = self.handle(message.body().unwrap_or_default(), Timestamp::now());
            let result = timeout(self.handle_timeout, handle).await;
            let result = result.unwrap_or(Err(HandleError::TimedOut(self.handle_timeout)));
            let handled = result.unwrap_or_else(|error| self.judge(message, &error));
            self.metrics.count(handled);
            if !matches!(handled, Handled::Bad | Handled::Failed) {
                self.delete(message).await;
            }
        }
        .instrument(span)
        .await;
    }

    fn judge(&self, message: &Message, error: &HandleError) -> Handled {
        let count = message.attributes().and_then(|all| all.get(&ApproximateReceiveCount));
        let count: u32 = count.and_then(|count| count.parse().ok()).unwrap_or(1);
        let body = message.body().unwrap_or_default();
        if !error.is_lasting() {
            tracing::warn!(%error, "an event could not be merged; it comes back");
            Handled::Failed
        } else if count < self.max_receives {
            tracing::warn!(%error, receives = count, "an event can't be understood; it comes back");
            Handled::Bad
        } else {
            tracing::error!(%error, receives = count, body, "an event is given up: it can't be understood");
            Handled::GivenUp
        }
    }

    async fn delete(&self, message: &Message) {
        let delete = self.sqs.delete_message().queue_url(&self.queue_url);
        let deleted = delete.set_receipt_handle(message.receipt_handle.clone()).send().await;
        if let Err(error) = deleted {
            tracing::warn!(error = %DisplayErrorContext(&error), "a handled event comes once more");
        }
    }

    /// Merges the event of a message's body.
    ///
    /// # Errors
    /// [`HandleError`]; nothing was changed then.
    pub async fn handle(&self, body: &str, now: Timestamp) -> Result<Handled, HandleError> {
        let event: OutcomeEvent = serde_json::from_str(body)?;
        let Some(source) = &event.data.source else {
            tracing::info!(id = event.id, failure = ?event.data.failure, "an outcome of no video");
            return Ok(Handled::NoVideo);
        };
        let record = match event.data.outcome {
            Outcome::Succeeded => self.record(&event).await?,
            _ => None,
        };
        let mut edit = self.edit(&event, source, now).await?;
        let before = edit.video.clone();
        edit.video.merge(&event.subject, source, Report::new(&event.data, record, event.time));
        if edit.video == before {
            return Ok(Handled::Known);
        }
        let video = edit.commit(now).await?;
        tracing::info!(video = %video.id, id = event.id, state = %video.state(), "merged");
        Ok(Handled::Merged)
    }

    /// What the output of an event says of itself.
    async fn record(&self, event: &OutcomeEvent) -> Result<Option<JobRecord>, HandleError> {
        let (bucket, prefix) = match &event.data.output {
            Some(output) => (output.bucket.clone(), output.prefix.clone()),
            None => (self.storage.output_bucket.clone(), self.storage.output_folder(&event.subject)),
        };
        Ok(record::read(&self.s3, &bucket, &prefix).await?)
    }

    /// The video of an event, to be changed. A source that nobody uploaded here becomes a video.
    async fn edit(&self, event: &OutcomeEvent, source: &Source, now: Timestamp) -> Result<Edit, HandleError> {
        for _ in 0..MAX_RACES {
            if let Some(edit) = self.catalog.edit_work(&event.subject, Some(source)).await? {
                return Ok(edit);
            }
            let about = self.look_at(source).await?;
            self.catalog.insert(&Video::found(Uuid::now_v7(), about, source.clone(), now)).await?;
        }
        Err(HandleError::Raced(event.subject.to_string()))
    }

    async fn look_at(&self, source: &Source) -> Result<About, HandleError> {
        let Source { bucket, key, version_id } = source;
        let head = self.s3.head_object().bucket(bucket).key(key).set_version_id(version_id.clone());
        let (size, content_type) = match head.send().await {
            Ok(object) => (object.content_length(), object.content_type().map(str::to_owned)),
            Err(error) if is_hidden(&error) => {
                tracing::warn!(bucket, key, error = %DisplayErrorContext(&error), "a source can't be looked at");
                (None, None)
            }
            Err(error) => {
                return Err(StorageError::new(format!("looking at s3://{bucket}/{key}"), &error).into());
            }
        };
        let size = size.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default();
        let content_type = content_type.unwrap_or_else(|| "application/octet-stream".to_owned());
        Ok(About::from_key(key, size, content_type))
    }
}

/// Whether S3 will not tell of an object however often it is asked: it is gone, in a bucket that may not be
/// read, or never had such a version. Its outcome counts all the same.
fn is_hidden(error: &SdkError<HeadObjectError>) -> bool {
    let status = error.raw_response().and_then(|raw| StatusCode::from_u16(raw.status().as_u16()).ok());
    let passing = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
    status.is_some_and(|status| status.is_client_error() && !passing.contains(&status))
}
