//! policy: what a platform says about its queue and Jobs.

use super::message::Places;
use jiff::{SignedDuration, Timestamp};

/// What the platform says about its queue and Jobs.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Namespace of the platform.
    pub namespace: String,
    /// Name of the platform.
    pub platform: String,
    /// URL of the queue.
    pub queue_url: String,
    /// ARN of the queue.
    pub queue_arn: String,
    /// How long a received message stays hidden unless extended.
    pub visibility: SignedDuration,
    /// How many Jobs at once.
    pub max_jobs: usize,
    /// How often a transcode is tried.
    pub max_attempts: u32,
    /// How long a settled Job is kept.
    pub retention: SignedDuration,
    /// Whether no new Job may start.
    pub suspended: bool,
    /// Since the platform is being deleted: until when running Jobs may go on.
    pub draining: Option<Timestamp>,
    /// Where sources lie and outputs go.
    pub places: Places,
}

impl Policy {
    /// How long a finished Job waits for the redelivery of a message whose handle lapsed.
    #[must_use]
    pub fn adoption_wait(&self) -> SignedDuration {
        self.visibility * 2 + SignedDuration::from_mins(1)
    }
}
