//! Aurora PostgreSQL clusters.

mod create;
mod describe;
mod lifecycle;
mod modify;

pub use create::Origin;

use super::{
    AVAILABLE, Fault, Rds,
    data::Data,
    engine::Version,
    progress::{Progress, Status, later},
    times,
    window::Window,
};
use crate::aws::{Place, query::Parameters, secrets::Secrets};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// A cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// `DBClusterIdentifier`.
    pub identifier: String,
    /// `DbClusterResourceId`.
    pub resource_id: String,
    /// `aurora-postgresql`.
    pub engine: String,
    /// `EngineVersion`.
    pub version: Version,
    /// `DBClusterParameterGroupName`.
    pub parameter_group: String,
    /// `DBSubnetGroupName`.
    pub subnet_group: String,
    /// `VpcSecurityGroupIds`.
    pub security_groups: Vec<String>,
    /// Port of the database.
    pub port: i64,
    /// `MasterUsername`.
    pub master_username: String,
    /// The master's password, unless Secrets Manager has it.
    pub password: Option<String>,
    /// ARN of the managed secret.
    pub secret: Option<String>,
    /// `DatabaseName`.
    pub database: Option<String>,
    /// ARN of the key of an encrypted one.
    pub key: Option<String>,
    /// `BackupRetentionPeriod`, days.
    pub backup_retention: i64,
    /// `PreferredBackupWindow`.
    pub backup_window: Window,
    /// `PreferredMaintenanceWindow`.
    pub maintenance_window: Window,
    /// `DeletionProtection`.
    pub deletion_protection: bool,
    /// `CopyTagsToSnapshot`.
    pub copy_tags: bool,
    /// `EnableIAMDatabaseAuthentication`.
    pub iam_authentication: bool,
    /// Logs that go to CloudWatch.
    pub logs: BTreeSet<String>,
    /// `StorageType`: `aurora` or `aurora-iopt1`.
    pub storage_type: String,
    /// `ServerlessV2ScalingConfiguration`.
    pub scaling: Option<Scaling>,
    /// Its instances, in the order in which they came.
    pub members: Vec<Member>,
    /// Accepted and not yet in effect: parameters of ModifyDBCluster.
    pub pending: Parameters,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// What it holds.
    pub data: Data,
    /// When it became available first.
    pub created: Option<Timestamp>,
    pub(super) progress: Progress<Finish>,
    pub(super) restorable_from: Option<Timestamp>,
    next_backup: Timestamp,
    next_window: Timestamp,
    stopped: Option<Timestamp>,
}

/// Capacity of Aurora Serverless v2, in Aurora capacity units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scaling {
    /// `MinCapacity`: 0 lets it pause.
    pub least: f64,
    /// `MaxCapacity`.
    pub most: f64,
    /// `SecondsUntilAutoPause`.
    pub pause: Option<i64>,
}

/// An instance of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Identifier of the instance.
    pub identifier: String,
    /// Whether it is the writer.
    pub writer: bool,
}

/// What is done at the end of a phase of a cluster.
#[derive(Clone, Debug)]
pub(super) enum Finish {
    Nothing,
    Created,
    Apply(Parameters),
    FailedOver(String),
    Stopped,
    Started,
    Deleted,
}

/// What is due for a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Phase,
    Backup,
    Window,
    Restart,
}

impl Cluster {
    /// Its status as describes show it.
    #[must_use]
    pub fn status(&self) -> Status {
        self.progress.status()
    }

    /// Its ARN.
    #[must_use]
    pub fn arn(&self, place: &Place) -> String {
        place.arn("rds", &format!("cluster:{}", self.identifier))
    }

    /// Identifier of the writer.
    #[must_use]
    pub fn writer(&self) -> Option<&str> {
        self.members.iter().find(|member| member.writer).map(|member| member.identifier.as_str())
    }

    /// The latest time it can be restored to.
    #[must_use]
    pub fn latest_restorable(&self, now: Timestamp) -> Option<Timestamp> {
        let from = self.restorable_from?;
        let now = self.stopped.unwrap_or(now);
        Some(now.saturating_sub(times::RESTORABLE_LAG).unwrap_or(now).max(from))
    }

