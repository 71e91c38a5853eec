//! Attributes of queues.

use super::{Fault, Parameters, Queue};
use jiff::Timestamp;
use std::{collections::BTreeMap, ops::RangeInclusive};

/// Attributes that are numbers: their default and what they may be. `SetQueueAttributes` in the API Reference.
const NUMBERS: &[(&str, i64, RangeInclusive<i64>)] = &[
    ("DelaySeconds", 0, 0..=900),
    ("MaximumMessageSize", 1_048_576, 1024..=1_048_576),
    ("MessageRetentionPeriod", 345_600, 60..=1_209_600),
    ("ReceiveMessageWaitTimeSeconds", 0, 0..=20),
    ("VisibilityTimeout", 30, 0..=43_200),
    ("KmsDataKeyReusePeriodSeconds", 300, 60..=86_400),
];
/// Other attributes that can be set.
const OTHERS: &[&str] =
    &["Policy", "RedrivePolicy", "RedriveAllowPolicy", "KmsMasterKeyId", "SqsManagedSseEnabled"];

/// The attributes of a request.
pub(super) fn checked(parameters: &Parameters) -> Result<BTreeMap<String, String>, Fault> {
    let attributes = parameters.structure("Attributes").unwrap_or_default().0;
    for (name, value) in &attributes {
        let invalid = || {
            Fault::bad_request("InvalidAttributeValue", format!("Invalid value for the parameter {name}."))
        };
        match NUMBERS.iter().find(|(known, ..)| known == name) {
            Some((_, _, range)) => {
                let number = value.parse().map_err(|_| invalid())?;
                if !range.contains(&number) {
                    return Err(invalid());
                }
            }
            None if OTHERS.contains(&name.as_str()) => {}
            None => {
                return Err(Fault::bad_request("InvalidAttributeName", format!("Unknown Attribute {name}.")));
            }
        }
    }
    Ok(attributes)
}

impl Queue {
    pub(super) fn number(&self, name: &str) -> i64 {
        let default = NUMBERS.iter().find(|(known, ..)| *known == name).map_or(0, |(_, default, _)| *default);
        self.attributes.get(name).and_then(|value| value.parse().ok()).unwrap_or(default)
    }

    /// The dead-letter queue's ARN, and after how many receipts a message goes there.
    pub(super) fn redrive(&self) -> Option<(String, u64)> {
        let policy: serde_json::Value = serde_json::from_str(self.attributes.get("RedrivePolicy")?).ok()?;
        let count = &policy["maxReceiveCount"];
        let count = count.as_u64().or_else(|| count.as_str()?.parse().ok())?;
        Some((policy["deadLetterTargetArn"].as_str()?.to_owned(), count))
    }

    /// As `GetQueueAttributes` shows them.
    pub(super) fn shown(&self, now: Timestamp) -> BTreeMap<String, String> {
        let numbers = NUMBERS.iter().map(|(name, ..)| ((*name).to_owned(), self.number(name).to_string()));
        let mut shown: BTreeMap<String, String> = numbers.collect();
        let is_managed = !self.attributes.contains_key("KmsMasterKeyId");
        shown.insert("SqsManagedSseEnabled".to_owned(), is_managed.to_string());
        shown.extend(self.attributes.clone());
        shown.insert("QueueArn".to_owned(), self.arn.clone());
        let count = |is: &dyn Fn(&super::Message) -> bool| self.messages.iter().filter(|it| is(it)).count();
        let visible = count(&|it| it.visible_at <= now);
        shown.insert("ApproximateNumberOfMessages".to_owned(), visible.to_string());
        let hidden = self.messages.len() - visible;
        shown.insert("ApproximateNumberOfMessagesNotVisible".to_owned(), hidden.to_string());
        shown.insert("ApproximateNumberOfMessagesDelayed".to_owned(), "0".to_owned());
        shown
    }
}
