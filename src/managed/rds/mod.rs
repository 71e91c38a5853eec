//! Amazon RDS for PostgreSQL and Aurora PostgreSQL.

pub mod blue_green;
pub mod cluster;
pub mod instance;
pub mod parameter_group;
pub mod proxy;
pub mod scratch;
pub mod subnet_group;

use crate::{api::RestoreDrillStatus, platform::database::RestoreSource};
use blue_green::Deployment;
use cluster::{Cluster, ClusterSetting};
use instance::{Instance, InstanceSetting};
use parameter_group::{GroupKind, ParameterGroup};
use proxy::{LoginSecret, Proxy, ProxySetting};
use scratch::Scratch;
use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    fmt,
};
use subnet_group::SubnetGroup;

use super::{Effect, Setting, Settings, Value, holds_unwanted, is_key_met};

/// What is there of one platform's database.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Database {
    /// Instances with our tags or our identifier, by identifier.
    pub instances: BTreeMap<String, Instance>,
    /// Aurora clusters, likewise.
    pub clusters: BTreeMap<String, Cluster>,
    /// Blue/green deployments that bear our tags or concern such an instance, by identifier.
    pub deployments: BTreeMap<String, Deployment>,
    /// Parameter groups of the platform, by name.
    pub parameter_groups: BTreeMap<String, ParameterGroup>,
    /// Proxies with our tags or the name of one of ours, by name.
    pub proxies: BTreeMap<String, Proxy>,
    /// Secrets of logins that bear our tags, by name.
    pub login_secrets: BTreeMap<String, LoginSecret>,
    /// The subnet group that the operator made.
    pub subnet_group: Option<SubnetGroup>,
    /// What restore drills made, which is in none of the above.
    pub scratch: Scratch,
    /// The proxy that the status named before.
    pub told_proxy: Option<String>,
    /// What the status said of restore drills before.
    pub drill: Option<RestoreDrillStatus>,
}

/// The secret in which RDS keeps the master's password.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MasterSecret {
    /// Its ARN.
    pub arn: String,
    /// AWS's word for its state: `creating`, `active`, `rotating`, `impaired`.
    pub status: String,
}

/// What keeps an instance's parameters from being in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Parameters {
    /// Nothing.
    #[default]
    InForce,
    /// AWS is at it.
    Applying,
    /// A restart.
    PendingReboot,
}

/// Where the content of a new instance or cluster comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is empty. RDS makes the master's password and keeps it in Secrets Manager.
    Empty,
    /// It is empty. The master's password is in the Secret of that name, in the platform's namespace.
    EmptyWithPassword {
        /// The Secret.
        secret: String,
    },
    /// It is restored.
    Restored(RestoreSource),
    /// It is a member of a cluster.
    Member,
}

/// What a state means, in AWS's words: <https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/accessing-monitoring.html>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It can be changed.
    Settled,
    /// AWS is at it; it can be changed when that is over.
    Moving,
    /// It is stopped.
    Stopped,
    /// It is being deleted.
    Deleting,
    /// It needs someone's help; what to do.
    Broken(&'static str),
}

/// What a state means.
#[must_use]
pub fn phase(status: &str) -> Phase {
    match status {
        // Storage is optimized for hours, in which all but the storage can be changed.
        "available" | "storage-optimization" => Phase::Settled,
        "stopped" => Phase::Stopped,
        "deleting" => Phase::Deleting,
        "failed" => Phase::Broken(
            "AWS could not make it, or it failed for good; restore the latest backup (database.aws.restore), or delete it in AWS if it never held data",
        ),
        "incompatible-parameters" => Phase::Broken(
            "it can't start with its parameters; correct database.aws.parameters, and it goes on by itself",
        ),
        "incompatible-network" => Phase::Broken(
            "its network resources are gone or exhausted: check the subnets for free addresses and that the VPC has DNS host names, then start it or restore it",
        ),
        "incompatible-option-group" => {
            Phase::Broken("its option group can't be applied; set it back to the default one")
        }
        "incompatible-restore" | "restore-error" => Phase::Broken(
            "the restore failed; see its events in RDS, then restore again under another database.aws.restore.name",
        ),
        "incompatible-create" => {
            Phase::Broken("it can't be made as specified; see its events in RDS and correct database.aws")
        }
        "storage-full" => Phase::Broken(
            "its storage is full and it takes no writes; raise database.aws.storage.size or maxSize, and it goes on by itself",
        ),
        "inaccessible-encryption-credentials" => Phase::Broken(
            "its KMS key is disabled, gone or not granted for good; restore a backup that is encrypted with another key",
        ),
        "inaccessible-encryption-credentials-recoverable" => Phase::Broken(
            "its KMS key is disabled or not granted; enable the key within 7 days, then start the database",
        ),
        "insufficient-capacity" => Phase::Broken(
            "AWS has no such instance class to give in this zone now; wait, or choose another database.aws.instanceClass",
        ),
        // creating, modifying, backing-up, upgrading, rebooting, starting, stopping, maintenance, renaming,
        // configuring-..., resetting-master-credentials, moving-to-vpc, converting-to-vpc, and what AWS adds.
        _ => Phase::Moving,
    }
}

