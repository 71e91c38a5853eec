//! Caches as ElastiCache describes them: one listing of an account, shared by all of its platforms. Tags are
//! not in it; see [`tags`].

use crate::{
    aws::{self, Account},
    managed::{
        Settings, Value,
        elasticache::{
            group::{self, Group, GroupSetting},
            serverless::{Serverless, ServerlessSetting},
            user::{User, UserGroup},
        },
        parameters::Parameter,
    },
};
use aws_sdk_elasticache::{
    error::{ProvideErrorMetadata, SdkError},
    types::{
        AutomaticFailoverStatus, CacheCluster, LogDeliveryConfiguration, LogType, MultiAzStatus, NodeGroup,
        PendingAutomaticFailoverStatus, ReplicationGroup, ServerlessCache,
    },
};
use aws_smithy_types::DateTime;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Everything of an account and region that platforms may stand on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listing {
    /// Replication groups by identifier, without tags.
    pub groups: BTreeMap<String, Group>,
    /// Serverless caches by name, without tags.
    pub serverless: BTreeMap<String, Serverless>,
    /// Subnets of subnet groups by name.
    pub subnet_groups: BTreeMap<String, BTreeSet<String>>,
    /// Names of parameter groups.
    pub parameter_groups: BTreeSet<String>,
    /// Users by identifier.
    pub users: BTreeMap<String, User>,
    /// User groups by identifier.
    pub user_groups: BTreeMap<String, UserGroup>,
}

impl Listing {
    /// ARNs of the caches that are new, gone or not as they were `before`.
    #[must_use]
    pub fn changed_since(&self, before: &Self) -> BTreeSet<String> {
        let groups = differing(&self.groups, &before.groups).map(|it| it.arn.clone());
        let serverless = differing(&self.serverless, &before.serverless).map(|it| it.arn.clone());
        groups.chain(serverless).collect()
    }
}

fn differing<'a, T: PartialEq>(
    now: &'a BTreeMap<String, T>,
    before: &'a BTreeMap<String, T>,
) -> impl Iterator<Item = &'a T> {
    let new = now.iter().filter(|(key, item)| before.get(*key) != Some(item));
    let old = before.iter().filter(|(key, item)| now.get(*key) != Some(item));
    new.chain(old).map(|(_, item)| item)
}

/// Reads all pages of everything.
///
/// # Errors
/// What AWS says, in a sentence.
pub async fn list(account: &Account) -> Result<Listing, String> {
    let (groups, clusters, serverless, subnet_groups, parameter_groups, users, user_groups) = tokio::try_join!(
        Box::pin(groups(account)),
        Box::pin(clusters(account)),
        Box::pin(serverless(account)),
        Box::pin(subnet_groups(account)),
        Box::pin(parameter_groups(account)),
        Box::pin(users(account)),
        Box::pin(user_groups(account)),
    )?;
    let groups = groups.into_iter().map(|group| {
        let id = group.replication_group_id.as_ref();
        let members: Vec<_> = clusters.iter().filter(|it| it.replication_group_id.as_ref() == id).collect();
        let group = group_of(group, &members);
        (group.identifier.clone(), group)
    });
    Ok(Listing { groups: groups.collect(), serverless, subnet_groups, parameter_groups, users, user_groups })
}

async fn groups(account: &Account) -> Result<Vec<ReplicationGroup>, String> {
    let mut pages = account.elasticache.describe_replication_groups().into_paginator().send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| listing("replication groups", &error))?;
        found.extend(page.replication_groups.unwrap_or_default());
    }
    Ok(found)
}

/// The nodes of replication groups: they tell what their group does not.
async fn clusters(account: &Account) -> Result<Vec<CacheCluster>, String> {
    let mut pages = account.elasticache.describe_cache_clusters().into_paginator().send();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| listing("cache clusters", &error))?;
        found.extend(page.cache_clusters.unwrap_or_default());
    }
    Ok(found)
}

async fn serverless(account: &Account) -> Result<BTreeMap<String, Serverless>, String> {
    let mut pages = account.elasticache.describe_serverless_caches().into_paginator().send();
    let mut found = BTreeMap::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| listing("serverless caches", &error))?;
        let all = page.serverless_caches.unwrap_or_default().into_iter().map(Serverless::from);
        found.extend(all.map(|it| (it.identifier.clone(), it)));
    }
    Ok(found)
}

