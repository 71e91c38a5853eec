//! The explicit message: how a service asks for a transcode without an S3 event.

use crate::{Identity, Profile, Work, job::Source};
use serde::{Deserialize, Serialize};

/// The only `apiVersion` of explicit messages so far.
pub const API_VERSION: &str = "transcode.streamingplatform.dev/v1";

/// A request to transcode, as JSON on the transcoding queue.
///
/// Without `id` it is the same work as the S3 event of that object version, so that asking again for
/// what is done already does nothing. With an `id` of its own it is work of its own: a re-transcode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExplicitMessage {
    /// [`API_VERSION`].
    pub api_version: String,
    /// The sender's id, 1 to 128 characters; equal ids mean equal work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What to transcode.
    pub source: Source,
    /// The ladder; the platform's when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
}

impl ExplicitMessage {
    /// A message for a version of an object: the same work as its S3 event.
    #[must_use]
    pub fn for_source(source: Source) -> Self {
        Self { api_version: API_VERSION.to_owned(), id: None, source, profile: None }
    }

    /// A message for work of its own.
    #[must_use]
    pub fn with_id(source: Source, id: impl Into<String>) -> Self {
        Self { id: Some(id.into()), ..Self::for_source(source) }
    }

    /// The work that this message asks for.
    #[must_use]
    pub fn work(&self) -> Work {
        match &self.id {
            Some(id) => Work::Explicit { id: id.clone() },
            None => Work::Object {
                bucket: self.source.bucket.clone(),
                key: self.source.key.clone(),
                version: self.source.version_id.clone().unwrap_or_default(),
            },
        }
    }

    /// The identity of that work.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.work().identity()
    }
}
