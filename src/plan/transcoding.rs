//! Queues and buckets: what is to be called in AWS, what is waited for, and what can lose messages.

use super::{
    bucket::{BucketIntent, notification, notification_id},
    call::Call,
    queue::{MAX_RECEIVE_COUNT, QueueIntent, misconfigurations},
};
use crate::{
    api::{ConditionReason, DeletionPolicy},
    dispatch::message::MAX_BODY,
    observe::aws::{DEAD_LETTER_QUEUE, EVENTS_QUEUE, Transcoding as Observed, WORK_QUEUE},
    platform::{Bucket, Platform, Queue, Transcoding},
};
use std::collections::BTreeMap;

/// What is to be done in AWS.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TranscodingPlan {
    /// Calls, in this order.
    pub calls: Vec<Call>,
    /// What is waited for.
    pub waiting: Vec<String>,
    /// What someone has to mend.
    pub problems: Vec<Problem>,
    /// Where messages come from and go to, once all queues are there.
    pub queues: Option<Queues>,
}

/// Something that someone has to mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// As the condition says it.
    pub reason: ConditionReason,
    /// What is wrong, and what to do.
    pub message: String,
    /// Whether messages are received nevertheless.
    pub blocking: bool,
}

/// The queues of a platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queues {
    /// URL of the queue that work arrives on.
    pub url: String,
    /// Its ARN.
    pub arn: String,
    /// URL of its dead-letter queue.
    pub dead_letter_url: String,
    /// URL of the queue that outcomes go to.
    pub events_url: String,
}

/// What brings the observed queues and buckets to the desired. Nothing where the platform has no transcoding.
#[must_use]
pub fn plan(platform: &Platform, observed: Option<&Observed>, claimed_by: Option<&str>) -> TranscodingPlan {
    let mut plan = TranscodingPlan::default();
    let (Some(wanted), Some(observed)) = (&platform.transcoding, observed) else { return plan };
    if let Some(failure) = &observed.failure {
        if failure.credentials {
            plan.problem(ConditionReason::SecretMissing, failure.message.clone(), false);
        }
    } else {
        queues(platform, wanted, observed, &mut plan);
        buckets(platform, wanted, observed, &mut plan);
    }
    if let Some(other) = claimed_by {
        let message = format!(
            "platform {other} already receives from this queue; give each platform a queue of its own"
        );
        plan.problem(ConditionReason::QueueClaimed, message, true);
    }
    if let (Some(work), Some(dead_letter), Some(events)) =
        (&observed.queue, &observed.dead_letter, &observed.events)
    {
        plan.queues = Some(Queues {
            url: work.url.clone(),
            arn: work.arn.clone(),
            dead_letter_url: dead_letter.url.clone(),
            events_url: events.url.clone(),
        });
    }
    if platform.suspended {
        plan.calls.clear();
    }
    plan
}

impl TranscodingPlan {
    fn problem(&mut self, reason: ConditionReason, message: String, blocking: bool) {
        self.problems.push(Problem { reason, message, blocking });
    }
}

