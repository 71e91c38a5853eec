//! Calls that change caches in ElastiCache.

use super::Failure;
use crate::{
    apply::postgres::Password,
    aws::{self, Account, Unheard},
    managed::{
        Settings, Value,
        elasticache::{Call, group::GroupSetting, serverless::ServerlessSetting, user::Role},
    },
};
use aws_sdk_elasticache::{
    error::{ProvideErrorMetadata, SdkError},
    operation::{
        create_replication_group::builders::CreateReplicationGroupFluentBuilder,
        modify_replication_group::builders::ModifyReplicationGroupFluentBuilder,
    },
    types::{
        AuthTokenUpdateStrategyType, CacheUsageLimits, CloudWatchLogsDestinationDetails, ConfigureShard,
        DataStorage, DataStorageUnit, DestinationDetails, DestinationType, EcpuPerSecond,
        KinesisFirehoseDestinationDetails, LogDeliveryConfigurationRequest, LogFormat, LogType,
        ParameterNameValue, Tag, TransitEncryptionMode,
    },
};
use std::collections::{BTreeMap, BTreeSet};

/// Errors that say that what was to be made is there: whose it is, the next description tells.
const THERE: &[&str] = &[
    "ReplicationGroupAlreadyExists",
    "ServerlessCacheAlreadyExistsFault",
    "CacheParameterGroupAlreadyExists",
    "CacheSubnetGroupAlreadyExists",
    "UserAlreadyExists",
    "UserGroupAlreadyExists",
];
/// Errors that say that what was to be deleted is gone.
const GONE: &[&str] = &[
    "ReplicationGroupNotFoundFault",
    "ServerlessCacheNotFoundFault",
    "CacheParameterGroupNotFound",
    "CacheSubnetGroupNotFoundFault",
    "UserNotFound",
    "UserGroupNotFound",
    "TagNotFound",
];
/// Errors that pass when AWS is done with something else.
const PASSING: &[&str] = &[
    "InvalidReplicationGroupState",
    "InvalidServerlessCacheStateFault",
    "InvalidCacheParameterGroupState",
    "InvalidUserState",
    "InvalidUserGroupState",
    "CacheSubnetGroupInUse",
    "DefaultUserAssociatedToUserGroup",
];
/// Description of what requires one.
const DESCRIPTION: &str = "of a StreamingPlatform; see its tags";
/// Every log that can be delivered.
const LOGS: [LogType; 2] = [LogType::SlowLog, LogType::EngineLog];

pub(super) async fn carry_out(account: &Account, call: &Call) -> Result<(), Failure> {
    match call {
        Call::CreateGroup { identifier, settings, tags, snapshot } => {
            let request = account
                .elasticache
                .create_replication_group()
                .replication_group_id(identifier)
                .replication_group_description(DESCRIPTION)
                .set_snapshot_name(snapshot.clone())
                .set_tags(Some(list(tags)));
            outcome(for_new(request, settings).send().await)
        }
        Call::ModifyGroup { identifier, settings, immediately, instead_of_user_group } => {
            let request = account
                .elasticache
                .modify_replication_group()
                .replication_group_id(identifier)
                .apply_immediately(*immediately)
                .set_user_group_ids_to_remove(instead_of_user_group.clone().map(|it| vec![it]));
            outcome(settings.iter().fold(request, with_setting).send().await)
        }
        Call::SetReplicas { identifier, replicas, grow, shards } => {
            set_replicas(account, identifier, int(*replicas), *grow, shards).await
        }
        Call::SetShards { identifier, count, remove } => {
            let request = account
                .elasticache
                .modify_replication_group_shard_configuration()
                .replication_group_id(identifier)
                .node_group_count(int(*count))
                .apply_immediately(true)
                .set_node_groups_to_remove(some(remove));
            outcome(request.send().await)
        }
        Call::DeleteGroup { identifier, final_snapshot } => {
            let request = account
                .elasticache
                .delete_replication_group()
                .replication_group_id(identifier)
                .set_final_snapshot_identifier(final_snapshot.clone());
            outcome(request.send().await)
        }
        Call::CreateServerless { .. } | Call::ModifyServerless { .. } | Call::DeleteServerless { .. } => {
            serverless(account, call).await
        }
        Call::Tag { arn, tags } => {
            let request = account.elasticache.add_tags_to_resource().resource_name(arn);
            outcome(request.set_tags(Some(list(tags))).send().await)
        }
        Call::Untag { arn, keys } => {
            let request = account.elasticache.remove_tags_from_resource().resource_name(arn);
            outcome(request.set_tag_keys(some(keys)).send().await)
        }
        Call::CreateUser { identifier, role, engine, tags } => {
            create_user(account, identifier, *role, engine, tags).await
        }
        Call::DeleteUser { identifier } => {
            outcome(account.elasticache.delete_user().user_id(identifier).send().await)
        }
        Call::CreateUserGroup { identifier, users, engine, tags } => {
            let request = account
                .elasticache
                .create_user_group()
                .user_group_id(identifier)
                .engine(*engine)
                .set_user_ids(some(users))
                .set_tags(Some(list(tags)));
            outcome(request.send().await)
        }
        Call::DeleteUserGroup { identifier } => {
            outcome(account.elasticache.delete_user_group().user_group_id(identifier).send().await)
        }
        Call::CreateParameterGroup { .. }
        | Call::SetParameters { .. }
        | Call::ResetParameters { .. }
        | Call::DeleteParameterGroup { .. }
        | Call::CreateSubnetGroup { .. }
        | Call::ModifySubnetGroup { .. }
        | Call::DeleteSubnetGroup { .. } => groups(account, call).await,
    }
}

