//! Calls that change databases in RDS.

mod blue_green;
mod proxy;

use super::{Failure, Passwords};
use crate::{
    aws::{self, Account},
    managed::{
        Settings, Value,
        rds::{Call, Origin, cluster::ClusterSetting, instance::InstanceSetting, parameter_group::GroupKind},
    },
    platform::database::RestoreSource,
};
use aws_sdk_rds::{
    error::{ProvideErrorMetadata, SdkError},
    operation::{
        create_db_cluster::builders::CreateDBClusterFluentBuilder,
        create_db_instance::builders::CreateDBInstanceFluentBuilder,
    },
    types::{
        ApplyMethod, CloudwatchLogsExportConfiguration, Parameter, ServerlessV2ScalingConfiguration, Tag,
    },
};
use aws_smithy_types::DateTime;
use std::collections::{BTreeMap, BTreeSet};

/// Errors that say that what was to be made is there: whose it is, the next description tells.
const THERE: &[&str] = &[
    "DBInstanceAlreadyExists",
    "DBClusterAlreadyExistsFault",
    "DBParameterGroupAlreadyExists",
    "DBSubnetGroupAlreadyExists",
    "BlueGreenDeploymentAlreadyExistsFault",
    "DBProxyAlreadyExistsFault",
    "DBProxyTargetAlreadyRegisteredFault",
    "ResourceExistsException",
];
/// Errors that say that what was to be deleted is gone.
const GONE: &[&str] = &[
    "DBInstanceNotFound",
    "DBClusterNotFoundFault",
    "DBParameterGroupNotFound",
    "DBSubnetGroupNotFoundFault",
    "BlueGreenDeploymentNotFoundFault",
    "DBProxyNotFoundFault",
    "DBProxyTargetNotFoundFault",
    "ResourceNotFoundException",
];
/// Errors that pass when AWS is done with something else.
const PASSING: &[&str] = &[
    "InvalidDBInstanceState",
    "InvalidDBClusterStateFault",
    "InvalidDBParameterGroupState",
    "InvalidDBSubnetGroupStateFault",
    "InvalidBlueGreenDeploymentStateFault",
    "InvalidDBProxyStateFault",
];

