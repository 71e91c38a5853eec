//! The settings of an instance: set by parameters of the same names at creation, modification and restore.

use super::super::{
    Fault, Parameters, Rds,
    engine::{self, AURORA, CERTIFICATES, SERVERLESS, Version},
    groups::ParameterGroups,
    invalid_combination, invalid_value,
    window::Window,
};
use crate::aws::Place;
use std::collections::BTreeSet;

/// Settings of an instance.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `DBInstanceClass`.
    pub class: String,
    /// `AllocatedStorage`, GiB.
    pub allocated_storage: i64,
    /// `StorageType`.
    pub storage_type: String,
    /// `Iops`, where they are provisioned.
    pub iops: Option<i64>,
    /// `StorageThroughput`, MiB/s, where it is provisioned.
    pub throughput: Option<i64>,
    /// `MaxAllocatedStorage`, GiB; none: no autoscaling.
    pub max_allocated_storage: Option<i64>,
    /// `EngineVersion`.
    pub version: Version,
    /// `MultiAZ`.
    pub multi_az: bool,
    /// `PubliclyAccessible`.
    pub public: bool,
    /// `BackupRetentionPeriod`, days.
    pub backup_retention: i64,
    /// `PreferredBackupWindow`.
    pub backup_window: Window,
    /// `PreferredMaintenanceWindow`.
    pub maintenance_window: Window,
    /// `AutoMinorVersionUpgrade`.
    pub auto_minor: bool,
    /// `DeletionProtection`.
    pub deletion_protection: bool,
    /// `CopyTagsToSnapshot`.
    pub copy_tags: bool,
    /// `MonitoringInterval`, seconds.
    pub monitoring_interval: i64,
    /// `MonitoringRoleArn`.
    pub monitoring_role: Option<String>,
    /// `EnablePerformanceInsights`.
    pub insights: bool,
    /// `PerformanceInsightsRetentionPeriod`, days.
    pub insights_retention: i64,
    /// `PerformanceInsightsKMSKeyId`, an ARN.
    pub insights_key: Option<String>,
    /// `DatabaseInsightsMode`.
    pub insights_mode: String,
    /// Logs that go to CloudWatch.
    pub logs: BTreeSet<String>,
    /// `EnableIAMDatabaseAuthentication`.
    pub iam_authentication: bool,
    /// `CACertificateIdentifier`.
    pub certificate: String,
    /// `DBParameterGroupName`.
    pub parameter_group: String,
    /// Port of the database.
    pub port: i64,
    /// `VpcSecurityGroupIds`.
    pub security_groups: Vec<String>,
    /// `DBSubnetGroupName`.
    pub subnet_group: String,
    /// `PromotionTier`.
    pub promotion_tier: i64,
}

impl Settings {
    /// What AWS chooses.
    pub(in crate::aws::rds) fn defaults(engine: &str, version: Version, class: &str, seed: u64) -> Self {
        let is_aurora = engine == AURORA;
        Self {
            class: class.to_owned(),
            allocated_storage: i64::from(is_aurora),
            storage_type: if is_aurora { "aurora" } else { "gp2" }.to_owned(),
            iops: None,
            throughput: None,
            max_allocated_storage: None,
            version,
            multi_az: false,
            public: false,
            backup_retention: 1,
            backup_window: Window::chosen_daily(seed),
            maintenance_window: Window::chosen_weekly(seed),
            auto_minor: true,
            deletion_protection: false,
            copy_tags: false,
            monitoring_interval: 0,
            monitoring_role: None,
            insights: false,
            insights_retention: 7,
            insights_key: None,
            insights_mode: "standard".to_owned(),
            logs: BTreeSet::new(),
            iam_authentication: false,
            certificate: "rds-ca-rsa2048-g1".to_owned(),
            parameter_group: ParameterGroups::default_name(&version.family(engine)),
            port: 5432,
            security_groups: vec!["sg-default".to_owned()],
            subnet_group: "default".to_owned(),
            promotion_tier: 1,
        }
    }

