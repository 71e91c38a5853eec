//! Calls that make, change and delete proxies, and the secrets that they read.

use super::{Failure, list, names, outcome};
use crate::{
    aws::Account,
    managed::{
        Settings, Value,
        rds::proxy::ProxySetting::{self, self as S},
    },
};
use aws_sdk_rds::types::{
    AuthScheme, ConnectionPoolConfiguration, EngineFamily, IamAuthMode, UserAuthConfig,
};
use aws_sdk_secretsmanager::types::Tag;
use std::collections::BTreeMap;

/// Every proxy has one target group, of this name.
const GROUP: &str = "default";

pub(super) async fn create_secret(
    account: &Account,
    name: &str,
    tags: &BTreeMap<String, String>,
) -> Result<(), Failure> {
    let tags = tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build());
    let request = account
        .secrets
        .create_secret()
        .name(name)
        .description("login of a StreamingPlatform's pods, for RDS Proxy; see its tags")
        .set_tags(Some(tags.collect()));
    outcome(request.send().await)
}

/// Without the days in which Secrets Manager could bring it back, and in which its name could not be used.
pub(super) async fn delete_secret(account: &Account, arn: &str) -> Result<(), Failure> {
    let request = account.secrets.delete_secret().secret_id(arn).force_delete_without_recovery(true);
    outcome(request.send().await)
}

pub(super) async fn create(
    account: &Account,
    name: &str,
    settings: &Settings<ProxySetting>,
    tags: &BTreeMap<String, String>,
) -> Result<(), Failure> {
    let request = account
        .rds
        .create_db_proxy()
        .db_proxy_name(name)
        .engine_family(EngineFamily::Postgresql)
        .set_auth(settings.get(&S::Logins).map(auth))
        .set_role_arn(settings.get(&S::Role).map(|it| it.text().to_owned()))
        .set_vpc_subnet_ids(settings.get(&S::Subnets).map(names))
        .set_vpc_security_group_ids(settings.get(&S::SecurityGroups).map(names))
        .set_require_tls(settings.get(&S::Tls).map(Value::flag))
        .set_idle_client_timeout(settings.get(&S::IdleClientTimeout).map(super::int))
        .set_tags(Some(list(tags)));
    outcome(request.send().await)
}

pub(super) async fn modify(
    account: &Account,
    name: &str,
    settings: &Settings<ProxySetting>,
) -> Result<(), Failure> {
    if settings.keys().all(|it| it.is_of_pool()) {
        let pool = ConnectionPoolConfiguration::builder()
            .set_connection_borrow_timeout(settings.get(&S::BorrowTimeout).map(super::int))
            .set_max_connections_percent(settings.get(&S::MaxConnections).map(super::int))
            .set_max_idle_connections_percent(settings.get(&S::MaxIdleConnections).map(super::int))
            .build();
        let request = account
            .rds
            .modify_db_proxy_target_group()
            .db_proxy_name(name)
            .target_group_name(GROUP)
            .connection_pool_config(pool);
        return outcome(request.send().await);
    }
    let request = account
        .rds
        .modify_db_proxy()
        .db_proxy_name(name)
        .set_auth(settings.get(&S::Logins).map(auth))
        .set_role_arn(settings.get(&S::Role).map(|it| it.text().to_owned()))
        .set_security_groups(settings.get(&S::SecurityGroups).map(names))
        .set_require_tls(settings.get(&S::Tls).map(Value::flag))
        .set_idle_client_timeout(settings.get(&S::IdleClientTimeout).map(super::int));
    outcome(request.send().await)
}

pub(super) async fn register(
    account: &Account,
    proxy: &str,
    identifier: &str,
    is_cluster: bool,
) -> Result<(), Failure> {
    let request = account.rds.register_db_proxy_targets().db_proxy_name(proxy).target_group_name(GROUP);
    let request = if is_cluster {
        request.db_cluster_identifiers(identifier)
    } else {
        request.db_instance_identifiers(identifier)
    };
    outcome(request.send().await)
}

pub(super) async fn deregister(
    account: &Account,
    proxy: &str,
    identifier: &str,
    is_cluster: bool,
) -> Result<(), Failure> {
    let request = account.rds.deregister_db_proxy_targets().db_proxy_name(proxy).target_group_name(GROUP);
    let request = if is_cluster {
        request.db_cluster_identifiers(identifier)
    } else {
        request.db_instance_identifiers(identifier)
    };
    outcome(request.send().await)
}

pub(super) async fn delete(account: &Account, name: &str) -> Result<(), Failure> {
    outcome(account.rds.delete_db_proxy().db_proxy_name(name).send().await)
}

/// Pods log in with the passwords that the secrets hold.
fn auth(logins: &Value) -> Vec<UserAuthConfig> {
    let login = |arn| {
        UserAuthConfig::builder()
            .auth_scheme(AuthScheme::Secrets)
            .iam_auth(IamAuthMode::Disabled)
            .secret_arn(arn)
            .build()
    };
    logins.names().into_iter().map(login).collect()
}
