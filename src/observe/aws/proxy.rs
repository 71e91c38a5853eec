//! Proxies of databases, and the secrets that they read: a listing of an account, and of each proxy what is in none.

use super::rds::{listing, names_of, time};
use crate::{
    api::names,
    aws::{self, Account},
    managed::{
        Settings,
        rds::proxy::{LoginSecret, Proxy, ProxySetting as S, Target},
    },
};
use aws_sdk_rds::types::{DbProxy, DbProxyTarget, TargetRole, TargetType};
use aws_sdk_secretsmanager::types::{Filter, FilterNameStringType, SecretListEntry};
use std::collections::BTreeMap;

/// Everything of an account and region that proxies are made of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listing {
    /// Proxies by name.
    pub proxies: BTreeMap<String, Proxy>,
    /// Secrets with our tags, by name.
    pub login_secrets: BTreeMap<String, LoginSecret>,
}

/// What of a proxy is read one by one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Detail {
    /// Settings of its pool.
    pub pool: Settings<S>,
    /// What it leads to.
    pub targets: BTreeMap<String, Target>,
}

/// Reads all pages of everything.
///
/// # Errors
/// What AWS says, in a sentence.
pub async fn list(account: &Account) -> Result<Listing, String> {
    let (proxies, login_secrets) = tokio::try_join!(Box::pin(proxies(account)), Box::pin(secrets(account)))?;
    Ok(Listing { proxies, login_secrets })
}

async fn proxies(account: &Account) -> Result<BTreeMap<String, Proxy>, String> {
    let mut pages = account.rds.describe_db_proxies().into_paginator().send();
    let mut found = BTreeMap::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| listing("proxies", &error))?;
        let all = page.db_proxies.unwrap_or_default().into_iter().map(Proxy::from);
        found.extend(all.map(|it| (it.name.clone(), it)));
    }
    Ok(found)
}

async fn secrets(account: &Account) -> Result<BTreeMap<String, LoginSecret>, String> {
    let ours = Filter::builder().key(FilterNameStringType::TagKey).values(names::TAG_UID).build();
    let mut pages = account.secrets.list_secrets().filters(ours).into_paginator().send();
    let mut found = BTreeMap::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| format!("listing secrets: {}", aws::explain(&error)))?;
        let all = page.secret_list.unwrap_or_default().into_iter().map(LoginSecret::from);
        found.extend(all.map(|it| (it.name.clone(), it)));
    }
    Ok(found)
}

/// The tags of a proxy.
///
/// # Errors
/// What AWS says, in a sentence.
pub async fn tags(account: &Account, arn: &str) -> Result<BTreeMap<String, String>, String> {
    let answer = account.rds.list_tags_for_resource().resource_name(arn).send().await;
    let answer = answer.map_err(|error| listing(&format!("the tags of {arn}"), &error))?;
    Ok(super::rds::map(answer.tag_list))
}

/// The pool of a proxy, and what it leads to.
///
/// # Errors
/// What AWS says, in a sentence.
pub async fn detail(account: &Account, name: &str) -> Result<Detail, String> {
    let groups = account.rds.describe_db_proxy_target_groups().db_proxy_name(name).send().await;
    let groups = groups.map_err(|error| listing(&format!("the pool of proxy {name}"), &error))?;
    let pool = groups.target_groups.unwrap_or_default().into_iter().find_map(|it| it.connection_pool_config);
    let pool = pool.map(|pool| {
        let numbers = [
            (S::BorrowTimeout, pool.connection_borrow_timeout),
            (S::MaxConnections, pool.max_connections_percent),
            (S::MaxIdleConnections, pool.max_idle_connections_percent),
        ];
        let shown = |(setting, number): (S, Option<i32>)| Some((setting, i64::from(number?).into()));
        numbers.into_iter().filter_map(shown).collect()
    });
    let mut pages = account.rds.describe_db_proxy_targets().db_proxy_name(name).into_paginator().send();
    let mut targets = BTreeMap::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| listing(&format!("the targets of proxy {name}"), &error))?;
        page.targets.unwrap_or_default().into_iter().for_each(|it| add(&mut targets, it));
    }
    Ok(Detail { pool: pool.unwrap_or_default(), targets })
}

/// A cluster has no health of its own: that of its writer counts.
fn add(targets: &mut BTreeMap<String, Target>, target: DbProxyTarget) {
    let DbProxyTarget { tracked_cluster_id, rds_resource_id, role, target_health, .. } = target;
    let is_reader = role == Some(TargetRole::ReadOnly);
    let Some(identifier) = tracked_cluster_id.or(rds_resource_id) else { return };
    let registered = targets.entry(identifier);
    if target.r#type == Some(TargetType::TrackedCluster) {
        registered.or_insert_with(|| Target { state: "REGISTERING".to_owned(), reason: None });
    } else if !is_reader && let Some(health) = target_health {
        let why = [health.reason.map(|it| it.as_str().to_owned()), health.description];
        let why = why.into_iter().flatten().collect::<Vec<_>>().join(": ");
        let state = health.state.map(|it| it.as_str().to_owned()).unwrap_or_default();
        registered.insert_entry(Target { state, reason: (!why.is_empty()).then_some(why) });
    }
}

impl From<DbProxy> for Proxy {
    fn from(it: DbProxy) -> Self {
        let logins = it.auth.unwrap_or_default().into_iter().filter_map(|auth| auth.secret_arn);
        let mut settings = Settings::from([
            (S::Subnets, names_of(it.vpc_subnet_ids.as_ref()).into()),
            (S::SecurityGroups, names_of(it.vpc_security_group_ids.as_ref()).into()),
            (S::Tls, it.require_tls.unwrap_or_default().into()),
            (S::Logins, logins.collect::<std::collections::BTreeSet<_>>().into()),
            (S::IdleClientTimeout, i64::from(it.idle_client_timeout.unwrap_or_default()).into()),
        ]);
        settings.extend(it.role_arn.map(|role| (S::Role, role.into())));
        Self {
            name: it.db_proxy_name.unwrap_or_default(),
            arn: it.db_proxy_arn.unwrap_or_default(),
            status: it.status.map(|it| it.as_str().to_owned()).unwrap_or_default(),
            host: it.endpoint,
            settings,
            tags: BTreeMap::new(),
            updated_at: time(it.updated_date),
            targets: BTreeMap::new(),
        }
    }
}

impl From<SecretListEntry> for LoginSecret {
    fn from(it: SecretListEntry) -> Self {
        let tags = it.tags.unwrap_or_default().into_iter();
        let versions = it.secret_versions_to_stages.unwrap_or_default();
        let is_current = |stages: &Vec<String>| stages.iter().any(|stage| stage == "AWSCURRENT");
        let current =
            versions.iter().find(|(_, stages)| is_current(stages)).map(|(version, _)| version.clone());
        Self {
            name: it.name.unwrap_or_default(),
            arn: it.arn.unwrap_or_default(),
            tags: tags.filter_map(|tag| Some((tag.key?, tag.value.unwrap_or_default()))).collect(),
            current,
            versions: versions.into_keys().collect(),
        }
    }
}
