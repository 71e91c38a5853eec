//! dispatch: the queue consumer, from message to Job and from Job to settlement.

/// What the dispatcher tells the status.
#[derive(Clone, Debug, Default)]
pub struct Report {}
