//! DescribeDBInstances.

use super::{Instance, ParameterState};
use crate::aws::{
    Place,
    query::{self, Parameters},
    rds::{Fault, Rds, Xml, host, progress::later, times},
    secrets::Secrets,
};
use jiff::Timestamp;

impl Rds {
    pub(in crate::aws::rds) fn describe_instances(
        &self,
        parameters: &Parameters,
        now: Timestamp,
        place: &Place,
        secrets: &Secrets,
    ) -> Result<Xml, Fault> {
        let known = ["db-cluster-id", "db-instance-id", "dbi-resource-id", "engine", "domain"];
        let filters = query::filters(parameters, &known)?;
        let wanted = parameters.get("DBInstanceIdentifier").map(by_name);
        if let Some(name) = &wanted {
            self.instance(name)?;
        }
        let fits = |instance: &&Instance| {
            filters.iter().all(|(filter, values)| {
                let arn = instance.arn(place);
                let has = |text: &str| values.contains(text);
                match filter.as_str() {
                    "db-cluster-id" => instance
                        .cluster
                        .as_ref()
                        .is_some_and(|name| has(name) || has(&place.arn("rds", &format!("cluster:{name}")))),
                    "db-instance-id" => has(&instance.identifier) || has(&arn),
                    "dbi-resource-id" => has(&instance.resource_id),
                    "engine" => has(&instance.engine),
                    _ => false,
                }
            })
        };
        let found = self
            .instances
            .values()
            .filter(|instance| wanted.as_ref().is_none_or(|name| *name == instance.identifier))
            .filter(fits)
            .map(|instance| (instance.identifier.clone(), instance));
        let page = query::page(parameters, found)?;
        let shown = page.items.into_iter().map(|instance| self.show_instance(instance, now, place, secrets));
        Ok(Xml::new().list("DBInstances", "DBInstance", shown).optional("Marker", page.marker))
    }

    pub(in crate::aws::rds) fn show_instance(
        &self,
        instance: &Instance,
        now: Timestamp,
        place: &Place,
        secrets: &Secrets,
    ) -> Xml {
        let settings = &instance.settings;
        let restarts = instance.stopped.map(|stopped| later(stopped, times::STOPPED_AT_MOST));
        let groups = settings
            .security_groups
            .iter()
            .map(|group| Xml::new().text("VpcSecurityGroupId", group).text("Status", "active"));
        let mut xml = Xml::new()
            .text("DBInstanceIdentifier", &instance.identifier)
            .text("DBInstanceArn", instance.arn(place))
            .text("DbiResourceId", &instance.resource_id)
            .text("DBInstanceStatus", instance.status())
            .text("DBInstanceClass", &settings.class)
            .text("Engine", &instance.engine)
            .text("EngineVersion", settings.version)
            .text("LicenseModel", "postgresql-license")
            .text("MasterUsername", &instance.master_username)
            .optional("DBName", instance.database.as_ref())
            .optional("DBClusterIdentifier", instance.cluster.as_ref())
            .optional("InstanceCreateTime", instance.created)
            .optional("LatestRestorableTime", instance.latest_restorable(now))
            .optional("AutomaticRestartTime", restarts)
            .text("AvailabilityZone", format!("{}{}", place.region, instance.zone))
            .text("MultiAZ", settings.multi_az)
            .text("PubliclyAccessible", settings.public)
            .list("VpcSecurityGroups", "VpcSecurityGroupMembership", groups)
            .list("DBParameterGroups", "DBParameterGroup", [instance.show_parameter_group()])
            .text("StorageEncrypted", instance.key.is_some())
            .optional("KmsKeyId", instance.key.as_ref())
            .text("PromotionTier", settings.promotion_tier)
            .texts("ReadReplicaDBInstanceIdentifiers", "ReadReplicaDBInstanceIdentifier", [""; 0])
            .element("PendingModifiedValues", show_pending(&instance.pending))
            .list("TagList", "Tag", instance.tags.iter().map(|(key, value)| super::super::tag(key, value)));
        xml = show_settings(xml, instance);
        if instance.created.is_some() {
            let endpoint = Xml::new()
                .text("Address", host(&instance.endpoint, place))
                .text("Port", settings.port)
                .text("HostedZoneId", "Z1HOSTEDZONE");
            xml = xml.element("Endpoint", endpoint);
        }
        if let Ok(group) = self.subnet_group(&settings.subnet_group) {
            xml = xml.element("DBSubnetGroup", self.show_subnet_group(&settings.subnet_group, group, place));
        }
        if let Some(secret) = &instance.secret {
            xml = xml.element("MasterUserSecret", secrets.show_managed(secret));
        }
        xml
    }
}

impl Instance {
    fn show_parameter_group(&self) -> Xml {
        let state = match self.parameters {
            ParameterState::InSync => "in-sync",
            ParameterState::Applying(_) => "applying",
            ParameterState::PendingReboot => "pending-reboot",
        };
        Xml::new()
            .text("DBParameterGroupName", &self.settings.parameter_group)
            .text("ParameterApplyStatus", state)
    }
}

fn show_settings(xml: Xml, instance: &Instance) -> Xml {
    let settings = &instance.settings;
    let insights = settings.insights;
    xml.text("AllocatedStorage", settings.allocated_storage)
        .text("StorageType", &settings.storage_type)
        .optional("Iops", settings.shown_iops())
        .optional("StorageThroughput", settings.shown_throughput())
        .optional("MaxAllocatedStorage", settings.max_allocated_storage)
        .text("BackupRetentionPeriod", settings.backup_retention)
        .text("PreferredBackupWindow", settings.backup_window)
        .text("PreferredMaintenanceWindow", settings.maintenance_window)
        .text("AutoMinorVersionUpgrade", settings.auto_minor)
        .text("DeletionProtection", settings.deletion_protection)
        .text("CopyTagsToSnapshot", settings.copy_tags)
        .text("MonitoringInterval", settings.monitoring_interval)
        .optional("MonitoringRoleArn", settings.monitoring_role.as_ref())
        .text("PerformanceInsightsEnabled", insights)
        .optional("PerformanceInsightsRetentionPeriod", insights.then_some(settings.insights_retention))
        .optional("PerformanceInsightsKMSKeyId", settings.insights_key.as_ref().filter(|_| insights))
        .text("DatabaseInsightsMode", &settings.insights_mode)
        .texts("EnabledCloudwatchLogsExports", "member", &settings.logs)
        .text("IAMDatabaseAuthenticationEnabled", settings.iam_authentication)
        .text("CACertificateIdentifier", &settings.certificate)
        .text("DbInstancePort", 0)
        .text("NetworkType", "IPV4")
        .text("BackupTarget", "region")
}

/// Pending parameters under the names of describes.
fn show_pending(pending: &Parameters) -> Xml {
    pending.0.iter().fold(Xml::new(), |xml, (key, value)| match key.as_str() {
        "MasterUserPassword" => xml.text(key, "****"),
        "DBPortNumber" => xml.text("Port", value),
        "NewDBInstanceIdentifier" => xml.text("DBInstanceIdentifier", value.to_lowercase()),
        "EnableIAMDatabaseAuthentication" => xml.text("IAMDatabaseAuthenticationEnabled", value),
        "DBParameterGroupName" => xml,
        _ => xml.text(key, value),
    })
}

/// A name, from itself or an ARN.
pub(in crate::aws::rds) fn by_name(given: &str) -> String {
    given.rsplit(':').next().unwrap_or(given).to_lowercase()
}
