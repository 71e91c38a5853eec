//! A queue in SQS.

use super::{Change, Effect, Setting, Settings, Value, difference};
use crate::{
    api::QueueDepth,
    dispatch::message::MAX_BODY,
    plan::managed::missing_tags,
    platform::{Queue as Wanted, Transcoding},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{collections::BTreeMap, fmt};

/// Longest that SQS keeps messages: 14 days, in seconds ("Amazon SQS message quotas" of the developer guide).
pub const RETENTION: i64 = 14 * 24 * 3600;
/// How often a message may be received before SQS itself dead-letters it: a backstop only, for take-overs
/// and adoptions raise the count. The operator counts attempts by itself.
pub const MAX_RECEIVE_COUNT: i64 = 1000;
/// Statement of a queue's policy that is ours. All others are kept.
pub const STATEMENT: &str = "StreamingOperatorS3";

/// Settings of a queue. The order is that of the table in the docs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum QueueSetting {
    /// Seconds that a received message stays hidden.
    VisibilityTimeout,
    /// KMS key; empty: none.
    KmsKey,
    /// Whether SQS encrypts with a key of its own.
    SqsManagedEncryption,
    /// Seconds that messages are kept.
    Retention,
    /// Longest message, in bytes.
    MaximumMessageSize,
    /// ARN of the dead-letter queue.
    DeadLetterQueue,
    /// How often a message is received before SQS dead-letters it.
    MaxReceiveCount,
    /// The policy's statement that admits S3, as JSON.
    S3Admission,
}

use QueueSetting as S;

impl Setting for QueueSetting {
    const ALL: &'static [Self] = &[
        S::VisibilityTimeout,
        S::KmsKey,
        S::SqsManagedEncryption,
        S::Retention,
        S::MaximumMessageSize,
        S::DeadLetterQueue,
        S::MaxReceiveCount,
        S::S3Admission,
    ];

    fn field(self) -> &'static str {
        match self {
            S::VisibilityTimeout => "visibilityTimeout",
            S::KmsKey => "kmsKeyID",
            S::SqsManagedEncryption => "encryption with SQS's own key",
            S::Retention => "retention",
            S::MaximumMessageSize => "longest message",
            S::DeadLetterQueue => "dead-letter queue",
            S::MaxReceiveCount => "receives before SQS dead-letters",
            S::S3Admission => "admission of S3",
        }
    }

    fn effect(self, _: Option<&Value>, _: &Value) -> Effect {
        match self {
            S::VisibilityTimeout
            | S::KmsKey
            | S::SqsManagedEncryption
            | S::Retention
            | S::MaximumMessageSize
            | S::DeadLetterQueue
            | S::MaxReceiveCount
            | S::S3Admission => Effect::Online,
        }
    }

    fn is_met(self, wanted: &Value, seen: &Value) -> bool {
        match self {
            S::S3Admission => statement(wanted.text()) == statement(seen.text()),
            _ => wanted == seen,
        }
    }
}

/// A queue as SQS describes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Queue {
    /// Its URL.
    pub url: String,
    /// Its ARN.
    pub arn: String,
    /// Whether it keeps an order.
    pub fifo: bool,
    /// Its settings.
    pub settings: Settings<QueueSetting>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// How many messages are on it.
    pub depth: QueueDepth,
}

/// What each of our queues shall be.
#[must_use]
pub fn desired(queue: &Wanted) -> Settings<S> {
    let mut wanted = Settings::from([(S::Retention, RETENTION.into())]);
    match queue {
        Wanted::Managed { kms_key_id: Some(key), .. } => {
            wanted.insert(S::KmsKey, key.clone().into());
        }
        Wanted::Managed { kms_key_id: None, .. } | Wanted::Existing { .. } => {
            wanted.extend([(S::KmsKey, "".into()), (S::SqsManagedEncryption, true.into())]);
        }
    }
    wanted
}

