//! Proxies, blue/green deployments, maintenance, versions, and what makes calls fail or lag.

use crate::support::{World, code, hours, minutes, seconds};
use aws_sdk_rds::types::{ApplyMethod, EngineFamily, Parameter, TargetState, UserAuthConfig};
use jiff::SignedDuration;

#[tokio::test(start_paused = true)]
async fn a_proxy_leads_to_one_instance() {
    let world = World::new();
    world.available("demo").await;
    let secret = world.secrets.create_secret().name("login").send().await.unwrap();
    let create = world
        .rds
        .create_db_proxy()
        .db_proxy_name("demo")
        .engine_family(EngineFamily::Postgresql)
        .role_arn("arn:aws:iam::111122223333:role/proxy")
        .require_tls(true)
        .auth(UserAuthConfig::builder().secret_arn(secret.arn().unwrap()).build())
        .vpc_subnet_ids("subnet-default-a");
    assert_eq!(code(create.clone().send().await), "InvalidSubnet");
    create.vpc_subnet_ids("subnet-default-b").send().await.unwrap();
    let register =
        || world.rds.register_db_proxy_targets().db_proxy_name("demo").db_instance_identifiers("demo");
    assert_eq!(code(register().send().await), "InvalidDBProxyStateFault");
    minutes(3).await;
    register().send().await.unwrap();
    assert_eq!(code(register().send().await), "DBProxyTargetAlreadyRegisteredFault");
    let state = async || {
        let targets = world.rds.describe_db_proxy_targets().db_proxy_name("demo").send().await.unwrap();
        targets.targets()[0].target_health().unwrap().state().unwrap().clone()
    };
    assert_eq!(state().await, TargetState::Registering);
    minutes(3).await;
    assert_eq!(state().await, TargetState::Unavailable);
    let login = r#"{"username": "app", "password": "secret"}"#;
    world.secrets.put_secret_value().secret_id("login").secret_string(login).send().await.unwrap();
    assert_eq!(state().await, TargetState::Available);
    world.rds.delete_db_proxy().db_proxy_name("demo").send().await.unwrap();
    minutes(3).await;
    assert_eq!(
        code(world.rds.describe_db_proxies().db_proxy_name("demo").send().await),
        "DBProxyNotFoundFault"
    );
}

