//! Databases as RDS describes them: one listing of an account, shared by all of its platforms.

use crate::{
    api::names,
    aws::{self, Account},
    kinds::PlatformKey,
    managed::{
        Settings, Value,
        rds::{
            MasterSecret, Parameters,
            blue_green::{self, Deployment},
            cluster::{self, Cluster, ClusterSetting},
            instance::{Instance, InstanceSetting},
            parameter_group::{GroupKind, Parameter},
            subnet_group::SubnetGroup,
        },
    },
};
use aws_sdk_rds::{
    error::{ProvideErrorMetadata, SdkError},
    types::{self, DbCluster, DbInstance, PendingModifiedValues, Tag},
};
use aws_smithy_types::DateTime;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Everything of an account and region that platforms may stand on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listing {
    /// Instances by identifier.
    pub instances: BTreeMap<String, Instance>,
    /// Aurora clusters by identifier.
    pub clusters: BTreeMap<String, Cluster>,
    /// Blue/green deployments by identifier; read while an instance bears [`names::TAG_UPGRADE`].
    pub deployments: BTreeMap<String, Deployment>,
    /// Subnet groups by name.
    pub subnet_groups: BTreeMap<String, SubnetGroup>,
    /// Names of parameter groups.
    pub parameter_groups: BTreeSet<String>,
    /// When parameter groups of instances were changed last, of those that were within an hour.
    pub changed_groups: BTreeMap<String, Timestamp>,
}

impl Listing {
    /// The platforms that see something else here than they saw in `before`.
    #[must_use]
    pub fn changed_since(&self, before: &Self) -> BTreeSet<PlatformKey> {
        let instances = changed(&self.instances, &before.instances, |it| Instance {
            latest_restorable: None,
            ..it.clone()
        });
        let clusters =
            changed(&self.clusters, &before.clusters, |it| Cluster { latest_restorable: None, ..it.clone() });
        let deployments = changed(&self.deployments, &before.deployments, Clone::clone);
        let tags = instances.iter().map(|it| &it.tags).chain(clusters.iter().map(|it| &it.tags));
        let tags = tags.chain(deployments.iter().map(|it| &it.tags));
        tags.filter_map(platform_of).collect()
    }
}

/// What is new, gone or not as it was.
fn changed<T: PartialEq>(
    now: &BTreeMap<String, T>,
    before: &BTreeMap<String, T>,
    lasting: impl Fn(&T) -> T,
) -> Vec<T> {
    let differs = |(key, item): (&String, &T), others: &BTreeMap<String, T>| {
        others.get(key).is_none_or(|other| lasting(other) != lasting(item))
    };
    let new = now.iter().filter(|it| differs(*it, before));
    let old = before.iter().filter(|it| differs(*it, now));
    new.chain(old).map(|(_, item)| lasting(item)).collect()
}

fn platform_of(tags: &BTreeMap<String, String>) -> Option<PlatformKey> {
    Some(PlatformKey::new(tags.get(names::TAG_NAMESPACE)?, tags.get(names::TAG_PLATFORM)?))
}

/// Reads all pages of everything.
///
/// # Errors
/// What AWS says, in a sentence.
pub async fn list(account: &Account) -> Result<Listing, String> {
    let (instances, clusters, subnet_groups, of_instances, of_clusters, changed_groups) = tokio::try_join!(
        Box::pin(instances(account)),
        Box::pin(clusters(account)),
        Box::pin(subnet_groups(account)),
        Box::pin(parameter_groups(account)),
        Box::pin(cluster_parameter_groups(account)),
        Box::pin(changed_groups(account)),
    )?;
    let parameter_groups = of_instances.into_iter().chain(of_clusters).collect();
    // After the instances: one that is switched over there is so in its deployment, too.
    let is_upgraded = instances.values().any(|it| {
        let stage = it.tags.get(names::TAG_UPGRADE);
        stage.is_some_and(|stage| stage != blue_green::REPLACED)
    });
    let deployments = if is_upgraded { Box::pin(deployments(account)).await? } else { BTreeMap::default() };
    Ok(Listing { instances, clusters, deployments, subnet_groups, parameter_groups, changed_groups })
}