/// The tags that tell whose a resource is, and the user's.
fn tags(platform: &Platform) -> BTreeMap<String, String> {
    let mut tags = platform.aws.as_ref().map(|aws| aws.tags.clone()).unwrap_or_default();
    tags.extend(
        [
            ("streamingplatform.dev/namespace", platform.namespace.as_str()),
            ("streamingplatform.dev/platform", platform.name.as_str()),
            ("streamingplatform.dev/uid", platform.uid.as_str()),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    tags
}

fn queues(platform: &Platform, wanted: &Transcoding, observed: &Observed, plan: &mut TranscodingPlan) {
    let key = match &wanted.queue {
        Queue::Managed { kms_key_id, .. } => kms_key_id.as_deref(),
        Queue::Existing { .. } => None,
    };
    let intent = |suffix: &str| QueueIntent::new(platform.aws_name(suffix), key, tags(platform));
    plan.calls.extend(intent(EVENTS_QUEUE).calls(observed.events.as_ref()));
    match &wanted.queue {
        Queue::Managed { .. } => {
            plan.calls.extend(intent(DEAD_LETTER_QUEUE).calls(observed.dead_letter.as_ref()));
            let Some(dead_letter) = &observed.dead_letter else {
                plan.waiting.push("the queue waits for its dead-letter queue".to_owned());
                return;
            };
            let redrive = serde_json::json!({
                "deadLetterTargetArn": dead_letter.arn, "maxReceiveCount": MAX_RECEIVE_COUNT
            });
            let mut work = intent(WORK_QUEUE)
                .with("VisibilityTimeout", wanted.visibility_timeout.as_secs().to_string())
                .with("MaximumMessageSize", MAX_BODY.to_string())
                .with("RedrivePolicy", redrive.to_string());
            work.sender = Some(wanted.input.name.clone());
            plan.calls.extend(work.calls(observed.queue.as_ref()));
        }
        Queue::Existing { url, dead_letter_url } => existing(url, dead_letter_url, observed, plan),
    }
}

fn existing(url: &str, dead_letter_url: &str, observed: &Observed, plan: &mut TranscodingPlan) {
    for (url, queue) in [(url, &observed.queue), (dead_letter_url, &observed.dead_letter)] {
        if queue.is_none() {
            let message = format!("there is no queue {url}; make it, or name another one");
            plan.problem(ConditionReason::QueueMisconfigured, message, false);
        }
    }
    if let (Some(work), Some(dead_letter)) = (&observed.queue, &observed.dead_letter) {
        for message in misconfigurations(work, dead_letter) {
            plan.problem(ConditionReason::QueueMisconfigured, message, false);
        }
    }
}

fn buckets(platform: &Platform, wanted: &Transcoding, observed: &Observed, plan: &mut TranscodingPlan) {
    let parts = [
        (&wanted.input, &observed.input, "input", wanted.upload_origins.clone()),
        (&wanted.output, &observed.output, "output", Vec::new()),
    ];
    for (bucket, there, part, upload_origins) in parts {
        let name = &bucket.name;
        match (bucket.managed, there) {
            (None, None) => plan.problem(
                ConditionReason::CallFailed,
                format!("there is no bucket {name}; make it, or leave transcoding.{part}.bucket out"),
                false,
            ),
            // It may have held data. Making an empty one in its place would hide the loss.
            (Some(_), None) if observed.seen_buckets.contains(name) => plan.problem(
                ConditionReason::CallFailed,
                format!("bucket {name}, which the operator made, is gone with what was in it; restore it or make it anew by hand, and the operator goes on"),
                false,
            ),
            (Some(_), there) => {
                let versioned = part == "input";
                let intent =
                    BucketIntent { name: name.clone(), versioned, upload_origins, tags: tags(platform) };
                plan.calls.extend(intent.calls(there.as_ref()));
            }
            (None, Some(there)) if part == "input" && !there.versioned => plan.problem(
                ConditionReason::QueueMisconfigured,
                format!("bucket {name} keeps no versions, so that an upload can replace one that waits; turn versioning on"),
                false,
            ),
            (None, Some(_)) => {}
        }
    }
    announce(platform, &wanted.input, observed, plan);
}

/// The bucket announces uploads, once the queue is there and admits it: S3 tries, and refuses otherwise.
fn announce(platform: &Platform, input: &Bucket, observed: &Observed, plan: &mut TranscodingPlan) {
    let (Some(queue), Some(bucket)) = (&observed.queue, &observed.input) else {
        plan.waiting.push("uploads are announced once queue and input bucket are there".to_owned());
        return;
    };
    let changes_queue = |call: &Call| matches!(call, Call::SetQueueAttributes { url, attributes } if *url == queue.url && attributes.contains_key("Policy"));
    if plan.calls.iter().any(changes_queue) {
        plan.waiting.push("uploads are announced once the queue admits them".to_owned());
        return;
    }
    let entry = notification(notification_id(&platform.uid), &queue.arn, &input.prefix);
    if !bucket.notifications.contains(&entry) {
        plan.calls.push(Call::PutNotification { bucket: input.name.clone(), entry });
    }
}

/// Whether anything in AWS is to be deleted with the platform.
#[must_use]
pub fn deletes(wanted: &Transcoding) -> bool {
    let buckets = [wanted.input.managed, wanted.output.managed];
    deletes_queues(wanted) || buckets.contains(&Some(DeletionPolicy::Delete))
}

fn deletes_queues(wanted: &Transcoding) -> bool {
    matches!(wanted.queue, Queue::Managed { deletion_policy: DeletionPolicy::Delete, .. })
}

/// What goes with a platform that is deleted: what the spec says to delete, and our entry on a bucket that
/// stays. Nothing where all of that is done.
#[must_use]
pub fn teardown(platform: &Platform, observed: &Observed) -> Vec<Call> {
    let Some(wanted) = &platform.transcoding else { return Vec::new() };
    let mut calls = Vec::new();
    let id = notification_id(&platform.uid);
    if let Some(bucket) = &observed.input
        && bucket.notifications.iter().any(|entry| entry.id == id)
    {
        calls.push(Call::RemoveNotification { bucket: bucket.name.clone(), id });
    }
    if deletes_queues(wanted) {
        let queues = [&observed.queue, &observed.dead_letter, &observed.events];
        calls.extend(queues.into_iter().flatten().map(|queue| Call::DeleteQueue { url: queue.url.clone() }));
    }
    for (bucket, there) in [(&wanted.input, &observed.input), (&wanted.output, &observed.output)] {
        if bucket.managed == Some(DeletionPolicy::Delete) && there.is_some() {
            calls.push(Call::DeleteBucket { bucket: bucket.name.clone() });
        }
    }
    calls
}
