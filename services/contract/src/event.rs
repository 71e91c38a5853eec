//! Outcomes as CloudEvents 1.0 (structured JSON) on the platform's events queue, at least once, in any order.

use crate::{
    Identity,
    job::{Output, Source, TerminationMessage},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Prefix of the CloudEvents `type`; the [`Outcome`] in lower case follows.
pub const TYPE_PREFIX: &str = "dev.streamingplatform.transcode.";

/// A CloudEvent about one piece of work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutcomeEvent {
    /// Always `1.0`.
    pub specversion: SpecVersion,
    /// `<identity>/<attempt>/<outcome>`: equal for a repetition of the same event.
    pub id: String,
    /// `/namespaces/<namespace>/streamingplatforms/<name>`.
    pub source: String,
    /// [`TYPE_PREFIX`] and the outcome in lower case, for example `dev.streamingplatform.transcode.succeeded`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The identity.
    pub subject: Identity,
    /// When it happened.
    pub time: Timestamp,
    /// Always `application/json`.
    pub datacontenttype: ContentType,
    /// What happened.
    pub data: OutcomeData,
}

/// The version of CloudEvents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SpecVersion {
    /// CloudEvents 1.0.
    #[serde(rename = "1.0")]
    V1,
}

/// The form of an event's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContentType {
    /// JSON.
    #[serde(rename = "application/json")]
    Json,
}

/// The data of an [`OutcomeEvent`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutcomeData {
    /// What became of the work.
    pub outcome: Outcome,
    /// The attempt that it speaks of, from 1; 0 for a message that never became a Job.
    pub attempt: u32,
    /// What was to be transcoded; absent for a message that can't be understood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// Where the output is, or would be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Output>,
    /// Why, for everything but `Running` and `Succeeded`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<TerminationMessage>,
    /// The sender's id of an explicit message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explicit_id: Option<String>,
}

/// What became of a piece of work. Ordered: of two events of one attempt, the greater one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// Its pod runs.
    Running,
    /// This attempt failed; another follows.
    Retrying,
    /// No attempt follows; the message is on the dead-letter queue.
    DeadLettered,
    /// Someone cancelled it.
    Cancelled,
    /// The output is whole.
    Succeeded,
}

impl Outcome {
    /// The last word of the event's `type`.
    #[must_use]
    pub fn as_type(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::DeadLettered => "deadlettered",
            Self::Cancelled => "cancelled",
            Self::Succeeded => "succeeded",
        }
    }
}

impl OutcomeEvent {
    /// Makes the event of an outcome.
    #[must_use]
    pub fn new(
        namespace: &str,
        platform: &str,
        identity: Identity,
        time: Timestamp,
        data: OutcomeData,
    ) -> Self {
        let word = data.outcome.as_type();
        Self {
            specversion: SpecVersion::V1,
            id: format!("{identity}/{}/{word}", data.attempt),
            source: format!("/namespaces/{namespace}/streamingplatforms/{platform}"),
            kind: format!("{TYPE_PREFIX}{word}"),
            subject: identity,
            time,
            datacontenttype: ContentType::Json,
            data,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Work;

    #[test]
    fn an_event_is_a_cloudevent_in_structured_json() {
        let data = OutcomeData {
            outcome: Outcome::Succeeded,
            attempt: 2,
            source: Some(Source { bucket: "in".into(), key: "a.mp4".into(), version_id: Some("v1".into()) }),
            output: None,
            failure: None,
            explicit_id: None,
        };
        let identity = Work::Explicit { id: "x".into() }.identity();
        let time = "2026-11-21T03:00:00Z".parse().unwrap();
        let event = OutcomeEvent::new("media", "demo", identity.clone(), time, data);
        let json = serde_json::to_value(&event).unwrap();
        assert_eq!(json["specversion"], "1.0");
        assert_eq!(json["type"], "dev.streamingplatform.transcode.succeeded");
        assert_eq!(json["id"], format!("{identity}/2/succeeded"));
        assert_eq!(json["data"]["source"]["versionId"], "v1");
        assert_eq!(serde_json::from_value::<OutcomeEvent>(json).unwrap(), event);
    }
}
