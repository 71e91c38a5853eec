//! Messages: visible, in flight, gone.

use super::{Fault, Parameters, Queue};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// For how long a message can be held, counted from its receipt: `ChangeMessageVisibility` in the API Reference.
const MAX_HOLD: SignedDuration = SignedDuration::from_hours(12);
/// Messages in flight on a standard queue: "Amazon SQS quotas".
const MAX_IN_FLIGHT: usize = 120_000;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// `MessageId`.
    pub id: String,
    /// Its body.
    pub body: String,
    /// Its attributes, all of which are text.
    pub attributes: BTreeMap<String, String>,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// From when on it is visible.
    pub visible_at: Timestamp,
    /// When it was received last.
    pub received_at: Option<Timestamp>,
    /// How often.
    pub receipts: u64,
}

impl Message {
    /// One that is visible at once.
    #[must_use]
    pub fn new(id: String, body: String, attributes: BTreeMap<String, String>, now: Timestamp) -> Self {
        Self { id, body, attributes, sent_at: now, visible_at: now, received_at: None, receipts: 0 }
    }

    fn handle(&self) -> String {
        format!("{}#{}", self.id, self.receipts)
    }

    fn is_in_flight(&self, now: Timestamp) -> bool {
        self.received_at.is_some() && self.visible_at > now
    }
}

/// Body and attributes of a message that is sent.
pub(super) fn sent(parameters: &Parameters) -> (String, BTreeMap<String, String>) {
    let body = parameters.get("MessageBody").unwrap_or_default().to_owned();
    let attributes = parameters.structure("MessageAttributes").unwrap_or_default();
    let text = |(name, value): (&String, &String)| {
        Some((name.strip_suffix(".StringValue")?.to_owned(), value.clone()))
    };
    (body, attributes.0.iter().filter_map(text).collect())
}

impl Queue {
    pub(super) fn put(
        &mut self,
        id: String,
        body: String,
        attributes: BTreeMap<String, String>,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let most = usize::try_from(self.number("MaximumMessageSize")).unwrap_or(usize::MAX);
        if body.is_empty() || body.len() > most {
            let message = format!(
                "One or more parameters are invalid. Reason: Message must be shorter than {most} bytes."
            );
            return Err(Fault::bad_request("InvalidParameterValue", message));
        }
        self.messages.push(Message::new(id, body, attributes, now));
        Ok(())
    }

    pub(super) fn receive(&mut self, parameters: &Parameters, now: Timestamp) -> Result<Value, Fault> {
        let most = usize::try_from(parameters.integer("MaxNumberOfMessages")?.unwrap_or(1)).unwrap_or(1);
        let default = self.number("VisibilityTimeout");
        let hidden = SignedDuration::from_secs(parameters.integer("VisibilityTimeout")?.unwrap_or(default));
        if self.messages.iter().filter(|it| it.is_in_flight(now)).count() >= MAX_IN_FLIGHT {
            return Err(Fault::bad_request("OverLimit", "Too many messages in flight"));
        }
        let visible = self.messages.iter_mut().filter(|it| it.visible_at <= now).take(most);
        let received: Vec<Value> = visible
            .map(|message| {
                message.receipts += 1;
                message.received_at = Some(now);
                message.visible_at = now.saturating_add(hidden).unwrap_or(now);
                let attribute = |(name, value): (&String, &String)| {
                    (name.clone(), json!({ "DataType": "String", "StringValue": value }))
                };
                let attributes: serde_json::Map<_, _> = message.attributes.iter().map(attribute).collect();
                json!({
                    "MessageId": message.id,
                    "ReceiptHandle": message.handle(),
                    "Body": message.body,
                    "Attributes": {
                        "SentTimestamp": message.sent_at.as_millisecond().to_string(),
                        "ApproximateReceiveCount": message.receipts.to_string(),
                    },
                    "MessageAttributes": attributes,
                })
            })
            .collect();
        Ok(if received.is_empty() { json!({}) } else { json!({ "Messages": received }) })
    }

    /// Says yes whatever the handle is, as SQS does; only the last one deletes.
    pub(super) fn delete(
        &mut self,
        parameters: &Parameters,
        lapsed_handles_delete: bool,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let handle = handle(parameters)?;
        self.messages.retain(|it| it.handle() != handle || !(it.is_in_flight(now) || lapsed_handles_delete));
        Ok(())
    }

    pub(super) fn change_visibility(&mut self, parameters: &Parameters, now: Timestamp) -> Result<(), Fault> {
        let handle = handle(parameters)?;
        let hidden = SignedDuration::from_secs(parameters.integer("VisibilityTimeout")?.unwrap_or_default());
        let invalid = |message: &str| Fault::bad_request("InvalidParameterValue", message);
        let Some(message) = self.messages.iter_mut().find(|it| handle.starts_with(&format!("{}#", it.id)))
        else {
            return Err(invalid("The receipt handle has expired."));
        };
        if !message.is_in_flight(now) || message.handle() != handle {
            return Err(Fault::bad_request("MessageNotInflight", "The specified message isn't in flight."));
        }
        let until = now.saturating_add(hidden).unwrap_or(now);
        let last = message.received_at.and_then(|at| at.checked_add(MAX_HOLD).ok()).unwrap_or(now);
        if until > last {
            return Err(invalid(
                "Total VisibilityTimeout for the message is beyond the limit of 43200 seconds.",
            ));
        }
        message.visible_at = until;
        Ok(())
    }

    /// Takes out what is older than the retention, and returns what was received too often, with where it goes.
    pub(super) fn expire(&mut self, now: Timestamp) -> Vec<(String, Message)> {
        let retention = SignedDuration::from_secs(self.number("MessageRetentionPeriod"));
        self.messages.retain(|it| now.duration_since(it.sent_at) < retention);
        let Some((target, most)) = self.redrive() else { return Vec::new() };
        let is_dead = |it: &mut Message| it.receipts >= most && it.visible_at <= now;
        let dead = self.messages.extract_if(.., is_dead);
        // Its time goes on: a message keeps when it was sent.
        dead.map(|it| (target.clone(), Message { receipts: 0, received_at: None, ..it })).collect()
    }
}

fn handle(parameters: &Parameters) -> Result<String, Fault> {
    let handle = parameters.required("ReceiptHandle")?;
    if !handle.contains('#') {
        return Err(Fault::bad_request("ReceiptHandleIsInvalid", "The input receipt handle is invalid."));
    }
    Ok(handle.to_owned())
}
