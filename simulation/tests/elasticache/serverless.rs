//! Serverless caches.

use crate::setup::{World, code, minutes};
use aws_sdk_elasticache::types::{CacheUsageLimits, DataStorage, DataStorageUnit, ServerlessCache};

async fn cache(world: &World, name: &str) -> ServerlessCache {
    let call = world.client.describe_serverless_caches().serverless_cache_name(name);
    call.send().await.unwrap().serverless_caches()[0].clone()
}

fn at_most(gigabytes: i32) -> CacheUsageLimits {
    let storage = DataStorage::builder().maximum(gigabytes).unit(DataStorageUnit::Gb).build();
    CacheUsageLimits::builder().data_storage(storage).build()
}

#[tokio::test(start_paused = true)]
async fn a_life_with_a_final_snapshot_and_a_restore() {
    let world = World::new();
    let create = |name: &str| {
        let call = world.client.create_serverless_cache().serverless_cache_name(name);
        call.engine("valkey").cache_usage_limits(at_most(10))
    };
    create("cache").send().await.unwrap();
    assert_eq!(code(create("cache").send().await), "ServerlessCacheAlreadyExistsFault");
    assert!(cache(&world, "cache").await.endpoint().is_none());
    let modify = || world.client.modify_serverless_cache().serverless_cache_name("cache");
    assert_eq!(code(modify().description("x").send().await), "InvalidServerlessCacheStateFault");
    minutes(2).await;
    assert_eq!(cache(&world, "cache").await.status(), Some("available"));
    assert!(cache(&world, "cache").await.endpoint().is_some());
    assert_eq!(code(modify().cache_usage_limits(at_most(9999)).send().await), "InvalidParameterValue");
    modify().cache_usage_limits(at_most(20)).send().await.unwrap();
    minutes(1).await;
    let limits = cache(&world, "cache").await.cache_usage_limits().unwrap().clone();
    assert_eq!(limits.data_storage().unwrap().maximum(), Some(20));

    world.state(|state, _| state.write("cache", "kept")).unwrap();
    let delete = || world.client.delete_serverless_cache().serverless_cache_name("cache");
    delete().final_snapshot_name("last").send().await.unwrap();
    minutes(6).await;
    assert_eq!(code(delete().send().await), "ServerlessCacheNotFoundFault");
    let snapshots = world.client.describe_serverless_cache_snapshots().send().await.unwrap();
    let snapshot = &snapshots.serverless_cache_snapshots()[0];
    assert_eq!(snapshot.status(), Some("available"));
    create("restored").snapshot_arns_to_restore(snapshot.arn().unwrap()).send().await.unwrap();
    let value = world.state(|state, _| state.serverless["restored"].value.clone());
    assert_eq!(value.as_deref(), Some("kept"));
}

#[tokio::test(start_paused = true)]
async fn the_day_has_its_snapshot_for_as_long_as_told() {
    let world = World::new();
    let create = world.client.create_serverless_cache().serverless_cache_name("cache").engine("valkey");
    create.snapshot_retention_limit(1).daily_snapshot_time("04:00").send().await.unwrap();
    minutes(2 * 24 * 60).await;
    let found = world.client.describe_serverless_cache_snapshots().send().await.unwrap();
    let [snapshot] = found.serverless_cache_snapshots() else { panic!("{found:?}") };
    assert_eq!(snapshot.serverless_cache_snapshot_name(), Some("automatic.cache-2027-01-02-04-00"));
    assert_eq!(snapshot.snapshot_type(), Some("automated"));
}

#[tokio::test(start_paused = true)]
async fn listings_come_in_pages() {
    let world = World::new();
    for index in 0..5 {
        let call = world.client.create_serverless_cache().serverless_cache_name(format!("cache-{index}"));
        call.engine("valkey").send().await.unwrap();
    }
    let mut pages = world.client.describe_serverless_caches().max_results(2).into_paginator().send();
    let mut sizes = Vec::new();
    while let Some(page) = pages.next().await {
        sizes.push(page.unwrap().serverless_caches().len());
    }
    assert_eq!(sizes, [2, 2, 1]);
}
