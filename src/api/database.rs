//! `spec.database`: where the services keep what must not be lost.

use super::{Embedded, ExternalConnection, Proxy, RestoreDrill, schema};
use k8s_openapi::apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::Time};
use kube::{KubeSchema, core::Duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A PostgreSQL database. Its connection Secret is `<platform>-database`, with the keys `host`, `port`,
/// `dbname`, `username`, `password` and `uri`; one in AWS also has `ca.crt`, and with readers `reader-host`
/// and `reader-uri`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("(self.provider == 'External') == has(self.external)",
    "database: provider External goes with database.external, and only with it"))]
#[x_kube(validation = ("self.provider == 'Embedded' || !has(self.embedded)",
    "database.embedded belongs to provider Embedded"))]
#[x_kube(validation = ("self.provider == 'AWS' || !has(self.aws)", "database.aws belongs to provider AWS"))]
#[x_kube(validation = ("self.provider != 'External' || !has(self.deletionPolicy)",
    "database.deletionPolicy belongs to providers AWS and Embedded: an external database is never deleted"))]
#[x_kube(validation = ("self.provider == 'AWS' || !has(self.deletionPolicy) || self.deletionPolicy != 'Snapshot'",
    "database.deletionPolicy Snapshot belongs to provider AWS; Retain keeps the volume of an embedded database"))]
#[x_kube(validation = ("self.provider == oldSelf.provider || oldSelf.provider != 'Embedded' || !has(oldSelf.deletionPolicy) || oldSelf.deletionPolicy != 'Delete'",
    "database.provider: with deletionPolicy Delete, changing the provider would delete the data; set deletionPolicy to Retain first"))]
#[x_kube(validation = ("self.provider == oldSelf.provider || oldSelf.provider != 'AWS'",
    "database.provider can't be changed from AWS: the data is there; make another platform beside this one and move the data"))]
#[x_kube(validation = ("self.provider != 'Embedded' || oldSelf.provider != 'Embedded' || (has(self.embedded) && has(self.embedded.storage) && has(self.embedded.storage.storageClassName) ? self.embedded.storage.storageClassName : '') == (has(oldSelf.embedded) && has(oldSelf.embedded.storage) && has(oldSelf.embedded.storage.storageClassName) ? oldSelf.embedded.storage.storageClassName : '')",
    "database.embedded.storage.storageClassName is immutable: Kubernetes can't move a volume to another class"))]
#[x_kube(validation = ("self.provider != 'Embedded' || oldSelf.provider != 'Embedded' || quantity(has(self.embedded) && has(self.embedded.storage) && has(self.embedded.storage.size) ? self.embedded.storage.size : '10Gi').compareTo(quantity(has(oldSelf.embedded) && has(oldSelf.embedded.storage) && has(oldSelf.embedded.storage.size) ? oldSelf.embedded.storage.size : '10Gi')) >= 0",
    "database.embedded.storage.size can't shrink: a volume only grows (10Gi when left out)"))]
#[x_kube(validation = ("self.provider != 'AWS' || oldSelf.provider != 'AWS' || (has(self.aws) && has(self.aws.engine) ? self.aws.engine : 'PostgreSQL') == (has(oldSelf.aws) && has(oldSelf.aws.engine) ? oldSelf.aws.engine : 'PostgreSQL')",
    "database.aws.engine is immutable (PostgreSQL when left out): AWS can't turn one into the other in place; restore a snapshot into another platform"))]
#[x_kube(validation = ("self.provider != 'AWS' || oldSelf.provider != 'AWS' || (has(self.aws) && has(self.aws.identifier) ? self.aws.identifier : '') == (has(oldSelf.aws) && has(oldSelf.aws.identifier) ? oldSelf.aws.identifier : '')",
    "database.aws.identifier is immutable: another one would be another, empty database"))]
#[x_kube(validation = ("self.provider != 'AWS' || oldSelf.provider != 'AWS' || (has(self.aws) && has(self.aws.databaseName) ? self.aws.databaseName : 'platform') == (has(oldSelf.aws) && has(oldSelf.aws.databaseName) ? oldSelf.aws.databaseName : 'platform')",
    "database.aws.databaseName is immutable (platform when left out)"))]
#[x_kube(validation = ("self.provider != 'AWS' || oldSelf.provider != 'AWS' || (has(self.aws) && has(self.aws.masterUsername) ? self.aws.masterUsername : 'postgres') == (has(oldSelf.aws) && has(oldSelf.aws.masterUsername) ? oldSelf.aws.masterUsername : 'postgres')",
    "database.aws.masterUsername is immutable (postgres when left out)"))]
