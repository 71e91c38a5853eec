//! Why a job ends without an output, and whether trying again can help.

use contract::{Reason, TerminationMessage, job::EXIT_PERMANENT};
use std::{fmt::Display, io};

/// Exit code for a failure that another attempt may not meet (`EX_TEMPFAIL` of sysexits.h).
pub const EXIT_TRANSIENT: i32 = 75;

/// A failed job: the constant for machines and the sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct Failure {
    /// The cause.
    pub reason: Reason,
    /// One sentence, with what to do about it.
    pub message: String,
}

impl Failure {
    /// A failure for this reason.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    /// A failure of the scratch disk: full, or broken.
    pub fn disk(what: impl Display, error: &io::Error) -> Self {
        if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            return Self::disk_full(what);
        }
        Self::new(Reason::ScratchDisk, format!("{what}: {error}. Check SCRATCH_DIR."))
    }

    /// The scratch disk has no room left.
    pub fn disk_full(what: impl Display) -> Self {
        Self::new(
            Reason::DiskFull,
            format!("{what}: no space left. Give the Job's scratch volume more room than the source needs."),
        )
    }

    /// S3 could not be read or written.
    pub fn storage(what: impl Display, error: impl Display) -> Self {
        Self::new(Reason::Storage, format!("{what}: {error}"))
    }

    /// Whether the cause is the input or the request, so that no attempt will end otherwise.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        matches!(
            self.reason,
            Reason::NotMedia
                | Reason::Truncated
                | Reason::ResolutionLimit
                | Reason::DurationLimit
                | Reason::SourceNotFound
                | Reason::InvalidRequest
        )
    }

    /// The exit code that the Job contract gives this failure.
    #[must_use]
    pub fn exit_code(&self) -> i32 {
        if self.is_permanent() { EXIT_PERMANENT } else { EXIT_TRANSIENT }
    }

    /// As the contract's termination message.
    #[must_use]
    pub fn termination_message(&self) -> TerminationMessage {
        TerminationMessage { reason: self.reason.clone(), message: self.message.clone() }
    }

    /// The termination message as JSON, within the 4096 bytes that Kubernetes keeps.
    ///
    /// # Panics
    /// Never: two strings always make JSON.
    #[must_use]
    pub fn termination_message_json(&self) -> String {
        let mut message = self.termination_message();
        let longest = message.message.floor_char_boundary(2000);
        message.message.truncate(longest);
        serde_json::to_string(&message).expect("two strings make JSON")
    }
}

impl From<TerminationMessage> for Failure {
    fn from(message: TerminationMessage) -> Self {
        Self { reason: message.reason, message: message.message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_causes_in_the_input_or_the_request_are_permanent() {
        assert_eq!(Failure::new(Reason::NotMedia, "").exit_code(), 65);
        assert_eq!(Failure::new(Reason::Interrupted, "").exit_code(), 75);
        assert_eq!(Failure::new(Reason::Other("GPU_LOST".into()), "").exit_code(), 75);
    }

    #[test]
    fn a_full_disk_is_told_apart_from_a_broken_one() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert_eq!(Failure::disk("writing", &full).reason, Reason::DiskFull);
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        assert_eq!(Failure::disk("writing", &denied).reason, Reason::ScratchDisk);
    }
}