pub(super) async fn carry_out(account: &Account, call: &Call, passwords: &Passwords) -> Result<(), Failure> {
    match call {
        Call::CreateInstance { identifier, settings, tags, origin } => {
            create_instance(account, identifier, settings, tags, origin, passwords).await
        }
        Call::ModifyInstance { identifier, settings, immediately } => {
            modify_instance(account, identifier, settings, *immediately).await
        }
        Call::SetMasterPassword { identifier, secret, was_managed } => {
            let password = passwords.read(secret).await?;
            let request = account.rds.modify_db_instance().db_instance_identifier(identifier);
            let request = request.set_manage_master_user_password(was_managed.then_some(false));
            outcome(request.master_user_password(password).apply_immediately(true).send().await)
        }
        Call::SetClusterMasterPassword { identifier, secret, was_managed } => {
            let password = passwords.read(secret).await?;
            let request = account.rds.modify_db_cluster().db_cluster_identifier(identifier);
            let request = request.set_manage_master_user_password(was_managed.then_some(false));
            outcome(request.master_user_password(password).apply_immediately(true).send().await)
        }
        Call::RebootInstance { identifier } => {
            outcome(account.rds.reboot_db_instance().db_instance_identifier(identifier).send().await)
        }
        Call::StopInstance { identifier } => {
            outcome(account.rds.stop_db_instance().db_instance_identifier(identifier).send().await)
        }
        Call::StartInstance { identifier } => {
            outcome(account.rds.start_db_instance().db_instance_identifier(identifier).send().await)
        }
        Call::DeleteInstance { identifier, final_snapshot, delete_backups } => {
            let request = account
                .rds
                .delete_db_instance()
                .db_instance_identifier(identifier)
                .skip_final_snapshot(final_snapshot.is_none())
                .set_final_db_snapshot_identifier(final_snapshot.clone())
                .delete_automated_backups(*delete_backups);
            outcome(request.send().await)
        }
        Call::CreateDeployment { name, source, version, parameter_group, tags } => {
            blue_green::create(account, name, source, version, parameter_group, tags).await
        }
        Call::SwitchOver { deployment } => blue_green::switch_over(account, deployment).await,
        Call::DeleteDeployment { deployment, delete_target } => {
            blue_green::delete(account, deployment, *delete_target).await
        }
        Call::CreateLoginSecret { name, tags } => proxy::create_secret(account, name, tags).await,
        Call::DeleteLoginSecret { arn } => proxy::delete_secret(account, arn).await,
        Call::CreateProxy { name, settings, tags } => proxy::create(account, name, settings, tags).await,
        Call::ModifyProxy { name, settings } => proxy::modify(account, name, settings).await,
        Call::RegisterTarget { proxy, identifier, is_cluster } => {
            proxy::register(account, proxy, identifier, *is_cluster).await
        }
        Call::DeregisterTarget { proxy, identifier, is_cluster } => {
            proxy::deregister(account, proxy, identifier, *is_cluster).await
        }
        Call::DeleteProxy { name } => proxy::delete(account, name).await,
        Call::CreateCluster { identifier, settings, tags, origin } => {
            create_cluster(account, identifier, settings, tags, origin, passwords).await
        }
        Call::ModifyCluster { identifier, settings, immediately } => {
            modify_cluster(account, identifier, settings, *immediately).await
        }
        Call::StopCluster { identifier } => {
            outcome(account.rds.stop_db_cluster().db_cluster_identifier(identifier).send().await)
        }
        Call::StartCluster { identifier } => {
            outcome(account.rds.start_db_cluster().db_cluster_identifier(identifier).send().await)
        }
        Call::DeleteCluster { identifier, final_snapshot, delete_backups } => {
            let request = account
                .rds
                .delete_db_cluster()
                .db_cluster_identifier(identifier)
                .skip_final_snapshot(final_snapshot.is_none())
                .set_final_db_snapshot_identifier(final_snapshot.clone())
                .delete_automated_backups(*delete_backups);
            outcome(request.send().await)
        }
        Call::Tag { arn, tags } => {
            let request = account.rds.add_tags_to_resource().resource_name(arn);
            outcome(request.set_tags(Some(list(tags))).send().await)
        }
        Call::Untag { arn, keys } => {
            let request = account.rds.remove_tags_from_resource().resource_name(arn);
            outcome(request.set_tag_keys(Some(keys.iter().cloned().collect())).send().await)
        }
        Call::CreateParameterGroup { kind, name, family, tags } => {
            create_parameter_group(account, *kind, name, family, tags).await
        }
        Call::SetParameters { kind, name, parameters } => {
            let entries = parameters.iter().map(|(parameter, (value, is_static))| {
                named(parameter, *is_static).parameter_value(value).build()
            });
            set_parameters(account, *kind, name, entries.collect()).await
        }
        Call::ResetParameters { kind, name, parameters } => {
            let entries =
                parameters.iter().map(|(parameter, is_static)| named(parameter, *is_static).build());
            reset_parameters(account, *kind, name, entries.collect()).await
        }
        Call::DeleteParameterGroup { kind: GroupKind::Instance, name } => {
            outcome(account.rds.delete_db_parameter_group().db_parameter_group_name(name).send().await)
        }
        Call::DeleteParameterGroup { kind: GroupKind::Cluster, name } => outcome(
            account
                .rds
                .delete_db_cluster_parameter_group()
                .db_cluster_parameter_group_name(name)
                .send()
                .await,
        ),
        Call::CreateSubnetGroup { name, subnets, tags } => {
            let request = account
                .rds
                .create_db_subnet_group()
                .db_subnet_group_name(name)
                .db_subnet_group_description(DESCRIPTION)
                .set_subnet_ids(Some(subnets.iter().cloned().collect()))
                .set_tags(Some(list(tags)));
            outcome(request.send().await)
        }
        Call::ModifySubnetGroup { name, subnets } => {
            let request = account
                .rds
                .modify_db_subnet_group()
                .db_subnet_group_name(name)
                .set_subnet_ids(Some(subnets.iter().cloned().collect()));
            outcome(request.send().await)
        }
        Call::DeleteSubnetGroup { name } => {
            outcome(account.rds.delete_db_subnet_group().db_subnet_group_name(name).send().await)
        }
    }
}

/// Description of groups, which AWS requires.
const DESCRIPTION: &str = "of a StreamingPlatform; see its tags";