async fn subnet_groups(account: &Account) -> Result<BTreeMap<String, BTreeSet<String>>, String> {
    let mut pages = account.elasticache.describe_cache_subnet_groups().into_paginator().send();
    let mut found = BTreeMap::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| listing("cache subnet groups", &error))?;
        for group in page.cache_subnet_groups.unwrap_or_default() {
            let subnets = group.subnets.unwrap_or_default().into_iter().filter_map(|it| it.subnet_identifier);
            found.insert(group.cache_subnet_group_name.unwrap_or_default(), subnets.collect());
        }
    }
    Ok(found)
}

async fn parameter_groups(account: &Account) -> Result<BTreeSet<String>, String> {
    let mut pages = account.elasticache.describe_cache_parameter_groups().into_paginator().send();
    let mut found = BTreeSet::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| listing("cache parameter groups", &error))?;
        let groups = page.cache_parameter_groups.unwrap_or_default().into_iter();
        found.extend(groups.filter_map(|it| it.cache_parameter_group_name));
    }
    Ok(found)
}

async fn users(account: &Account) -> Result<BTreeMap<String, User>, String> {
    let mut pages = account.elasticache.describe_users().into_paginator().send();
    let mut found = BTreeMap::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| listing("users", &error))?;
        for user in page.users.unwrap_or_default() {
            let status = user.status.unwrap_or_default();
            found.insert(user.user_id.unwrap_or_default(), User { status });
        }
    }
    Ok(found)
}

async fn user_groups(account: &Account) -> Result<BTreeMap<String, UserGroup>, String> {
    let mut pages = account.elasticache.describe_user_groups().into_paginator().send();
    let mut found = BTreeMap::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| listing("user groups", &error))?;
        for group in page.user_groups.unwrap_or_default() {
            let (status, users) = (group.status.unwrap_or_default(), group.user_ids.unwrap_or_default());
            let group_id = group.user_group_id.unwrap_or_default();
            found.insert(group_id, UserGroup { status, users: users.into_iter().collect() });
        }
    }
    Ok(found)
}

/// Tags of a cache; none: it is not there any more.
///
/// # Errors
/// What AWS says, in a sentence.
pub async fn tags(account: &Account, arn: &str) -> Result<Option<BTreeMap<String, String>>, String> {
    match account.elasticache.list_tags_for_resource().resource_name(arn).send().await {
        Ok(answer) => {
            let tags = answer.tag_list.unwrap_or_default().into_iter();
            Ok(Some(tags.filter_map(|tag| Some((tag.key?, tag.value.unwrap_or_default()))).collect()))
        }
        Err(error) if aws::code(&error).is_some_and(|code| code.contains("NotFound")) => Ok(None),
        Err(error) => Err(listing(&format!("the tags of {arn}"), &error)),
    }
}

/// The parameters of a group, with AWS's defaults.
///
/// # Errors
/// What AWS says, in a sentence.
pub async fn parameters(account: &Account, name: &str) -> Result<BTreeMap<String, Parameter>, String> {
    let request = account.elasticache.describe_cache_parameters().cache_parameter_group_name(name);
    let mut pages = request.into_paginator().send();
    let mut found = BTreeMap::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| listing(&format!("the parameters of group {name}"), &error))?;
        for parameter in page.parameters.unwrap_or_default() {
            let known = Parameter {
                value: parameter.parameter_value,
                is_set: parameter.source.as_deref() == Some("user"),
                is_static: parameter.change_type.is_some_and(|it| it.as_str() == "requires-reboot"),
                is_modifiable: parameter.is_modifiable.unwrap_or(true),
                allowed: parameter.allowed_values,
            };
            found.insert(parameter.parameter_name.unwrap_or_default(), known);
        }
    }
    Ok(found)
}

fn listing<E, R>(what: &str, error: &SdkError<E, R>) -> String
where
    E: ProvideErrorMetadata + std::error::Error,
{
    format!("listing {what}: {}", aws::explain(error))
}