    /// Takes over what `parameters` name, and no more.
    pub(in crate::aws::rds) fn apply(&mut self, engine: &str, parameters: &Parameters) -> Result<(), Fault> {
        let text = |name: &str| parameters.get(name).map(ToOwned::to_owned);
        set(&mut self.class, text("DBInstanceClass"));
        set(&mut self.allocated_storage, parameters.integer("AllocatedStorage")?);
        set(&mut self.multi_az, parameters.boolean("MultiAZ")?);
        set(&mut self.public, parameters.boolean("PubliclyAccessible")?);
        set(&mut self.backup_retention, parameters.integer("BackupRetentionPeriod")?);
        set(&mut self.backup_window, parameters.get("PreferredBackupWindow").map(Window::daily).transpose()?);
        let window = parameters.get("PreferredMaintenanceWindow").map(Window::weekly).transpose()?;
        set(&mut self.maintenance_window, window);
        set(&mut self.auto_minor, parameters.boolean("AutoMinorVersionUpgrade")?);
        set(&mut self.deletion_protection, parameters.boolean("DeletionProtection")?);
        set(&mut self.copy_tags, parameters.boolean("CopyTagsToSnapshot")?);
        set(&mut self.monitoring_interval, parameters.integer("MonitoringInterval")?);
        set(&mut self.insights, parameters.boolean("EnablePerformanceInsights")?);
        set(&mut self.insights_retention, parameters.integer("PerformanceInsightsRetentionPeriod")?);
        set(&mut self.insights_mode, text("DatabaseInsightsMode"));
        set(&mut self.iam_authentication, parameters.boolean("EnableIAMDatabaseAuthentication")?);
        set(&mut self.certificate, text("CACertificateIdentifier"));
        set(&mut self.port, parameters.integer("DBPortNumber")?.or(parameters.integer("Port")?));
        set(&mut self.security_groups, parameters.list("VpcSecurityGroupIds"));
        set(&mut self.subnet_group, text("DBSubnetGroupName").map(|name| name.to_lowercase()));
        set(&mut self.promotion_tier, parameters.integer("PromotionTier")?);
        let threshold = parameters.integer("MaxAllocatedStorage")?;
        self.max_allocated_storage = threshold.or(self.max_allocated_storage);
        self.monitoring_role = text("MonitoringRoleArn").or(self.monitoring_role.take());
        self.insights_key = text("PerformanceInsightsKMSKeyId").or(self.insights_key.take());
        self.apply_storage(parameters)?;
        self.apply_version(engine, parameters)?;
        self.apply_logs(parameters);
        Ok(())
    }

    fn apply_storage(&mut self, parameters: &Parameters) -> Result<(), Fault> {
        if let Some(storage) = parameters.get("StorageType")
            && storage != self.storage_type
        {
            storage.clone_into(&mut self.storage_type);
            (self.iops, self.throughput) = (None, None);
        }
        self.iops = parameters.integer("Iops")?.or(self.iops);
        self.throughput = parameters.integer("StorageThroughput")?.or(self.throughput);
        // Equal to the allocated storage, the threshold turns autoscaling off.
        if self.max_allocated_storage == Some(self.allocated_storage) {
            self.max_allocated_storage = None;
        }
        Ok(())
    }

    fn apply_version(&mut self, engine: &str, parameters: &Parameters) -> Result<(), Fault> {
        let before = self.version;
        let named = parameters.get("EngineVersion");
        // A major version names no other minor one to who has it already.
        if let Some(version) = named.filter(|named| *named != before.major.to_string()) {
            self.version = Version::find(engine, version)?;
        }
        if self.parameter_group == ParameterGroups::default_name(&before.family(engine)) {
            self.parameter_group = ParameterGroups::default_name(&self.version.family(engine));
        }
        set(&mut self.parameter_group, parameters.get("DBParameterGroupName").map(str::to_lowercase));
        Ok(())
    }

    fn apply_logs(&mut self, parameters: &Parameters) {
        let change = |name: &str| {
            parameters.list(&format!("CloudwatchLogsExportConfiguration.{name}")).unwrap_or_default()
        };
        self.logs.extend(parameters.list("EnableCloudwatchLogsExports").unwrap_or_default());
        self.logs.extend(change("EnableLogTypes"));
        for log in change("DisableLogTypes") {
            self.logs.remove(&log);
        }
    }

    /// What AWS checks of any settings, however they came about.
    pub(in crate::aws::rds) fn check(&self, engine: &str, rds: &Rds, place: &Place) -> Result<(), Fault> {
        engine::check_class(engine, self.version, &self.class)?;
        engine::check_logs(engine, &self.logs)?;
        if !CERTIFICATES.contains(&self.certificate.as_str()) {
            return Err(Fault::not_found("CertificateNotFound", format!("{} not found", self.certificate)));
        }
        if !(0..=35).contains(&self.backup_retention) {
            return Err(invalid_value(format!(
                "Invalid backup retention period: {}. Must be between 0 and 35",
                self.backup_retention
            )));
        }
        if !(1150..=65535).contains(&self.port) {
            return Err(invalid_value(format!("Invalid port {}. Must be between 1150 and 65535", self.port)));
        }
        if self.backup_window.overlaps(self.maintenance_window) {
            return Err(invalid_combination("The backup window and maintenance window must not overlap."));
        }
        self.check_monitoring()?;
        rds.subnet_group(&self.subnet_group)?;
        rds.groups.check(&self.parameter_group, &self.version.family(engine))?;
        if let Some(key) = &self.insights_key {
            rds.key_arn(key, place)?;
        }
        if engine == AURORA { self.check_aurora() } else { self.check_storage() }
    }

