//! Snapshots, and that a restore brings the data back.

use crate::setup::{World, code, minutes};
use aws_sdk_elasticache::types::Snapshot;

async fn snapshots(world: &World) -> Vec<Snapshot> {
    world.client.describe_snapshots().send().await.unwrap().snapshots().to_vec()
}

#[tokio::test(start_paused = true)]
async fn a_restore_has_the_data_of_the_moment() {
    let world = World::new();
    world.create("cache").send().await.unwrap();
    minutes(8).await;
    let write = |value: &str| world.state(|cache, _| cache.write("cache", value)).unwrap();
    write("before");
    let take = |name| {
        let call = world.client.create_snapshot().replication_group_id("cache");
        call.snapshot_name(name).send()
    };
    take("first").await.unwrap();
    write("after");
    assert_eq!(world.group("cache").await.status(), Some("snapshotting"));
    assert_eq!(code(take("second").await), "InvalidReplicationGroupState");
    let restore = || world.create("restored").snapshot_name("first");
    assert_eq!(code(restore().send().await), "InvalidSnapshotState");
    minutes(5).await;
    assert_eq!(snapshots(&world).await[0].snapshot_status(), Some("available"));
    assert_eq!(code(take("first").await), "SnapshotAlreadyExistsFault");
    assert_eq!(code(world.create("other").snapshot_name("none").send().await), "SnapshotNotFoundFault");
    assert_eq!(code(restore().engine_version("7.0").send().await), "InvalidParameterCombination");

    restore().send().await.unwrap();
    minutes(11).await;
    assert_eq!(world.group("restored").await.status(), Some("creating"));
    minutes(1).await;
    assert_eq!(world.group("restored").await.status(), Some("available"));
    let value = |id: &str| world.state(|cache, _| cache.groups[id].value.clone());
    assert_eq!(value("restored").as_deref(), Some("before"));
    assert_eq!(value("cache").as_deref(), Some("after"));
}

#[tokio::test(start_paused = true)]
async fn the_final_snapshot_outlives_the_group() {
    let world = World::new();
    world.create("cache").send().await.unwrap();
    minutes(8).await;
    world.state(|cache, _| cache.write("cache", "kept")).unwrap();
    let delete = world.client.delete_replication_group().replication_group_id("cache");
    delete.final_snapshot_identifier("last").send().await.unwrap();
    assert_eq!(world.group("cache").await.status(), Some("deleting"));
    minutes(9).await;
    assert_eq!(world.group("cache").await.status(), Some("deleting"));
    minutes(1).await;
    assert!(world.state(|cache, _| cache.groups.is_empty()));
    assert_eq!(snapshots(&world).await[0].snapshot_name(), Some("last"));
    assert_eq!(world.state(|cache, _| cache.snapshots["last"].config.value.clone()).as_deref(), Some("kept"));
    let delete = || world.client.delete_snapshot().snapshot_name("last");
    delete().send().await.unwrap();
    assert_eq!(code(delete().send().await), "InvalidSnapshotState");
    minutes(1).await;
    assert_eq!(code(delete().send().await), "SnapshotNotFoundFault");
}

#[tokio::test(start_paused = true)]
async fn the_window_makes_one_a_day_and_keeps_as_many_as_told() {
    let world = World::new();
    world.create("cache").snapshot_retention_limit(2).send().await.unwrap();
    minutes(3 * 60).await;
    assert_eq!(world.group("cache").await.status(), Some("snapshotting"));
    minutes(5).await;
    let names = |snapshots: Vec<Snapshot>| -> Vec<String> {
        snapshots.iter().map(|snapshot| snapshot.snapshot_name().unwrap().to_owned()).collect()
    };
    assert_eq!(names(snapshots(&world).await), ["automatic.cache-2027-01-01-03-00"]);
    // Another window in between makes no second chain of snapshots.
    for window in ["06:00-07:00", "03:00-04:00"] {
        let modify = world.client.modify_replication_group().replication_group_id("cache");
        modify.snapshot_window(window).send().await.unwrap();
    }
    minutes(4 * 24 * 60).await;
    assert_eq!(
        names(snapshots(&world).await),
        ["automatic.cache-2027-01-04-03-00", "automatic.cache-2027-01-05-03-00"]
    );
    let manual = world.client.describe_snapshots().snapshot_source("user").send().await.unwrap();
    assert!(manual.snapshots().is_empty());
    world.client.delete_replication_group().replication_group_id("cache").send().await.unwrap();
    minutes(5).await;
    assert!(snapshots(&world).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_a_manual_snapshot() {
    let world = World::new();
    world.create("cache").snapshot_retention_limit(1).send().await.unwrap();
    minutes(3 * 60 + 5).await;
    let copy = world.client.copy_snapshot().source_snapshot_name("automatic.cache-2027-01-01-03-00");
    copy.target_snapshot_name("copy").send().await.unwrap();
    minutes(5).await;
    let found = world.client.describe_snapshots().snapshot_source("user").send().await.unwrap();
    assert_eq!(found.snapshots()[0].snapshot_name(), Some("copy"));
    assert_eq!(found.snapshots()[0].snapshot_status(), Some("available"));
}
