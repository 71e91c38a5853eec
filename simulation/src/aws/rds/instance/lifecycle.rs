//! Reboot, stop, start and delete.

use super::{Finish, Instance, modify::not_available};
use crate::aws::{
    Place,
    query::Parameters,
    rds::{
        AVAILABLE, Fault, Rds, Xml, engine::Version, groups::ParameterGroups, identifier,
        invalid_combination, progress::Status, times,
    },
    secrets::Secrets,
};
use jiff::{SignedDuration, Timestamp};

/// Statuses in which an instance is deleted only without a final snapshot (DeleteDBInstance).
const WITHOUT_SNAPSHOT: [Status; 4] =
    ["failed", "incompatible-restore", "incompatible-network", "inaccessible-encryption-credentials"];

impl Rds {
    pub(in crate::aws::rds) fn reboot_instance(
        &mut self,
        parameters: &Parameters,
        now: Timestamp,
        place: &Place,
        secrets: &Secrets,
    ) -> Result<Xml, Fault> {
        let name = identifier(parameters, "DBInstanceIdentifier")?;
        let instance = self.instance_mut(&name)?;
        let may_reboot = instance.is_available() || instance.progress.rest == "incompatible-parameters";
        if !may_reboot || instance.progress.status() != instance.progress.rest {
            return Err(not_available(instance));
        }
        if parameters.boolean("ForceFailover")?.unwrap_or(false) && !instance.settings.multi_az {
            return Err(invalid_combination("Cannot do failover for a non MultiAZ DB instance"));
        }
        instance.progress.add(now, "rebooting", times::REBOOT, Finish::Rebooted);
        self.answer_instance(&name, now, place, secrets)
    }

    pub(in crate::aws::rds) fn stop_instance(
        &mut self,
        parameters: &Parameters,
        now: Timestamp,
        place: &Place,
        secrets: &Secrets,
    ) -> Result<Xml, Fault> {
        let name = identifier(parameters, "DBInstanceIdentifier")?;
        self.check_alone(&name)?;
        let instance = self.instance(&name)?;
        if !instance.is_available() {
            return Err(not_available(instance));
        }
        if parameters.get("DBSnapshotIdentifier").is_some() {
            self.snapshot_instance(&name, parameters, "DBSnapshotIdentifier", now, place)?;
        }
        self.instance_mut(&name)?.progress.add(now, "stopping", times::STOP, Finish::Stopped);
        self.answer_instance(&name, now, place, secrets)
    }

    pub(in crate::aws::rds) fn start_instance(
        &mut self,
        parameters: &Parameters,
        now: Timestamp,
        place: &Place,
        secrets: &Secrets,
    ) -> Result<Xml, Fault> {
        let name = identifier(parameters, "DBInstanceIdentifier")?;
        self.check_alone(&name)?;
        let instance = self.instance(&name)?;
        if instance.status() != "stopped" {
            return Err(Fault::bad_request(
                "InvalidDBInstanceState",
                format!(
                    "Instance {name} cannot be started as it is not in one of the following statuses: 'stopped, inaccessible-encryption-credentials-recoverable, incompatible-network (only valid for non-SqlServer instances)'."
                ),
            ));
        }
        self.start_instance_now(&name, now, place, "DB instance is being started");
        self.answer_instance(&name, now, place, secrets)
    }

    pub(in crate::aws::rds) fn start_instance_now(
        &mut self,
        name: &str,
        at: Timestamp,
        place: &Place,
        message: &str,
    ) {
        let Some(instance) = self.instances.get_mut(name) else { return };
        instance.stopped = None;
        instance.progress.add(at, "starting", times::START, Finish::Started);
        self.instance_event(at, place, name, "notification", message);
    }

    /// Members of a cluster are stopped and started with it.
    fn check_alone(&self, name: &str) -> Result<(), Fault> {
        match &self.instance(name)?.cluster {
            None => Ok(()),
            Some(cluster) => Err(invalid_combination(format!(
                "{name} is a member of the DB cluster {cluster}: stop or start the cluster."
            ))),
        }
    }

    pub(in crate::aws::rds) fn delete_instance(
        &mut self,
        parameters: &Parameters,
        now: Timestamp,
        place: &Place,
        secrets: &Secrets,
    ) -> Result<Xml, Fault> {
        let name = identifier(parameters, "DBInstanceIdentifier")?;
        let instance = self.instance(&name)?;
        let status = instance.status();
        if status == "deleting" {
            return Err(Fault::bad_request(
                "InvalidDBInstanceState",
                format!("Instance {name} is already being deleted."),
            ));
        }
        if instance.settings.deletion_protection {
            return Err(invalid_combination(
                "Cannot delete protected DB Instance, please disable deletion protection and try again.",
            ));
        }
        if instance.cluster.is_none() {
            self.check_final_snapshot(&name, parameters, now, place)?;
        }
        let keeps_backups = !parameters.boolean("DeleteAutomatedBackups")?.unwrap_or(true);
        let instance = self.instance_mut(&name)?;
        let resource_id = instance.resource_id.clone();
        instance.begin_deletion(now);
        if !keeps_backups {
            self.snapshots.retain(|_, snapshot| !(snapshot.automated && snapshot.resource_id == resource_id));
        }
        self.answer_instance(&name, now, place, secrets)
    }