/// What came of a call. That something is there already, or gone, is no failure.
fn outcome<T, E, R>(result: Result<T, SdkError<E, R>>) -> Result<(), Failure>
where
    E: ProvideErrorMetadata + std::error::Error,
{
    let Err(error) = result else { return Ok(()) };
    let code = aws::code(&error).unwrap_or_default();
    if THERE.contains(&code) || GONE.contains(&code) {
        return Ok(());
    }
    Err(Failure { message: aws::explain(&error), waiting: PASSING.contains(&code) })
}

/// What every restore of an instance takes. All else is set when it is there.
macro_rules! restored {
    ($request:expr, $settings:expr, $tags:expr) => {{
        use InstanceSetting as S;
        $request
            .set_db_instance_class(text($settings, S::Class))
            .set_db_subnet_group_name(text($settings, S::SubnetGroup))
            .set_db_parameter_group_name(text($settings, S::ParameterGroup))
            .set_vpc_security_group_ids($settings.get(&S::SecurityGroups).map(names))
            .set_multi_az($settings.get(&S::MultiAz).map(Value::flag))
            .set_storage_type(text($settings, S::StorageType))
            .set_backup_retention_period($settings.get(&S::BackupRetention).map(int))
            .set_deletion_protection($settings.get(&S::DeletionProtection).map(Value::flag))
            .set_manage_master_user_password($settings.get(&S::ManagedMasterPassword).and_then(on))
            .copy_tags_to_snapshot(true)
            .publicly_accessible(false)
            .set_tags(Some(list($tags)))
    }};
}

/// What every restore of a cluster takes.
macro_rules! restored_cluster {
    ($request:expr, $settings:expr, $tags:expr) => {{
        use ClusterSetting as S;
        $request
            .set_db_subnet_group_name(text($settings, S::SubnetGroup))
            .set_db_cluster_parameter_group_name(text($settings, S::ParameterGroup))
            .set_vpc_security_group_ids($settings.get(&S::SecurityGroups).map(names))
            .set_deletion_protection($settings.get(&S::DeletionProtection).map(Value::flag))
            .set_serverless_v2_scaling_configuration(scaling($settings))
            .copy_tags_to_snapshot(true)
            .set_tags(Some(list($tags)))
    }};
}

async fn create_instance(
    account: &Account,
    identifier: &str,
    settings: &Settings<InstanceSetting>,
    tags: &BTreeMap<String, String>,
    origin: &Origin,
    passwords: &Passwords,
) -> Result<(), Failure> {
    match origin {
        Origin::Restored(RestoreSource::Snapshot(snapshot)) => {
            let request = account
                .rds
                .restore_db_instance_from_db_snapshot()
                .db_instance_identifier(identifier)
                .db_snapshot_identifier(snapshot);
            outcome(restored!(request, settings, tags).send().await)
        }
        Origin::Restored(RestoreSource::PointInTime { from, time }) => {
            let request = account
                .rds
                .restore_db_instance_to_point_in_time()
                .target_db_instance_identifier(identifier)
                .set_source_db_instance_identifier(from.clone())
                .use_latest_restorable_time(time.is_none())
                .set_restore_time(time.map(|time| DateTime::from_secs(time.as_second())));
            outcome(restored!(request, settings, tags).send().await)
        }
        Origin::Empty | Origin::EmptyWithPassword { .. } | Origin::Member => {
            let mut request = settings
                .iter()
                .fold(account.rds.create_db_instance(), with_instance_setting)
                .db_instance_identifier(identifier)
                .set_tags(Some(list(tags)));
            if let Origin::EmptyWithPassword { secret } = origin {
                request = request.master_user_password(passwords.read(secret).await?);
            }
            outcome(request.send().await)
        }
    }
}

