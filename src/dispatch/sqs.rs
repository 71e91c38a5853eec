//! sqs: the dispatcher's calls to queues.

use super::{
    attempt::Held,
    memory::Received,
    step::{Done, StepError},
};
use crate::{
    aws::{self, Account},
    surroundings::Clock,
};
use aws_sdk_sqs::{
    error::{ProvideErrorMetadata, SdkError},
    types::{
        BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry,
        Message, MessageAttributeValue, MessageSystemAttributeName, SendMessageBatchRequestEntry,
    },
};
use aws_smithy_types::timeout::TimeoutConfig;
use jiff::{SignedDuration, Timestamp};
use std::{collections::BTreeMap, time::Duration};

/// How long a receive waits for messages; the most that SQS offers.
pub const LONG_POLL: Duration = Duration::from_secs(20);
/// Most entries of a batch.
pub const BATCH: usize = 10;
/// Longest value of a message attribute that is sent.
const MAX_ATTRIBUTE: usize = 2048;

/// Receives up to `max` messages, as soon as there is one.
///
/// # Errors
/// What AWS says, in a sentence.
pub async fn receive(
    account: &Account,
    queue_url: &str,
    max: usize,
    visibility: SignedDuration,
    clock: Clock,
) -> Result<Vec<Received>, String> {
    let patience = LONG_POLL + Duration::from_secs(10);
    let timeouts =
        TimeoutConfig::builder().operation_attempt_timeout(patience).operation_timeout(patience).build();
    let output = account
        .sqs
        .receive_message()
        .queue_url(queue_url)
        .max_number_of_messages(i32::try_from(max.min(BATCH)).unwrap_or(1))
        .wait_time_seconds(20)
        .visibility_timeout(seconds(visibility))
        .message_system_attribute_names(MessageSystemAttributeName::SentTimestamp)
        .message_attribute_names("All")
        .customize()
        .config_override(aws_sdk_sqs::config::Builder::new().timeout_config(timeouts))
        .send()
        .await
        .map_err(|error| format!("receiving from {queue_url}: {}", aws::explain(&error)))?;
    let received_at = clock.now();
    Ok(output.messages.unwrap_or_default().into_iter().filter_map(|it| read(it, received_at)).collect())
}

fn read(message: Message, received_at: Timestamp) -> Option<Received> {
    let sent_at = message
        .attributes
        .as_ref()
        .and_then(|attributes| attributes.get(&MessageSystemAttributeName::SentTimestamp))
        .and_then(|millis| Timestamp::from_millisecond(millis.parse().ok()?).ok())
        .unwrap_or(received_at);
    let attributes = message.message_attributes.unwrap_or_default();
    Some(Received {
        held: Held {
            message_id: message.message_id?,
            receipt_handle: message.receipt_handle?,
            received_at,
            sent_at,
        },
        body: message.body.unwrap_or_default(),
        attributes: attributes
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.string_value?)))
            .collect(),
    })
}

/// Changes for how long messages stay hidden from now on.
///
/// # Errors
/// When AWS does not answer, or refuses for a cause that may pass.
pub async fn change_visibility(
    account: &Account,
    queue_url: &str,
    messages: &[Held],
    timeout: SignedDuration,
) -> Result<Done, StepError> {
    let mut lapsed = Vec::new();
    for batch in messages.chunks(BATCH) {
        let entries = batch.iter().enumerate().map(|(index, held)| {
            ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(index.to_string())
                .receipt_handle(&held.receipt_handle)
                .visibility_timeout(seconds(timeout))
                .build()
                .expect("id and handle are set")
        });
        let result = account
            .sqs
            .change_message_visibility_batch()
            .queue_url(queue_url)
            .set_entries(Some(entries.collect()))
            .send()
            .await;
        match result {
            Ok(output) => lapsed.extend(sort_failures(queue_url, batch, &output.failed)?),
            Err(error) if aws::is_no_queue(&error) => {
                lapsed.extend(batch.iter().map(|held| held.message_id.clone()));
            }
            Err(error) => return Err(failed("extending messages of", queue_url, &error)),
        }
    }
    Ok(Done::Lapsed(lapsed))
}

