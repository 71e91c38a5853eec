//! DescribeDBClusters.

use super::Cluster;
use crate::aws::{
    Place,
    query::{self, Parameters},
    rds::{Fault, Rds, Xml, instance::by_name, progress::later, tag, times, token},
    secrets::Secrets,
};
use jiff::Timestamp;

impl Rds {
    pub(in crate::aws::rds) fn describe_clusters(
        &self,
        parameters: &Parameters,
        now: Timestamp,
        place: &Place,
        secrets: &Secrets,
    ) -> Result<Xml, Fault> {
        let filters = query::filters(parameters, &["db-cluster-id", "db-cluster-resource-id", "engine"])?;
        let wanted = parameters.get("DBClusterIdentifier").map(by_name);
        if let Some(name) = &wanted {
            self.cluster(name)?;
        }
        let fits = |cluster: &&Cluster| {
            wanted.as_ref().is_none_or(|name| *name == cluster.identifier)
                && filters.iter().all(|(filter, values)| match filter.as_str() {
                    "db-cluster-id" => {
                        values.contains(&cluster.identifier) || values.contains(&cluster.arn(place))
                    }
                    "db-cluster-resource-id" => values.contains(&cluster.resource_id),
                    _ => values.contains(&cluster.engine),
                })
        };
        let found = self.clusters.values().filter(fits);
        let page = query::page(parameters, found.map(|cluster| (cluster.identifier.clone(), cluster)))?;
        let shown = page.items.into_iter().map(|cluster| self.show_cluster(cluster, now, place, secrets));
        Ok(Xml::new().list("DBClusters", "DBCluster", shown).optional("Marker", page.marker))
    }

    pub(super) fn answer_cluster(
        &self,
        name: &str,
        now: Timestamp,
        place: &Place,
        secrets: &Secrets,
    ) -> Result<Xml, Fault> {
        let shown = self.show_cluster(self.cluster(name)?, now, place, secrets);
        Ok(Xml::new().element("DBCluster", shown))
    }

    fn show_cluster(&self, cluster: &Cluster, now: Timestamp, place: &Place, secrets: &Secrets) -> Xml {
        let groups = cluster
            .security_groups
            .iter()
            .map(|group| Xml::new().text("VpcSecurityGroupId", group).text("Status", "active"));
        let members = cluster.members.iter().map(|member| {
            let instance = self.instances.get(&member.identifier);
            Xml::new()
                .text("DBInstanceIdentifier", &member.identifier)
                .text("IsClusterWriter", member.writer)
                .text("DBClusterParameterGroupStatus", "in-sync")
                .optional("PromotionTier", instance.map(|instance| instance.settings.promotion_tier))
        });
        let zones = ["a", "b", "c"].map(|zone| format!("{}{zone}", place.region));
        let restarts = cluster.stopped.map(|stopped| later(stopped, times::STOPPED_AT_MOST));
        let pending = cluster.pending.0.iter().fold(Xml::new(), |xml, (key, value)| match key.as_str() {
            "MasterUserPassword" => xml.text(key, "****"),
            "NewDBClusterIdentifier" => xml.text("DBClusterIdentifier", value.to_lowercase()),
            "EnableIAMDatabaseAuthentication" => xml.text("IAMDatabaseAuthenticationEnabled", value),
            _ => xml.text(key, value),
        });
        let mut xml = Xml::new()
            .text("DBClusterIdentifier", &cluster.identifier)
            .text("DBClusterArn", cluster.arn(place))
            .text("DbClusterResourceId", &cluster.resource_id)
            .text("Status", cluster.status())
            .text("Engine", &cluster.engine)
            .text("EngineMode", "provisioned")
            .text("EngineVersion", cluster.version)
            .text("AllocatedStorage", 1)
            .text("StorageType", &cluster.storage_type)
            .text("MultiAZ", cluster.members.len() > 1)
            .text("MasterUsername", &cluster.master_username)
            .optional("DatabaseName", cluster.database.as_ref())
            .text("DBClusterParameterGroup", &cluster.parameter_group)
            .text("DBSubnetGroup", &cluster.subnet_group)
            .text("Endpoint", endpoint(cluster, "cluster", place))
            .text("ReaderEndpoint", endpoint(cluster, "cluster-ro", place))
            .text("Port", cluster.port)
            .text("HostedZoneId", "Z1HOSTEDZONE")
            .texts("AvailabilityZones", "AvailabilityZone", zones)
            .list("DBClusterMembers", "DBClusterMember", members)
            .list("VpcSecurityGroups", "VpcSecurityGroupMembership", groups)
            .text("BackupRetentionPeriod", cluster.backup_retention)
            .text("PreferredBackupWindow", cluster.backup_window)
            .text("PreferredMaintenanceWindow", cluster.maintenance_window)
            .text("DeletionProtection", cluster.deletion_protection)
            .text("CopyTagsToSnapshot", cluster.copy_tags)
            .text("IAMDatabaseAuthenticationEnabled", cluster.iam_authentication)
            .texts("EnabledCloudwatchLogsExports", "member", &cluster.logs)
            .text("StorageEncrypted", cluster.key.is_some())
            .optional("KmsKeyId", cluster.key.as_ref())
            .optional("ClusterCreateTime", cluster.created)
            .optional("EarliestRestorableTime", cluster.restorable_from)
            .optional("LatestRestorableTime", cluster.latest_restorable(now))
            .optional("AutomaticRestartTime", restarts)
            .element("PendingModifiedValues", pending)
            .list("TagList", "Tag", cluster.tags.iter().map(|(key, value)| tag(key, value)));
        if let Some(scaling) = cluster.scaling {
            let scaling = Xml::new()
                .text("MinCapacity", scaling.least)
                .text("MaxCapacity", scaling.most)
                .optional("SecondsUntilAutoPause", scaling.pause.or((scaling.least == 0.0).then_some(300)));
            xml = xml.element("ServerlessV2ScalingConfiguration", scaling);
        }
        if let Some(secret) = &cluster.secret {
            xml = xml.element("MasterUserSecret", secrets.show_managed(secret));
        }
        xml
    }
}

impl Cluster {
    /// The host that takes writes.
    pub(in crate::aws::rds) fn writer_host(&self, place: &Place) -> String {
        endpoint(self, "cluster", place)
    }
}

fn endpoint(cluster: &Cluster, kind: &str, place: &Place) -> String {
    let Place { account, region } = place;
    format!("{}.{kind}-c{}.{region}.rds.amazonaws.com", cluster.identifier, token(&[account, region], 11))
}