fn with_instance_setting(
    request: CreateDBInstanceFluentBuilder,
    (setting, value): (&InstanceSetting, &Value),
) -> CreateDBInstanceFluentBuilder {
    use InstanceSetting as S;
    match setting {
        S::Engine => request.engine(value.text()),
        S::EngineVersion => request.engine_version(value.text()),
        S::Class => request.db_instance_class(value.text()),
        S::StorageType => request.storage_type(value.text()),
        S::AllocatedStorage => request.allocated_storage(int(value)),
        // It is off when it is left out.
        S::MaxAllocatedStorage => request.set_max_allocated_storage(Some(int(value)).filter(|it| *it > 0)),
        S::Iops => request.iops(int(value)),
        S::StorageThroughput => request.storage_throughput(int(value)),
        S::MultiAz => request.multi_az(value.flag()),
        S::Cluster => request.db_cluster_identifier(value.text()),
        S::SubnetGroup => request.db_subnet_group_name(value.text()),
        S::SecurityGroups => request.set_vpc_security_group_ids(Some(names(value))),
        S::PubliclyAccessible => request.publicly_accessible(value.flag()),
        S::CaCertificate => request.ca_certificate_identifier(value.text()),
        S::ParameterGroup => request.db_parameter_group_name(value.text()),
        S::DatabaseName => request.db_name(value.text()),
        S::MasterUsername => request.master_username(value.text()),
        S::ManagedMasterPassword => request.set_manage_master_user_password(on(value)),
        S::Encrypted => request.storage_encrypted(value.flag()),
        S::KmsKey => request.kms_key_id(value.text()),
        S::BackupRetention => request.backup_retention_period(int(value)),
        S::BackupWindow => request.preferred_backup_window(value.text()),
        S::MaintenanceWindow => request.preferred_maintenance_window(value.text()),
        S::AutoMinorVersionUpgrade => request.auto_minor_version_upgrade(value.flag()),
        S::DeletionProtection => request.deletion_protection(value.flag()),
        S::CopyTagsToSnapshot => request.copy_tags_to_snapshot(value.flag()),
        S::PerformanceInsights => request.enable_performance_insights(value.flag()),
        S::PerformanceInsightsRetention => request.performance_insights_retention_period(int(value)),
        S::MonitoringInterval => request.monitoring_interval(int(value)),
        S::MonitoringRole => request.monitoring_role_arn(value.text()),
        S::LogExports => request.set_enable_cloudwatch_logs_exports(Some(names(value))),
        S::PromotionTier => request.promotion_tier(int(value)),
    }
}

async fn modify_instance(
    account: &Account,
    identifier: &str,
    settings: &Settings<InstanceSetting>,
    immediately: bool,
) -> Result<(), Failure> {
    use InstanceSetting as S;
    let mut request =
        account.rds.modify_db_instance().db_instance_identifier(identifier).apply_immediately(immediately);
    for (setting, value) in settings {
        request = match setting {
            // Whether a major version is wanted, an approval said.
            S::EngineVersion => request.engine_version(value.text()).allow_major_version_upgrade(true),
            S::Class => request.db_instance_class(value.text()),
            S::StorageType => request.storage_type(value.text()),
            S::AllocatedStorage => request.allocated_storage(int(value)),
            S::MaxAllocatedStorage => request.max_allocated_storage(int(value)),
            S::Iops => request.iops(int(value)),
            S::StorageThroughput => request.storage_throughput(int(value)),
            S::MultiAz => request.multi_az(value.flag()),
            S::SecurityGroups => request.set_vpc_security_group_ids(Some(names(value))),
            S::PubliclyAccessible => request.publicly_accessible(value.flag()),
            S::CaCertificate => {
                request.ca_certificate_identifier(value.text()).certificate_rotation_restart(false)
            }
            S::ParameterGroup => request.db_parameter_group_name(value.text()),
            S::ManagedMasterPassword => request.set_manage_master_user_password(on(value)),
            S::BackupRetention => request.backup_retention_period(int(value)),
            S::BackupWindow => request.preferred_backup_window(value.text()),
            S::MaintenanceWindow => request.preferred_maintenance_window(value.text()),
            S::AutoMinorVersionUpgrade => request.auto_minor_version_upgrade(value.flag()),
            S::DeletionProtection => request.deletion_protection(value.flag()),
            S::CopyTagsToSnapshot => request.copy_tags_to_snapshot(value.flag()),
            S::PerformanceInsights => request.enable_performance_insights(value.flag()),
            S::PerformanceInsightsRetention => request.performance_insights_retention_period(int(value)),
            S::MonitoringInterval => request.monitoring_interval(int(value)),
            S::MonitoringRole => request.monitoring_role_arn(value.text()),
            S::LogExports => request.cloudwatch_logs_export_configuration(logs(value)),
            S::PromotionTier => request.promotion_tier(int(value)),
            // The plan makes no such change.
            S::Engine
            | S::Cluster
            | S::SubnetGroup
            | S::DatabaseName
            | S::MasterUsername
            | S::Encrypted
            | S::KmsKey => request,
        };
    }
    outcome(request.send().await)
}