/// Makes this the only password of a user. It is in force when the user is `active` again.
///
/// # Errors
/// What AWS says, in a sentence; and whether that passes.
pub async fn set_password(
    account: &Account,
    identifier: &str,
    password: &Password,
    unheard: &Unheard,
) -> Result<(), Failure> {
    let request = account.elasticache.modify_user().user_id(identifier).passwords(password.reveal());
    match request.customize().interceptor(unheard.clone()).send().await {
        Ok(_) => Ok(()),
        Err(error) => {
            let waiting = aws::code(&error).is_some_and(|code| PASSING.contains(&code));
            Err(Failure { message: aws::explain(&error), waiting })
        }
    }
}

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

/// Parameter groups and subnet groups.
async fn groups(account: &Account, call: &Call) -> Result<(), Failure> {
    match call {
        Call::CreateParameterGroup { name, family, tags } => {
            let request = account
                .elasticache
                .create_cache_parameter_group()
                .cache_parameter_group_name(name)
                .cache_parameter_group_family(family)
                .description(DESCRIPTION)
                .set_tags(Some(list(tags)));
            outcome(request.send().await)
        }
        Call::SetParameters { name, parameters } => {
            let request = account.elasticache.modify_cache_parameter_group().cache_parameter_group_name(name);
            let entries = parameters.iter().map(|(parameter, value)| {
                ParameterNameValue::builder().parameter_name(parameter).parameter_value(value).build()
            });
            outcome(request.set_parameter_name_values(Some(entries.collect())).send().await)
        }
        Call::ResetParameters { name, parameters } => {
            let request = account.elasticache.reset_cache_parameter_group().cache_parameter_group_name(name);
            let entries = parameters
                .iter()
                .map(|parameter| ParameterNameValue::builder().parameter_name(parameter).build());
            outcome(request.set_parameter_name_values(Some(entries.collect())).send().await)
        }
        Call::DeleteParameterGroup { name } => {
            let request = account.elasticache.delete_cache_parameter_group();
            outcome(request.cache_parameter_group_name(name).send().await)
        }
        Call::CreateSubnetGroup { name, subnets, tags } => {
            let request = account
                .elasticache
                .create_cache_subnet_group()
                .cache_subnet_group_name(name)
                .cache_subnet_group_description(DESCRIPTION)
                .set_subnet_ids(some(subnets))
                .set_tags(Some(list(tags)));
            outcome(request.send().await)
        }
        Call::ModifySubnetGroup { name, subnets } => {
            let request = account.elasticache.modify_cache_subnet_group().cache_subnet_group_name(name);
            outcome(request.set_subnet_ids(some(subnets)).send().await)
        }
        Call::DeleteSubnetGroup { name } => {
            let request = account.elasticache.delete_cache_subnet_group();
            outcome(request.cache_subnet_group_name(name).send().await)
        }
        _ => Ok(()),
    }
}

async fn create_user(
    account: &Account,
    identifier: &str,
    role: Role,
    engine: &str,
    tags: &BTreeMap<String, String>,
) -> Result<(), Failure> {
    let request = account
        .elasticache
        .create_user()
        .user_id(identifier)
        .user_name(role.name())
        .engine(engine)
        .access_string(role.access())
        .passwords(Password::random().reveal())
        .set_tags(Some(list(tags)));
    outcome(request.send().await)
}

async fn set_replicas(
    account: &Account,
    identifier: &str,
    replicas: i32,
    grow: bool,
    shards: &BTreeSet<String>,
) -> Result<(), Failure> {
    let of = |shard| ConfigureShard::builder().node_group_id(shard).new_replica_count(replicas).build();
    let by_shard: Option<Vec<_>> = (!shards.is_empty()).then(|| shards.iter().map(of).collect());
    let of_all = shards.is_empty().then_some(replicas);
    if grow {
        let request = account
            .elasticache
            .increase_replica_count()
            .replication_group_id(identifier)
            .set_new_replica_count(of_all)
            .set_replica_configuration(by_shard)
            .apply_immediately(true);
        return outcome(request.send().await);
    }
    let request = account
        .elasticache
        .decrease_replica_count()
        .replication_group_id(identifier)
        .set_new_replica_count(of_all)
        .set_replica_configuration(by_shard)
        .apply_immediately(true);
    outcome(request.send().await)
}

