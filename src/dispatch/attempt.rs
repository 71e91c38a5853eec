//! attempt: one transcoding Job as the dispatcher sees it, and what stands on it.
//!
//! All state of the queue lives on Jobs (`docs/decisions/0002-state-on-the-job.md`): a new leader reads them
//! and goes on. This module reads and writes that state; it decides nothing.

use super::{message::Request, outcome};
use crate::api::names;
use contract::{Identity, TerminationMessage};
use jiff::Timestamp;
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::ResourceExt;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// On a Job: the messages that wait for it, as a JSON list of [`Held`].
pub const ANNOTATION_MESSAGES: &str = "streamingplatform.dev/messages";
/// On a Job: the body of the message that it was made for.
pub const ANNOTATION_BODY: &str = "streamingplatform.dev/message-body";
/// On a Job: its [`Ticket`] as JSON.
pub const ANNOTATION_WORK: &str = "streamingplatform.dev/work";
/// On a Job: how it was settled, a [`Settlement`]. Without it there is something left to do.
pub const ANNOTATION_SETTLED: &str = "streamingplatform.dev/settled";
/// On a Job: why it failed, as the JSON of a [`Failure`]. Goes before what its pod says.
pub const ANNOTATION_FAILURE: &str = "streamingplatform.dev/failure";
/// On a Job, set by `queue cancel`: end it and delete its message.
pub const ANNOTATION_CANCEL: &str = "streamingplatform.dev/cancel";
/// Most messages that one Job holds; annotations are bounded.
pub const MAX_HELD: usize = 10;

/// A message that was received and not yet deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// Id of the message; the same in every delivery.
    pub message_id: String,
    /// Handle of this delivery.
    pub receipt_handle: String,
    /// When this delivery was received.
    pub received_at: Timestamp,
    /// When the message was sent.
    pub sent_at: Timestamp,
}

/// What a Job knows of the work that it is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ticket {
    /// URL of the queue that its messages came from.
    pub queue_url: String,
    /// ARN of that queue.
    pub queue_arn: String,
    /// What was asked for.
    pub request: Request,
    /// Attempts made before a redrive; they count no more.
    #[serde(default)]
    pub attempts_before: u32,
}

/// What is equal for all attempts of one piece of work.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkKey {
    /// ARN of the queue.
    pub queue_arn: String,
    /// Identity of the work.
    pub identity: Identity,
}

impl WorkKey {
    /// Name of the Job of an attempt.
    #[must_use]
    pub fn job_name(&self, attempt: u32) -> String {
        format!("tc-{}-{attempt}", self.identity.on_queue(&self.queue_arn))
    }
}

/// How a Job was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Settlement {
    /// The output is whole and its messages are deleted.
    Succeeded,
    /// The next attempt was made.
    Retried,
    /// Its messages are on the dead-letter queue.
    DeadLettered,
    /// Someone cancelled it; its messages are deleted.
    Cancelled,
    /// Its messages went back to the queue, because the platform is deleted.
    Returned,
}

impl fmt::Display for Settlement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Settlement {
    fn parse(text: &str) -> Option<Self> {
        [Self::Succeeded, Self::Retried, Self::DeadLettered, Self::Cancelled, Self::Returned]
            .into_iter()
            .find(|settlement| settlement.to_string() == text)
    }
}

/// Where a Job stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its pod does not run yet.
    Pending {
        /// What keeps the container from starting, and since when.
        trouble: Option<Trouble>,
    },
    /// Its pod runs.
    Running,
    /// It is done.
    Succeeded {
        /// When.
        at: Timestamp,
    },
    /// It failed for good.
    Failed {
        /// When.
        at: Timestamp,
        /// Why.
        failure: Failure,
    },
}

/// What keeps a container from starting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Since when, at the earliest.
    pub since: Timestamp,
    /// What the kubelet says.
    pub message: String,
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Reason and one sentence.
    #[serde(flatten)]
    pub why: TerminationMessage,
    /// Whether no further attempt can help.
    pub permanent: bool,
}

