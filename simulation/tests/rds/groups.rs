//! Parameter groups, subnet groups and tags.

use crate::support::{World, code, minutes, seconds};
use aws_sdk_rds::types::{ApplyMethod, Parameter, Tag};

fn parameter(name: &str, value: &str, method: ApplyMethod) -> Parameter {
    Parameter::builder().parameter_name(name).parameter_value(value).apply_method(method).build()
}

#[tokio::test(start_paused = true)]
async fn dynamic_parameters_are_applied_and_static_ones_wait_for_a_reboot() {
    let world = World::new();
    let create = world.rds.create_db_parameter_group().db_parameter_group_name("tuned").description("tuned");
    let wrong = create.clone().db_parameter_group_family("postgres9");
    assert_eq!(code(wrong.send().await), "InvalidParameterValue");
    create.db_parameter_group_family("postgres16").send().await.unwrap();
    world.create("demo").db_parameter_group_name("tuned").send().await.unwrap();
    minutes(8).await;
    let modify = |parameter| {
        world.rds.modify_db_parameter_group().db_parameter_group_name("tuned").parameters(parameter)
    };
    let state = async || {
        let instance = world.instance("demo").await;
        instance.db_parameter_groups()[0].parameter_apply_status().unwrap().to_owned()
    };
    modify(parameter("work_mem", "8192", ApplyMethod::Immediate)).send().await.unwrap();
    assert_eq!(state().await, "applying");
    seconds(30).await;
    assert_eq!(state().await, "in-sync");
    let at_once = modify(parameter("max_connections", "200", ApplyMethod::Immediate));
    assert_eq!(code(at_once.send().await), "InvalidParameterCombination");
    let low = modify(parameter("max_connections", "2", ApplyMethod::PendingReboot));
    assert_eq!(code(low.send().await), "InvalidParameterValue");
    modify(parameter("max_connections", "200", ApplyMethod::PendingReboot)).send().await.unwrap();
    assert_eq!(state().await, "pending-reboot");
    world.rds.reboot_db_instance().db_instance_identifier("demo").send().await.unwrap();
    assert_eq!(world.status("demo").await, "rebooting");
    seconds(30).await;
    assert_eq!(state().await, "in-sync");
    let delete = world.rds.delete_db_parameter_group().db_parameter_group_name("tuned");
    assert_eq!(code(delete.send().await), "InvalidDBParameterGroupState");
    let mine = world.rds.describe_db_parameters().db_parameter_group_name("tuned").source("user");
    assert_eq!(mine.send().await.unwrap().parameters().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_subnet_group_covers_two_zones() {
    let world = World::new();
    let create = || {
        let create = world.rds.create_db_subnet_group().db_subnet_group_name("Private");
        create.db_subnet_group_description("private").subnet_ids("subnet-default-a")
    };
    assert_eq!(code(create().send().await), "DBSubnetGroupDoesNotCoverEnoughAZs");
    assert_eq!(code(create().subnet_ids("subnet-none").send().await), "InvalidSubnet");
    create().subnet_ids("subnet-default-b").send().await.unwrap();
    assert_eq!(code(create().subnet_ids("subnet-default-b").send().await), "DBSubnetGroupAlreadyExists");
    world.create("demo").db_subnet_group_name("private").send().await.unwrap();
    let delete = world.rds.delete_db_subnet_group().db_subnet_group_name("private");
    assert_eq!(code(delete.send().await), "InvalidDBSubnetGroupStateFault");
    let instance = world.instance("demo").await;
    assert_eq!(instance.db_subnet_group().unwrap().subnets().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn tags_are_kept_by_arn() {
    let world = World::new();
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
    world.create("demo").tags(tag("team", "media")).send().await.unwrap();
    let arn = world.instance("demo").await.db_instance_arn.unwrap();
    world.rds.add_tags_to_resource().resource_name(&arn).tags(tag("size", "S")).send().await.unwrap();
    world.rds.remove_tags_from_resource().resource_name(&arn).tag_keys("team").send().await.unwrap();
    let listed = world.rds.list_tags_for_resource().resource_name(&arn).send().await.unwrap();
    assert_eq!(listed.tag_list(), [tag("size", "S")]);
    assert_eq!(world.instance("demo").await.tag_list(), [tag("size", "S")]);
    let missing = world.rds.list_tags_for_resource().resource_name(format!("{arn}x"));
    assert_eq!(code(missing.send().await), "DBInstanceNotFound");
}
