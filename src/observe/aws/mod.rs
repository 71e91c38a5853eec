//! What was observed in AWS.

/// The queue, its dead-letter and events queues and the buckets of one platform.
#[derive(Clone, Debug, Default)]
pub struct Transcoding {
    /// URL of the queue that work arrives on; none: it is not there yet.
    pub queue_url: Option<String>,
    /// URL of the queue that outcomes go to; none: it is not there yet.
    pub events_queue_url: Option<String>,
}