fn for_new(
    mut request: CreateReplicationGroupFluentBuilder,
    settings: &Settings<GroupSetting>,
) -> CreateReplicationGroupFluentBuilder {
    use GroupSetting as S;
    let replicas = settings.get(&S::Replicas).map(Value::names).unwrap_or_default();
    let replicas: i32 = replicas.first().and_then(|count| count.parse().ok()).unwrap_or_default();
    request = match settings.get(&S::Shards) {
        Some(shards) => request.num_node_groups(int(shards.number())).replicas_per_node_group(replicas),
        None => request.num_cache_clusters(replicas + 1),
    };
    for (setting, value) in settings {
        request = match setting {
            S::Engine => request.engine(value.text()),
            S::EngineVersion => request.engine_version(value.text()),
            S::NodeType => request.cache_node_type(value.text()),
            S::AutomaticFailover => request.automatic_failover_enabled(value.flag()),
            S::MultiAz => request.multi_az_enabled(value.flag()),
            S::SubnetGroup => request.cache_subnet_group_name(value.text()),
            S::SecurityGroups => request.set_security_group_ids(some(&value.names())),
            S::Tls if value.flag() => request
                .transit_encryption_enabled(true)
                .transit_encryption_mode(TransitEncryptionMode::Required),
            S::Tls => request.transit_encryption_enabled(false),
            S::UserGroup => request.user_group_ids(value.text()),
            S::ParameterGroup => request.cache_parameter_group_name(value.text()),
            S::Encrypted => request.at_rest_encryption_enabled(value.flag()),
            S::KmsKey => request.kms_key_id(value.text()),
            S::SnapshotRetention => request.snapshot_retention_limit(int(value.number())),
            S::SnapshotWindow => request.snapshot_window(value.text()),
            S::MaintenanceWindow => request.preferred_maintenance_window(value.text()),
            S::AutoMinorVersionUpgrade => request.auto_minor_version_upgrade(value.flag()),
            S::LogDelivery => request.set_log_delivery_configurations(some_logs(value)),
            // Counts are set above, the mode by its parameter group, and there is no token.
            S::Replicas | S::Shards | S::ClusterMode | S::AuthToken => request,
        };
    }
    request
}

fn with_setting(
    request: ModifyReplicationGroupFluentBuilder,
    (setting, value): (&GroupSetting, &Value),
) -> ModifyReplicationGroupFluentBuilder {
    use GroupSetting as S;
    match setting {
        S::Engine => request.engine(value.text()),
        S::EngineVersion => request.engine_version(value.text()),
        S::NodeType => request.cache_node_type(value.text()),
        S::AutomaticFailover => request.automatic_failover_enabled(value.flag()),
        S::MultiAz => request.multi_az_enabled(value.flag()),
        S::SecurityGroups => request.set_security_group_ids(some(&value.names())),
        S::UserGroup => request.user_group_ids_to_add(value.text()),
        // Users take over from the token.
        S::AuthToken => request.auth_token_update_strategy(AuthTokenUpdateStrategyType::Delete),
        S::ParameterGroup => request.cache_parameter_group_name(value.text()),
        S::SnapshotRetention => request.snapshot_retention_limit(int(value.number())),
        S::SnapshotWindow => request.snapshot_window(value.text()),
        S::MaintenanceWindow => request.preferred_maintenance_window(value.text()),
        S::AutoMinorVersionUpgrade => request.auto_minor_version_upgrade(value.flag()),
        S::LogDelivery => request.set_log_delivery_configurations(Some(logs(value))),
        // They have calls of their own, or can't be changed.
        S::Replicas | S::Shards | S::ClusterMode | S::SubnetGroup | S::Tls | S::Encrypted | S::KmsKey => {
            request
        }
    }
}