/// One transcoding Job.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// Name of the Job.
    pub name: String,
    /// UID of the Job.
    pub uid: String,
    /// Which work it is for.
    pub key: WorkKey,
    /// Which attempt it is, from 1.
    pub number: u32,
    /// What was asked for.
    pub ticket: Ticket,
    /// The body of the message; none once it is settled, when nobody asks for it any more.
    pub body: String,
    /// The messages that wait for it; none once it is settled.
    pub held: Vec<Held>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Where it stands.
    pub phase: Phase,
    /// How it was settled.
    pub settled: Option<Settlement>,
    /// Whether someone asked to cancel it.
    pub cancel: bool,
    /// Whether its end was ordered: by a cancel, or because it can't start.
    pub aborted: bool,
    /// Whether the API server is deleting it.
    pub deleting: bool,
    /// Whether it is gone from the cluster: someone deleted it, and only the dispatcher remembers.
    pub ghost: bool,
}

impl Attempt {
    /// Reads a Job. `None` for one that is not a transcoding Job of ours.
    #[must_use]
    pub fn read(job: &Job, pods: &[&Pod]) -> Option<Self> {
        let number: u32 = job.labels().get(names::LABEL_ATTEMPT)?.parse().ok()?;
        let annotations = job.annotations();
        let ticket: Ticket = serde_json::from_str(annotations.get(ANNOTATION_WORK)?).ok()?;
        let key = WorkKey { queue_arn: ticket.queue_arn.clone(), identity: ticket.request.identity() };
        let ordered: Option<Failure> =
            annotations.get(ANNOTATION_FAILURE).and_then(|json| serde_json::from_str(json).ok());
        let settled = annotations.get(ANNOTATION_SETTLED).and_then(|text| Settlement::parse(text));
        let unless_settled = |name| annotations.get(name).filter(|_| settled.is_none());
        Some(Self {
            name: job.name_any(),
            uid: job.uid().unwrap_or_default(),
            number,
            held: unless_settled(ANNOTATION_MESSAGES)
                .and_then(|json| serde_json::from_str(json).ok())
                .unwrap_or_default(),
            body: unless_settled(ANNOTATION_BODY).cloned().unwrap_or_default(),
            created_at: job.metadata.creation_timestamp.as_ref().map(|time| time.0).unwrap_or_default(),
            phase: outcome::phase(job, pods, ordered.as_ref()),
            settled,
            cancel: annotations.contains_key(ANNOTATION_CANCEL),
            aborted: ordered.is_some(),
            deleting: job.metadata.deletion_timestamp.is_some(),
            ghost: false,
            ticket,
            key,
        })
    }

    /// Whether its pod runs or shall run.
    #[must_use]
    pub fn is_active(&self) -> bool {
        matches!(self.phase, Phase::Pending { .. } | Phase::Running)
    }

    /// When it ended.
    #[must_use]
    pub fn finished_at(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::Succeeded { at } | Phase::Failed { at, .. } => Some(at),
            Phase::Pending { .. } | Phase::Running => None,
        }
    }
}

/// The annotations of a new Job.
#[must_use]
pub fn annotations(ticket: &Ticket, body: &str, held: &[Held]) -> BTreeMap<String, String> {
    [
        (ANNOTATION_WORK, to_json(ticket)),
        (ANNOTATION_BODY, body.to_owned()),
        (ANNOTATION_MESSAGES, to_json(&held)),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// JSON of a value whose form is known to have one. U+FFFE and U+FFFF, which keys of objects may have and SQS
/// takes in no message, are escaped.
#[must_use]
pub fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value)
        .expect("maps with string keys and plain values always have a JSON form")
        .replace('\u{fffe}', "\\ufffe")
        .replace('\u{ffff}', "\\uffff")
}