async fn instances(account: &Account) -> Result<BTreeMap<String, Instance>, String> {
    let mut pages = account.rds.describe_db_instances().into_paginator().send();
    let mut found = BTreeMap::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| listing("database instances", &error))?;
        let all = page.db_instances.unwrap_or_default().into_iter().map(Instance::from);
        found.extend(all.map(|it| (it.identifier.clone(), it)));
    }
    Ok(found)
}

async fn clusters(account: &Account) -> Result<BTreeMap<String, Cluster>, String> {
    let mut pages = account.rds.describe_db_clusters().into_paginator().send();
    let mut found = BTreeMap::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| listing("Aurora clusters", &error))?;
        let all = page.db_clusters.unwrap_or_default().into_iter().map(Cluster::from);
        found.extend(all.map(|it| (it.identifier.clone(), it)));
    }
    Ok(found)
}

async fn deployments(account: &Account) -> Result<BTreeMap<String, Deployment>, String> {
    let mut pages = account.rds.describe_blue_green_deployments().into_paginator().send();
    let mut found = BTreeMap::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| listing("blue/green deployments", &error))?;
        let all = page.blue_green_deployments.unwrap_or_default().into_iter().map(Deployment::from);
        found.extend(all.map(|it| (it.identifier.clone(), it)));
    }
    Ok(found)
}

async fn subnet_groups(account: &Account) -> Result<BTreeMap<String, SubnetGroup>, String> {
    let mut pages = account.rds.describe_db_subnet_groups().into_paginator().send();
    let mut found = BTreeMap::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| listing("subnet groups", &error))?;
        for group in page.db_subnet_groups.unwrap_or_default() {
            let subnets = group.subnets.unwrap_or_default().into_iter().filter_map(|it| it.subnet_identifier);
            let name = group.db_subnet_group_name.unwrap_or_default();
            found.insert(name.clone(), SubnetGroup { name, subnets: subnets.collect() });
        }
    }
    Ok(found)
}

async fn parameter_groups(account: &Account) -> Result<BTreeSet<String>, String> {
    let mut pages = account.rds.describe_db_parameter_groups().into_paginator().send();
    let mut found = BTreeSet::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| listing("parameter groups", &error))?;
        found.extend(
            page.db_parameter_groups
                .unwrap_or_default()
                .into_iter()
                .filter_map(|it| it.db_parameter_group_name),
        );
    }
    Ok(found)
}

/// What the events of the last hour, AWS's default, tell of parameter groups. There are none of cluster parameter
/// groups: <https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_Events.Messages.html>.
async fn changed_groups(account: &Account) -> Result<BTreeMap<String, Timestamp>, String> {
    let request = account.rds.describe_events().source_type(types::SourceType::DbParameterGroup);
    let mut pages = request.into_paginator().send();
    let mut found = BTreeMap::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| listing("events of parameter groups", &error))?;
        for event in page.events.unwrap_or_default() {
            if let (Some(group), Some(at)) = (event.source_identifier, time(event.date)) {
                let last = found.entry(group).or_insert(at);
                *last = at.max(*last);
            }
        }
    }
    Ok(found)
}

async fn cluster_parameter_groups(account: &Account) -> Result<BTreeSet<String>, String> {
    let mut pages = account.rds.describe_db_cluster_parameter_groups().into_paginator().send();
    let mut found = BTreeSet::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| listing("parameter groups of clusters", &error))?;
        let groups = page.db_cluster_parameter_groups.unwrap_or_default().into_iter();
        found.extend(groups.filter_map(|it| it.db_cluster_parameter_group_name));
    }
    Ok(found)
}