    fn check_final_snapshot(
        &mut self,
        name: &str,
        parameters: &Parameters,
        now: Timestamp,
        place: &Place,
    ) -> Result<(), Fault> {
        let skips = parameters.boolean("SkipFinalSnapshot")?.unwrap_or(false);
        let is_named = parameters.get("FinalDBSnapshotIdentifier").is_some();
        if skips == is_named {
            return Err(invalid_combination(if skips {
                "FinalDBSnapshotIdentifier cannot be specified when SkipFinalSnapshot is enabled."
            } else {
                "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified."
            }));
        }
        if skips {
            return Ok(());
        }
        let instance = self.instance(name)?;
        let status = instance.status();
        let is_whole = instance.created.is_some() && !WITHOUT_SNAPSHOT.contains(&status);
        if !is_whole {
            return Err(Fault::bad_request(
                "InvalidDBInstanceState",
                format!(
                    "Cannot create a snapshot because the database instance {name} is not currently in the available state: it is {status}."
                ),
            ));
        }
        self.snapshot_instance(name, parameters, "FinalDBSnapshotIdentifier", now, place)
    }

    pub(super) fn deleted(&mut self, name: &str, at: Timestamp, place: &Place, secrets: &mut Secrets) {
        let Some(instance) = self.instances.remove(name) else { return };
        if let Some(secret) = &instance.secret {
            secrets.remove_managed(secret);
        }
        if let Some(cluster) = instance.cluster.as_ref().and_then(|name| self.clusters.get_mut(name)) {
            cluster.leave(name);
        }
        self.instance_event(at, place, name, "deletion", "DB instance deleted");
    }

    fn answer_instance(
        &self,
        name: &str,
        now: Timestamp,
        place: &Place,
        secrets: &Secrets,
    ) -> Result<Xml, Fault> {
        let instance = self.instance(name)?;
        Ok(Xml::new().element("DBInstance", self.show_instance(instance, now, place, secrets)))
    }
}

/// What tests do behind everyone's back.
impl Rds {
    /// Writes a value into the database of an instance, or of its cluster; false when it takes none, as it is not
    /// there or not running.
    pub fn write(&mut self, identifier: &str, now: Timestamp, value: u64) -> bool {
        let Some(instance) = self.instances.get_mut(identifier) else { return false };
        if !instance.takes_connections() {
            return false;
        }
        match &instance.cluster {
            None => instance.data.write(now, value),
            Some(cluster) => match self.clusters.get_mut(cluster) {
                Some(cluster) => cluster.data.write(now, value),
                None => return false,
            },
        }
        true
    }

    /// The value in the database of an instance, or of its cluster.
    #[must_use]
    pub fn read(&self, identifier: &str) -> Option<u64> {
        let instance = self.instances.get(identifier)?;
        match &instance.cluster {
            None => instance.data.value(),
            Some(cluster) => self.clusters.get(cluster)?.data.value(),
        }
    }

    /// Sets the storage in use, GiB: autoscaling or `storage-full` follow.
    pub fn fill(&mut self, identifier: &str, now: Timestamp, used: i64) {
        if let Some(instance) = self.instances.get_mut(identifier) {
            instance.used_storage = used;
            instance.watch_storage(now);
        }
    }

    /// Brings an instance into a status, such as `failed` or `incompatible-network`, and ends what went on.
    pub fn force_status(&mut self, identifier: &str, status: Status) {
        if let Some(instance) = self.instances.get_mut(identifier) {
            instance.progress.rest_at(status);
        }
    }

    /// Makes what an instance goes through take longer.
    pub fn prolong(&mut self, identifier: &str, by: SignedDuration) {
        if let Some(instance) = self.instances.get_mut(identifier) {
            instance.progress.prolong(by);
        }
    }

    /// Makes the next creation of an instance end in a status, such as `failed` or `incompatible-network`; the reason
    /// is in its events.
    pub fn fail_next_creation(&mut self, status: Status, reason: &str) {
        self.failures.push_back((status, reason.to_owned()));
    }
}

impl Instance {
    /// Whether a client can connect: it is there and neither stopped, nor restarting, nor broken.
    #[must_use]
    pub fn takes_connections(&self) -> bool {
        let up = [
            AVAILABLE,
            "backing-up",
            "modifying",
            "storage-optimization",
            "configuring-enhanced-monitoring",
            "resetting-master-credentials",
        ];
        self.created.is_some() && up.contains(&self.status())
    }
}

/// What begins from elsewhere: a cluster, a blue/green deployment, maintenance.
impl Instance {
    pub(in crate::aws::rds) fn begin_deletion(&mut self, now: Timestamp) {
        self.progress.rest_at("deleting");
        self.progress.add(now, "deleting", times::DELETE, Finish::Deleted);
    }

    pub(in crate::aws::rds) fn stop_with_cluster(&mut self, now: Timestamp) {
        self.progress.add(now, "stopping", times::STOP, Finish::StoppedWithCluster);
    }

    pub(in crate::aws::rds) fn start_with_cluster(&mut self, now: Timestamp) {
        self.progress.add(now, "starting", times::START, Finish::Started);
    }

    /// Goes through a phase of the cluster's, after a while.
    pub(in crate::aws::rds) fn pass(
        &mut self,
        now: Timestamp,
        wait: SignedDuration,
        status: Status,
        lasts: SignedDuration,
    ) {
        self.progress.add(now, self.progress.rest, wait, Finish::Nothing);
        self.progress.add(now, status, lasts, Finish::Rebooted);
    }

    /// Takes over what the cluster has now.
    pub(in crate::aws::rds) fn follow(&mut self, version: Version, port: i64, iam_authentication: bool) {
        let default = ParameterGroups::default_name(&self.settings.version.family(&self.engine));
        if self.settings.parameter_group == default {
            self.settings.parameter_group = ParameterGroups::default_name(&version.family(&self.engine));
        }
        self.settings.version = version;
        self.settings.port = port;
        self.settings.iam_authentication = iam_authentication;
    }
}