    fn check_monitoring(&self) -> Result<(), Fault> {
        if ![0, 1, 5, 10, 15, 30, 60].contains(&self.monitoring_interval) {
            return Err(invalid_value(format!(
                "Invalid monitoring interval {}. Valid values are 0, 1, 5, 10, 15, 30, 60",
                self.monitoring_interval
            )));
        }
        if self.monitoring_interval > 0 && self.monitoring_role.is_none() {
            return Err(invalid_combination(
                "A MonitoringRoleARN value is required if you specify a MonitoringInterval value other than 0.",
            ));
        }
        let months = self.insights_retention % 31 == 0 && (1..24).contains(&(self.insights_retention / 31));
        if ![7, 731].contains(&self.insights_retention) && !months {
            return Err(invalid_value(format!(
                "Invalid Performance Insights retention period {}. Must be 7, 731 or a multiple of 31",
                self.insights_retention
            )));
        }
        Ok(())
    }

    fn check_aurora(&self) -> Result<(), Fault> {
        if self.multi_az {
            return Err(invalid_combination(
                "The parameter MultiAZ isn't valid for the engine aurora-postgresql.",
            ));
        }
        if !(0..=15).contains(&self.promotion_tier) {
            return Err(invalid_value("Promotion tier must be between 0 and 15"));
        }
        Ok(())
    }

    /// RDS guide, "Amazon RDS DB instance storage".
    fn check_storage(&self) -> Result<(), Fault> {
        if self.class == SERVERLESS {
            return Err(invalid_value(format!("Invalid DB Instance class: {}", self.class)));
        }
        let size = self.allocated_storage;
        let kind = self.storage_type.as_str();
        let least = match kind {
            "gp2" | "gp3" => 20,
            "io1" | "io2" => 100,
            _ => return Err(invalid_value(format!("Invalid storage type: {kind}"))),
        };
        if !(least..=65_536).contains(&size) {
            return Err(invalid_combination(format!(
                "Invalid storage size for engine name postgres and storage type {kind}: {size}"
            )));
        }
        if let Some(most) = self.max_allocated_storage
            && (most * 10 < size * 11 || most > 65_536)
        {
            return Err(invalid_combination(format!(
                "Invalid max storage size for engine name postgres and storage type {kind}: {most}. It must be at least 10% greater than the allocated storage of {size}"
            )));
        }
        self.check_iops(kind, size)
    }

    fn check_iops(&self, kind: &str, size: i64) -> Result<(), Fault> {
        let Self { iops, throughput, .. } = self;
        match kind {
            "gp2" if iops.is_some() || throughput.is_some() => {
                Err(invalid_combination("You can't specify IOPS or storage throughput for storage type gp2."))
            }
            "gp3" if size < 400 && (iops.is_some() || throughput.is_some()) => Err(invalid_combination(
                "You can't specify IOPS or storage throughput for engine postgres and a storage size less than 400.",
            )),
            "gp3" => {
                let (iops, throughput) = (iops.unwrap_or(12_000), throughput.unwrap_or(500));
                let fits = (12_000..=64_000).contains(&iops)
                    && (500..=4_000).contains(&throughput)
                    && iops <= size * 500
                    && throughput * 4 <= iops;
                let message = format!(
                    "Invalid IOPS {iops} or storage throughput {throughput} for storage type gp3 and {size} GiB"
                );
                if size < 400 || fits { Ok(()) } else { Err(invalid_combination(message)) }
            }
            "io1" | "io2" => {
                let most = if kind == "io1" { 50 } else { 1000 };
                let iops = iops.ok_or_else(|| {
                    invalid_combination(format!(
                        "The parameter Iops must be provided for storage type {kind}."
                    ))
                })?;
                let fits = (1_000..=256_000).contains(&iops) && iops * 2 >= size && iops <= size * most;
                let message = format!("Invalid IOPS {iops} for storage type {kind} and {size} GiB");
                if fits { Ok(()) } else { Err(invalid_combination(message)) }
            }
            _ => Ok(()),
        }
    }

    /// Provisioned or included IOPS, where describes show any.
    pub(in crate::aws::rds) fn shown_iops(&self) -> Option<i64> {
        let included = if self.allocated_storage < 400 { 3_000 } else { 12_000 };
        self.iops.or((self.storage_type == "gp3").then_some(included))
    }

    /// Provisioned or included throughput, MiB/s, where describes show any.
    pub(in crate::aws::rds) fn shown_throughput(&self) -> Option<i64> {
        let included = if self.allocated_storage < 400 { 125 } else { 500 };
        self.throughput.or((self.storage_type == "gp3").then_some(included))
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}