/// What the queue of that name shall be, on which work arrives.
#[must_use]
pub fn desired_work(wanted: &Transcoding, name: &str, dead_letter: &Queue) -> Settings<S> {
    let mut settings = desired(&wanted.queue);
    let seconds = i64::try_from(wanted.visibility_timeout.as_secs()).unwrap_or(i64::MAX);
    let size = i64::try_from(MAX_BODY).unwrap_or(i64::MAX);
    settings.extend([
        (S::VisibilityTimeout, seconds.into()),
        (S::MaximumMessageSize, size.into()),
        (S::DeadLetterQueue, dead_letter.arn.clone().into()),
        (S::MaxReceiveCount, MAX_RECEIVE_COUNT.into()),
        (S::S3Admission, admission(&dead_letter.arn, name, &wanted.input.name).into()),
    ]);
    settings
}

/// The statement that lets S3 send what happens in this bucket of this account, and nothing else, to the queue
/// of that name. `beside` is the ARN of a queue of the account: `arn:partition:sqs:region:account:name`.
fn admission(beside: &str, name: &str, bucket: &str) -> String {
    let mut parts: Vec<&str> = beside.split(':').collect();
    let part = |index: usize| parts.get(index).copied().unwrap_or_default();
    let (partition, account) = (part(1), part(4));
    let source = format!("arn:{partition}:s3:::{bucket}");
    let condition = json!({
        "ArnEquals": {"aws:SourceArn": source}, "StringEquals": {"aws:SourceAccount": account}
    });
    parts.pop();
    parts.push(name);
    json!({
        "Sid": STATEMENT,
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": parts.join(":"),
        "Condition": condition,
    })
    .to_string()
}

