//! Snapshots of clusters, and what is restored from them or to a point in time.

use super::restore_time;
use crate::aws::{
    Place,
    query::{self, Parameters},
    rds::{
        AVAILABLE, Fault, Rds, Xml, cluster::Origin, engine::AURORA, identifier, instance::by_name,
        progress::later, tag, times,
    },
    secrets::Secrets,
};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// A DB cluster snapshot.
#[derive(Clone, Debug)]
pub struct ClusterSnapshot {
    /// `DBClusterSnapshotIdentifier`.
    pub identifier: String,
    /// Identifier of its cluster.
    pub cluster: String,
    /// `DbClusterResourceId` of its cluster.
    pub resource_id: String,
    /// Whether AWS made it, and lets it expire.
    pub automated: bool,
    /// What a restore begins with; its data is the snapshot's.
    pub origin: Origin,
    /// `SnapshotCreateTime`.
    pub at: Timestamp,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    cluster_created: Option<Timestamp>,
    ready: Option<Timestamp>,
}

impl ClusterSnapshot {
    /// `creating` or `available`.
    #[must_use]
    pub fn status(&self) -> &'static str {
        if self.ready.is_some() { "creating" } else { AVAILABLE }
    }

    pub(in crate::aws::rds) fn due(&self) -> Option<Timestamp> {
        self.ready
    }

    fn kind(&self) -> &'static str {
        if self.automated { "automated" } else { "manual" }
    }
}

impl Rds {
    pub(in crate::aws::rds) fn cluster_snapshot_happens(&mut self, name: &str) {
        if let Some(snapshot) = self.cluster_snapshots.get_mut(name) {
            snapshot.ready = None;
        }
    }

    pub(in crate::aws::rds) fn take_of_cluster(
        &mut self,
        name: &str,
        identifier: String,
        automated: bool,
        mut tags: BTreeMap<String, String>,
        at: Timestamp,
    ) {
        let Some(cluster) = self.clusters.get(name) else { return };
        if cluster.copy_tags {
            let copied = cluster.tags.iter().map(|(key, value)| (key.clone(), value.clone()));
            tags = copied.chain(tags).collect();
        }
        let snapshot = ClusterSnapshot {
            identifier: identifier.clone(),
            cluster: name.to_owned(),
            resource_id: cluster.resource_id.clone(),
            automated,
            origin: cluster.origin(at),
            at,
            tags,
            cluster_created: cluster.created,
            ready: Some(later(at, times::BACKUP)),
        };
        self.cluster_snapshots.insert(identifier, snapshot);
    }

    /// Makes a manual snapshot under the name that a parameter gives.
    pub(in crate::aws::rds) fn snapshot_cluster(
        &mut self,
        name: &str,
        parameters: &Parameters,
        parameter: &str,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let identifier = identifier(parameters, parameter)?;
        if self.cluster_snapshots.contains_key(&identifier) {
            return Err(Fault::bad_request(
                "DBClusterSnapshotAlreadyExistsFault",
                format!(
                    "Cannot create the snapshot because one with the identifier {identifier} already exists."
                ),
            ));
        }
        self.take_of_cluster(name, identifier, false, parameters.tags(), now);
        Ok(())
    }

    pub(in crate::aws::rds) fn create_cluster_snapshot(
        &mut self,
        parameters: &Parameters,
        now: Timestamp,
        place: &Place,
    ) -> Result<Xml, Fault> {
        let name = identifier(parameters, "DBClusterIdentifier")?;
        let cluster = self.cluster(&name)?;
        if cluster.status() != AVAILABLE {
            return Err(Fault::bad_request(
                "InvalidDBClusterStateFault",
                format!("DB cluster {name} is not available: it is {}.", cluster.status()),
            ));
        }
        self.snapshot_cluster(&name, parameters, "DBClusterSnapshotIdentifier", now)?;
        self.answer_cluster_snapshot(&identifier(parameters, "DBClusterSnapshotIdentifier")?, place)
    }

    pub(in crate::aws::rds) fn delete_cluster_snapshot(
        &mut self,
        parameters: &Parameters,
        place: &Place,
    ) -> Result<Xml, Fault> {
        let name = parameters.required("DBClusterSnapshotIdentifier")?.to_lowercase();
        let snapshot = self.cluster_snapshot(&name)?;
        if snapshot.automated {
            return Err(invalid_state("Only manual snapshots may be deleted."));
        }
        check_ready(snapshot)?;
        let answer = self.answer_cluster_snapshot(&name, place);
        self.cluster_snapshots.remove(&name);
        answer
    }

    fn cluster_snapshot(&self, name: &str) -> Result<&ClusterSnapshot, Fault> {
        self.cluster_snapshots.get(name).ok_or_else(|| {
            Fault::not_found("DBClusterSnapshotNotFoundFault", format!("DBClusterSnapshot {name} not found."))
        })
    }

