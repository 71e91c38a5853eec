//! The status: what a person or a dashboard wants to know of a platform.

use super::RestoreDrillStatus;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Status of a platform, computed anew from what was observed and applied.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StreamingPlatformStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Ready, Reconciling and Stalled as kstatus has them, and one for each part. A message tells what to do next.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,

    /// Where the components can be reached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub endpoints: Vec<Endpoint>,

    /// The components and how many of their replicas are there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub components: Vec<ComponentStatus>,

    /// The queue and its Jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transcoding: Option<TranscodingStatus>,

    /// The database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<DataStatus>,

    /// The cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<DataStatus>,

    /// What waits, on what and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["what"]))]
    pub waiting: Vec<WaitingFor>,
}

/// Types of conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionType {
    /// The platform serves: this generation's workloads are available and what they need is reachable.
    Ready,
    /// True while something is on its way.
    Reconciling,
    /// True when nothing moves until someone mends something.
    Stalled,
    /// frontend, backend, worker and services are available.
    WorkloadsAvailable,
    /// The database can be used.
    DatabaseReady,
    /// The cache can be used.
    CacheReady,
    /// Queue and buckets are there and messages are received.
    TranscodingReady,
    /// False when Jobs fail: the last failure and what to do.
    JobsHealthy,
    /// Whether the last restore drill passed; absent before the first.
    RestoreDrillPassed,
}

impl ConditionType {
    /// Every type.
    pub const ALL: [Self; 9] = [
        Self::Ready,
        Self::Reconciling,
        Self::Stalled,
        Self::WorkloadsAvailable,
        Self::DatabaseReady,
        Self::CacheReady,
        Self::TranscodingReady,
        Self::JobsHealthy,
        Self::RestoreDrillPassed,
    ];

    /// The type as it stands in the status.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::WorkloadsAvailable => "WorkloadsAvailable",
            Self::DatabaseReady => "DatabaseReady",
            Self::CacheReady => "CacheReady",
            Self::TranscodingReady => "TranscodingReady",
            Self::JobsHealthy => "JobsHealthy",
            Self::RestoreDrillPassed => "RestoreDrillPassed",
        }
    }
}

/// Reasons of conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionReason {
    /// All is as the spec says.
    AsExpected,
    /// Something was changed and takes effect.
    Progressing,
    /// Something waits for something else; the message names both.
    Waiting,
    /// Pods are not available.
    Unavailable,
    /// The spec can't be carried out; the message names the field.
    InvalidSpec,
    /// The administrator's allow-lists refuse it.
    NotAllowed,
    /// The API server refused an object: quota or admission.
    Refused,
    /// AWS or the API server could not be reached or answered with an error; retried.
    CallFailed,
    /// A Secret or key that the spec names is missing.
    SecretMissing,
    /// Something in AWS that was there, or that the spec names, is not there.
    NotFound,
    /// Something in AWS of the wanted name is not the platform's.
    NotOwned,
    /// A change waits for an approval; the message says of what.
    ApprovalNeeded,
    /// Someone changed a setting outside, and `driftPolicy` is `Report`.
    Drifted,
    /// AWS says that it failed; the message says what to do.
    Failed,
    /// A restore drill failed; the message says how.
    RestoreDrillFailed,
    /// Another platform holds the queue.
    QueueClaimed,
    /// Jobs failed.
    JobsFailed,
    /// Many transcodes failed for one cause; new Jobs wait while one probes.
    BreakerOpen,
    /// The queue's own settings can lose messages; the message says which.
    QueueMisconfigured,
    /// `spec.suspend` is true.
    Suspended,
    /// The platform is being deleted.
    Deleting,
}

impl fmt::Display for ConditionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Where a component can be reached.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// The component.
    pub name: String,
    /// URL inside the cluster.
    #[serde(rename = "internalURL")]
    pub internal_url: String,
    /// URL from outside, where there is a route.
    #[serde(default, rename = "externalURL", skip_serializing_if = "Option::is_none")]
    pub external_url: Option<String>,
}

