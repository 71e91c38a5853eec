//! How long ElastiCache takes, as seen on small caches. A test that waits for a state waits for these.

use jiff::SignedDuration;

/// A replication group's `creating`.
pub const CREATE: SignedDuration = SignedDuration::from_mins(8);
/// Added to it where a snapshot is restored.
pub const RESTORE: SignedDuration = SignedDuration::from_mins(4);
/// A replication group's `deleting`; of a final snapshot before it, [`SNAPSHOT`].
pub const DELETE: SignedDuration = SignedDuration::from_mins(5);
/// A `modifying` that replaces no node: credentials, parameters, encryption, failover settings.
pub const CONFIGURE: SignedDuration = SignedDuration::from_mins(3);
/// A `modifying` that replaces nodes: engine version or node type.
pub const REPLACE: SignedDuration = SignedDuration::from_mins(15);
/// Replicas added or removed.
pub const REPLICAS: SignedDuration = SignedDuration::from_mins(6);
/// Shards added or removed, their slots moved.
pub const RESHARD: SignedDuration = SignedDuration::from_mins(20);
/// A failover, until the group is available again with another primary.
pub const FAILOVER: SignedDuration = SignedDuration::from_mins(2);
/// A snapshot.
pub const SNAPSHOT: SignedDuration = SignedDuration::from_mins(5);
/// A user's or user group's change.
pub const USER: SignedDuration = SignedDuration::from_secs(30);
/// A serverless cache's `creating`.
pub const SERVERLESS_CREATE: SignedDuration = SignedDuration::from_mins(2);
/// A serverless cache's `modifying` and `deleting`.
pub const SERVERLESS_CHANGE: SignedDuration = SignedDuration::from_mins(1);
/// A snapshot's `deleting`.
pub const SNAPSHOT_DELETE: SignedDuration = SignedDuration::from_secs(30);