/// Deletes messages. Those of a queue that is gone are gone with it.
///
/// # Errors
/// When AWS does not answer, or refuses for a cause that may pass.
pub async fn delete(account: &Account, queue_url: &str, messages: &[Held]) -> Result<Done, StepError> {
    let mut lapsed = Vec::new();
    for batch in messages.chunks(BATCH) {
        let entries = batch.iter().enumerate().map(|(index, held)| {
            DeleteMessageBatchRequestEntry::builder()
                .id(index.to_string())
                .receipt_handle(&held.receipt_handle)
                .build()
                .expect("id and handle are set")
        });
        let result = account
            .sqs
            .delete_message_batch()
            .queue_url(queue_url)
            .set_entries(Some(entries.collect()))
            .send()
            .await;
        match result {
            Ok(output) => lapsed.extend(sort_failures(queue_url, batch, &output.failed)?),
            Err(error) if aws::is_no_queue(&error) => {}
            Err(error) => return Err(failed("deleting messages of", queue_url, &error)),
        }
    }
    Ok(Done::Lapsed(lapsed))
}

/// Sends one message.
///
/// # Errors
/// When AWS does not take it.
pub async fn send(
    account: &Account,
    queue_url: &str,
    body: &str,
    attributes: &BTreeMap<String, String>,
) -> Result<Done, StepError> {
    let mut request = account.sqs.send_message().queue_url(queue_url).message_body(body);
    for (name, value) in attributes {
        request = request.message_attributes(name, attribute(value));
    }
    request.send().await.map_err(|error| failed("sending to", queue_url, &error))?;
    Ok(Done::Plain)
}

/// Sends several messages. When some are not taken, all are sent again: duplicates meet in their identity.
///
/// # Errors
/// When AWS does not take all of them.
pub async fn send_all(account: &Account, queue_url: &str, bodies: &[String]) -> Result<Done, StepError> {
    for batch in bodies.chunks(BATCH) {
        let entries = batch.iter().enumerate().map(|(index, body)| {
            SendMessageBatchRequestEntry::builder()
                .id(index.to_string())
                .message_body(body)
                .build()
                .expect("id and body are set")
        });
        let output = account
            .sqs
            .send_message_batch()
            .queue_url(queue_url)
            .set_entries(Some(entries.collect()))
            .send()
            .await
            .map_err(|error| failed("sending to", queue_url, &error))?;
        if let Some(entry) = output.failed.first() {
            return Err(error(format!("sending to {queue_url}: {}", describe(entry))));
        }
    }
    Ok(Done::Plain)
}

/// A String attribute: bounded, and without characters that SQS does not take.
#[must_use]
pub fn attribute(value: &str) -> MessageAttributeValue {
    let clean: String = value.chars().filter(|c| is_taken(*c)).take(MAX_ATTRIBUTE).collect();
    let value = if clean.is_empty() { "-".to_owned() } else { clean };
    MessageAttributeValue::builder()
        .data_type("String")
        .string_value(value)
        .build()
        .expect("the data type is set")
}

/// Whether SQS takes a character: it refuses U+FFFE and U+FFFF, and control characters but three, which would
/// break the line that the attribute is shown in.
fn is_taken(character: char) -> bool {
    !character.is_control() && !matches!(character, '\u{fffe}' | '\u{ffff}')
}

/// Failures that are the handle's own tell that it is no longer good; any other one may pass.
fn sort_failures(
    queue_url: &str,
    batch: &[Held],
    failures: &[BatchResultErrorEntry],
) -> Result<Vec<String>, StepError> {
    if let Some(entry) = failures.iter().find(|entry| !entry.sender_fault) {
        return Err(error(format!("{queue_url}: {}", describe(entry))));
    }
    Ok(failures
        .iter()
        .filter_map(|entry| batch.get(entry.id.parse::<usize>().ok()?))
        .map(|held| held.message_id.clone())
        .collect())
}

fn describe(entry: &BatchResultErrorEntry) -> String {
    format!("{}: {}", entry.code, entry.message.as_deref().unwrap_or("no message"))
}

fn failed<E: ProvideErrorMetadata + std::error::Error, R>(
    what: &str,
    queue_url: &str,
    cause: &SdkError<E, R>,
) -> StepError {
    error(format!("{what} {queue_url}: {}", aws::explain(cause)))
}

fn error(message: String) -> StepError {
    StepError { message, creation: false }
}

fn seconds(duration: SignedDuration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX).max(0)
}