/// A replication group with what its nodes tell of it.
fn group_of(it: ReplicationGroup, members: &[&CacheCluster]) -> Group {
    let shards = it.node_groups.as_deref().unwrap_or_default();
    let first = shards.first();
    let configuration = it.configuration_endpoint.as_ref();
    let endpoint = configuration.or_else(|| first.and_then(|shard| shard.primary_endpoint.as_ref()));
    let endpoint =
        endpoint.and_then(|endpoint| Some((endpoint.address.clone()?, u16::try_from(endpoint.port?).ok()?)));
    let reader = first.and_then(|shard| shard.reader_endpoint.as_ref());
    let nodes = |shard: &NodeGroup| shard.node_group_members.clone().unwrap_or_default();
    let primary = first.and_then(|shard| {
        let mut nodes = nodes(shard).into_iter();
        nodes.find(|node| node.current_role.as_deref() == Some("primary"))?.cache_cluster_id
    });
    let replicas = |shard: &NodeGroup| i64::try_from(nodes(shard).len()).unwrap_or(i64::MAX) - 1;
    Group {
        endpoint,
        reader_endpoint: reader.and_then(|endpoint| endpoint.address.clone()),
        settings: group_settings(&it, members, shards.iter().map(replicas)),
        pending: pending(&it, members),
        primary: primary.filter(|_| !it.cluster_enabled.unwrap_or_default()),
        shards: shards
            .iter()
            .filter_map(|shard| Some((shard.node_group_id.clone()?, replicas(shard))))
            .collect(),
        identifier: it.replication_group_id.unwrap_or_default(),
        arn: it.arn.unwrap_or_default(),
        status: it.status.unwrap_or_default(),
        tags: BTreeMap::new(),
        created_at: time(it.replication_group_create_time),
    }
}

/// Everything that is shown. What is left out is off, or AWS's default.
fn group_settings(
    it: &ReplicationGroup,
    members: &[&CacheCluster],
    replicas: impl Iterator<Item = i64>,
) -> Settings<GroupSetting> {
    use GroupSetting as S;
    // All members have the same settings but while a change goes through them.
    let member = members.first();
    let failover = it.automatic_failover.as_ref();
    let failover =
        matches!(failover, Some(AutomaticFailoverStatus::Enabled | AutomaticFailoverStatus::Enabling));
    let cluster_mode = it.cluster_enabled.unwrap_or_default();
    let shards = it.node_groups.as_ref().map_or(0, Vec::len);
    let user_group = it.user_group_ids.iter().flatten().next().cloned().unwrap_or_default();
    let logs = it.log_delivery_configurations.iter().flatten().filter_map(log);
    let security_groups = member.and_then(|it| it.security_groups.as_ref()).into_iter().flatten();
    let security_groups: BTreeSet<_> =
        security_groups.filter_map(|group| group.security_group_id.clone()).collect();
    let mut settings = Settings::from([
        (S::Replicas, group::replicas(replicas)),
        (S::ClusterMode, cluster_mode.into()),
        (S::AutomaticFailover, failover.into()),
        (S::MultiAz, (it.multi_az == Some(MultiAzStatus::Enabled)).into()),
        (S::Tls, it.transit_encryption_enabled.unwrap_or_default().into()),
        (S::UserGroup, user_group.into()),
        (S::AuthToken, it.auth_token_enabled.unwrap_or_default().into()),
        (S::Encrypted, it.at_rest_encryption_enabled.unwrap_or_default().into()),
        (S::SnapshotRetention, i64::from(it.snapshot_retention_limit.unwrap_or_default()).into()),
        (S::AutoMinorVersionUpgrade, it.auto_minor_version_upgrade.unwrap_or_default().into()),
        (S::LogDelivery, logs.collect::<BTreeSet<_>>().into()),
        (S::SecurityGroups, security_groups.into()),
    ]);
    if cluster_mode {
        settings.insert(S::Shards, i64::try_from(shards).unwrap_or(i64::MAX).into());
    }
    let group = member.and_then(|it| it.cache_parameter_group.as_ref());
    let texts = [
        (S::Engine, it.engine.clone().or_else(|| member?.engine.clone())),
        (S::EngineVersion, member.and_then(|it| it.engine_version.clone())),
        (S::NodeType, it.cache_node_type.clone()),
        (S::SubnetGroup, member.and_then(|it| it.cache_subnet_group_name.clone())),
        (S::ParameterGroup, group.and_then(|group| group.cache_parameter_group_name.clone())),
        (S::KmsKey, it.kms_key_id.clone()),
        (S::SnapshotWindow, it.snapshot_window.clone()),
        (S::MaintenanceWindow, member.and_then(|it| it.preferred_maintenance_window.clone())),
    ];
    settings.extend(texts.into_iter().filter_map(|(setting, text)| Some((setting, text?.into()))));
    settings
}

