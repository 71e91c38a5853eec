//! The worker: brings the outcomes of transcoding into the catalogue, and keeps house.
//!
//! - [`outcomes`]: the events queue, consumed by every replica.
//! - [`chores`]: what one replica does for all, as long as it holds a lock in PostgreSQL:
//!   - [`progress`]: how far running Jobs have come.
//!   - [`housekeeping`]: uploads that were given up, outcomes whose event was lost, and what deleted videos left
//!     in S3.

pub mod chores;
pub mod housekeeping;
pub mod outcomes;
pub mod progress;
pub mod record;
pub mod settings;