/// The parameters of a group, with AWS's defaults.
///
/// # Errors
/// What AWS says, in a sentence.
pub async fn parameters(
    account: &Account,
    kind: GroupKind,
    name: &str,
) -> Result<BTreeMap<String, Parameter>, String> {
    let reading = format!("the parameters of group {name}");
    let mut found = BTreeMap::new();
    let mut add = |all: Option<Vec<types::Parameter>>| {
        let all = all.unwrap_or_default().into_iter();
        found.extend(all.filter_map(|it| Some((it.parameter_name.clone()?, Parameter::from(it)))));
    };
    match kind {
        GroupKind::Instance => {
            let request = account.rds.describe_db_parameters().db_parameter_group_name(name);
            let mut pages = request.into_paginator().send();
            while let Some(page) = pages.next().await {
                add(page.map_err(|error| listing(&reading, &error))?.parameters);
            }
        }
        GroupKind::Cluster => {
            let request = account.rds.describe_db_cluster_parameters().db_cluster_parameter_group_name(name);
            let mut pages = request.into_paginator().send();
            while let Some(page) = pages.next().await {
                add(page.map_err(|error| listing(&reading, &error))?.parameters);
            }
        }
    }
    Ok(found)
}

pub(super) fn listing<E, R>(what: &str, error: &SdkError<E, R>) -> String
where
    E: ProvideErrorMetadata + std::error::Error,
{
    format!("listing {what}: {}", aws::explain(error))
}

impl From<types::Parameter> for Parameter {
    fn from(parameter: types::Parameter) -> Self {
        Self {
            value: parameter.parameter_value,
            is_set: parameter.source.as_deref() == Some("user"),
            is_static: parameter.apply_type.as_deref() == Some("static"),
            is_modifiable: parameter.is_modifiable.unwrap_or(true),
            allowed: parameter.allowed_values,
        }
    }
}

impl From<DbInstance> for Instance {
    fn from(it: DbInstance) -> Self {
        let group = it.db_parameter_groups.as_ref().and_then(|groups| groups.first());
        let parameters = match group.and_then(|group| group.parameter_apply_status.as_deref()) {
            Some("pending-reboot") => Parameters::PendingReboot,
            Some("applying") => Parameters::Applying,
            _ => Parameters::InForce,
        };
        let endpoint = it
            .endpoint
            .as_ref()
            .and_then(|endpoint| Some((endpoint.address.clone()?, u16::try_from(endpoint.port?).ok()?)));
        let pending = it.pending_modified_values.as_ref().map(pending).unwrap_or_default();
        Self {
            settings: instance_settings(&it),
            pending,
            endpoint,
            parameters,
            identifier: it.db_instance_identifier.unwrap_or_default(),
            arn: it.db_instance_arn.unwrap_or_default(),
            resource_id: it.dbi_resource_id.unwrap_or_default(),
            status: it.db_instance_status.unwrap_or_default(),
            tags: map(it.tag_list),
            created_at: time(it.instance_create_time),
            master_secret: it.master_user_secret.map(Into::into),
            latest_restorable: time(it.latest_restorable_time),
            starts_by_itself_at: time(it.automatic_restart_time),
        }
    }
}

