//! An Aurora PostgreSQL cluster: the storage and what all of its instances share.

use super::{Call, MasterSecret, Origin, Phase, phase};
use crate::{
    managed::{Change, Effect, Setting, Settings, Value, difference, is_version_met},
    platform::database::{AwsDatabase, Engine},
};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Settings of a cluster. The order is that of the tables in the docs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClusterSetting {
    /// Aurora.
    Engine,
    /// Version of the engine.
    EngineVersion,
    /// Least capacity of Serverless v2, in Aurora capacity units; see [`capacity`].
    MinCapacity,
    /// Most capacity, likewise.
    MaxCapacity,
    /// Seconds without a connection after which it pauses.
    AutoPause,
    /// Subnet group.
    SubnetGroup,
    /// Security groups.
    SecurityGroups,
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
    /// Whether AWS refuses to delete it.
    DeletionProtection,
    /// Whether its snapshots get its tags.
    CopyTagsToSnapshot,
    /// Logs that go to CloudWatch.
    LogExports,
}

use ClusterSetting as S;

impl Setting for ClusterSetting {
    const ALL: &'static [Self] = &[
        S::Engine,
        S::EngineVersion,
        S::MinCapacity,
        S::MaxCapacity,
        S::AutoPause,
        S::SubnetGroup,
        S::SecurityGroups,
        S::ParameterGroup,
        S::DatabaseName,
        S::MasterUsername,
        S::ManagedMasterPassword,
        S::Encrypted,
        S::KmsKey,
        S::BackupRetention,
        S::BackupWindow,
        S::MaintenanceWindow,
        S::DeletionProtection,
        S::CopyTagsToSnapshot,
        S::LogExports,
    ];

    fn field(self) -> &'static str {
        match self {
            S::Engine => "engine",
            S::EngineVersion => "version",
            S::MinCapacity => "serverless.minACU",
            S::MaxCapacity => "serverless.maxACU",
            S::AutoPause => "serverless.autoPauseAfter",
            S::SubnetGroup => "network.subnetGroupName",
            S::SecurityGroups => "network.securityGroupIDs",
            S::ParameterGroup => "parameter group",
            S::DatabaseName => "databaseName",
            S::MasterUsername => "masterUsername",
            S::ManagedMasterPassword => "masterPassword",
            S::Encrypted => "encryption",
            S::KmsKey => "kmsKeyID",
            S::BackupRetention => "backup.retentionDays",
            S::BackupWindow => "backup.window",
            S::MaintenanceWindow => "maintenance.window",
            S::DeletionProtection => "deletionProtection",
            S::CopyTagsToSnapshot => "tags on snapshots",
            S::LogExports => "logExports",
        }
    }

    fn effect(self, from: Option<&Value>, to: &Value) -> Effect {
        match self {
            S::EngineVersion => super::version_effect(from, to),
            S::ParameterGroup => Effect::Restarts,
            S::Engine | S::SubnetGroup | S::DatabaseName | S::MasterUsername | S::Encrypted | S::KmsKey => {
                Effect::Impossible
            }
            S::MinCapacity
            | S::MaxCapacity
            | S::AutoPause
            | S::SecurityGroups
            | S::ManagedMasterPassword
            | S::BackupRetention
            | S::BackupWindow
            | S::MaintenanceWindow
            | S::DeletionProtection
            | S::CopyTagsToSnapshot
            | S::LogExports => Effect::Online,
        }
    }

    fn is_met(self, wanted: &Value, seen: &Value) -> bool {
        match self {
            S::EngineVersion => is_version_met(wanted.text(), seen.text()),
            S::KmsKey => super::is_key_met(wanted.text(), seen.text()),
            _ => wanted == seen,
        }
    }
}

