//! Why a job ends without an output, and whether trying again can help.

use contract::{Reason, TerminationMessage, job::EXIT_PERMANENT};
use std::{fmt::Display, io};

/// Exit code for a failure that another attempt may not meet (`EX_TEMPFAIL` of sysexits.h).
pub const EXIT_TRANSIENT: i32 = 75;
/// What Kubernetes keeps of a termination message, in bytes.
pub const MAX_TERMINATION_MESSAGE: usize = 4096;

/// Longest reason, in bytes, as the operator takes it.
const MAX_REASON: usize = 64;

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

    /// The termination message as JSON, within [`MAX_TERMINATION_MESSAGE`]. The message is cut to fit, for JSON takes up
    /// to six bytes for a character; a reason, which is a constant, becomes `UNKNOWN` where it alone is too long.
    ///
    /// # Panics
    /// Never: two strings always make JSON.
    #[must_use]
    pub fn termination_message_json(&self) -> String {
        let mut message = self.termination_message();
        if message.reason.as_str().len() > MAX_REASON {
            message.reason = Reason::Unknown;
        }
        let mut longest = message.message.len().min(2000);
        loop {
            message.message.truncate(message.message.floor_char_boundary(longest));
            let json = serde_json::to_string(&message).expect("two strings make JSON");
            if json.len() <= MAX_TERMINATION_MESSAGE {
                return json;
            }
            longest /= 2;
        }
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
    fn a_termination_message_fits_whatever_is_in_it() {
        for text in ["a".repeat(5000), "\u{1}".repeat(5000), "\"".repeat(5000), "🎬".repeat(5000)] {
            for reason in [Reason::NotMedia, Reason::Other(text.clone())] {
                let json = Failure::new(reason, text.clone()).termination_message_json();
                assert!(json.len() <= MAX_TERMINATION_MESSAGE, "{} bytes", json.len());
                let read: TerminationMessage = serde_json::from_str(&json).unwrap();
                assert!(
                    text.starts_with(&read.message) && read.message.len() > 200,
                    "{}",
                    read.message.len()
                );
            }
        }
    }

    #[test]
    fn a_full_disk_is_told_apart_from_a_broken_one() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert_eq!(Failure::disk("writing", &full).reason, Reason::DiskFull);
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        assert_eq!(Failure::disk("writing", &denied).reason, Reason::ScratchDisk);
    }
}
