//! SQS, standard queues. It knows what emulators don't: a handle that a later receipt superseded deletes nothing, one
//! whose time lapsed may or may not, and twelve hours after its receipt a message is visible again whatever one does.
//!
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html>

mod messages;
mod settings;

pub use messages::Message;

use super::{
    Place,
    fault::Fault,
    query::{Answer, Parameters},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

/// How long a queue's name can't be used after its deletion: `DeleteQueue` in the API Reference.
const NAME_RESTS: SignedDuration = SignedDuration::from_secs(60);

/// SQS in one account and region.
#[derive(Clone, Debug, Default)]
pub struct Sqs {
    /// Queues by name.
    pub queues: BTreeMap<String, Queue>,
    /// Whether a handle whose time lapsed deletes, before the message is received again.
    pub lapsed_handles_delete: bool,
    deleted: BTreeMap<String, Timestamp>,
    sent: u64,
}

/// A queue.
#[derive(Clone, Debug)]
pub struct Queue {
    /// Its URL.
    pub url: String,
    /// Its ARN.
    pub arn: String,
    /// What was set of its attributes; the others have their default.
    pub attributes: BTreeMap<String, String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// Messages, oldest first.
    pub messages: Vec<Message>,
}

/// How long a call waits for messages at the most; none: it is none that waits.
pub(super) fn patience(operation: &str, parameters: &Parameters) -> Option<Duration> {
    let seconds = parameters.integer("WaitTimeSeconds").ok().flatten()?;
    (operation == "ReceiveMessage" && seconds > 0).then(|| Duration::from_secs(seconds.unsigned_abs()))
}

impl Sqs {
    /// In how long the queue of a call has a message to give; none: as far as is known, never. Zero also where there
    /// is no such queue, which the call will say.
    pub(super) fn next_message(&mut self, parameters: &Parameters, now: Timestamp) -> Option<Duration> {
        let Ok(queue) = self.queue(parameters) else { return Some(Duration::ZERO) };
        let next = queue.messages.iter().map(|message| message.visible_at).min()?;
        Some(Duration::try_from(next.duration_since(now)).unwrap_or_default())
    }

    pub(super) fn call(
        &mut self,
        operation: &str,
        parameters: &Parameters,
        now: Timestamp,
        place: &Place,
    ) -> Result<Answer, Fault> {
        self.advance(now);
        let answer = match operation {
            "CreateQueue" => self.create(parameters, now, place)?,
            "GetQueueUrl" => json!({ "QueueUrl": self.named(parameters)?.url }),
            "GetQueueAttributes" => json!({ "Attributes": self.queue(parameters)?.shown(now) }),
            "SetQueueAttributes" => {
                let attributes = settings::checked(parameters)?;
                let queue = self.queue(parameters)?;
                for (name, value) in attributes {
                    // An empty value gives the default again.
                    if value.is_empty() {
                        queue.attributes.remove(&name);
                    } else {
                        queue.attributes.insert(name, value);
                    }
                }
                json!({})
            }
            "ListQueueTags" => json!({ "Tags": self.queue(parameters)?.tags }),
            "TagQueue" => {
                let tags = parameters.structure("Tags").unwrap_or_default().0;
                self.queue(parameters)?.tags.extend(tags);
                json!({})
            }
            "UntagQueue" => {
                let keys = parameters.list("TagKeys").unwrap_or_default();
                self.queue(parameters)?.tags.retain(|key, _| !keys.contains(key));
                json!({})
            }
            "DeleteQueue" => {
                let name = self.name_of(parameters)?;
                self.queues.remove(&name);
                self.deleted.insert(name, now);
                json!({})
            }
            "SendMessage" => {
                let (body, attributes) = messages::sent(parameters);
                let id = self.next_id();
                self.queue(parameters)?.put(id.clone(), body, attributes, now)?;
                json!({ "MessageId": id })
            }
            "ReceiveMessage" => self.queue(parameters)?.receive(parameters, now)?,
            "DeleteMessage" => {
                let lapsed_handles_delete = self.lapsed_handles_delete;
                self.queue(parameters)?.delete(parameters, lapsed_handles_delete, now)?;
                json!({})
            }
            "ChangeMessageVisibility" => {
                self.queue(parameters)?.change_visibility(parameters, now)?;
                json!({})
            }
            "SendMessageBatch" => self.batch(parameters, |sqs, entry| {
                let (body, attributes) = messages::sent(entry);
                let id = sqs.next_id();
                sqs.queue(parameters)?.put(id.clone(), body, attributes, now)?;
                Ok(json!({ "MessageId": id }))
            })?,
            "DeleteMessageBatch" => self.batch(parameters, |sqs, entry| {
                let lapsed_handles_delete = sqs.lapsed_handles_delete;
                sqs.queue(parameters)?.delete(entry, lapsed_handles_delete, now).map(|()| json!({}))
            })?,
            "ChangeMessageVisibilityBatch" => self.batch(parameters, |sqs, entry| {
                sqs.queue(parameters)?.change_visibility(entry, now).map(|()| json!({}))
            })?,
            _ => {
                return Err(Fault::bad_request(
                    "UnknownOperationException",
                    format!("no operation {operation}"),
                ));
            }
        };
        Ok(answer.into())
    }

    /// Messages that are due to go have gone.
    pub(super) fn advance(&mut self, now: Timestamp) {
        let mut dead = Vec::new();
        for queue in self.queues.values_mut() {
            dead.append(&mut queue.expire(now));
        }
        for (arn, message) in dead {
            if let Some(target) = self.queues.values_mut().find(|queue| queue.arn == arn) {
                target.messages.push(message);
            }
        }
        self.deleted.retain(|_, at| now.duration_since(*at) < NAME_RESTS);
    }

    /// Puts a message on a queue, as another service does.
    pub fn send(&mut self, queue: &str, body: &str, now: Timestamp) {
        let id = self.next_id();
        if let Some(queue) = self.queues.get_mut(queue) {
            queue.messages.push(Message::new(id, body.to_owned(), BTreeMap::new(), now));
        }
    }

    fn next_id(&mut self) -> String {
        self.sent += 1;
        format!("00000000-0000-4000-8000-{:012x}", self.sent)
    }

    fn create(&mut self, parameters: &Parameters, now: Timestamp, place: &Place) -> Result<Value, Fault> {
        let name = parameters.required("QueueName")?.to_owned();
        let is_valid =
            name.len() <= 80 && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
        if !is_valid {
            return Err(Fault::bad_request(
                "InvalidParameterValue",
                "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length",
            ));
        }
        let attributes = settings::checked(parameters)?;
        if let Some(queue) = self.queues.get(&name) {
            let differs = attributes.iter().any(|(name, value)| queue.shown(now).get(name) != Some(value));
            if differs {
                return Err(Fault::bad_request(
                    "QueueNameExists",
                    "A queue already exists with the same name and a different value for an attribute",
                ));
            }
            return Ok(json!({ "QueueUrl": queue.url }));
        }
        if self.deleted.contains_key(&name) {
            return Err(Fault::bad_request(
                "QueueDeletedRecently",
                "You must wait 60 seconds after deleting a queue before you can create another with the same name.",
            ));
        }
        let Place { account, region } = place;
        let queue = Queue {
            url: format!("https://sqs.{region}.amazonaws.com/{account}/{name}"),
            arn: place.arn("sqs", &name),
            attributes,
            tags: parameters.structure("tags").unwrap_or_default().0,
            messages: Vec::new(),
        };
        let answer = json!({ "QueueUrl": queue.url });
        self.queues.insert(name, queue);
        Ok(answer)
    }

    fn named(&mut self, parameters: &Parameters) -> Result<&mut Queue, Fault> {
        let name = parameters.required("QueueName")?;
        self.queues.get_mut(name).ok_or_else(missing)
    }

    fn queue(&mut self, parameters: &Parameters) -> Result<&mut Queue, Fault> {
        let name = self.name_of(parameters)?;
        self.queues.get_mut(&name).ok_or_else(missing)
    }

    fn name_of(&self, parameters: &Parameters) -> Result<String, Fault> {
        let url = parameters.required("QueueUrl")?;
        let name = url.rsplit('/').next().unwrap_or_default();
        self.queues.contains_key(name).then(|| name.to_owned()).ok_or_else(missing)
    }

    /// Each entry for itself: one that fails stops no other.
    fn batch(
        &mut self,
        parameters: &Parameters,
        mut act: impl FnMut(&mut Self, &Parameters) -> Result<Value, Fault>,
    ) -> Result<Value, Fault> {
        self.name_of(parameters)?;
        let entries = parameters.structures("Entries").unwrap_or_default();
        if entries.is_empty() || entries.len() > 10 {
            let (code, message) = if entries.is_empty() {
                ("EmptyBatchRequest", "There should be at least one entry in the request.")
            } else {
                ("TooManyEntriesInBatchRequest", "Maximum number of entries per request are 10.")
            };
            return Err(Fault::bad_request(code, message));
        }
        let (mut successful, mut failed) = (Vec::new(), Vec::new());
        for entry in entries {
            let id = entry.required("Id")?;
            match act(self, &entry) {
                Ok(mut done) => {
                    done["Id"] = json!(id);
                    successful.push(done);
                }
                Err(fault) => failed.push(json!({
                    "Id": id, "SenderFault": true, "Code": fault.code, "Message": fault.message,
                })),
            }
        }
        Ok(json!({ "Successful": successful, "Failed": failed }))
    }
}

/// The code of the Query protocol, where it differs, and whose fault it is.
pub(super) fn code_of_old(code: &str) -> Option<&'static str> {
    Some(match code {
        "QueueDoesNotExist" => "AWS.SimpleQueueService.NonExistentQueue;Sender",
        "QueueDeletedRecently" => "AWS.SimpleQueueService.QueueDeletedRecently;Sender",
        "QueueNameExists" => "QueueAlreadyExists;Sender",
        "MessageNotInflight" => "AWS.SimpleQueueService.MessageNotInflight;Sender",
        "EmptyBatchRequest" => "AWS.SimpleQueueService.EmptyBatchRequest;Sender",
        "TooManyEntriesInBatchRequest" => "AWS.SimpleQueueService.TooManyEntriesInBatchRequest;Sender",
        _ => return None,
    })
}

fn missing() -> Fault {
    Fault::bad_request("QueueDoesNotExist", "The specified queue does not exist.")
}
