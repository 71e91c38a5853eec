//! DB instances: what they are and what happens to them.

mod create;
mod describe;
mod lifecycle;
mod modify;
mod settings;

pub use settings::Settings;

use super::{
    AVAILABLE, Rds,
    data::Data,
    engine::AURORA,
    maintenance::Maintenance,
    progress::{Progress, Status, later},
    times,
};
use crate::aws::{Place, query::Parameters, secrets::Secrets};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

pub use create::Origin;
pub(super) use create::{check_master, check_password};
pub(super) use describe::by_name;
pub(super) use modify::{check_upgrade, not_available, parameters_changed};

/// A DB instance.
#[derive(Clone, Debug)]
pub struct Instance {
    /// `DBInstanceIdentifier`.
    pub identifier: String,
    /// `DbiResourceId`: never used again, and kept when the instance is renamed.
    pub resource_id: String,
    /// `postgres` or `aurora-postgresql`.
    pub engine: String,
    /// The cluster that it belongs to.
    pub cluster: Option<String>,
    /// In effect.
    pub settings: Settings,
    /// Accepted and not yet in effect: parameters of ModifyDBInstance.
    pub pending: Parameters,
    /// `MasterUsername`.
    pub master_username: String,
    /// The master's password, unless Secrets Manager has it.
    pub password: Option<String>,
    /// ARN of the managed secret.
    pub secret: Option<String>,
    /// `DBName`.
    pub database: Option<String>,
    /// ARN of the key of an encrypted one.
    pub key: Option<String>,
    /// Letter of its availability zone.
    pub zone: char,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// When it became available first.
    pub created: Option<Timestamp>,
    /// What it holds.
    pub data: Data,
    /// Storage in use, GiB.
    pub used_storage: i64,
    /// First part of its endpoint's name: the identifier, which blue/green switches.
    pub endpoint: String,
    /// What AWS announced, and waits.
    pub maintenance: Vec<Maintenance>,
    pub(super) progress: Progress<Finish>,
    pub(super) parameters: ParameterState,
    pub(super) restorable_from: Option<Timestamp>,
    pub(super) storage_changed: Option<Timestamp>,
    pub(super) low_since: Option<Timestamp>,
    pub(super) next_backup: Timestamp,
    pub(super) next_window: Timestamp,
    pub(super) stopped: Option<Timestamp>,
}

/// Whether an instance runs with what its parameter group says (`ParameterApplyStatus`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterState {
    /// `in-sync`.
    InSync,
    /// `applying`, until then.
    Applying(Timestamp),
    /// `pending-reboot`.
    PendingReboot,
}

/// What is done at the end of a phase of an instance.
#[derive(Clone, Debug)]
pub(super) enum Finish {
    Nothing,
    Created,
    /// These parameters are in effect.
    Apply(Parameters),
    Rebooted,
    Stopped,
    /// The cluster knows since when.
    StoppedWithCluster,
    Started,
    Deleted,
    /// It ends in this status, for this reason.
    Fail(Status, String),
}

/// What is due for an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Phase,
    Backup,
    Window,
    Optimized,
    Parameters,
    Restart,
    Growth,
}

impl Instance {
    /// Its status as describes show it.
    #[must_use]
    pub fn status(&self) -> Status {
        match self.progress.status() {
            AVAILABLE if self.storage_changed.is_some() => "storage-optimization",
            status => status,
        }
    }

