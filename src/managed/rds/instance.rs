//! A DB instance: PostgreSQL of its own, or a member of an Aurora cluster.

use super::{Call, MasterSecret, Origin, Parameters, Phase, phase};
use crate::{
    managed::{Change, Effect, Setting, Settings, Value, difference, is_version_met},
    platform::database::{AwsDatabase, Engine},
};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Settings of an instance. The order is that of the tables in the docs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InstanceSetting {
    /// PostgreSQL or Aurora.
    Engine,
    /// Version of the engine.
    EngineVersion,
    /// CPU and memory.
    Class,
    /// Volume type.
    StorageType,
    /// Size in GiB.
    AllocatedStorage,
    /// Size in GiB up to which it grows by itself; 0: it does not.
    MaxAllocatedStorage,
    /// Operations a second.
    Iops,
    /// MiB a second.
    StorageThroughput,
    /// Whether there is a standby.
    MultiAz,
    /// The Aurora cluster that it is a member of.
    Cluster,
    /// Subnet group.
    SubnetGroup,
    /// Security groups.
    SecurityGroups,
    /// Whether it has a public address.
    PubliclyAccessible,
    /// Certificate authority.
    CaCertificate,
    /// Parameter group.
    ParameterGroup,
    /// Name of the database.
    DatabaseName,
    /// Name of the master user.
    MasterUsername,
    /// Whether RDS keeps the master's password in Secrets Manager.
    ManagedMasterPassword,
    /// Whether the storage is encrypted.
    Encrypted,
    /// With which KMS key.
    KmsKey,
    /// Days that automated backups are kept.
    BackupRetention,
    /// When they are taken.
    BackupWindow,
    /// When AWS maintains it.
    MaintenanceWindow,
    /// Whether AWS installs minor versions.
    AutoMinorVersionUpgrade,
    /// Whether AWS refuses to delete it.
    DeletionProtection,
    /// Whether its snapshots get its tags.
    CopyTagsToSnapshot,
    /// Whether Performance Insights is on.
    PerformanceInsights,
    /// Days that it keeps.
    PerformanceInsightsRetention,
    /// Seconds between two measurements of Enhanced Monitoring; 0: it is off.
    MonitoringInterval,
    /// The role that it writes with.
    MonitoringRole,
    /// Logs that go to CloudWatch.
    LogExports,
    /// Which reader takes over first; the least wins.
    PromotionTier,
}

use InstanceSetting as S;

