//! What the operator, the transcoder, the backend and the worker say to each other.
//!
//! Everything that crosses a process boundary of this project is typed here, once:
//!
//! - [`identity`]: what a piece of work *is*, so that duplicates meet.
//! - [`message`]: what may stand on the transcoding queue.
//! - [`job`]: the request that a transcoding Job gets and what it leaves behind.
//! - [`event`]: the outcomes that go to the events queue.
//! - [`profile`]: the ladder of renditions.
//!
//! The prose of the contract, for people who bring an image of their own, is in `docs/job-contract.md`.

pub mod event;
pub mod identity;
pub mod job;
pub mod message;
pub mod profile;

pub use event::{Outcome, OutcomeEvent};
pub use identity::{Identity, Work};
pub use job::{JobRecord, JobState, Progress, Reason, TerminationMessage, TranscodeRequest};
pub use profile::{Profile, ProfileError};