/// A statement as JSON, to be compared whatever the order of its fields; null where there is none.
fn statement(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// Statements of a queue's policy. A policy may hold one in place of a list.
fn statements(policy: Option<&str>) -> Vec<serde_json::Value> {
    match &policy.map(statement).unwrap_or_default()["Statement"] {
        serde_json::Value::Array(statements) => statements.clone(),
        serde_json::Value::Null => Vec::new(),
        one => vec![one.clone()],
    }
}

/// Our statement in a queue's policy; empty: there is none.
#[must_use]
pub fn admission_in(policy: Option<&str>) -> String {
    let ours = statements(policy).into_iter().find(|it| it["Sid"] == STATEMENT);
    ours.map(|it| it.to_string()).unwrap_or_default()
}

/// The policy with our statement beside those of others.
#[must_use]
pub fn policy_with(present: Option<&str>, admission: &str) -> String {
    let mut statements = statements(present);
    statements.retain(|other| other["Sid"] != STATEMENT);
    statements.push(statement(admission));
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

/// The calls that bring the observed queue to what it shall be.
#[must_use]
pub fn calls(
    name: String,
    wanted: Settings<S>,
    tags: BTreeMap<String, String>,
    observed: Option<&Queue>,
) -> Vec<Call> {
    let Some(queue) = observed else {
        let mut settings = wanted;
        settings.retain(|_, value| *value != Value::from(""));
        return vec![Call::Create { name, settings, tags }];
    };
    let url = || queue.url.clone();
    let mut calls = Vec::new();
    let changes = difference(&wanted, &queue.settings, &Settings::new());
    if !changes.is_empty() {
        calls.push(Call::Set { url: url(), settings: settings_of(&changes, &wanted) });
    }
    let missing = missing_tags(&tags, &queue.tags);
    if !missing.is_empty() {
        calls.push(Call::Tag { url: url(), tags: missing });
    }
    calls
}

/// What differs. The dead-letter queue and after how many receives are one attribute.
fn settings_of(changes: &[Change<S>], wanted: &Settings<S>) -> Settings<S> {
    let mut settings: Settings<S> = changes.iter().map(|it| (it.setting, it.to.clone())).collect();
    let redrive = [S::DeadLetterQueue, S::MaxReceiveCount];
    if redrive.iter().any(|it| settings.contains_key(it)) {
        settings.extend(redrive.iter().filter_map(|it| Some((*it, wanted.get(it)?.clone()))));
    }
    settings
}

/// What of an existing queue can lose messages, and what to do about it.
#[must_use]
pub fn misconfigurations(queue: &Queue, dead_letter: &Queue) -> Vec<String> {
    let mut found = Vec::new();
    let url = &queue.url;
    if queue.fifo {
        found.push(format!(
            "{url} is a FIFO queue, in which one slow transcode blocks all others of its group; use a standard queue"
        ));
    }
    let less = |queue: &Queue, setting, least| {
        queue.settings.get(&setting).map(Value::number).filter(|number| *number < least)
    };
    if let Some(count) = less(queue, S::MaxReceiveCount, MAX_RECEIVE_COUNT) {
        found.push(format!(
            "{url} dead-letters after {count} receipts, which take-overs and long Jobs use up; set maxReceiveCount of its redrive policy to {MAX_RECEIVE_COUNT}"
        ));
    }
    for queue in [queue, dead_letter] {
        if let Some(seconds) = less(queue, S::Retention, RETENTION) {
            found.push(format!(
                "{} keeps messages for {} h only; set its MessageRetentionPeriod to {RETENTION} (14 days)",
                queue.url,
                seconds / 3600
            ));
        }
    }
    found
}

/// One call to SQS.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// Make a queue.
    Create {
        /// Its name.
        name: String,
        /// Its settings.
        settings: Settings<QueueSetting>,
        /// Its tags.
        tags: BTreeMap<String, String>,
    },
    /// Change a queue.
    Set {
        /// Its URL.
        url: String,
        /// Only the settings that differ.
        settings: Settings<QueueSetting>,
    },
    /// Add tags.
    Tag {
        /// The queue's URL.
        url: String,
        /// Only those that differ.
        tags: BTreeMap<String, String>,
    },
    /// Delete a queue with all its messages.
    Delete {
        /// Its URL.
        url: String,
    },
}

impl Call {
    /// URL of the queue, or its name where it is to be made.
    #[must_use]
    pub fn queue(&self) -> &str {
        match self {
            Self::Create { name, .. } => name,
            Self::Set { url, .. } | Self::Tag { url, .. } | Self::Delete { url } => url,
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create { name, .. } => write!(f, "make queue {name}"),
            Self::Set { url, settings } => {
                let names: Vec<_> = settings.keys().map(|it| it.field()).collect();
                write!(f, "set {} of queue {url}", names.join(", "))
            }
            Self::Tag { url, .. } => write!(f, "tag queue {url}"),
            Self::Delete { url } => write!(f, "delete queue {url}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::DeletionPolicy;

    const ARN: &str = "arn:aws:sqs:eu-west-1:123456789012:q";

    fn managed(key: Option<&str>) -> Wanted {
        let kms_key_id = key.map(str::to_owned);
        Wanted::Managed { kms_key_id, deletion_policy: DeletionPolicy::Retain }
    }

    fn wanted() -> Settings<S> {
        let mut wanted = desired(&managed(None));
        wanted.extend([
            (S::VisibilityTimeout, 300.into()),
            (S::DeadLetterQueue, "arn:d".into()),
            (S::MaxReceiveCount, MAX_RECEIVE_COUNT.into()),
            (S::S3Admission, admission("arn:aws:sqs:eu-west-1:123456789012:d", "q", "in").into()),
        ]);
        wanted
    }

    fn tags() -> BTreeMap<String, String> {
        [("team".to_owned(), "media".to_owned())].into()
    }

    fn converged() -> Queue {
        let mut tags = tags();
        tags.insert("theirs".into(), "1".into());
        let mut settings = wanted();
        // A setting that is not ours.
        settings.insert(S::MaximumMessageSize, 77.into());
        Queue { url: "http://sqs/q".into(), arn: ARN.into(), settings, tags, ..Queue::default() }
    }

    fn changed(seen: &Queue) -> Vec<Call> {
        calls("q".into(), wanted(), tags(), Some(seen))
    }

    #[test]
    fn a_converged_queue_needs_no_call_and_what_is_not_ours_is_left_alone() {
        assert_eq!(changed(&converged()), []);
    }

    #[test]
    fn a_new_queue_is_made_with_all_that_it_shall_be() {
        let calls = calls("q".into(), wanted(), tags(), None);
        insta::assert_debug_snapshot!(calls);
    }

    #[test]
    fn each_setting_that_drifted_is_set_and_no_other() {
        for (setting, value) in wanted() {
            let mut drifted = converged();
            let other = match value {
                Value::Text(_) => Value::from("other"),
                Value::Number(number) => (number + 1).into(),
                Value::Flag(flag) => (!flag).into(),
                Value::Names(_) => continue,
            };
            drifted.settings.insert(setting, other);
            let mut expected = Settings::from([(setting, value)]);
            if setting == S::DeadLetterQueue || setting == S::MaxReceiveCount {
                expected.insert(S::DeadLetterQueue, "arn:d".into());
                expected.insert(S::MaxReceiveCount, MAX_RECEIVE_COUNT.into());
            }
            assert_eq!(
                changed(&drifted),
                [Call::Set { url: "http://sqs/q".into(), settings: expected }],
                "{setting:?}"
            );
        }
    }

    #[test]
    fn a_tag_that_was_taken_away_comes_back_and_those_of_others_stay() {
        let mut drifted = converged();
        drifted.tags.remove("team");
        assert_eq!(changed(&drifted), [Call::Tag { url: "http://sqs/q".into(), tags: tags() }]);
    }

    #[test]
    fn a_customer_key_is_set_and_taken_away_again() {
        let with_key = desired(&managed(Some("alias/media")));
        let changes = difference(&with_key, &wanted(), &Settings::new());
        assert_eq!(settings_of(&changes, &with_key), Settings::from([(S::KmsKey, "alias/media".into())]));
        let seen = Settings::from([
            (S::KmsKey, "alias/media".into()),
            (S::SqsManagedEncryption, false.into()),
            (S::Retention, RETENTION.into()),
        ]);
        let plain = desired(&managed(None));
        let changes = difference(&plain, &seen, &Settings::new());
        let expected = Settings::from([(S::KmsKey, "".into()), (S::SqsManagedEncryption, true.into())]);
        assert_eq!(settings_of(&changes, &plain), expected);
    }

    #[test]
    fn statements_of_others_are_kept_and_ours_is_narrow() {
        let foreign =
            json!({"Sid": "mine", "Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": "*"});
        let present = json!({"Version": "2012-10-17", "Statement": foreign}).to_string();
        let admission = admission("arn:aws:sqs:eu-west-1:123456789012:d", "q", "in");
        let policy = policy_with(Some(&present), &admission);
        insta::assert_json_snapshot!(statement(&policy));
        assert_eq!(policy_with(Some(&policy), &admission), policy, "ours is there once");
        assert_eq!(admission_in(Some(&policy)), admission);
        assert_eq!(admission_in(Some(&present)), "");
    }

    #[test]
    fn a_statement_is_the_same_in_whatever_order_it_is_written() {
        let one = Value::from(r#"{"Sid": "a", "Effect": "Allow"}"#);
        let other = Value::from(r#"{"Effect":"Allow","Sid":"a"}"#);
        assert!(S::S3Admission.is_met(&one, &other));
        assert!(!S::S3Admission.is_met(&one, &Value::from("")));
    }

    #[test]
    fn an_existing_queue_that_can_lose_messages_is_told_apart() {
        let queue = |count: i64, retention: i64, fifo| Queue {
            url: "http://sqs/q".into(),
            fifo,
            settings: [(S::MaxReceiveCount, count.into()), (S::Retention, retention.into())].into(),
            ..Queue::default()
        };
        let good = queue(1000, RETENTION, false);
        assert_eq!(misconfigurations(&good, &good), Vec::<String>::new());
        insta::assert_snapshot!(misconfigurations(&queue(3, 345_600, true), &good).join("\n"));
    }
}