impl Setting for InstanceSetting {
    const ALL: &'static [Self] = &[
        S::Engine,
        S::EngineVersion,
        S::Class,
        S::StorageType,
        S::AllocatedStorage,
        S::MaxAllocatedStorage,
        S::Iops,
        S::StorageThroughput,
        S::MultiAz,
        S::Cluster,
        S::SubnetGroup,
        S::SecurityGroups,
        S::PubliclyAccessible,
        S::CaCertificate,
        S::ParameterGroup,
        S::DatabaseName,
        S::MasterUsername,
        S::ManagedMasterPassword,
        S::Encrypted,
        S::KmsKey,
        S::BackupRetention,
        S::BackupWindow,
        S::MaintenanceWindow,
        S::AutoMinorVersionUpgrade,
        S::DeletionProtection,
        S::CopyTagsToSnapshot,
        S::PerformanceInsights,
        S::PerformanceInsightsRetention,
        S::MonitoringInterval,
        S::MonitoringRole,
        S::LogExports,
        S::PromotionTier,
    ];

    fn field(self) -> &'static str {
        match self {
            S::Engine => "engine",
            S::EngineVersion => "version",
            S::Class => "instanceClass",
            S::StorageType => "storage.type",
            S::AllocatedStorage => "storage.size",
            S::MaxAllocatedStorage => "storage.maxSize",
            S::Iops => "storage.iops",
            S::StorageThroughput => "storage.throughputMiBps",
            S::MultiAz => "multiAZ",
            S::Cluster => "identifier of the cluster",
            S::SubnetGroup => "network.subnetGroupName",
            S::SecurityGroups => "network.securityGroupIDs",
            S::PubliclyAccessible => "public address",
            S::CaCertificate => "network.caCertificateIdentifier",
            S::ParameterGroup => "parameter group",
            S::DatabaseName => "databaseName",
            S::MasterUsername => "masterUsername",
            S::ManagedMasterPassword => "masterPassword",
            S::Encrypted => "encryption",
            S::KmsKey => "kmsKeyID",
            S::BackupRetention => "backup.retentionDays",
            S::BackupWindow => "backup.window",
            S::MaintenanceWindow => "maintenance.window",
            S::AutoMinorVersionUpgrade => "autoMinorVersionUpgrade",
            S::DeletionProtection => "deletionProtection",
            S::CopyTagsToSnapshot => "tags on snapshots",
            S::PerformanceInsights => "performanceInsightsRetentionDays (on or off)",
            S::PerformanceInsightsRetention => "performanceInsightsRetentionDays",
            S::MonitoringInterval => "monitoring.intervalSeconds",
            S::MonitoringRole => "monitoring.roleARN",
            S::LogExports => "logExports",
            S::PromotionTier => "order of take-over",
        }
    }

    fn effect(self, from: Option<&Value>, to: &Value) -> Effect {
        match self {
            S::EngineVersion => super::version_effect(from, to),
            // From none at all, AWS has to restart it.
            S::BackupRetention if from == Some(&Value::Number(0)) => Effect::Restarts,
            S::Class | S::ParameterGroup => Effect::Restarts,
            S::Engine
            | S::Cluster
            | S::SubnetGroup
            | S::DatabaseName
            | S::MasterUsername
            | S::Encrypted
            | S::KmsKey => Effect::Impossible,
            S::StorageType
            | S::AllocatedStorage
            | S::MaxAllocatedStorage
            | S::Iops
            | S::StorageThroughput
            | S::MultiAz
            | S::SecurityGroups
            | S::PubliclyAccessible
            | S::CaCertificate
            | S::ManagedMasterPassword
            | S::BackupRetention
            | S::BackupWindow
            | S::MaintenanceWindow
            | S::AutoMinorVersionUpgrade
            | S::DeletionProtection
            | S::CopyTagsToSnapshot
            | S::PerformanceInsights
            | S::PerformanceInsightsRetention
            | S::MonitoringInterval
            | S::MonitoringRole
            | S::LogExports
            | S::PromotionTier => Effect::Online,
        }
    }

    fn is_met(self, wanted: &Value, seen: &Value) -> bool {
        match self {
            S::EngineVersion => is_version_met(wanted.text(), seen.text()),
            // AWS lets storage grow by itself, and never shrink.
            S::AllocatedStorage => seen.number() >= wanted.number(),
            S::KmsKey => super::is_key_met(wanted.text(), seen.text()),
            _ => wanted == seen,
        }
    }
}

impl InstanceSetting {
    /// Whether AWS makes this change to the storage, which it does at most once in six hours.
    #[must_use]
    pub fn is_storage(self) -> bool {
        matches!(self, S::StorageType | S::AllocatedStorage | S::Iops | S::StorageThroughput)
    }
}

/// A DB instance as RDS describes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Instance {
    /// Its identifier.
    pub identifier: String,
    /// Its ARN.
    pub arn: String,
    /// What names it for ever, also when it is renamed.
    pub resource_id: String,
    /// AWS's word for its state.
    pub status: String,
    /// Host and port, once it has been available.
    pub endpoint: Option<(String, u16)>,
    /// Its settings.
    pub settings: Settings<InstanceSetting>,
    /// Those that AWS will set by itself, in its window.
    pub pending: Settings<InstanceSetting>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// The secret with the master's password.
    pub master_secret: Option<MasterSecret>,
    /// What keeps parameters from being in force, in AWS's word: `pending-reboot`, `applying`.
    pub parameters: Parameters,
    /// The latest point in time that can be restored.
    pub latest_restorable: Option<Timestamp>,
    /// When AWS starts it by itself, where it is stopped.
    pub starts_by_itself_at: Option<Timestamp>,
}

impl Instance {
    /// What its state means.
    #[must_use]
    pub fn phase(&self) -> Phase {
        phase(&self.status)
    }
}