#[x_kube(validation = ("self.provider != 'AWS' || oldSelf.provider != 'AWS' || (has(self.aws) && has(self.aws.kmsKeyID) ? self.aws.kmsKeyID : '') == (has(oldSelf.aws) && has(oldSelf.aws.kmsKeyID) ? oldSelf.aws.kmsKeyID : '')",
    "database.aws.kmsKeyID is immutable: AWS encrypts with another key only what it restores from a snapshot; see docs/databases.md"))]
#[x_kube(validation = ("self.provider != 'AWS' || oldSelf.provider != 'AWS' || !(has(oldSelf.aws) && has(oldSelf.aws.restore)) || (has(self.aws) && has(self.aws.restore))",
    "database.aws.restore can't be taken out once it was set: the database that it made is the one in use; it does nothing more"))]
#[x_kube(validation = ("self.provider != 'AWS' || oldSelf.provider != 'AWS' || !(has(oldSelf.aws) && has(oldSelf.aws.storage) && has(oldSelf.aws.storage.size)) || !(has(self.aws) && has(self.aws.storage) && has(self.aws.storage.size)) || quantity(self.aws.storage.size).compareTo(quantity(oldSelf.aws.storage.size)) >= 0",
    "database.aws.storage.size can't shrink: AWS lets storage only grow"))]
pub struct Database {
    /// Who runs it.
    pub provider: DatabaseProvider,
    /// What becomes of the data when the platform, or this part of it, is removed; when left out `Snapshot` in
    /// AWS and `Retain` in the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DatabaseDeletionPolicy>,
    /// One small PostgreSQL in the cluster, for trying out and for tests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedded: Option<Embedded>,
    /// A database that is there already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<ExternalConnection>,
    /// Amazon RDS or Aurora.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws: Option<AwsDatabase>,
}

/// Who runs the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DatabaseProvider {
    /// Amazon RDS or Aurora; the operator makes and changes it.
    #[serde(rename = "AWS")]
    Aws,
    /// The operator, in the cluster: one PostgreSQL without replicas, for trying out and for tests.
    Embedded,
    /// Someone else; the platform is told how to connect.
    External,
}

/// What becomes of a database that is no longer asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DatabaseDeletionPolicy {
    /// A final snapshot is taken, then it is deleted.
    Snapshot,
    /// It stays, with what opens it.
    Retain,
    /// It is deleted with its automated backups, without a final snapshot.
    Delete,
}

/// A database in Amazon RDS. What is left out is chosen by `spec.size`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("!(has(self.engine) && self.engine == 'AuroraPostgreSQL') || !has(self.storage)",
    "database.aws.storage belongs to engine PostgreSQL: Aurora's storage grows by itself"))]
#[x_kube(validation = ("!(has(self.engine) && self.engine == 'AuroraPostgreSQL') || !has(self.multiAZ)",
    "database.aws.multiAZ belongs to engine PostgreSQL: with Aurora set readers, each is in another zone"))]
#[x_kube(validation = ("(has(self.engine) && self.engine == 'AuroraPostgreSQL') || !has(self.serverless)",
    "database.aws.serverless belongs to engine AuroraPostgreSQL"))]
#[x_kube(validation = ("(has(self.engine) && self.engine == 'AuroraPostgreSQL') || !has(self.readers)",
    "database.aws.readers belongs to engine AuroraPostgreSQL; with PostgreSQL set multiAZ"))]
#[x_kube(validation = ("!has(self.serverless) || !has(self.instanceClass)",
    "database.aws: set instanceClass or serverless, not both"))]
#[x_kube(validation = ("!has(self.restoreDrill) || !has(self.management) || self.management != 'ObserveOnly'",
    "database.aws.restoreDrill makes and deletes scratch databases: it needs management Full"))]
#[x_kube(validation = ("!(has(self.majorUpgrades) && self.majorUpgrades == 'BlueGreen') || !(has(self.engine) && self.engine == 'AuroraPostgreSQL')",
    "database.aws.majorUpgrades BlueGreen belongs to engine PostgreSQL; with Aurora leave it out"))]
#[x_kube(validation = ("!(has(self.majorUpgrades) && self.majorUpgrades == 'BlueGreen') || (has(self.masterPassword) && self.masterPassword == 'Kubernetes')",
    "database.aws.majorUpgrades BlueGreen needs masterPassword Kubernetes: AWS makes no blue/green deployment of a database whose master's password is in Secrets Manager"))]
