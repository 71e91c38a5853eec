//! What the API answers when it refuses.

use super::store::Key;
use serde_json::{Value, json};

/// A refusal: <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/>.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub code: u16,
    /// Why, in one word.
    pub reason: &'static str,
    /// Why.
    pub message: String,
}

impl Refusal {
    /// It is not there.
    #[must_use]
    pub fn not_found(key: &Key) -> Self {
        let message = format!("{} {:?} not found", key.resource.plural, key.name);
        Self { code: 404, reason: "NotFound", message }
    }

    /// One of its name is there.
    #[must_use]
    pub fn already_exists(key: &Key) -> Self {
        let message = format!("{} {:?} already exists", key.resource.plural, key.name);
        Self { code: 409, reason: "AlreadyExists", message }
    }

    /// It changed meanwhile, or is another one's.
    #[must_use]
    pub fn conflict(message: impl Into<String>) -> Self {
        Self { code: 409, reason: "Conflict", message: message.into() }
    }

    /// It breaks a rule.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self { code: 422, reason: "Invalid", message: message.into() }
    }

    /// What happened since is no longer known.
    #[must_use]
    pub fn expired() -> Self {
        Self { code: 410, reason: "Expired", message: "too old resource version".to_owned() }
    }

    /// The server can't answer now.
    #[must_use]
    pub fn unavailable() -> Self {
        Self { code: 503, reason: "ServiceUnavailable", message: "apiserver not ready".to_owned() }
    }

    /// As the server writes it.
    #[must_use]
    pub fn written(&self) -> Value {
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        })
    }
}