async fn create_cluster(
    account: &Account,
    identifier: &str,
    settings: &Settings<ClusterSetting>,
    tags: &BTreeMap<String, String>,
    origin: &Origin,
    passwords: &Passwords,
) -> Result<(), Failure> {
    match origin {
        Origin::Restored(RestoreSource::Snapshot(snapshot)) => {
            let request = account
                .rds
                .restore_db_cluster_from_snapshot()
                .db_cluster_identifier(identifier)
                .snapshot_identifier(snapshot)
                .engine(text(settings, ClusterSetting::Engine).unwrap_or_default());
            outcome(restored_cluster!(request, settings, tags).send().await)
        }
        Origin::Restored(RestoreSource::PointInTime { from, time }) => {
            let request = account
                .rds
                .restore_db_cluster_to_point_in_time()
                .db_cluster_identifier(identifier)
                .set_source_db_cluster_identifier(from.clone())
                .use_latest_restorable_time(time.is_none())
                .set_restore_to_time(time.map(|time| DateTime::from_secs(time.as_second())));
            outcome(restored_cluster!(request, settings, tags).send().await)
        }
        Origin::Empty | Origin::EmptyWithPassword { .. } | Origin::Member => {
            let mut request = settings
                .iter()
                .fold(account.rds.create_db_cluster(), with_cluster_setting)
                .db_cluster_identifier(identifier)
                .set_serverless_v2_scaling_configuration(scaling(settings))
                .set_tags(Some(list(tags)));
            if let Origin::EmptyWithPassword { secret } = origin {
                request = request.master_user_password(passwords.read(secret).await?);
            }
            outcome(request.send().await)
        }
    }
}

fn with_cluster_setting(
    request: CreateDBClusterFluentBuilder,
    (setting, value): (&ClusterSetting, &Value),
) -> CreateDBClusterFluentBuilder {
    use ClusterSetting as S;
    match setting {
        S::Engine => request.engine(value.text()),
        S::EngineVersion => request.engine_version(value.text()),
        S::SubnetGroup => request.db_subnet_group_name(value.text()),
        S::SecurityGroups => request.set_vpc_security_group_ids(Some(names(value))),
        S::ParameterGroup => request.db_cluster_parameter_group_name(value.text()),
        S::DatabaseName => request.database_name(value.text()),
        S::MasterUsername => request.master_username(value.text()),
        S::ManagedMasterPassword => request.set_manage_master_user_password(on(value)),
        S::Encrypted => request.storage_encrypted(value.flag()),
        S::KmsKey => request.kms_key_id(value.text()),
        S::BackupRetention => request.backup_retention_period(int(value)),
        S::BackupWindow => request.preferred_backup_window(value.text()),
        S::MaintenanceWindow => request.preferred_maintenance_window(value.text()),
        S::DeletionProtection => request.deletion_protection(value.flag()),
        S::CopyTagsToSnapshot => request.copy_tags_to_snapshot(value.flag()),
        S::LogExports => request.set_enable_cloudwatch_logs_exports(Some(names(value))),
        // One structure; see `scaling`.
        S::MinCapacity | S::MaxCapacity | S::AutoPause => request,
    }
}

async fn modify_cluster(
    account: &Account,
    identifier: &str,
    settings: &Settings<ClusterSetting>,
    immediately: bool,
) -> Result<(), Failure> {
    use ClusterSetting as S;
    let mut request = account
        .rds
        .modify_db_cluster()
        .db_cluster_identifier(identifier)
        .apply_immediately(immediately)
        .set_serverless_v2_scaling_configuration(scaling(settings));
    for (setting, value) in settings {
        request = match setting {
            // Whether a major version is wanted, an approval said.
            S::EngineVersion => request.engine_version(value.text()).allow_major_version_upgrade(true),
            S::SecurityGroups => request.set_vpc_security_group_ids(Some(names(value))),
            S::ParameterGroup => request.db_cluster_parameter_group_name(value.text()),
            S::ManagedMasterPassword => request.set_manage_master_user_password(on(value)),
            S::BackupRetention => request.backup_retention_period(int(value)),
            S::BackupWindow => request.preferred_backup_window(value.text()),
            S::MaintenanceWindow => request.preferred_maintenance_window(value.text()),
            S::DeletionProtection => request.deletion_protection(value.flag()),
            S::CopyTagsToSnapshot => request.copy_tags_to_snapshot(value.flag()),
            S::LogExports => request.cloudwatch_logs_export_configuration(logs(value)),
            // One structure; see `scaling`.
            S::MinCapacity | S::MaxCapacity | S::AutoPause => request,
            // The plan makes no such change.
            S::Engine | S::SubnetGroup | S::DatabaseName | S::MasterUsername | S::Encrypted | S::KmsKey => {
                request
            }
        };
    }
    outcome(request.send().await)
}