#[x_kube(validation = ("!has(self.proxy) || !has(self.management) || self.management != 'ObserveOnly'",
    "database.aws.proxy is made and deleted by the operator: it needs management Full"))]
#[x_kube(validation = ("!has(self.proxy) || !(has(self.majorUpgrades) && self.majorUpgrades == 'BlueGreen')",
    "database.aws: set proxy or majorUpgrades BlueGreen, not both: the operator does not lead a proxy through a switch-over"))]
#[x_kube(validation = ("!has(self.proxy) || has(self.proxy.subnetIDs) || (has(self.network) && has(self.network.subnetIDs))",
    "database.aws.proxy.subnetIDs: name subnets of at least two zones of the database's VPC, here or in database.aws.network.subnetIDs"))]
#[x_kube(validation = ("!has(self.network) || !has(self.network.subnetGroupName) || !has(self.network.subnetIDs)",
    "database.aws.network: set subnetGroupName or subnetIDs, not both"))]
pub struct AwsDatabase {
    /// `PostgreSQL` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<DatabaseEngine>,
    /// Major version, such as `16`, or a minor one, such as `16.4`, that it has at least; 16 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8), regex(pattern = r"^[1-9][0-9](\.[0-9]{1,2})?$"))]
    pub version: Option<String>,
    /// Whether AWS installs minor versions in the maintenance window; true when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_minor_version_upgrade: Option<bool>,
    /// How a new major version is brought; `InPlace` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub major_upgrades: Option<MajorUpgrades>,
    /// Identifier of the instance, or with Aurora of the cluster; derived from the platform's UID when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 50), regex(pattern = r"^[a-z](-?[a-z0-9])*$"))]
    pub identifier: Option<String>,
    /// Whether an instance of that identifier which the operator did not make becomes its own. What would
    /// change is shown in the status first; nothing is changed until that is approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopt: Option<bool>,
    /// `ObserveOnly`: the operator tells the state and changes nothing; `Full` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub management: Option<Management>,
    /// Name of the database; `platform` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 50), regex(pattern = r"^[a-z][a-z0-9_]*$"))]
    pub database_name: Option<String>,
    /// Name of the master user, which no pod gets; `postgres` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[a-z][a-z0-9_]*$"))]
    pub master_username: Option<String>,
    /// Who makes and keeps the master's password; `SecretsManager` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub master_password: Option<MasterPassword>,
    /// Class of the instances, such as `db.t4g.micro`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = r"^db\.[a-z0-9]+\.[a-z0-9]+$"))]
    pub instance_class: Option<String>,
    /// Storage of an RDS instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<AwsStorage>,
    /// Capacity of Aurora Serverless v2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serverless: Option<Serverless>,
    /// Readers of an Aurora cluster besides the writer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 15))]
    pub readers: Option<i32>,
    /// Whether an RDS instance has a standby in another zone.
    #[serde(default, rename = "multiAZ", skip_serializing_if = "Option::is_none")]
    pub multi_az: Option<bool>,
    /// Where it can be reached from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<DatabaseNetwork>,
    /// KMS key (ID, ARN or alias) that it is encrypted with; AWS's own key for RDS when left out.
    #[serde(default, rename = "kmsKeyID", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub kms_key_id: Option<String>,
    /// PostgreSQL's parameters that differ from AWS's defaults; kept in a parameter group of the platform's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 100))]
    #[x_kube(validation = ("self.all(k, k.matches('^[a-z][a-z0-9_.]{0,127}$') && size(self[k]) <= 1024)",
        "database.aws.parameters: names are lower-case, values have at most 1024 characters"))]
    pub parameters: BTreeMap<String, String>,
    /// Automated backups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<Backup>,
    /// When changes that interrupt are made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<Maintenance>,
    /// AWS refuses to delete the database while this is true. When left out it is on, and the operator turns it
    /// off when the platform is deleted; when it is set to true it must be set to false before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_protection: Option<bool>,
    /// Days that Performance Insights keeps; 0: it is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 731))]
    #[x_kube(validation = ("self == 0 || self == 7 || self == 731 || self % 31 == 0",
        "database.aws.performanceInsightsRetentionDays: 0 (off), 7, a multiple of 31 up to 713, or 731"))]
    pub performance_insights_retention_days: Option<i32>,
    /// Enhanced monitoring.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<Monitoring>,
    /// Logs that go to CloudWatch Logs; none when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4), extend("x-kubernetes-list-type" = "set"))]
    pub log_exports: Option<Vec<LogExport>>,
    /// RDS Proxy before the database; none when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Proxy>,
    /// How often the application's login gets a new password; 30 days (720h) when left out, 0s: only when asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub login_rotation_interval: Option<Duration>,
    /// What is done about a setting that someone changed outside; `Repair` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift_policy: Option<DriftPolicy>,
    /// Restores another database into a new instance, which then takes this one's place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<Restore>,
    /// Proves time and again that the database can be restored; not done when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_drill: Option<RestoreDrill>,
    /// `Stopped`: the database is stopped, and kept stopped, while `spec.suspend` is true; `Running` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when_suspended: Option<WhenSuspended>,
}