    pub(super) fn due(&self) -> Option<(Timestamp, Due)> {
        [
            (self.progress.due(), Due::Phase),
            (self.stopped.map(|stopped| later(stopped, times::STOPPED_AT_MOST)), Due::Restart),
            (Some(self.next_backup), Due::Backup),
            (Some(self.next_window), Due::Window),
        ]
        .into_iter()
        .filter_map(|(time, due)| Some((time?, due)))
        .min_by_key(|(time, _)| *time)
    }

    /// An instance has a new name.
    pub(super) fn renamed(&mut self, name: &str, new_name: &str) {
        for member in self.members.iter_mut().filter(|member| member.identifier == name) {
            new_name.clone_into(&mut member.identifier);
        }
    }

    /// An instance is gone; without a writer, another member takes over.
    pub(super) fn leave(&mut self, name: &str) {
        self.members.retain(|member| member.identifier != name);
        if self.writer().is_none()
            && let Some(member) = self.members.first_mut()
        {
            member.writer = true;
        }
    }

    fn check_available(&self) -> Result<(), Fault> {
        if self.status() == AVAILABLE {
            return Ok(());
        }
        Err(invalid_state(format!(
            "DB cluster {} is not available: it is {}.",
            self.identifier,
            self.status()
        )))
    }
}

impl Rds {
    pub(super) fn cluster(&self, name: &str) -> Result<&Cluster, Fault> {
        self.clusters.get(name).ok_or_else(|| no_cluster(name))
    }

    fn cluster_mut(&mut self, name: &str) -> Result<&mut Cluster, Fault> {
        self.clusters.get_mut(name).ok_or_else(|| no_cluster(name))
    }

    /// An instance becomes a member: the first one writes.
    pub(super) fn join(&mut self, cluster: &str, name: &str) {
        if let Some(cluster) = self.clusters.get_mut(cluster) {
            let writer = cluster.writer().is_none();
            cluster.members.push(Member { identifier: name.to_owned(), writer });
        }
    }

    pub(super) fn cluster_happens(
        &mut self,
        name: &str,
        due: Due,
        at: Timestamp,
        place: &Place,
        secrets: &mut Secrets,
    ) {
        let Some(cluster) = self.clusters.get_mut(name) else { return };
        match due {
            Due::Phase => {
                if let Some(finish) = cluster.progress.finish(at) {
                    self.cluster_finishes(name, finish, at, place, secrets);
                }
            }
            Due::Restart => self.start_cluster_now(name, at, place),
            Due::Backup => {
                cluster.next_backup = cluster.backup_window.next(at);
                // The volume is backed up all the time: the window only dates the snapshots.
                if cluster.created.is_some() && cluster.stopped.is_none() {
                    self.back_up_cluster(name, at);
                }
            }
            Due::Window => {
                cluster.next_window = cluster.maintenance_window.next(at);
                if cluster.status() == AVAILABLE {
                    self.begin_cluster_changes(name, at);
                }
            }
        }
    }

    fn back_up_cluster(&mut self, name: &str, at: Timestamp) {
        let Some(cluster) = self.clusters.get_mut(name) else { return };
        let kept = SignedDuration::from_hours(24 * cluster.backup_retention);
        let oldest = at.saturating_sub(kept).unwrap_or(at);
        cluster.restorable_from = cluster.restorable_from.map(|from| from.max(oldest));
        let resource_id = cluster.resource_id.clone();
        let identifier = format!("rds:{name}-{}", at.strftime("%Y-%m-%d-%H-%M"));
        self.take_of_cluster(name, identifier, true, BTreeMap::new(), at);
        self.cluster_snapshots.retain(|_, snapshot| {
            !snapshot.automated || snapshot.resource_id != resource_id || snapshot.at > oldest
        });
    }
}

fn no_cluster(name: &str) -> Fault {
    Fault::not_found("DBClusterNotFoundFault", format!("DBCluster {name} not found."))
}

fn invalid_state(message: impl Into<String>) -> Fault {
    Fault::bad_request("InvalidDBClusterStateFault", message)
}
