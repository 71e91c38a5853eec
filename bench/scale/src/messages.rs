//! Messages, as an upload's own message is, and sending them.

use anyhow::{Result, ensure};
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use contract::{job::Source, message::ExplicitMessage};

/// Most messages that one call sends.
pub const BATCH: usize = 10;

/// A message for one transcode.
#[derive(Clone, Debug)]
pub struct Message {
    /// Of the transcode.
    pub identity: String,
    /// What is sent.
    pub body: String,
}

impl Message {
    /// For the clip of that number.
    ///
    /// # Errors
    /// When it can't be written as JSON.
    pub fn of_clip(number: usize) -> Result<Self> {
        let source = Source { bucket: "bench".into(), key: format!("clip-{number}.mp4"), version_id: None };
        let message = ExplicitMessage::for_source(source);
        Ok(Self { identity: message.identity().to_string(), body: serde_json::to_string(&message)? })
    }
}

/// Sends up to [`BATCH`] messages by one call.
///
/// # Errors
/// When one is refused.
pub async fn send(sqs: &aws_sdk_sqs::Client, queue: &str, messages: &[Message]) -> Result<()> {
    let entries = messages.iter().enumerate().map(|(index, message)| {
        SendMessageBatchRequestEntry::builder().id(index.to_string()).message_body(&message.body).build()
    });
    let entries = entries.collect::<Result<Vec<_>, _>>()?;
    let sent = sqs.send_message_batch().queue_url(queue).set_entries(Some(entries)).send().await?;
    ensure!(sent.failed().is_empty(), "messages were not sent: {:?}", sent.failed());
    Ok(())
}
