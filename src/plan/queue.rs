//! A queue: what it shall be, and how what was observed differs.

use super::call::Call;
use crate::observe::aws::sqs::Queue;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Longest that SQS keeps messages: 14 days, in seconds.
pub const RETENTION: u32 = 14 * 24 * 3600;
/// How often a message may be received before SQS itself dead-letters it: a backstop only, for take-overs
/// and adoptions raise the count. The operator counts attempts by itself.
pub const MAX_RECEIVE_COUNT: u32 = 1000;
/// Statement of a queue's policy that is ours. All others are kept.
const STATEMENT: &str = "StreamingOperatorS3";

/// A queue as it shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueIntent {
    /// Its name.
    pub name: String,
    /// Settings, under SQS's names. What is not named here is anyone's.
    pub attributes: BTreeMap<String, String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// The bucket that may send to it.
    pub sender: Option<String>,
}

impl QueueIntent {
    /// The settings that all our queues share.
    #[must_use]
    pub fn new(name: String, kms_key_id: Option<&str>, tags: BTreeMap<String, String>) -> Self {
        let encryption = match kms_key_id {
            Some(key) => ("KmsMasterKeyId", key.to_owned()),
            None => ("SqsManagedSseEnabled", "true".to_owned()),
        };
        let attributes = [encryption, ("MessageRetentionPeriod", RETENTION.to_string())]
            .map(|(name, value)| (name.to_owned(), value))
            .into();
        Self { name, attributes, tags, sender: None }
    }

    /// With another setting.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.attributes.insert(name.to_owned(), value.into());
        self
    }

    /// The calls that bring the observed queue to this.
    #[must_use]
    pub fn calls(&self, observed: Option<&Queue>) -> Vec<Call> {
        let Some(queue) = observed else {
            return vec![Call::CreateQueue {
                name: self.name.clone(),
                attributes: self.attributes.clone(),
                tags: self.tags.clone(),
            }];
        };
        let mut calls = Vec::new();
        let mut attributes: BTreeMap<_, _> = self
            .attributes
            .iter()
            .filter(|(name, value)| !is_equal(queue.attributes.get(*name), value))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if let Some(policy) = self.sender.as_ref().and_then(|bucket| policy(queue, bucket)) {
            attributes.insert("Policy".to_owned(), policy);
        }
        if !attributes.is_empty() {
            calls.push(Call::SetQueueAttributes { url: queue.url.clone(), attributes });
        }
        let tags = missing_tags(&self.tags, &queue.tags);
        if !tags.is_empty() {
            calls.push(Call::TagQueue { url: queue.url.clone(), tags });
        }
        calls
    }
}