    fn answer_cluster_snapshot(&self, name: &str, place: &Place) -> Result<Xml, Fault> {
        Ok(Xml::new().element("DBClusterSnapshot", show(self.cluster_snapshot(name)?, place)))
    }

    pub(in crate::aws::rds) fn describe_cluster_snapshots(
        &self,
        parameters: &Parameters,
        place: &Place,
    ) -> Result<Xml, Fault> {
        let known = ["db-cluster-id", "db-cluster-snapshot-id", "snapshot-type", "engine"];
        let filters = query::filters(parameters, &known)?;
        let wanted = parameters.get("DBClusterSnapshotIdentifier").map(name_of);
        if let Some(name) = &wanted {
            self.cluster_snapshot(name)?;
        }
        let cluster = parameters.get("DBClusterIdentifier").map(by_name);
        let kind = parameters.get("SnapshotType");
        let fits = |snapshot: &&ClusterSnapshot| {
            wanted.as_ref().is_none_or(|name| *name == snapshot.identifier)
                && cluster.as_ref().is_none_or(|name| *name == snapshot.cluster)
                && kind.is_none_or(|kind| kind == snapshot.kind())
                && filters.iter().all(|(filter, values)| match filter.as_str() {
                    "db-cluster-id" => values.contains(&snapshot.cluster),
                    "db-cluster-snapshot-id" => values.contains(&snapshot.identifier),
                    "snapshot-type" => values.contains(snapshot.kind()),
                    _ => values.contains(AURORA),
                })
        };
        let found = self.cluster_snapshots.values().filter(fits);
        let page = query::page(parameters, found.map(|one| (one.identifier.clone(), show(one, place))))?;
        let names = ("DBClusterSnapshots", "DBClusterSnapshot");
        Ok(Xml::new().list(names.0, names.1, page.items).optional("Marker", page.marker))
    }

    pub(in crate::aws::rds) fn restore_cluster_snapshot(
        &mut self,
        parameters: &Parameters,
        now: Timestamp,
        place: &Place,
        secrets: &mut Secrets,
    ) -> Result<Xml, Fault> {
        let name = identifier(parameters, "DBClusterIdentifier")?;
        let snapshot = self.cluster_snapshot(&name_of(parameters.required("SnapshotIdentifier")?))?;
        check_ready(snapshot)?;
        self.launch_cluster(&name, snapshot.origin.clone(), parameters, now, place, secrets)
    }

    pub(in crate::aws::rds) fn restore_cluster_to_time(
        &mut self,
        parameters: &Parameters,
        now: Timestamp,
        place: &Place,
        secrets: &mut Secrets,
    ) -> Result<Xml, Fault> {
        let name = identifier(parameters, "DBClusterIdentifier")?;
        let source = self.cluster(&identifier(parameters, "SourceDBClusterIdentifier")?)?;
        let (Some(from), Some(latest)) = (source.restorable_from, source.latest_restorable(now)) else {
            return Err(Fault::bad_request(
                "InvalidDBClusterStateFault",
                format!("{} has no backup yet.", source.identifier),
            ));
        };
        let until = restore_time(parameters, "RestoreToTime", from, latest)?;
        self.launch_cluster(&name, source.origin(until), parameters, now, place, secrets)
    }
}

fn name_of(given: &str) -> String {
    given.split_once(":cluster-snapshot:").map_or(given, |(_, name)| name).to_lowercase()
}

fn check_ready(snapshot: &ClusterSnapshot) -> Result<(), Fault> {
    match snapshot.ready {
        None => Ok(()),
        Some(_) => Err(invalid_state(format!("The snapshot {} is being created.", snapshot.identifier))),
    }
}

fn invalid_state(message: impl Into<String>) -> Fault {
    Fault::bad_request("InvalidDBClusterSnapshotStateFault", message)
}

fn show(snapshot: &ClusterSnapshot, place: &Place) -> Xml {
    let origin = &snapshot.origin;
    let is_ready = snapshot.ready.is_none();
    let arn = place.arn("rds", &format!("cluster-snapshot:{}", snapshot.identifier));
    Xml::new()
        .text("DBClusterSnapshotIdentifier", &snapshot.identifier)
        .text("DBClusterSnapshotArn", arn)
        .text("DBClusterIdentifier", &snapshot.cluster)
        .text("DbClusterResourceId", &snapshot.resource_id)
        .text("SnapshotCreateTime", snapshot.at)
        .text("Status", snapshot.status())
        .text("PercentProgress", if is_ready { 100 } else { 0 })
        .text("SnapshotType", snapshot.kind())
        .text("Engine", AURORA)
        .text("EngineVersion", origin.version)
        .text("Port", origin.port)
        .text("MasterUsername", &origin.master_username)
        .text("StorageEncrypted", origin.key.is_some())
        .optional("KmsKeyId", origin.key.as_ref())
        .optional("ClusterCreateTime", snapshot.cluster_created)
        .list("TagList", "Tag", snapshot.tags.iter().map(|(key, value)| tag(key, value)))
}