/// Capacity, of which AWS takes single values too.
fn scaling(settings: &Settings<ClusterSetting>) -> Option<ServerlessV2ScalingConfiguration> {
    let units = |setting| settings.get(&setting).and_then(|it| it.text().parse().ok());
    let (min, max) = (units(ClusterSetting::MinCapacity), units(ClusterSetting::MaxCapacity));
    let pause = settings.get(&ClusterSetting::AutoPause).map(Value::number);
    let pause = pause.and_then(|it| i32::try_from(it).ok());
    if min.is_none() && max.is_none() && pause.is_none() {
        return None;
    }
    let scaling = ServerlessV2ScalingConfiguration::builder().set_min_capacity(min).set_max_capacity(max);
    Some(scaling.set_seconds_until_auto_pause(pause).build())
}

async fn create_parameter_group(
    account: &Account,
    kind: GroupKind,
    name: &str,
    family: &str,
    tags: &BTreeMap<String, String>,
) -> Result<(), Failure> {
    match kind {
        GroupKind::Instance => {
            let request = account.rds.create_db_parameter_group().db_parameter_group_name(name);
            let request = request.db_parameter_group_family(family).description(DESCRIPTION);
            outcome(request.set_tags(Some(list(tags))).send().await)
        }
        GroupKind::Cluster => {
            let request =
                account.rds.create_db_cluster_parameter_group().db_cluster_parameter_group_name(name);
            let request = request.db_parameter_group_family(family).description(DESCRIPTION);
            outcome(request.set_tags(Some(list(tags))).send().await)
        }
    }
}

fn named(parameter: &str, is_static: bool) -> aws_sdk_rds::types::builders::ParameterBuilder {
    let method = if is_static { ApplyMethod::PendingReboot } else { ApplyMethod::Immediate };
    Parameter::builder().parameter_name(parameter).apply_method(method)
}

async fn set_parameters(
    account: &Account,
    kind: GroupKind,
    name: &str,
    parameters: Vec<Parameter>,
) -> Result<(), Failure> {
    match kind {
        GroupKind::Instance => {
            let request = account.rds.modify_db_parameter_group().db_parameter_group_name(name);
            outcome(request.set_parameters(Some(parameters)).send().await)
        }
        GroupKind::Cluster => {
            let request =
                account.rds.modify_db_cluster_parameter_group().db_cluster_parameter_group_name(name);
            outcome(request.set_parameters(Some(parameters)).send().await)
        }
    }
}

async fn reset_parameters(
    account: &Account,
    kind: GroupKind,
    name: &str,
    parameters: Vec<Parameter>,
) -> Result<(), Failure> {
    match kind {
        GroupKind::Instance => {
            let request = account.rds.reset_db_parameter_group().db_parameter_group_name(name);
            outcome(request.set_parameters(Some(parameters)).send().await)
        }
        GroupKind::Cluster => {
            let request =
                account.rds.reset_db_cluster_parameter_group().db_cluster_parameter_group_name(name);
            outcome(request.set_parameters(Some(parameters)).send().await)
        }
    }
}

fn list(tags: &BTreeMap<String, String>) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

fn logs(value: &Value) -> CloudwatchLogsExportConfiguration {
    let wanted = value.names();
    let others: BTreeSet<String> = ["postgresql", "upgrade"]
        .map(str::to_owned)
        .into_iter()
        .filter(|log| !wanted.contains(log))
        .collect();
    CloudwatchLogsExportConfiguration::builder()
        .set_enable_log_types(Some(wanted.into_iter().collect()))
        .set_disable_log_types(Some(others.into_iter().collect()))
        .build()
}

fn text<S: Ord>(settings: &Settings<S>, setting: S) -> Option<String> {
    settings.get(&setting).map(|value| value.text().to_owned())
}

fn int(value: &Value) -> i32 {
    i32::try_from(value.number()).unwrap_or(i32::MAX)
}

fn names(value: &Value) -> Vec<String> {
    value.names().into_iter().collect()
}

/// AWS takes `false` for a change that is not meant where it was never on.
fn on(value: &Value) -> Option<bool> {
    value.flag().then_some(true)
}