/// Tags that are absent or other than they shall be. Those of others are kept.
#[must_use]
pub fn missing_tags(
    wanted: &BTreeMap<String, String>,
    observed: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    wanted
        .iter()
        .filter(|(key, value)| observed.get(*key) != Some(value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// Text, or JSON whose numbers may stand as text: SQS answers with either.
fn is_equal(observed: Option<&String>, wanted: &str) -> bool {
    let Some(observed) = observed else { return false };
    if observed == wanted {
        return true;
    }
    let normal = |text: &str| serde_json::from_str::<Value>(text).ok().map(normalize);
    wanted.starts_with('{') && normal(observed).is_some_and(|it| Some(it) == normal(wanted))
}

fn normalize(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields.into_iter().map(|(key, value)| (key, normalize(value))).collect(),
        Value::Number(number) => Value::String(number.to_string()),
        other => other,
    }
}

/// Account that an ARN names: `arn:partition:sqs:region:account:name`.
#[must_use]
pub fn account_of(arn: &str) -> &str {
    arn.split(':').nth(4).unwrap_or_default()
}

fn partition_of(arn: &str) -> &str {
    arn.split(':').nth(1).unwrap_or("aws")
}

/// The policy with our statement, which admits S3 for this bucket of this account only; `None`: it is there.
fn policy(queue: &Queue, bucket: &str) -> Option<String> {
    let statement = json!({
        "Sid": STATEMENT,
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue.arn,
        "Condition": {
            "ArnEquals": {"aws:SourceArn": format!("arn:{}:s3:::{bucket}", partition_of(&queue.arn))},
            "StringEquals": {"aws:SourceAccount": account_of(&queue.arn)}
        }
    });
    let present: Value = queue
        .attributes
        .get("Policy")
        .and_then(|policy| serde_json::from_str(policy).ok())
        .unwrap_or_default();
    // A policy may hold one statement in place of a list.
    let statements = match &present["Statement"] {
        Value::Array(statements) => statements.clone(),
        Value::Null => Vec::new(),
        one => vec![one.clone()],
    };
    if statements.contains(&statement) {
        return None;
    }
    let mut statements: Vec<Value> =
        statements.into_iter().filter(|other| other["Sid"] != STATEMENT).collect();
    statements.push(statement);
    Some(json!({"Version": "2012-10-17", "Statement": statements}).to_string())
}

/// What of an existing queue can lose messages, and what to do about it.
#[must_use]
pub fn misconfigurations(queue: &Queue, dead_letter: &Queue) -> Vec<String> {
    let mut found = Vec::new();
    let url = &queue.url;
    if queue.attributes.get("FifoQueue").is_some_and(|value| value == "true") {
        found.push(format!(
            "{url} is a FIFO queue, in which one slow transcode blocks all others of its group; use a standard queue"
        ));
    }
    let redrive: Value = queue
        .attributes
        .get("RedrivePolicy")
        .and_then(|policy| serde_json::from_str(policy).ok())
        .unwrap_or_default();
    let count = match &redrive["maxReceiveCount"] {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    if let Some(count) = count.filter(|count| *count < u64::from(MAX_RECEIVE_COUNT)) {
        found.push(format!(
            "{url} dead-letters after {count} receipts, which take-overs and long Jobs use up; set maxReceiveCount of its redrive policy to {MAX_RECEIVE_COUNT}"
        ));
    }
    for queue in [queue, dead_letter] {
        let seconds =
            queue.attributes.get("MessageRetentionPeriod").and_then(|text| text.parse::<u32>().ok());
        if let Some(seconds) = seconds.filter(|seconds| *seconds < RETENTION) {
            found.push(format!(
                "{} keeps messages for {} h only; set its MessageRetentionPeriod to {RETENTION} (14 days)",
                queue.url,
                seconds / 3600
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(attributes: &[(&str, &str)]) -> Queue {
        Queue {
            url: "http://sqs/q".into(),
            arn: "arn:aws:sqs:eu-west-1:123456789012:q".into(),
            attributes: attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            ..Queue::default()
        }
    }

    fn intent() -> QueueIntent {
        QueueIntent { sender: Some("in".into()), ..QueueIntent::new("q".into(), None, BTreeMap::new()) }.with(
            "RedrivePolicy",
            json!({"deadLetterTargetArn": "arn:d", "maxReceiveCount": 1000}).to_string(),
        )
    }

    fn converged() -> Queue {
        let mut queue = queue(&[
            ("SqsManagedSseEnabled", "true"),
            ("MessageRetentionPeriod", "1209600"),
            ("RedrivePolicy", r#"{"maxReceiveCount":"1000","deadLetterTargetArn":"arn:d"}"#),
            ("VisibilityTimeout", "77"),
        ]);
        queue.attributes.insert("Policy".into(), policy(&queue, "in").unwrap());
        queue
    }

    #[test]
    fn a_converged_queue_needs_no_call_and_a_field_that_is_not_ours_is_left_alone() {
        assert_eq!(intent().calls(Some(&converged())), []);
    }

    #[test]
    fn only_what_drifted_is_set() {
        let mut drifted = converged();
        drifted.attributes.insert("MessageRetentionPeriod".into(), "60".into());
        let calls = intent().calls(Some(&drifted));
        let attributes = [("MessageRetentionPeriod".to_owned(), "1209600".to_owned())].into();
        assert_eq!(calls, [Call::SetQueueAttributes { url: "http://sqs/q".into(), attributes }]);
    }

    #[test]
    fn statements_of_others_are_kept_and_ours_is_narrow() {
        let foreign =
            json!({"Sid": "mine", "Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": "*"});
        let queue = queue(&[("Policy", &json!({"Version": "2012-10-17", "Statement": foreign}).to_string())]);
        let policy: Value = serde_json::from_str(&policy(&queue, "in").unwrap()).unwrap();
        insta::assert_json_snapshot!(policy);
    }

    #[test]
    fn an_existing_queue_that_can_lose_messages_is_told_apart() {
        let good =
            queue(&[("RedrivePolicy", r#"{"maxReceiveCount":1000}"#), ("MessageRetentionPeriod", "1209600")]);
        assert_eq!(misconfigurations(&good, &good), Vec::<String>::new());
        let bad = queue(&[
            ("FifoQueue", "true"),
            ("RedrivePolicy", r#"{"maxReceiveCount":"3"}"#),
            ("MessageRetentionPeriod", "345600"),
        ]);
        insta::assert_snapshot!(misconfigurations(&bad, &good).join("\n"));
    }
}