/// A component.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComponentStatus {
    /// The component.
    pub name: String,
    /// The image that the spec resolves to.
    pub image: String,
    /// Replicas wanted now.
    pub replicas: i32,
    /// Replicas of this generation that are available.
    pub available_replicas: i32,
}

/// The queue and its Jobs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TranscodingStatus {
    /// URL of the queue.
    #[serde(default, rename = "queueURL", skip_serializing_if = "Option::is_none")]
    pub queue_url: Option<String>,
    /// URL of the dead-letter queue.
    #[serde(default, rename = "deadLetterQueueURL", skip_serializing_if = "Option::is_none")]
    pub dead_letter_queue_url: Option<String>,
    /// URL of the queue that outcomes go to.
    #[serde(default, rename = "eventsQueueURL", skip_serializing_if = "Option::is_none")]
    pub events_queue_url: Option<String>,
    /// Bucket that uploads arrive in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_bucket: Option<String>,
    /// Bucket that outputs go to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_bucket: Option<String>,
    /// Messages on the queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueDepth>,
    /// Messages on the dead-letter queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_lettered: Option<i64>,
    /// Jobs that are still kept.
    #[serde(default)]
    pub jobs: JobCounts,
    /// When the oldest message that the operator holds was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_message_sent_at: Option<Time>,
    /// The last failures, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), extend("x-kubernetes-list-type" = "atomic"))]
    pub last_failures: Vec<JobFailure>,
}

/// Messages on a queue, as SQS counts them (approximately).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueueDepth {
    /// Waiting to be received.
    pub visible: i64,
    /// Received and not yet deleted.
    pub in_flight: i64,
    /// Not to be received yet.
    pub delayed: i64,
}

/// Jobs by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct JobCounts {
    /// Made, their pod not yet running.
    pub pending: i64,
    /// Their pod runs.
    pub running: i64,
    /// Failed, the next attempt is due later.
    pub retrying: i64,
    /// Done.
    pub succeeded: i64,
    /// Failed for good; their message is on the dead-letter queue.
    pub failed: i64,
}

/// A failed transcode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobFailure {
    /// Identity of the work.
    pub identity: String,
    /// Key of the source, where the message named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Cause, as a constant.
    pub reason: String,
    /// One sentence.
    pub message: String,
    /// Which attempt.
    pub attempt: i32,
    /// Whether no further attempt follows.
    pub dead_lettered: bool,
    /// When.
    pub time: Time,
}

/// A database or cache.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DataStatus {
    /// Who runs it.
    pub provider: String,
    /// The Secret with which to connect.
    pub secret_name: String,
    /// Its identifier in AWS, once it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identifier: Option<String>,
    /// AWS's word for its state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Version that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The node of a cache that takes writes; another one after a failover.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<String>,
    /// The proxy before a database that is wanted, or not yet gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// Changes that wait for a window or an approval.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["field"]))]
    pub pending_changes: Vec<PendingChange>,
    /// Set the annotation `streamingplatform.dev/approve` to this to have them made at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<String>,
    /// Since when changes wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_since: Option<Time>,
    /// Others of the platform that are kept: what a restore replaced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "set"))]
    pub kept: Vec<String>,
    /// The generation of the spec that it was brought to last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_generation: Option<i64>,
    /// Its restore drills.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_drill: Option<RestoreDrillStatus>,
}

/// A change that waits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PendingChange {
    /// The field, below `spec.database.aws` or `spec.cache.aws`.
    pub field: String,
    /// What it is.
    pub from: String,
    /// What it shall be.
    pub to: String,
    /// `restarts` or `replaces` the server, or is `online`.
    pub effect: String,
    /// When it is made; none: once it is approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
}

/// Something that waits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WaitingFor {
    /// What waits, such as `Deployment/demo-backend`.
    pub what: String,
    /// What it waits for.
    pub on: String,
    /// Why, and what to do if it lasts.
    pub message: String,
}

/// A time as a status holds it: in whole seconds, as Kubernetes keeps them. Else what was written would differ from what
/// is read, and be written for ever.
#[must_use]
pub fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
