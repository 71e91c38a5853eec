//! The identity of a piece of work: equal for every message that asks for the same thing.

use data_encoding::{Encoding, Specification};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{fmt, sync::LazyLock};

/// RFC 4648 base32 in lower case and without padding, so that a digest fits in object names and keys.
static BASE32: LazyLock<Encoding> = LazyLock::new(|| {
    let mut spec = Specification::new();
    spec.symbols.push_str("abcdefghijklmnopqrstuvwxyz234567");
    spec.encoding().expect("a base32 alphabet of 32 distinct symbols is valid")
});

/// How many base32 characters of a digest are kept: 100 bits.
const DIGEST_CHARACTERS: usize = 20;

/// What is to be done, before it is hashed: an object version, or an id that the sender chose.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "kind")]
pub enum Work {
    /// One version of one S3 object.
    Object {
        /// Name of the bucket.
        bucket: String,
        /// The key, decoded.
        key: String,
        /// The version id of a versioned bucket, else the event's sequencer, else empty.
        version: String,
    },
    /// An explicit message that names itself.
    Explicit {
        /// The sender's id; equal ids mean equal work.
        id: String,
    },
}

/// Digest of a [`Work`]: 20 characters of base32, the same on every queue.
///
/// It names the output folder (`<prefix>/<identity>/`) and identifies work in events and in status.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Identity(String);

/// A text is no identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an identity has {DIGEST_CHARACTERS} characters of a-z and 2-7")]
pub struct NoIdentity;

impl Identity {
    /// The digest as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Takes text that was an identity before (a label, a path segment). `None` where it can't be one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let valid =
            text.len() == DIGEST_CHARACTERS && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'));
        valid.then(|| Self(text.to_owned()))
    }

    /// Digest for a Job on one queue: the same work on two queues makes two Jobs.
    #[must_use]
    pub fn on_queue(&self, queue_arn: &str) -> String {
        digest(&["queue", queue_arn, &self.0])
    }
}

impl TryFrom<String> for Identity {
    type Error = NoIdentity;

    fn try_from(text: String) -> Result<Self, NoIdentity> {
        Self::parse(&text).ok_or(NoIdentity)
    }
}

impl From<Identity> for String {
    fn from(identity: Identity) -> Self {
        identity.0
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Work {
    /// The identity of this work.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity(match self {
            Self::Object { bucket, key, version } => digest(&["object", bucket, key, version]),
            Self::Explicit { id } => digest(&["explicit", id]),
        })
    }
}

/// SHA-256 over the parts, each preceded by its length so that no two lists of parts collide.
fn digest(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    let mut text = BASE32.encode(&hasher.finalize());
    text.truncate(DIGEST_CHARACTERS);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(key: &str, version: &str) -> Work {
        Work::Object { bucket: "in".into(), key: key.into(), version: version.into() }
    }

    #[test]
    fn equal_work_has_one_identity_and_other_work_another() {
        assert_eq!(object("a.mp4", "1").identity(), object("a.mp4", "1").identity());
        assert_ne!(object("a.mp4", "1").identity(), object("a.mp4", "2").identity());
        assert_ne!(object("a", "b").identity(), object("ab", "").identity());
        assert_ne!(object("a.mp4", "").identity(), Work::Explicit { id: "a.mp4".into() }.identity());
    }

    #[test]
    fn an_identity_is_twenty_characters_of_base32_and_parses_again() {
        let identity = object("a.mp4", "1").identity();
        assert_eq!(identity.as_str().len(), 20);
        assert_eq!(Identity::parse(identity.as_str()), Some(identity));
        assert_eq!(Identity::parse("../../etc"), None);
        assert_eq!(Identity::parse("ABCDEFGHIJKLMNOPQRST"), None);
    }

    /// It becomes a part of paths, in S3 and on the scratch disk.
    #[test]
    fn json_with_anything_else_is_no_identity() {
        let identity = object("a.mp4", "1").identity();
        let json = serde_json::to_string(&identity).unwrap();
        assert_eq!(serde_json::from_str::<Identity>(&json).unwrap(), identity);
        for wrong in ["\"\"", "\"../../etc\"", "\"x/../../../../../etc\"", "\"ABCDEFGHIJKLMNOPQRST\"", "1"] {
            assert!(serde_json::from_str::<Identity>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_digest_is_pinned_because_outputs_are_found_by_it() {
        assert_eq!(object("a.mp4", "1").identity().as_str(), "xfey4ztivbfzn37jjtq7");
    }
}
