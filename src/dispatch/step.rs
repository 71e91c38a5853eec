//! step: what the dispatcher does, as data. Each step is one call, and harmless when repeated.

use super::{
    attempt::{Attempt, Failure, Held, Settlement, Ticket},
    memory::Subject,
};
use contract::OutcomeEvent;
use jiff::SignedDuration;
use std::collections::BTreeMap;

/// What a step is done for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The Job of that name.
    Attempt(String),
    /// The message of that id, which is on no Job.
    Message(String),
}

/// One call.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Make a Job. One that is there already is taken for it.
    Create(Box<Creation>),
    /// Write the list of messages that wait for a Job.
    Hold {
        /// Name of the Job.
        attempt: String,
        /// All of them.
        held: Vec<Held>,
        /// Whether the Job is gone, so that there is nothing to write on.
        ghost: bool,
    },
    /// End a Job and keep it, with the reason on it.
    Abort {
        /// Name of the Job.
        attempt: String,
        /// Why.
        failure: Failure,
    },
    /// Delete a Job.
    Remove {
        /// Name of the Job.
        attempt: String,
    },
    /// Mark a Job as settled and let its time to live begin.
    Settle {
        /// Name of the Job.
        attempt: String,
        /// How.
        settlement: Settlement,
        /// Why it failed, kept on the Job for when its pod is gone.
        failure: Option<Failure>,
        /// How long it is kept after its end, in seconds.
        ttl_seconds: i32,
        /// Whether the Job is gone, so that there is nothing to mark.
        ghost: bool,
    },
    /// Hide messages for another while. At most ten.
    Extend {
        /// URL of the queue.
        queue_url: String,
        /// The messages.
        messages: Vec<Held>,
        /// How long from now.
        timeout: SignedDuration,
    },
    /// Let others have messages.
    Return {
        /// URL of the queue.
        queue_url: String,
        /// The messages.
        messages: Vec<Held>,
        /// How long they stay hidden.
        delay: SignedDuration,
        /// For whom.
        of: Origin,
    },
    /// Delete messages.
    Delete {
        /// URL of the queue.
        queue_url: String,
        /// The messages.
        messages: Vec<Held>,
        /// For whom.
        of: Origin,
    },
    /// Send the parts of a message that asks for several pieces of work.
    Resend {
        /// URL of the queue.
        queue_url: String,
        /// Id of the message.
        message_id: String,
        /// The bodies of its parts.
        bodies: Vec<String>,
    },
    /// Send a copy to the dead-letter queue.
    DeadLetter {
        /// The original body.
        body: String,
        /// Reason, message, attempts, identity and original id.
        attributes: BTreeMap<String, String>,
        /// For whom.
        of: Origin,
    },
    /// Tell an outcome to the events queue.
    Announce {
        /// The outcome.
        event: Box<OutcomeEvent>,
        /// For whom.
        of: Origin,
    },
}

/// A Job to make.
#[derive(Clone, Debug, PartialEq)]
pub struct Creation {
    /// Name of the Job.
    pub name: String,
    /// Which attempt, from 1.
    pub number: u32,
    /// What was asked for.
    pub ticket: Ticket,
    /// The body of the message.
    pub body: String,
    /// The messages that wait for it.
    pub held: Vec<Held>,
    /// The Job that failed before, whose messages these are; none: they come from the inbox.
    pub after: Option<String>,
}

impl Step {
    /// What is paused when this step fails.
    #[must_use]
    pub fn subject(&self) -> Option<Subject> {
        Some(match self {
            Self::Create(creation) => Subject::Job(creation.after.clone().unwrap_or(creation.name.clone())),
            Self::Hold { attempt, .. }
            | Self::Abort { attempt, .. }
            | Self::Remove { attempt }
            | Self::Settle { attempt, .. } => Subject::Job(attempt.clone()),
            Self::Extend { .. } => Subject::Heartbeat,
            Self::Resend { message_id, .. } => Subject::Message(message_id.clone()),
            Self::Return { of, .. }
            | Self::Delete { of, .. }
            | Self::DeadLetter { of, .. }
            | Self::Announce { of, .. } => match of {
                Origin::Attempt(name) => Subject::Job(name.clone()),
                Origin::Message(id) => Subject::Message(id.clone()),
            },
        })
    }
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Done {
    /// It is done.
    Plain,
    /// The Job is there, made now or found.
    Made(Box<Attempt>),
    /// It is done, but the handles of the messages with these ids are no longer good.
    Lapsed(Vec<String>),
}

/// Why a step failed. It is tried again later.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StepError {
    /// What went wrong and, where known, what to do.
    pub message: String,
    /// Whether no Job at all can be made now: a quota or an admission policy refuses it.
    pub creation: bool,
}
