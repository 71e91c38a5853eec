//! What was observed in AWS.

/// The queue, its dead-letter and events queues and the buckets of one platform.
#[derive(Clone, Debug, Default)]
pub struct Transcoding {}
