//! Service updates, events, engine versions, node types.

use crate::setup::{World, code, minutes};
use aws_sdk_elasticache::types::{SourceType, UpdateActionStatus};

#[tokio::test(start_paused = true)]
async fn a_service_update_is_applied_by_a_call() {
    let world = World::new();
    world.create("cache").send().await.unwrap();
    minutes(8).await;
    world.state(|cache, now| cache.offer_service_update("security", now));
    let apply = |name: &str| {
        let call = world.client.batch_apply_update_action().service_update_name(name);
        call.replication_group_ids("cache").replication_group_ids("other").send()
    };
    let status = async || {
        let found = world.client.describe_update_actions().send().await.unwrap();
        found.update_actions()[0].update_action_status().unwrap().clone()
    };
    assert_eq!(status().await, UpdateActionStatus::NotApplied);
    assert_eq!(code(apply("none").await), "ServiceUpdateNotFoundFault");
    let answer = apply("security").await.unwrap();
    assert_eq!(answer.processed_update_actions()[0].replication_group_id(), Some("cache"));
    assert_eq!(answer.unprocessed_update_actions()[0].error_type(), Some("ReplicationGroupNotFoundFault"));
    assert_eq!(status().await, UpdateActionStatus::InProgress);
    assert_eq!(world.group("cache").await.status(), Some("modifying"));
    minutes(15).await;
    assert_eq!(status().await, UpdateActionStatus::Complete);
}

#[tokio::test(start_paused = true)]
async fn events_tell_what_happened() {
    let world = World::new();
    world.create("cache").send().await.unwrap();
    minutes(8).await;
    let failover = world.client.test_failover().replication_group_id("cache").node_group_id("0001");
    failover.send().await.unwrap();
    minutes(2).await;
    let describe = || {
        let call = world.client.describe_events().source_identifier("cache");
        call.source_type(SourceType::ReplicationGroup)
    };
    let found = describe().send().await.unwrap();
    let messages: Vec<_> = found.events().iter().map(|event| event.message().unwrap()).collect();
    assert_eq!(
        messages,
        [
            "Replication group cache created",
            "Failover of node group 0001 in cache started",
            "Failover of node group 0001 in cache completed",
        ]
    );
    let recent = describe().duration(1).send().await.unwrap();
    assert_eq!(recent.events().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn versions_and_node_types_are_listed() {
    let world = World::new();
    let valkey = world.client.describe_cache_engine_versions().engine("valkey").send().await.unwrap();
    let versions: Vec<_> =
        valkey.cache_engine_versions().iter().map(|found| found.engine_version().unwrap()).collect();
    assert_eq!(versions, ["7.2.6", "8.0.1", "8.1.0"]);
    world.create("cache").cache_node_type("cache.t4g.small").send().await.unwrap();
    let list = world.client.list_allowed_node_type_modifications().replication_group_id("cache");
    let allowed = list.send().await.unwrap();
    assert_eq!(allowed.scale_down_modifications(), ["cache.t3.micro", "cache.t4g.micro"]);
    assert!(allowed.scale_up_modifications().contains(&"cache.m7g.large".to_owned()));
    assert!(!allowed.scale_up_modifications().contains(&"cache.r6gd.xlarge".to_owned()));
}