/// What an instance of its own shall be. Empty for Aurora, whose cluster has these settings.
#[must_use]
pub fn desired(database: &AwsDatabase, parameter_group: &str, subnet_group: Option<&str>) -> Settings<S> {
    let mut wanted = common(database, subnet_group);
    let Engine::Instance { class, storage, multi_az } = &database.engine else { return wanted };
    wanted.extend([
        (S::Engine, Value::from("postgres")),
        (S::EngineVersion, database.version.clone().into()),
        (S::Class, class.clone().into()),
        (S::StorageType, storage.kind_name().into()),
        (S::AllocatedStorage, storage.gib.into()),
        (S::MaxAllocatedStorage, storage.max_gib.unwrap_or_default().into()),
        (S::MultiAz, (*multi_az).into()),
        (S::ParameterGroup, parameter_group.into()),
        (S::DatabaseName, database.database_name.clone().into()),
        (S::MasterUsername, database.master_username.clone().into()),
        (S::ManagedMasterPassword, database.secrets_manager().into()),
        (S::Encrypted, true.into()),
        (S::BackupRetention, database.backup_retention_days.into()),
        (S::BackupWindow, database.backup_window.clone().into()),
        (S::DeletionProtection, database.deletion_protection.into()),
        (S::CopyTagsToSnapshot, true.into()),
        (S::LogExports, database.log_exports.clone().into()),
    ]);
    let optional = [
        (S::Iops, storage.iops.map(Value::from)),
        (S::StorageThroughput, storage.throughput.map(Value::from)),
        (S::KmsKey, database.kms_key_id.clone().map(Value::from)),
    ];
    wanted.extend(optional.into_iter().filter_map(|(setting, value)| Some((setting, value?))));
    if !database.network.security_groups.is_empty() {
        wanted.insert(S::SecurityGroups, database.network.security_groups.clone().into());
    }
    wanted
}

/// What a member of an Aurora cluster shall be; the first is the writer to begin with.
#[must_use]
pub fn desired_member(
    database: &AwsDatabase,
    cluster: &str,
    subnet_group: Option<&str>,
    tier: i64,
) -> Settings<S> {
    let mut wanted = common(database, subnet_group);
    if let Engine::Aurora { class, .. } = &database.engine {
        wanted.insert(S::Class, class.clone().into());
    }
    wanted.extend([
        (S::Engine, Value::from("aurora-postgresql")),
        (S::Cluster, cluster.into()),
        (S::PromotionTier, tier.into()),
    ]);
    wanted
}

fn common(database: &AwsDatabase, subnet_group: Option<&str>) -> Settings<S> {
    let insights = database.performance_insights_days;
    let (interval, role) = match &database.monitoring {
        Some((interval, role)) => (*interval, Some(role.clone())),
        None => (0, None),
    };
    let mut wanted = Settings::from([
        (S::PubliclyAccessible, false.into()),
        (S::MaintenanceWindow, database.maintenance_window.to_string().into()),
        (S::AutoMinorVersionUpgrade, database.auto_minor_version_upgrade.into()),
        (S::PerformanceInsights, insights.is_some().into()),
        (S::MonitoringInterval, interval.into()),
    ]);
    let optional = [
        (S::SubnetGroup, subnet_group.map(Value::from)),
        (S::CaCertificate, database.network.ca_certificate.clone().map(Value::from)),
        (S::PerformanceInsightsRetention, insights.map(Value::from)),
        (S::MonitoringRole, role.map(Value::from)),
    ];
    wanted.extend(optional.into_iter().filter_map(|(setting, value)| Some((setting, value?))));
    wanted
}

/// How an instance differs from what it shall be.
#[must_use]
pub fn changes(wanted: &Settings<S>, instance: &Instance) -> Vec<Change<S>> {
    difference(wanted, &instance.settings, &instance.pending)
}

/// The call that makes an instance.
#[must_use]
pub fn create(
    identifier: String,
    wanted: Settings<S>,
    tags: BTreeMap<String, String>,
    origin: Origin,
) -> Call {
    Call::CreateInstance { identifier, settings: wanted, tags, origin }
}

/// The call that makes changes. At once, unless that would also set off what waits for AWS's own window and
/// is not wanted.
#[must_use]
pub fn modify(instance: &Instance, wanted: &Settings<S>, changes: &[Change<S>]) -> Call {
    let mut settings: Settings<S> =
        changes.iter().map(|change| (change.setting, change.to.clone())).collect();
    // AWS stops to grow the storage by itself when the most is what there is.
    if settings.get(&S::MaxAllocatedStorage) == Some(&Value::Number(0)) {
        let there =
            settings.get(&S::AllocatedStorage).or_else(|| instance.settings.get(&S::AllocatedStorage));
        settings.extend(there.cloned().map(|there| (S::MaxAllocatedStorage, there)));
    }
    let immediately = !super::holds_unwanted(wanted, &instance.pending);
    Call::ModifyInstance { identifier: instance.identifier.clone(), settings, immediately }
}