/// A log and where it goes, as [`GroupSetting::LogDelivery`] names it.
fn log(it: &LogDeliveryConfiguration) -> Option<String> {
    let log = match it.log_type.as_ref()? {
        LogType::EngineLog => "engine-log",
        LogType::SlowLog => "slow-log",
        other => other.as_str(),
    };
    let details = it.destination_details.as_ref()?;
    let group = details.cloud_watch_logs_details.as_ref().and_then(|it| it.log_group.as_ref());
    let stream = details.kinesis_firehose_details.as_ref().and_then(|it| it.delivery_stream.as_ref());
    Some(match (group, stream) {
        (Some(group), _) => format!("{log}:cloudwatch-logs:{group}"),
        (None, Some(stream)) => format!("{log}:kinesis-firehose:{stream}"),
        (None, None) => return None,
    })
}

fn pending(it: &ReplicationGroup, members: &[&CacheCluster]) -> Settings<GroupSetting> {
    use GroupSetting as S;
    let mut settings = Settings::new();
    let failover = it.pending_modified_values.as_ref().and_then(|it| it.automatic_failover_status.as_ref());
    let failover = failover.map(|it| (S::AutomaticFailover, *it == PendingAutomaticFailoverStatus::Enabled));
    settings.extend(failover.map(|(setting, on)| (setting, Value::from(on))));
    for pending in members.iter().filter_map(|it| it.pending_modified_values.as_ref()) {
        let texts = [
            (S::EngineVersion, pending.engine_version.clone()),
            (S::NodeType, pending.cache_node_type.clone()),
        ];
        settings.extend(texts.into_iter().filter_map(|(setting, text)| Some((setting, text?.into()))));
    }
    settings
}

impl From<ServerlessCache> for Serverless {
    fn from(it: ServerlessCache) -> Self {
        let endpoint = it.endpoint.as_ref();
        let endpoint = endpoint
            .and_then(|endpoint| Some((endpoint.address.clone()?, u16::try_from(endpoint.port?).ok()?)));
        Self {
            settings: serverless_settings(&it),
            endpoint,
            identifier: it.serverless_cache_name.unwrap_or_default(),
            arn: it.arn.unwrap_or_default(),
            status: it.status.unwrap_or_default().to_ascii_lowercase(),
            version: it.full_engine_version,
            tags: BTreeMap::new(),
            created_at: time(it.create_time),
        }
    }
}

fn serverless_settings(it: &ServerlessCache) -> Settings<ServerlessSetting> {
    use ServerlessSetting as S;
    let limits = it.cache_usage_limits.as_ref();
    let storage = limits.and_then(|it| it.data_storage.as_ref());
    let ecpu = limits.and_then(|it| it.ecpu_per_second.as_ref());
    let number = |number: Option<i32>| Value::from(i64::from(number.unwrap_or_default()));
    let names = |list: &Option<Vec<String>>| -> Value {
        list.iter().flatten().cloned().collect::<BTreeSet<_>>().into()
    };
    let mut settings = Settings::from([
        (S::MinStorage, number(storage.and_then(|it| it.minimum))),
        (S::MaxStorage, number(storage.and_then(|it| it.maximum))),
        (S::MinEcpu, number(ecpu.and_then(|it| it.minimum))),
        (S::MaxEcpu, number(ecpu.and_then(|it| it.maximum))),
        (S::Subnets, names(&it.subnet_ids)),
        (S::SecurityGroups, names(&it.security_group_ids)),
        (S::UserGroup, it.user_group_id.clone().unwrap_or_default().into()),
        (S::SnapshotRetention, number(it.snapshot_retention_limit)),
    ]);
    let texts = [
        (S::Engine, it.engine.clone()),
        (S::MajorVersion, it.major_engine_version.clone()),
        (S::KmsKey, it.kms_key_id.clone()),
        (S::SnapshotTime, it.daily_snapshot_time.clone()),
    ];
    settings.extend(texts.into_iter().filter_map(|(setting, text)| Some((setting, text?.into()))));
    settings
}

fn time(at: Option<DateTime>) -> Option<Timestamp> {
    at.and_then(|at| Timestamp::from_second(at.secs()).ok())
}
