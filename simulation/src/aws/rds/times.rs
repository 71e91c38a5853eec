//! How long things take. AWS promises none of these times: they are of the usual order, and fixed so that tests can
//! tell what is due.

use jiff::SignedDuration;

const fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

const fn minutes(minutes: i64) -> SignedDuration {
    seconds(minutes * 60)
}

const fn hours(hours: i64) -> SignedDuration {
    minutes(hours * 60)
}

/// From an accepted change to the status that shows it: until then an instance is still `available`.
pub const NOTICE: SignedDuration = seconds(10);
/// `creating`.
pub const CREATE: SignedDuration = minutes(5);
/// `backing-up`, and the `creating` of a snapshot.
pub const BACKUP: SignedDuration = minutes(2);
/// `modifying`.
pub const MODIFY: SignedDuration = minutes(5);
/// `rebooting`.
pub const REBOOT: SignedDuration = seconds(30);
/// `renaming`.
pub const RENAME: SignedDuration = minutes(1);
/// `configuring-enhanced-monitoring`.
pub const MONITORING: SignedDuration = minutes(1);
/// `resetting-master-credentials`.
pub const CREDENTIALS: SignedDuration = seconds(30);
/// `upgrading` within a major version.
pub const UPGRADE: SignedDuration = minutes(10);
/// `stopping`.
pub const STOP: SignedDuration = minutes(3);
/// `starting`.
pub const START: SignedDuration = minutes(5);
/// `deleting`.
pub const DELETE: SignedDuration = minutes(3);
/// `failing-over` of a cluster.
pub const FAILOVER: SignedDuration = seconds(30);
/// `applying` of dynamic parameters.
pub const PARAMETERS: SignedDuration = seconds(30);
/// A proxy's `creating`, `modifying` and `deleting`.
pub const PROXY: SignedDuration = minutes(3);
/// A blue/green deployment's `PROVISIONING`.
pub const GREEN: SignedDuration = minutes(20);
/// Its `SWITCHOVER_IN_PROGRESS`.
pub const SWITCHOVER: SignedDuration = minutes(1);
/// A managed secret's `creating` and `rotating`.
pub const SECRET: SignedDuration = seconds(30);

/// How long a storage change is optimized, during which there is no other (RDS guide, "Modifying settings for
/// Provisioned IOPS SSD storage": six hours or the end of the optimization, whichever is later).
pub const STORAGE_COOLDOWN: SignedDuration = hours(6);
/// AWS starts what was stopped for so long (RDS guide, "Stopping an Amazon RDS DB instance temporarily").
pub const STOPPED_AT_MOST: SignedDuration = hours(7 * 24);
/// How far behind now the latest restorable time is (RDS guide, "Restoring a DB instance to a specified time").
pub const RESTORABLE_LAG: SignedDuration = minutes(5);
/// How long events are kept (`DescribeEvents`).
pub const EVENTS_KEPT: SignedDuration = hours(14 * 24);