/// An engine of Amazon RDS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DatabaseEngine {
    /// One RDS instance.
    #[default]
    PostgreSQL,
    /// An Aurora cluster.
    AuroraPostgreSQL,
}

/// How a new major version is brought. Either way someone approves it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MajorUpgrades {
    /// The server is upgraded where it is: it is away for minutes, and only a backup leads back.
    #[default]
    InPlace,
    /// A second instance with the new version follows the first one and takes its place in about a minute; the
    /// first one is kept as the way back. It keeps `rds.logical_replication` on, and needs
    /// `masterPassword: Kubernetes`.
    BlueGreen,
}

/// How much of a resource the operator manages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Management {
    /// It makes, changes and deletes it.
    #[default]
    Full,
    /// It tells its state and changes nothing.
    ObserveOnly,
}

/// Who makes and keeps the master's password.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MasterPassword {
    /// RDS, in AWS Secrets Manager, which rotates it.
    #[default]
    SecretsManager,
    /// The operator, in the Secret `<platform>-database-master`; for emulators and accounts without Secrets Manager.
    Kubernetes,
}

/// What is done about drift.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DriftPolicy {
    /// It is undone, by the same rules as any change.
    #[default]
    Repair,
    /// It is told in the status.
    Report,
}

/// What becomes of a database while its platform is suspended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WhenSuspended {
    /// It goes on.
    #[default]
    Running,
    /// It is stopped, again and again: AWS starts a stopped instance by itself after seven days.
    Stopped,
}

/// Storage of an RDS instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("!has(self.size) || !has(self.maxSize) || quantity(self.maxSize).compareTo(quantity(self.size)) >= 0",
    "database.aws.storage.maxSize must not be below size"))]
pub struct AwsStorage {
    /// Volume type; gp3 when left out.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<VolumeType>,
    /// Size to begin with, in whole GiB such as `20Gi`; it can grow, not shrink.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("isQuantity(self) && quantity(self).compareTo(quantity('20Gi')) >= 0 && quantity(self).compareTo(quantity('64Ti')) <= 0",
        "database.aws.storage.size: between 20Gi and 64Ti"))]
    #[schemars(length(max = 32))]
    pub size: Option<Quantity>,
    /// Size up to which AWS grows it by itself; `0`: it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = ("isQuantity(self) && quantity(self).compareTo(quantity('64Ti')) <= 0",
        "database.aws.storage.maxSize: at most 64Ti, or 0"))]
    #[schemars(length(max = 32))]
    pub max_size: Option<Quantity>,
    /// Operations a second beyond what the volume type gives; needed by io2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1000, max = 256_000))]
    pub iops: Option<i32>,
    /// MiB a second beyond what gp3 gives.
    #[serde(default, rename = "throughputMiBps", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 125, max = 4000))]
    pub throughput_mibps: Option<i32>,
}

/// A volume type of Amazon EBS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum VolumeType {
    /// General purpose, with operations and throughput of its own.
    #[default]
    Gp3,
    /// Provisioned operations.
    Io2,
}

/// Capacity of Aurora Serverless v2, in Aurora capacity units (2 GiB of memory each).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("quantity(self.minACU).compareTo(quantity(self.maxACU)) <= 0",
    "database.aws.serverless: minACU must not be above maxACU"))]
#[x_kube(validation = ("!has(self.autoPauseAfter) || quantity(self.minACU).compareTo(quantity('0')) == 0",
    "database.aws.serverless.autoPauseAfter needs minACU 0"))]
pub struct Serverless {
    /// Least, in steps of 0.5; `0` lets it pause when nobody is connected.
    #[serde(rename = "minACU")]
    #[x_kube(validation = ("isQuantity(self) && quantity(self).compareTo(quantity('0')) >= 0 && quantity(self).compareTo(quantity('256')) <= 0",
        "database.aws.serverless.minACU: between 0 and 256, in steps of 0.5"))]
    #[schemars(length(max = 8))]
    pub min_acu: Quantity,
    /// Most, in steps of 0.5.
    #[serde(rename = "maxACU")]
    #[x_kube(validation = ("isQuantity(self) && quantity(self).compareTo(quantity('1')) >= 0 && quantity(self).compareTo(quantity('256')) <= 0",
        "database.aws.serverless.maxACU: between 1 and 256, in steps of 0.5"))]
    #[schemars(length(max = 8))]
    pub max_acu: Quantity,
    /// With `minACU: "0"`: pause after so long without a connection; 5m to 24h, 5m when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub auto_pause_after: Option<Duration>,
}