/// Whether a server in this state can be connected to.
#[must_use]
pub fn serves(status: &str) -> bool {
    matches!(
        status,
        "available"
            | "backing-up"
            | "modifying"
            | "storage-optimization"
            | "storage-config-upgrade"
            | "configuring-enhanced-monitoring"
            | "configuring-iam-database-auth"
            | "configuring-log-exports"
            | "resetting-master-credentials"
            | "storage-full"
    )
}

/// What a change of version does. AWS leads no major version back.
fn version_effect(from: Option<&Value>, to: &Value) -> Effect {
    let major =
        |version: &str| version.split('.').next().and_then(|it| it.parse::<u32>().ok()).unwrap_or_default();
    let Some(from) = from.map(|from| major(from.text())) else { return Effect::Restarts };
    match from.cmp(&major(to.text())) {
        Ordering::Less => Effect::Replaces,
        Ordering::Equal => Effect::Restarts,
        Ordering::Greater => Effect::Impossible,
    }
}

/// One call to RDS.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// Make an instance.
    CreateInstance {
        /// Its identifier.
        identifier: String,
        /// Its settings.
        settings: Settings<InstanceSetting>,
        /// Its tags.
        tags: BTreeMap<String, String>,
        /// Its content.
        origin: Origin,
    },
    /// Change an instance.
    ModifyInstance {
        /// Its identifier.
        identifier: String,
        /// Only the settings that differ.
        settings: Settings<InstanceSetting>,
        /// At once, or in AWS's next window.
        immediately: bool,
    },
    /// Make the master's password that of a Secret in the platform's namespace.
    SetMasterPassword {
        /// The instance.
        identifier: String,
        /// The Secret.
        secret: String,
        /// Whether RDS keeps the password in Secrets Manager until then.
        was_managed: bool,
    },
    /// The same for a cluster.
    SetClusterMasterPassword {
        /// The cluster.
        identifier: String,
        /// The Secret.
        secret: String,
        /// Whether RDS keeps the password in Secrets Manager until then.
        was_managed: bool,
    },
    /// Restart an instance.
    RebootInstance {
        /// Its identifier.
        identifier: String,
    },
    /// Stop an instance.
    StopInstance {
        /// Its identifier.
        identifier: String,
    },
    /// Start an instance.
    StartInstance {
        /// Its identifier.
        identifier: String,
    },
    /// Delete an instance.
    DeleteInstance {
        /// Its identifier.
        identifier: String,
        /// The snapshot to take before; none: no snapshot. A member of a cluster has none.
        final_snapshot: Option<String>,
        /// Whether its automated backups go, too.
        delete_backups: bool,
    },
    /// Make a blue/green deployment.
    CreateDeployment {
        /// Its name.
        name: String,
        /// ARN of the blue instance.
        source: String,
        /// Version of the green one.
        version: String,
        /// Parameter group of the green one.
        parameter_group: String,
        /// Its tags.
        tags: BTreeMap<String, String>,
    },
    /// Let green take blue's place.
    SwitchOver {
        /// The deployment's identifier.
        deployment: String,
    },
    /// Delete a blue/green deployment.
    DeleteDeployment {
        /// Its identifier.
        deployment: String,
        /// Whether the green instance goes, too.
        delete_target: bool,
    },
    /// Make an Aurora cluster.
    CreateCluster {
        /// Its identifier.
        identifier: String,
        /// Its settings.
        settings: Settings<ClusterSetting>,
        /// Its tags.
        tags: BTreeMap<String, String>,
        /// Its content.
        origin: Origin,
    },
    /// Change an Aurora cluster.
    ModifyCluster {
        /// Its identifier.
        identifier: String,
        /// Only the settings that differ.
        settings: Settings<ClusterSetting>,
        /// At once, or in AWS's next window.
        immediately: bool,
    },
    /// Stop an Aurora cluster.
    StopCluster {
        /// Its identifier.
        identifier: String,
    },
    /// Start an Aurora cluster.
    StartCluster {
        /// Its identifier.
        identifier: String,
    },
    /// Delete an Aurora cluster, whose instances are gone.
    DeleteCluster {
        /// Its identifier.
        identifier: String,
        /// The snapshot to take before; none: no snapshot.
        final_snapshot: Option<String>,
        /// Whether its automated backups go, too.
        delete_backups: bool,
    },
    /// Add tags.
    Tag {
        /// To what.
        arn: String,
        /// Only those that differ.
        tags: BTreeMap<String, String>,
    },
    /// Take tags away.
    Untag {
        /// From what.
        arn: String,
        /// Their keys.
        keys: BTreeSet<String>,
    },
    /// Make a secret for a login, which is empty.
    CreateLoginSecret {
        /// Its name.
        name: String,
        /// Its tags.
        tags: BTreeMap<String, String>,
    },
    /// Delete the secret of a login, for good: the login is in the connection Secret.
    DeleteLoginSecret {
        /// Its ARN.
        arn: String,
    },
    /// Make a proxy.
    CreateProxy {
        /// Its name.
        name: String,
        /// Its settings. Those of its pool are set when it is there.
        settings: Settings<ProxySetting>,
        /// Its tags.
        tags: BTreeMap<String, String>,
    },
    /// Change a proxy, or its pool.
    ModifyProxy {
        /// Its name.
        name: String,
        /// Only the settings that differ, or all of the pool.
        settings: Settings<ProxySetting>,
    },
    /// Lead a proxy to a database.
    RegisterTarget {
        /// The proxy.
        proxy: String,
        /// The instance or cluster.
        identifier: String,
        /// Whether it is a cluster.
        is_cluster: bool,
    },
    /// Lead a proxy away from a database.
    DeregisterTarget {
        /// The proxy.
        proxy: String,
        /// The instance or cluster.
        identifier: String,
        /// Whether it is a cluster.
        is_cluster: bool,
    },
    /// Delete a proxy.
    DeleteProxy {
        /// Its name.
        name: String,
    },
    /// Make a parameter group.
    CreateParameterGroup {
        /// Of instances or of clusters.
        kind: GroupKind,
        /// Its name.
        name: String,
        /// Its family, such as `postgres16`.
        family: String,
        /// Its tags.
        tags: BTreeMap<String, String>,
    },
    /// Set parameters of a group.
    SetParameters {
        /// Of instances or of clusters.
        kind: GroupKind,
        /// Its name.
        name: String,
        /// Value by name, and whether it is only in force after a restart.
        parameters: BTreeMap<String, (String, bool)>,
    },
    /// Give parameters of a group their default again.
    ResetParameters {
        /// Of instances or of clusters.
        kind: GroupKind,
        /// Its name.
        name: String,
        /// Their names, and whether that is only in force after a restart.
        parameters: BTreeMap<String, bool>,
    },
    /// Delete a parameter group.
    DeleteParameterGroup {
        /// Of instances or of clusters.
        kind: GroupKind,
        /// Its name.
        name: String,
    },
    /// Make a subnet group.
    CreateSubnetGroup {
        /// Its name.
        name: String,
        /// Its subnets.
        subnets: BTreeSet<String>,
        /// Its tags.
        tags: BTreeMap<String, String>,
    },
    /// Set the subnets of a group.
    ModifySubnetGroup {
        /// Its name.
        name: String,
        /// Its subnets.
        subnets: BTreeSet<String>,
    },
    /// Delete a subnet group.
    DeleteSubnetGroup {
        /// Its name.
        name: String,
    },
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = |fields: Vec<&str>| fields.join(", ");
        match self {
            Self::CreateInstance { identifier, origin: Origin::Restored(_), .. } => {
                write!(f, "restore into database instance {identifier}")
            }
            Self::CreateInstance { identifier, .. } => write!(f, "make database instance {identifier}"),
            Self::ModifyInstance { identifier, settings, .. } => {
                let names = settings.keys().map(|it| it.field()).collect();
                write!(f, "set {} of database instance {identifier}", fields(names))
            }
            Self::SetMasterPassword { identifier, .. } => {
                write!(f, "set the master's password of database instance {identifier}")
            }
            Self::SetClusterMasterPassword { identifier, .. } => {
                write!(f, "set the master's password of Aurora cluster {identifier}")
            }
            Self::RebootInstance { identifier } => write!(f, "restart database instance {identifier}"),
            Self::StopInstance { identifier } => write!(f, "stop database instance {identifier}"),
            Self::StartInstance { identifier } => write!(f, "start database instance {identifier}"),
            Self::DeleteInstance { identifier, final_snapshot: Some(snapshot), .. } => {
                write!(f, "delete database instance {identifier} after snapshot {snapshot}")
            }
            Self::DeleteInstance { identifier, .. } => write!(f, "delete database instance {identifier}"),
            Self::CreateDeployment { name, .. } => write!(f, "make blue/green deployment {name}"),
            Self::SwitchOver { deployment } => write!(f, "switch blue/green deployment {deployment} over"),
            Self::DeleteDeployment { deployment, delete_target: true } => {
                write!(f, "delete blue/green deployment {deployment} with its green instance")
            }
            Self::DeleteDeployment { deployment, .. } => {
                write!(f, "delete blue/green deployment {deployment}")
            }
            Self::CreateCluster { identifier, origin: Origin::Restored(_), .. } => {
                write!(f, "restore into Aurora cluster {identifier}")
            }
            Self::CreateCluster { identifier, .. } => write!(f, "make Aurora cluster {identifier}"),
            Self::ModifyCluster { identifier, settings, .. } => {
                let names = settings.keys().map(|it| it.field()).collect();
                write!(f, "set {} of Aurora cluster {identifier}", fields(names))
            }
            Self::StopCluster { identifier } => write!(f, "stop Aurora cluster {identifier}"),
            Self::StartCluster { identifier } => write!(f, "start Aurora cluster {identifier}"),
            Self::DeleteCluster { identifier, final_snapshot: Some(snapshot), .. } => {
                write!(f, "delete Aurora cluster {identifier} after snapshot {snapshot}")
            }
            Self::DeleteCluster { identifier, .. } => write!(f, "delete Aurora cluster {identifier}"),
            Self::Tag { arn, .. } => write!(f, "tag {arn}"),
            Self::Untag { arn, .. } => write!(f, "take tags from {arn}"),
            Self::CreateLoginSecret { name, .. } => write!(f, "make secret {name}"),
            Self::DeleteLoginSecret { arn } => write!(f, "delete secret {arn}"),
            Self::CreateProxy { name, .. } => write!(f, "make proxy {name}"),
            Self::ModifyProxy { name, settings } => {
                let names = settings.keys().map(|it| it.field()).collect();
                write!(f, "set {} of proxy {name}", fields(names))
            }
            Self::RegisterTarget { proxy, identifier, .. } => {
                write!(f, "lead proxy {proxy} to {identifier}")
            }
            Self::DeregisterTarget { proxy, identifier, .. } => {
                write!(f, "lead proxy {proxy} away from {identifier}")
            }
            Self::DeleteProxy { name } => write!(f, "delete proxy {name}"),
            Self::CreateParameterGroup { name, .. } => write!(f, "make parameter group {name}"),
            Self::SetParameters { name, parameters, .. } => {
                let names = parameters.keys().map(String::as_str).collect();
                write!(f, "set {} in parameter group {name}", fields(names))
            }
            Self::ResetParameters { name, parameters, .. } => {
                let names = parameters.keys().map(String::as_str).collect();
                write!(f, "reset {} in parameter group {name}", fields(names))
            }
            Self::DeleteParameterGroup { name, .. } => write!(f, "delete parameter group {name}"),
            Self::CreateSubnetGroup { name, .. } => write!(f, "make subnet group {name}"),
            Self::ModifySubnetGroup { name, .. } => write!(f, "set the subnets of group {name}"),
            Self::DeleteSubnetGroup { name } => write!(f, "delete subnet group {name}"),
        }
    }
}