#[tokio::test(start_paused = true)]
async fn a_switchover_swaps_names_and_keeps_the_data() {
    let world = World::new();
    let group =
        world.rds.create_db_parameter_group().db_parameter_group_name("logical").description("logical");
    group.db_parameter_group_family("postgres15").send().await.unwrap();
    let create = world.create("demo").engine_version("15.13").db_parameter_group_name("logical");
    create.send().await.unwrap();
    minutes(8).await;
    let blue = world.instance("demo").await;
    let create = || {
        let create = world.rds.create_blue_green_deployment().blue_green_deployment_name("upgrade");
        let create = create.source(blue.db_instance_arn().unwrap()).target_engine_version("16.9");
        create.target_db_parameter_group_name("default.postgres16")
    };
    assert_eq!(code(create().send().await), "SourceDatabaseNotSupportedFault");
    let logical = Parameter::builder().parameter_name("rds.logical_replication").parameter_value("1");
    let logical = logical.apply_method(ApplyMethod::PendingReboot).build();
    let modify = world.rds.modify_db_parameter_group().db_parameter_group_name("logical").parameters(logical);
    modify.send().await.unwrap();
    assert_eq!(code(create().send().await), "SourceDatabaseNotSupportedFault");
    world.rds.reboot_db_instance().db_instance_identifier("demo").send().await.unwrap();
    minutes(1).await;
    let made = create().send().await.unwrap().blue_green_deployment.unwrap();
    let id = made.blue_green_deployment_identifier().unwrap();
    assert_eq!(made.status(), Some("PROVISIONING"));
    let switch = || world.rds.switchover_blue_green_deployment().blue_green_deployment_identifier(id).send();
    assert_eq!(code(switch().await), "InvalidBlueGreenDeploymentStateFault");
    minutes(20).await;
    world.with(|rds, now| rds.write("demo", now, 5));
    switch().await.unwrap();
    minutes(1).await;
    let found = world.rds.describe_blue_green_deployments().blue_green_deployment_identifier(id).send();
    assert_eq!(found.await.unwrap().blue_green_deployments()[0].status(), Some("SWITCHOVER_COMPLETED"));
    let green = world.instance("demo").await;
    assert_eq!(green.engine_version(), Some("16.9"));
    assert_eq!(green.endpoint().unwrap().address(), blue.endpoint().unwrap().address());
    assert_ne!(green.dbi_resource_id(), blue.dbi_resource_id());
    assert_eq!(world.with(|rds, _| rds.read("demo")), Some(5));
    assert_eq!(world.instance("demo-old1").await.dbi_resource_id(), blue.dbi_resource_id());
    let delete = world.rds.delete_blue_green_deployment().blue_green_deployment_identifier(id);
    let with_target = delete.clone().delete_target(true);
    assert_eq!(code(with_target.send().await), "InvalidBlueGreenDeploymentStateFault");
    delete.send().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn announced_maintenance_waits_for_an_opt_in() {
    let world = World::new();
    world.create("demo").engine_version("16.3").send().await.unwrap();
    minutes(8).await;
    world.with(|rds, _| rds.announce("demo", "db-upgrade", "Minor version", None));
    hours(8 * 24).await;
    assert_eq!(world.instance("demo").await.engine_version(), Some("16.3"));
    let pending = world.rds.describe_pending_maintenance_actions().send().await.unwrap();
    let details = pending.pending_maintenance_actions()[0].pending_maintenance_action_details();
    assert_eq!(details[0].action(), Some("db-upgrade"));
    let arn = world.instance("demo").await.db_instance_arn.unwrap();
    let apply =
        world.rds.apply_pending_maintenance_action().resource_identifier(arn).apply_action("db-upgrade");
    apply.opt_in_type("next-maintenance").send().await.unwrap();
    hours(8 * 24).await;
    assert_eq!(world.instance("demo").await.engine_version(), Some("16.9"));
}

#[tokio::test(start_paused = true)]
async fn versions_and_classes_are_listed() {
    let world = World::new();
    let versions = world.rds.describe_db_engine_versions().engine("postgres").engine_version("15.7");
    let versions = versions.send().await.unwrap();
    let version = &versions.db_engine_versions()[0];
    let major =
        version.valid_upgrade_target().iter().any(|target| target.is_major_version_upgrade() == Some(true));
    assert!(major && version.db_parameter_group_family() == Some("postgres15"));
    let options = world.rds.describe_orderable_db_instance_options().engine("aurora-postgresql");
    let options = options.db_instance_class("db.serverless").send().await.unwrap();
    assert!(!options.orderable_db_instance_options().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_operation_can_be_throttled() {
    let world = World::new();
    world.with(|rds, now| rds.throttle("DescribeDBInstances", now, 1.0, 2.0));
    let once = aws_sdk_rds::config::Builder::from(&world.cloud.sdk_config(crate::support::REGION));
    let once = once.retry_config(aws_sdk_rds::config::retry::RetryConfig::disabled()).build();
    let client = aws_sdk_rds::Client::from_conf(once);
    let describe = || client.describe_db_instances().send();
    describe().await.unwrap();
    describe().await.unwrap();
    assert_eq!(code(describe().await), "Throttling");
    seconds(1).await;
    describe().await.unwrap();
    assert_eq!(code(describe().await), "Throttling");
}

#[tokio::test(start_paused = true)]
async fn describes_can_lag() {
    let world = World::new();
    world.with(|rds, now| rds.answer_stale(now, SignedDuration::from_secs(60)));
    seconds(1).await;
    world.create("demo").send().await.unwrap();
    let describe = || world.rds.describe_db_instances().db_instance_identifier("demo").send();
    seconds(59).await;
    assert_eq!(code(describe().await), "DBInstanceNotFound");
    assert_eq!(code(world.create("demo").send().await), "DBInstanceAlreadyExists");
    seconds(1).await;
    assert_eq!(world.status("demo").await, "creating");
    minutes(4).await;
    assert_eq!(world.status("demo").await, "creating");
    minutes(1).await;
    assert_eq!(world.status("demo").await, "backing-up");
}