/// A cluster as RDS describes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cluster {
    /// Its identifier.
    pub identifier: String,
    /// Its ARN.
    pub arn: String,
    /// What names it for ever, also when it is renamed.
    pub resource_id: String,
    /// AWS's word for its state.
    pub status: String,
    /// Host of the writer and port.
    pub endpoint: Option<(String, u16)>,
    /// Host that spreads over the readers.
    pub reader_endpoint: Option<String>,
    /// Its instances: identifier, and whether it is the writer.
    pub members: BTreeMap<String, bool>,
    /// Its settings.
    pub settings: Settings<ClusterSetting>,
    /// Those that AWS will set by itself, in its window.
    pub pending: Settings<ClusterSetting>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// The secret with the master's password.
    pub master_secret: Option<MasterSecret>,
    /// The latest point in time that can be restored.
    pub latest_restorable: Option<Timestamp>,
    /// When AWS starts it by itself, where it is stopped.
    pub starts_by_itself_at: Option<Timestamp>,
}

impl Cluster {
    /// What its state means.
    #[must_use]
    pub fn phase(&self) -> Phase {
        phase(&self.status)
    }
}

/// A capacity in Aurora capacity units, of which AWS knows halves.
#[must_use]
pub fn capacity(halves: i64) -> Value {
    let fraction = if halves % 2 == 0 { "" } else { ".5" };
    Value::Text(format!("{}{fraction}", halves / 2))
}

/// What a cluster shall be.
#[must_use]
pub fn desired(database: &AwsDatabase, parameter_group: &str, subnet_group: Option<&str>) -> Settings<S> {
    let mut wanted = Settings::from([
        (S::Engine, Value::from("aurora-postgresql")),
        (S::EngineVersion, database.version.clone().into()),
        (S::ParameterGroup, parameter_group.into()),
        (S::DatabaseName, database.database_name.clone().into()),
        (S::MasterUsername, database.master_username.clone().into()),
        (S::ManagedMasterPassword, database.secrets_manager().into()),
        (S::Encrypted, true.into()),
        (S::BackupRetention, database.backup_retention_days.into()),
        (S::BackupWindow, database.backup_window.clone().into()),
        (S::MaintenanceWindow, database.maintenance_window.to_string().into()),
        (S::DeletionProtection, database.deletion_protection.into()),
        (S::CopyTagsToSnapshot, true.into()),
        (S::LogExports, database.log_exports.clone().into()),
    ]);
    let capacity = match &database.engine {
        Engine::Aurora { capacity, .. } => *capacity,
        Engine::Instance { .. } => None,
    };
    if let Some(capacity) = capacity {
        wanted.insert(S::MinCapacity, self::capacity(capacity.min_halves));
        wanted.insert(S::MaxCapacity, self::capacity(capacity.max_halves));
        let seconds =
            capacity.auto_pause_after.map(|after| i64::try_from(after.as_secs()).unwrap_or(i64::MAX));
        wanted.extend(seconds.map(|seconds| (S::AutoPause, seconds.into())));
    }
    let optional = [
        (S::SubnetGroup, subnet_group.map(Value::from)),
        (S::KmsKey, database.kms_key_id.clone().map(Value::from)),
    ];
    wanted.extend(optional.into_iter().filter_map(|(setting, value)| Some((setting, value?))));
    if !database.network.security_groups.is_empty() {
        wanted.insert(S::SecurityGroups, database.network.security_groups.clone().into());
    }
    wanted
}

/// How a cluster differs from what it shall be.
#[must_use]
pub fn changes(wanted: &Settings<S>, cluster: &Cluster) -> Vec<Change<S>> {
    difference(wanted, &cluster.settings, &cluster.pending)
}

/// The call that makes a cluster.
#[must_use]
pub fn create(
    identifier: String,
    wanted: Settings<S>,
    tags: BTreeMap<String, String>,
    origin: Origin,
) -> Call {
    Call::CreateCluster { identifier, settings: wanted, tags, origin }
}

/// The call that makes changes. At once, unless that would also set off what waits for AWS's own window and
/// is not wanted.
#[must_use]
pub fn modify(cluster: &Cluster, wanted: &Settings<S>, changes: &[Change<S>]) -> Call {
    let settings = changes.iter().map(|change| (change.setting, change.to.clone())).collect();
    let immediately = !super::holds_unwanted(wanted, &cluster.pending);
    Call::ModifyCluster { identifier: cluster.identifier.clone(), settings, immediately }
}