/// Everything that is shown. What is left out is off, or AWS's default.
fn instance_settings(it: &DbInstance) -> Settings<InstanceSetting> {
    use InstanceSetting as S;
    let allocated = it.allocated_storage.unwrap_or_default();
    let most = it.max_allocated_storage.filter(|most| *most > allocated).unwrap_or_default();
    let security_groups = it.vpc_security_groups.iter().flatten();
    let security_groups: BTreeSet<String> =
        security_groups.filter_map(|group| group.vpc_security_group_id.clone()).collect();
    let parameter_group = it.db_parameter_groups.iter().flatten().next();
    let subnet_group = it.db_subnet_group.as_ref();
    let mut settings = Settings::from([
        (S::AllocatedStorage, i64::from(allocated).into()),
        (S::MaxAllocatedStorage, i64::from(most).into()),
        (S::MultiAz, it.multi_az.unwrap_or_default().into()),
        (S::SecurityGroups, security_groups.into()),
        (S::PubliclyAccessible, it.publicly_accessible.unwrap_or_default().into()),
        (S::ManagedMasterPassword, it.master_user_secret.is_some().into()),
        (S::Encrypted, it.storage_encrypted.unwrap_or_default().into()),
        (S::BackupRetention, i64::from(it.backup_retention_period.unwrap_or_default()).into()),
        (S::AutoMinorVersionUpgrade, it.auto_minor_version_upgrade.unwrap_or_default().into()),
        (S::DeletionProtection, it.deletion_protection.unwrap_or_default().into()),
        (S::CopyTagsToSnapshot, it.copy_tags_to_snapshot.unwrap_or_default().into()),
        (S::PerformanceInsights, it.performance_insights_enabled.unwrap_or_default().into()),
        (S::MonitoringInterval, i64::from(it.monitoring_interval.unwrap_or_default()).into()),
        (S::LogExports, names_of(it.enabled_cloudwatch_logs_exports.as_ref()).into()),
    ]);
    let texts = [
        (S::Engine, it.engine.clone()),
        (S::EngineVersion, it.engine_version.clone()),
        (S::Class, it.db_instance_class.clone()),
        (S::StorageType, it.storage_type.clone()),
        (S::Cluster, it.db_cluster_identifier.clone()),
        (S::SubnetGroup, subnet_group.and_then(|group| group.db_subnet_group_name.clone())),
        (S::CaCertificate, it.ca_certificate_identifier.clone()),
        (S::ParameterGroup, parameter_group.and_then(|group| group.db_parameter_group_name.clone())),
        (S::DatabaseName, it.db_name.clone()),
        (S::MasterUsername, it.master_username.clone()),
        (S::KmsKey, it.kms_key_id.clone()),
        (S::BackupWindow, it.preferred_backup_window.clone()),
        (S::MaintenanceWindow, it.preferred_maintenance_window.clone()),
        (S::MonitoringRole, it.monitoring_role_arn.clone()),
    ];
    settings.extend(texts.into_iter().filter_map(|(setting, text)| Some((setting, text?.into()))));
    let numbers = [
        (S::Iops, it.iops),
        (S::StorageThroughput, it.storage_throughput),
        (S::PerformanceInsightsRetention, it.performance_insights_retention_period),
        (S::PromotionTier, it.promotion_tier),
    ];
    settings.extend(
        numbers.into_iter().filter_map(|(setting, number)| Some((setting, i64::from(number?).into()))),
    );
    settings
}

fn pending(it: &PendingModifiedValues) -> Settings<InstanceSetting> {
    use InstanceSetting as S;
    let mut settings = Settings::new();
    let numbers = [
        (S::AllocatedStorage, it.allocated_storage),
        (S::BackupRetention, it.backup_retention_period),
        (S::Iops, it.iops),
        (S::StorageThroughput, it.storage_throughput),
    ];
    settings.extend(
        numbers.into_iter().filter_map(|(setting, number)| Some((setting, i64::from(number?).into()))),
    );
    let texts = [
        (S::Class, it.db_instance_class.clone()),
        (S::EngineVersion, it.engine_version.clone()),
        (S::StorageType, it.storage_type.clone()),
        (S::CaCertificate, it.ca_certificate_identifier.clone()),
        (S::SubnetGroup, it.db_subnet_group_name.clone()),
    ];
    settings.extend(texts.into_iter().filter_map(|(setting, text)| Some((setting, text?.into()))));
    settings.extend(it.multi_az.map(|on| (S::MultiAz, Value::from(on))));
    settings
}

impl From<types::BlueGreenDeployment> for Deployment {
    fn from(it: types::BlueGreenDeployment) -> Self {
        let instance = |arn: Option<String>| {
            arn.and_then(|arn| Some(arn.rsplit_once(":db:")?.1.to_owned())).unwrap_or_default()
        };
        Self {
            identifier: it.blue_green_deployment_identifier.unwrap_or_default(),
            name: it.blue_green_deployment_name.unwrap_or_default(),
            source: instance(it.source),
            target: instance(it.target),
            status: it.status.unwrap_or_default(),
            details: it.status_details,
            tags: map(it.tag_list),
        }
    }
}

