//! Failover, stop, start and delete.

use super::{Cluster, Finish, Rds, invalid_state};
use crate::aws::{
    Place,
    query::Parameters,
    rds::{AVAILABLE, Fault, Xml, identifier, invalid_combination, times},
    secrets::Secrets,
};
use jiff::Timestamp;

impl Rds {
    pub(super) fn cluster_finishes(
        &mut self,
        name: &str,
        finish: Finish,
        at: Timestamp,
        place: &Place,
        secrets: &mut Secrets,
    ) {
        let Some(cluster) = self.clusters.get_mut(name) else { return };
        match finish {
            Finish::Nothing => {}
            Finish::Created => {
                cluster.created = Some(at);
                cluster.restorable_from = Some(at);
                self.cluster_event(at, place, name, "creation", "DB cluster created");
            }
            Finish::Apply(change) => self.cluster_applied(name, &change, at, place),
            Finish::FailedOver(target) => {
                for member in &mut cluster.members {
                    member.writer = member.identifier == target;
                }
                let message = format!("Completed failover to DB instance: {target}");
                self.cluster_event(at, place, name, "failover", &message);
            }
            Finish::Stopped => {
                cluster.progress.rest = "stopped";
                cluster.stopped = Some(at);
                self.cluster_event(at, place, name, "notification", "DB cluster stopped");
            }
            Finish::Started => {
                cluster.progress.rest = AVAILABLE;
                self.cluster_event(at, place, name, "notification", "DB cluster started");
            }
            Finish::Deleted if !cluster.members.is_empty() => {
                cluster.progress.add(at, "deleting", times::DELETE, Finish::Deleted);
            }
            Finish::Deleted => {
                if let Some(secret) = &cluster.secret {
                    secrets.remove_managed(secret);
                }
                let resource_id = cluster.resource_id.clone();
                self.clusters.remove(name);
                self.cluster_snapshots
                    .retain(|_, snapshot| !(snapshot.automated && snapshot.resource_id == resource_id));
                self.cluster_event(at, place, name, "deletion", "DB cluster deleted");
            }
        }
    }

    pub(in crate::aws::rds) fn fail_over(
        &mut self,
        parameters: &Parameters,
        now: Timestamp,
        place: &Place,
        secrets: &Secrets,
    ) -> Result<Xml, Fault> {
        let name = identifier(parameters, "DBClusterIdentifier")?;
        let cluster = self.cluster(&name)?;
        cluster.check_available()?;
        let target = self.failover_target(cluster, parameters.get("TargetDBInstanceIdentifier"))?;
        let cluster = self.cluster_mut(&name)?;
        cluster.progress.add(now, "failing-over", times::FAILOVER, Finish::FailedOver(target));
        self.cluster_event(now, place, &name, "failover", "Started cross AZ failover to DB instance");
        self.answer_cluster(&name, now, place, secrets)
    }

    /// The reader asked for, or that with the lowest promotion tier.
    fn failover_target(&self, cluster: &Cluster, asked: Option<&str>) -> Result<String, Fault> {
        let tier = |name: &str| Some(self.instances.get(name)?.settings.promotion_tier);
        let up = |name: &str| self.instances.get(name).is_some_and(|instance| instance.status() == AVAILABLE);
        let readers = cluster.members.iter().filter(|member| !member.writer && up(&member.identifier));
        let target = match asked {
            Some(asked) => readers.clone().find(|member| member.identifier.eq_ignore_ascii_case(asked)),
            None => readers.min_by_key(|member| tier(&member.identifier)),
        };
        target.map(|member| member.identifier.clone()).ok_or_else(|| {
            invalid_state(format!(
                "Cannot failover DB cluster {}: it has no such available reader.",
                cluster.identifier
            ))
        })
    }

    pub(in crate::aws::rds) fn stop_cluster(
        &mut self,
        parameters: &Parameters,
        now: Timestamp,
        place: &Place,
        secrets: &Secrets,
    ) -> Result<Xml, Fault> {
        let name = identifier(parameters, "DBClusterIdentifier")?;
        let cluster = self.cluster(&name)?;
        cluster.check_available()?;
        let members = cluster.members.clone();
        let busy = members.iter().find(|member| {
            self.instances.get(&member.identifier).is_some_and(|instance| !instance.is_available())
        });
        if let Some(member) = busy {
            return Err(Fault::bad_request(
                "InvalidDBInstanceState",
                format!("DB instance {} of the cluster is not available.", member.identifier),
            ));
        }
        for member in members {
            if let Some(instance) = self.instances.get_mut(&member.identifier) {
                instance.stop_with_cluster(now);
            }
        }
        self.cluster_mut(&name)?.progress.add(now, "stopping", times::STOP, Finish::Stopped);
        self.answer_cluster(&name, now, place, secrets)
    }

    pub(in crate::aws::rds) fn start_cluster(
        &mut self,
        parameters: &Parameters,
        now: Timestamp,
        place: &Place,
        secrets: &Secrets,
    ) -> Result<Xml, Fault> {
        let name = identifier(parameters, "DBClusterIdentifier")?;
        let cluster = self.cluster(&name)?;
        if cluster.status() != "stopped" {
            return Err(invalid_state(format!(
                "DB cluster {name} is not stopped: it is {}.",
                cluster.status()
            )));
        }
        self.start_cluster_now(&name, now, place);
        self.answer_cluster(&name, now, place, secrets)
    }

    pub(super) fn start_cluster_now(&mut self, name: &str, at: Timestamp, place: &Place) {
        let Some(cluster) = self.clusters.get_mut(name) else { return };
        cluster.stopped = None;
        cluster.progress.add(at, "starting", times::START, Finish::Started);
        for member in cluster.members.clone() {
            if let Some(instance) = self.instances.get_mut(&member.identifier) {
                instance.start_with_cluster(at);
            }
        }
        self.cluster_event(at, place, name, "notification", "DB cluster is being started");
    }

    pub(in crate::aws::rds) fn delete_cluster(
        &mut self,
        parameters: &Parameters,
        now: Timestamp,
        place: &Place,
        secrets: &Secrets,
    ) -> Result<Xml, Fault> {
        let name = identifier(parameters, "DBClusterIdentifier")?;
        let cluster = self.cluster(&name)?;
        if cluster.status() == "deleting" {
            return Err(invalid_state(format!("DB cluster {name} is already being deleted.")));
        }
        if cluster.deletion_protection {
            return Err(invalid_combination(
                "Cannot delete protected Cluster, please disable deletion protection and try again.",
            ));
        }
        let lives =
            |name: &str| self.instances.get(name).is_some_and(|instance| instance.status() != "deleting");
        if cluster.members.iter().any(|member| lives(&member.identifier)) {
            return Err(invalid_state(
                "Cluster cannot be deleted, it still contains DB instances in non-deleting state.",
            ));
        }
        let skips = parameters.boolean("SkipFinalSnapshot")?.unwrap_or(false);
        let is_named = parameters.get("FinalDBSnapshotIdentifier").is_some();
        if skips == is_named {
            return Err(invalid_combination(
                "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified, and only then.",
            ));
        }
        if is_named {
            if cluster.created.is_none() {
                return Err(invalid_state(format!(
                    "Cannot create a snapshot because {name} is not available."
                )));
            }
            self.snapshot_cluster(&name, parameters, "FinalDBSnapshotIdentifier", now)?;
        }
        let cluster = self.cluster_mut(&name)?;
        cluster.progress.rest_at("deleting");
        cluster.progress.add(now, "deleting", times::DELETE, Finish::Deleted);
        self.answer_cluster(&name, now, place, secrets)
    }
}
