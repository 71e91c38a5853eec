//! Calls that make, switch over and delete blue/green deployments.

use super::{Failure, list, outcome};
use crate::aws::Account;
use std::collections::BTreeMap;

/// Seconds that a switch-over may take; AWS leads one back that takes longer. Its default.
const SWITCHOVER: i32 = 300;

pub(super) async fn create(
    account: &Account,
    name: &str,
    source: &str,
    version: &str,
    parameter_group: &str,
    tags: &BTreeMap<String, String>,
) -> Result<(), Failure> {
    let request = account
        .rds
        .create_blue_green_deployment()
        .blue_green_deployment_name(name)
        .source(source)
        .target_engine_version(version)
        .target_db_parameter_group_name(parameter_group)
        .set_tags(Some(list(tags)));
    outcome(request.send().await)
}

pub(super) async fn switch_over(account: &Account, deployment: &str) -> Result<(), Failure> {
    let request = account
        .rds
        .switchover_blue_green_deployment()
        .blue_green_deployment_identifier(deployment)
        .switchover_timeout(SWITCHOVER);
    outcome(request.send().await)
}

pub(super) async fn delete(account: &Account, deployment: &str, target: bool) -> Result<(), Failure> {
    // AWS refuses the parameter after a switch-over, also as false.
    let request = account
        .rds
        .delete_blue_green_deployment()
        .blue_green_deployment_identifier(deployment)
        .set_delete_target(target.then_some(true));
    outcome(request.send().await)
}