/// Where a database can be reached from. It never gets a public address.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseNetwork {
    /// A subnet group that is there; the default VPC's when neither this nor `subnetIDs` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub subnet_group_name: Option<String>,
    /// Subnets of at least two zones, of which the operator makes a subnet group.
    #[serde(default, rename = "subnetIDs", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 20), extend("x-kubernetes-list-type" = "set"), inner(length(max = 64), regex(pattern = r"^subnet-[0-9a-z]+$")))]
    pub subnet_ids: Option<Vec<String>>,
    /// Security groups; they must admit the platform's pods and the operator. The VPC's default one when left out.
    #[serde(default, rename = "securityGroupIDs", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 5), extend("x-kubernetes-list-type" = "set"), inner(length(max = 64), regex(pattern = r"^sg-[0-9a-z]+$")))]
    pub security_group_ids: Option<Vec<String>>,
    /// Certificate authority of the server's certificate; `rds-ca-rsa2048-g1` when left out.
    #[serde(default, rename = "caCertificateIdentifier", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub ca_certificate_identifier: Option<String>,
    /// Whether connections are encrypted and the server's certificate is checked; only an emulator may do without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<bool>,
}

/// Automated backups.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Backup {
    /// Days that they are kept; 7 when left out. They can't be turned off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 35))]
    pub retention_days: Option<i32>,
    /// When they are taken, in UTC; `01:30-02:30` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 11),
        regex(pattern = r"^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$")
    )]
    pub window: Option<String>,
}

/// When changes that interrupt are made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Maintenance {
    /// AWS's maintenance window in UTC, and the operator's for what restarts; `sun:03:00-sun:04:00` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 19),
        regex(
            pattern = r"^(mon|tue|wed|thu|fri|sat|sun):([01][0-9]|2[0-3]):[0-5][0-9]-(mon|tue|wed|thu|fri|sat|sun):([01][0-9]|2[0-3]):[0-5][0-9]$"
        )
    )]
    pub window: Option<String>,
    /// When a change is made that restarts the server; `InWindow` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarts: Option<Restarts>,
}

/// When a change is made that restarts the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Restarts {
    /// In the next maintenance window, or as soon as it is approved.
    #[default]
    InWindow,
    /// Only when it is approved.
    WhenApproved,
    /// At once.
    Immediately,
}

/// Enhanced monitoring.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Monitoring {
    /// Seconds between two measurements: 1, 5, 10, 15, 30 or 60.
    #[schemars(range(min = 1, max = 60))]
    pub interval_seconds: i32,
    /// Role that lets RDS write to CloudWatch Logs.
    #[serde(rename = "roleARN")]
    #[schemars(length(max = 2048), regex(pattern = r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/.+$"))]
    pub role_arn: String,
}

/// A log of PostgreSQL on RDS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogExport {
    /// The server's log.
    PostgreSQL,
    /// The log of upgrades.
    Upgrade,
}

/// A restore. The database that it makes takes this one's place by the connection Secret; the one before is
/// kept until the restore is confirmed (annotation `streamingplatform.dev/confirm-restore: <name>`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("[has(self.snapshotIdentifier), has(self.time), has(self.latest) && self.latest].filter(it, it).size() == 1",
    "database.aws.restore: set one of snapshotIdentifier, time and latest"))]
#[x_kube(validation = ("!has(self.snapshotIdentifier) || !has(self.fromIdentifier)",
    "database.aws.restore.fromIdentifier goes with time or latest: a snapshot names its database itself"))]
pub struct Restore {
    /// Name of this restore; part of the new database's identifier. Another name is another restore.
    #[schemars(length(min = 1, max = 12), regex(pattern = r"^[a-z0-9](-?[a-z0-9])*$"))]
    pub name: String,
    /// A snapshot, the operator's or any other, of an instance or, with Aurora, of a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub snapshot_identifier: Option<String>,
    /// A point in time, which lies within the retention of automated backups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// The latest point in time that AWS can restore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest: Option<bool>,
    /// The database to take it from, such as another platform's; the one in use when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub from_identifier: Option<String>,
}