/// Serverless caches.
async fn serverless(account: &Account, call: &Call) -> Result<(), Failure> {
    use ServerlessSetting as S;
    let text = |settings: &Settings<S>, setting| settings.get(&setting).map(|it| it.text().to_owned());
    let number = |settings: &Settings<S>, setting| settings.get(&setting).map(|it| int(it.number()));
    let names = |settings: &Settings<S>, setting| settings.get(&setting).and_then(|it| some(&it.names()));
    match call {
        Call::CreateServerless { identifier, settings, tags } => {
            let request = account
                .elasticache
                .create_serverless_cache()
                .serverless_cache_name(identifier)
                .description(DESCRIPTION)
                .set_engine(text(settings, S::Engine))
                .set_major_engine_version(text(settings, S::MajorVersion))
                .set_cache_usage_limits(limits(settings))
                .set_subnet_ids(names(settings, S::Subnets))
                .set_security_group_ids(names(settings, S::SecurityGroups))
                .set_user_group_id(text(settings, S::UserGroup))
                .set_kms_key_id(text(settings, S::KmsKey))
                .set_snapshot_retention_limit(number(settings, S::SnapshotRetention))
                .set_daily_snapshot_time(text(settings, S::SnapshotTime))
                .set_tags(Some(list(tags)));
            outcome(request.send().await)
        }
        Call::ModifyServerless { identifier, settings } => {
            let request = account
                .elasticache
                .modify_serverless_cache()
                .serverless_cache_name(identifier)
                .set_engine(text(settings, S::Engine))
                .set_major_engine_version(text(settings, S::MajorVersion))
                .set_cache_usage_limits(limits(settings))
                .set_security_group_ids(names(settings, S::SecurityGroups))
                .set_user_group_id(text(settings, S::UserGroup))
                .set_snapshot_retention_limit(number(settings, S::SnapshotRetention))
                .set_daily_snapshot_time(text(settings, S::SnapshotTime));
            outcome(request.send().await)
        }
        Call::DeleteServerless { identifier, final_snapshot } => {
            let request = account
                .elasticache
                .delete_serverless_cache()
                .serverless_cache_name(identifier)
                .set_final_snapshot_name(final_snapshot.clone());
            outcome(request.send().await)
        }
        _ => Ok(()),
    }
}

/// Bounds, of which a least of 0 is left to AWS.
fn limits(settings: &Settings<ServerlessSetting>) -> Option<CacheUsageLimits> {
    use ServerlessSetting as S;
    let number = |setting| settings.get(&setting).map(|it| int(it.number())).filter(|it| *it > 0);
    let storage = number(S::MaxStorage).map(|most| {
        let bounds = DataStorage::builder().set_minimum(number(S::MinStorage)).maximum(most);
        bounds.unit(DataStorageUnit::Gb).build()
    });
    let ecpu = number(S::MaxEcpu)
        .map(|most| EcpuPerSecond::builder().set_minimum(number(S::MinEcpu)).maximum(most).build());
    let any = storage.is_some() || ecpu.is_some();
    any.then(|| CacheUsageLimits::builder().set_data_storage(storage).set_ecpu_per_second(ecpu).build())
}

/// Deliveries of logs that are wanted; none where there are none.
fn some_logs(value: &Value) -> Option<Vec<LogDeliveryConfigurationRequest>> {
    let names = value.names();
    let deliveries: Vec<_> = names.iter().filter_map(|name| delivery(name)).collect();
    (!deliveries.is_empty()).then_some(deliveries)
}

/// Deliveries of all logs: those that are not wanted are turned off.
fn logs(value: &Value) -> Vec<LogDeliveryConfigurationRequest> {
    let wanted = some_logs(value).unwrap_or_default();
    let is_wanted = |log: &LogType| wanted.iter().any(|it| it.log_type.as_ref() == Some(log));
    let off = LOGS
        .into_iter()
        .filter(|log| !is_wanted(log))
        .map(|log| LogDeliveryConfigurationRequest::builder().log_type(log).enabled(false).build());
    let off: Vec<_> = off.collect();
    wanted.into_iter().chain(off).collect()
}

/// A delivery, from its name in [`GroupSetting::LogDelivery`].
fn delivery(name: &str) -> Option<LogDeliveryConfigurationRequest> {
    let mut parts = name.splitn(3, ':');
    let (log, kind, destination) = (parts.next()?, parts.next()?, parts.next()?);
    let details = match kind {
        "cloudwatch-logs" => DestinationDetails::builder().cloud_watch_logs_details(
            CloudWatchLogsDestinationDetails::builder().log_group(destination).build(),
        ),
        _ => DestinationDetails::builder().kinesis_firehose_details(
            KinesisFirehoseDestinationDetails::builder().delivery_stream(destination).build(),
        ),
    };
    let delivery = LogDeliveryConfigurationRequest::builder()
        .log_type(LogType::from(log))
        .destination_type(DestinationType::from(kind))
        .destination_details(details.build())
        .log_format(LogFormat::Json)
        .enabled(true);
    Some(delivery.build())
}

fn list(tags: &BTreeMap<String, String>) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

/// Names, where there are any.
fn some(names: &BTreeSet<String>) -> Option<Vec<String>> {
    (!names.is_empty()).then(|| names.iter().cloned().collect())
}

fn int(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
