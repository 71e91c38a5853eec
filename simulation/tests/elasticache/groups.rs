//! Parameter groups and subnet groups.

use crate::setup::{World, code, minutes};
use aws_sdk_elasticache::types::ParameterNameValue;

fn parameter(name: &str, value: &str) -> ParameterNameValue {
    ParameterNameValue::builder().parameter_name(name).parameter_value(value).build()
}

async fn create_group(world: &World, name: &str, family: &str) {
    let call = world.client.create_cache_parameter_group().cache_parameter_group_name(name);
    call.cache_parameter_group_family(family).description("mine").send().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn parameters_are_set_and_reset() {
    let world = World::new();
    create_group(&world, "mine", "redis7").await;
    let modify = |name: &str, value: &str| {
        let call = world.client.modify_cache_parameter_group().cache_parameter_group_name("mine");
        call.parameter_name_values(parameter(name, value)).send()
    };
    assert_eq!(code(modify("maxmemory-policy", "allkeys").await), "InvalidParameterValue");
    assert_eq!(code(modify("timeout", "-1").await), "InvalidParameterValue");
    assert_eq!(code(modify("maxmemory", "1").await), "InvalidParameterValue");
    assert_eq!(code(modify("no-such", "1").await), "InvalidParameterValue");
    modify("maxmemory-policy", "allkeys-lru").await.unwrap();
    modify("slowlog-log-slower-than", "-1").await.unwrap();
    let user = || world.client.describe_cache_parameters().cache_parameter_group_name("mine").source("user");
    let found = user().send().await.unwrap();
    let values: Vec<_> = found
        .parameters()
        .iter()
        .map(|found| (found.parameter_name().unwrap(), found.parameter_value().unwrap()))
        .collect();
    assert_eq!(values, [("maxmemory-policy", "allkeys-lru"), ("slowlog-log-slower-than", "-1")]);
    let reset = world.client.reset_cache_parameter_group().cache_parameter_group_name("mine");
    reset.parameter_name_values(parameter("maxmemory-policy", "")).send().await.unwrap();
    assert_eq!(user().send().await.unwrap().parameters().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_parameter_group_fits_its_engine_and_stays_while_used() {
    let world = World::new();
    create_group(&world, "seven", "redis7").await;
    create_group(&world, "eight", "valkey8").await;
    world.create("cache").cache_parameter_group_name("seven").send().await.unwrap();
    minutes(8).await;
    let delete = |name| world.client.delete_cache_parameter_group().cache_parameter_group_name(name).send();
    assert_eq!(code(delete("seven").await), "InvalidCacheParameterGroupState");
    assert_eq!(code(delete("default.redis7").await), "InvalidCacheParameterGroupState");
    assert_eq!(code(delete("nine").await), "CacheParameterGroupNotFound");
    let upgrade = || {
        let call = world.client.modify_replication_group().replication_group_id("cache");
        call.engine("valkey").engine_version("8.0").apply_immediately(true)
    };
    assert_eq!(code(upgrade().send().await), "InvalidParameterCombination");
    upgrade().cache_parameter_group_name("eight").send().await.unwrap();
    minutes(15).await;
    let group = world.clusters().await[0].cache_parameter_group().unwrap().clone();
    assert_eq!(group.cache_parameter_group_name(), Some("eight"));
    delete("seven").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn subnet_groups_stay_while_used() {
    let world = World::new();
    let create = || {
        let call = world.client.create_cache_subnet_group().cache_subnet_group_name("mine");
        call.cache_subnet_group_description("mine")
    };
    assert_eq!(code(create().subnet_ids("vpc-1").send().await), "InvalidSubnet");
    create().subnet_ids("subnet-1").subnet_ids("subnet-2").send().await.unwrap();
    assert_eq!(code(create().subnet_ids("subnet-1").send().await), "CacheSubnetGroupAlreadyExists");
    world.create("cache").cache_subnet_group_name("mine").send().await.unwrap();
    let modify = || world.client.modify_cache_subnet_group().cache_subnet_group_name("mine");
    assert_eq!(code(modify().subnet_ids("subnet-1").send().await), "SubnetInUse");
    let delete = || world.client.delete_cache_subnet_group().cache_subnet_group_name("mine").send();
    assert_eq!(code(delete().await), "CacheSubnetGroupInUse");
    minutes(8).await;
    world.client.delete_replication_group().replication_group_id("cache").send().await.unwrap();
    minutes(5).await;
    modify().subnet_ids("subnet-1").send().await.unwrap();
    let groups = world.client.describe_cache_subnet_groups().send().await.unwrap();
    let names: Vec<_> =
        groups.cache_subnet_groups().iter().map(|group| group.cache_subnet_group_name().unwrap()).collect();
    assert_eq!(names, ["default", "mine"]);
    assert_eq!(groups.cache_subnet_groups()[1].subnets().len(), 1);
    delete().await.unwrap();
    assert_eq!(code(delete().await), "CacheSubnetGroupNotFoundFault");
}