    /// Whether it can be changed: no phase forbids it.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.progress.status() == AVAILABLE
    }

    /// Whether it is a member of an Aurora cluster.
    #[must_use]
    pub fn is_aurora(&self) -> bool {
        self.engine == AURORA
    }

    /// Its ARN.
    #[must_use]
    pub fn arn(&self, place: &Place) -> String {
        place.arn("rds", &format!("db:{}", self.identifier))
    }

    /// The latest time it can be restored to.
    #[must_use]
    pub fn latest_restorable(&self, now: Timestamp) -> Option<Timestamp> {
        let from = self.restorable_from?;
        let now = self.stopped.unwrap_or(now);
        let latest = now.saturating_sub(times::RESTORABLE_LAG).unwrap_or(now);
        Some(latest.max(from))
    }

    pub(super) fn due(&self) -> Option<(Timestamp, Due)> {
        let later = |time: Option<Timestamp>, by| time.map(|time| later(time, by));
        let optimized = later(self.storage_changed, times::STORAGE_COOLDOWN);
        let growth = later(self.low_since, SignedDuration::from_mins(5));
        let applied = match self.parameters {
            ParameterState::Applying(until) => Some(until),
            _ => None,
        };
        let backs_up = !self.is_aurora() && self.settings.backup_retention > 0;
        [
            (self.progress.due(), Due::Phase),
            (optimized, Due::Optimized),
            (applied, Due::Parameters),
            (later(self.stopped, times::STOPPED_AT_MOST), Due::Restart),
            (growth.map(|growth| growth.max(optimized.unwrap_or(growth))), Due::Growth),
            (backs_up.then_some(self.next_backup), Due::Backup),
            (Some(self.next_window), Due::Window),
        ]
        .into_iter()
        .filter_map(|(time, due)| Some((time?, due)))
        .min_by_key(|(time, _)| *time)
    }

    /// Takes notice of what a test wrote about the storage in use.
    fn watch_storage(&mut self, now: Timestamp) {
        let size = self.settings.allocated_storage;
        let is_low = (size - self.used_storage) * 10 <= size;
        let may_grow = self.settings.max_allocated_storage.is_some_and(|most| most > size);
        self.low_since = (is_low && may_grow).then(|| self.low_since.unwrap_or(now));
        if self.progress.is_idle() {
            match (self.used_storage >= size, self.progress.rest) {
                (true, AVAILABLE) => self.progress.rest_at("storage-full"),
                (false, "storage-full") => self.progress.rest_at(AVAILABLE),
                _ => {}
            }
        }
    }
}

impl Rds {
    pub(super) fn instance_happens(
        &mut self,
        identifier: &str,
        due: Due,
        at: Timestamp,
        place: &Place,
        secrets: &mut Secrets,
    ) {
        let Some(instance) = self.instances.get_mut(identifier) else { return };
        match due {
            Due::Phase => {
                if let Some(finish) = instance.progress.finish(at) {
                    self.instance_finishes(identifier, finish, at, place, secrets);
                }
            }
            Due::Optimized => {
                instance.storage_changed = None;
                // Storage that is low still is looked at from now on.
                instance.low_since = instance.low_since.map(|since| since.max(at));
            }
            Due::Parameters => instance.parameters = ParameterState::InSync,
            Due::Restart => self.start_instance_now(
                identifier,
                at,
                place,
                "DB instance is being started due to it exceeding the maximum allowed time being stopped",
            ),
            Due::Growth => self.grow(identifier, at, place),
            Due::Backup => {
                instance.next_backup = instance.settings.backup_window.next(at);
                if instance.is_available() {
                    self.back_up(identifier, at, place);
                }
            }
            Due::Window => {
                instance.next_window = instance.settings.maintenance_window.next(at);
                if instance.is_available() {
                    self.instance_window(identifier, at);
                }
            }
        }
    }

    /// Grows the storage as storage autoscaling does: by the larger of 10 GiB and 10 % (RDS guide, "Managing capacity
    /// automatically with Amazon RDS storage autoscaling").
    fn grow(&mut self, identifier: &str, at: Timestamp, place: &Place) {
        let Some(instance) = self.instances.get_mut(identifier) else { return };
        instance.low_since = None;
        let full = instance.progress.rest == "storage-full";
        if !(instance.is_available() || full && instance.progress.is_idle()) {
            instance.low_since = Some(at);
            return;
        }
        let size = instance.settings.allocated_storage;
        let most = instance.settings.max_allocated_storage.unwrap_or(size);
        let grown = (size + (size / 10).max(10)).min(most);
        let change = Parameters([("AllocatedStorage".to_owned(), grown.to_string())].into());
        instance.progress.add(at, "modifying", times::MODIFY, Finish::Apply(change));
        self.instance_event(at, place, identifier, "notification", "Storage autoscaling has been triggered");
    }
}