impl From<DbCluster> for Cluster {
    fn from(it: DbCluster) -> Self {
        let endpoint = it.endpoint.clone().and_then(|host| Some((host, u16::try_from(it.port?).ok()?)));
        let members = it.db_cluster_members.iter().flatten().filter_map(|member| {
            Some((member.db_instance_identifier.clone()?, member.is_cluster_writer.unwrap_or_default()))
        });
        let pending = it.pending_modified_values.as_ref();
        let pending = pending.map_or_else(Settings::new, |pending| {
            let retention = pending.backup_retention_period.map(i64::from);
            let retention = retention.map(|days| (ClusterSetting::BackupRetention, days.into()));
            let version = pending.engine_version.clone();
            let version = version.map(|version| (ClusterSetting::EngineVersion, version.into()));
            retention.into_iter().chain(version).collect()
        });
        Self {
            settings: cluster_settings(&it),
            members: members.collect(),
            pending,
            endpoint,
            reader_endpoint: it.reader_endpoint,
            identifier: it.db_cluster_identifier.unwrap_or_default(),
            arn: it.db_cluster_arn.unwrap_or_default(),
            resource_id: it.db_cluster_resource_id.unwrap_or_default(),
            status: it.status.unwrap_or_default(),
            tags: map(it.tag_list),
            created_at: time(it.cluster_create_time),
            master_secret: it.master_user_secret.map(Into::into),
            latest_restorable: time(it.latest_restorable_time),
            starts_by_itself_at: time(it.automatic_restart_time),
        }
    }
}

fn cluster_settings(it: &DbCluster) -> Settings<ClusterSetting> {
    use ClusterSetting as S;
    let security_groups = it.vpc_security_groups.iter().flatten();
    let security_groups: BTreeSet<String> =
        security_groups.filter_map(|group| group.vpc_security_group_id.clone()).collect();
    let mut settings = Settings::from([
        (S::SecurityGroups, security_groups.into()),
        (S::ManagedMasterPassword, it.master_user_secret.is_some().into()),
        (S::Encrypted, it.storage_encrypted.unwrap_or_default().into()),
        (S::BackupRetention, i64::from(it.backup_retention_period.unwrap_or_default()).into()),
        (S::DeletionProtection, it.deletion_protection.unwrap_or_default().into()),
        (S::CopyTagsToSnapshot, it.copy_tags_to_snapshot.unwrap_or_default().into()),
        (S::LogExports, names_of(it.enabled_cloudwatch_logs_exports.as_ref()).into()),
    ]);
    let texts = [
        (S::Engine, it.engine.clone()),
        (S::EngineVersion, it.engine_version.clone()),
        (S::SubnetGroup, it.db_subnet_group.clone()),
        (S::ParameterGroup, it.db_cluster_parameter_group.clone()),
        (S::DatabaseName, it.database_name.clone()),
        (S::MasterUsername, it.master_username.clone()),
        (S::KmsKey, it.kms_key_id.clone()),
        (S::BackupWindow, it.preferred_backup_window.clone()),
        (S::MaintenanceWindow, it.preferred_maintenance_window.clone()),
    ];
    settings.extend(texts.into_iter().filter_map(|(setting, text)| Some((setting, text?.into()))));
    if let Some(scaling) = &it.serverless_v2_scaling_configuration {
        #[expect(clippy::cast_possible_truncation, reason = "at most 256 units, in halves")]
        let capacity = |units: f64| cluster::capacity((units * 2.0).round() as i64);
        let min = scaling.min_capacity.map(|units| (S::MinCapacity, capacity(units)));
        let max = scaling.max_capacity.map(|units| (S::MaxCapacity, capacity(units)));
        let pause = scaling.seconds_until_auto_pause;
        let pause = pause.map(|seconds| (S::AutoPause, i64::from(seconds).into()));
        settings.extend(min.into_iter().chain(max).chain(pause));
    }
    settings
}

impl From<types::MasterUserSecret> for MasterSecret {
    fn from(secret: types::MasterUserSecret) -> Self {
        Self { arn: secret.secret_arn.unwrap_or_default(), status: secret.secret_status.unwrap_or_default() }
    }
}

pub(super) fn names_of(list: Option<&Vec<String>>) -> BTreeSet<String> {
    list.into_iter().flatten().cloned().collect()
}

pub(super) fn map(tags: Option<Vec<Tag>>) -> BTreeMap<String, String> {
    let tags = tags.unwrap_or_default().into_iter();
    tags.filter_map(|tag| Some((tag.key?, tag.value.unwrap_or_default()))).collect()
}

pub(super) fn time(at: Option<DateTime>) -> Option<Timestamp> {
    at.and_then(|at| Timestamp::from_second(at.secs()).ok())
}
