//! Snapshots and restores, and what is in them.

use crate::support::{World, code, hours, minutes};

#[tokio::test(start_paused = true)]
async fn a_restored_snapshot_holds_what_was_written_by_then() {
    let world = World::new();
    world.available("demo").await;
    assert!(world.with(|rds, now| rds.write("demo", now, 1)));
    let create = world.rds.create_db_snapshot().db_instance_identifier("demo").db_snapshot_identifier("kept");
    create.clone().send().await.unwrap();
    assert_eq!(world.status("demo").await, "backing-up");
    assert!(world.with(|rds, now| rds.write("demo", now, 2)));
    let restore = || {
        let restore = world.rds.restore_db_instance_from_db_snapshot().db_instance_identifier("copy");
        restore.db_snapshot_identifier("kept")
    };
    assert_eq!(code(restore().send().await), "InvalidDBSnapshotState");
    minutes(2).await;
    assert_eq!(code(create.send().await), "DBSnapshotAlreadyExists");
    restore().send().await.unwrap();
    minutes(8).await;
    let copy = world.instance("copy").await;
    assert_eq!(copy.db_instance_status(), Some("available"));
    assert_eq!(copy.allocated_storage(), Some(100));
    assert_eq!(world.with(|rds, _| rds.read("copy")), Some(1));
    assert_eq!(world.with(|rds, _| rds.read("demo")), Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_point_in_time_is_within_bounds() {
    let world = World::new();
    world.available("demo").await;
    world.with(|rds, now| rds.write("demo", now, 1));
    minutes(30).await;
    let between = world.cloud.clock().now().as_second();
    minutes(30).await;
    world.with(|rds, now| rds.write("demo", now, 2));
    let restore = |second: i64| {
        world
            .rds
            .restore_db_instance_to_point_in_time()
            .source_db_instance_identifier("demo")
            .target_db_instance_identifier("copy")
            .restore_time(aws_smithy_types::DateTime::from_secs(second))
    };
    let now = world.cloud.clock().now().as_second();
    assert_eq!(code(restore(now - 60).send().await), "InvalidParameterValue");
    assert_eq!(code(restore(now - 24 * 3600).send().await), "InvalidParameterValue");
    restore(between).send().await.unwrap();
    assert_eq!(world.with(|rds, _| rds.read("copy")), Some(1));
}

#[tokio::test(start_paused = true)]
async fn without_retention_there_is_no_point_in_time() {
    let world = World::new();
    world.create("demo").backup_retention_period(0).send().await.unwrap();
    minutes(5).await;
    assert_eq!(world.status("demo").await, "available");
    let restore = world
        .rds
        .restore_db_instance_to_point_in_time()
        .source_db_instance_identifier("demo")
        .target_db_instance_identifier("copy")
        .use_latest_restorable_time(true);
    assert_eq!(code(restore.send().await), "PointInTimeRestoreNotEnabled");
}

#[tokio::test(start_paused = true)]
async fn automated_snapshots_come_daily_and_expire() {
    let world = World::new();
    world.create("demo").backup_retention_period(3).send().await.unwrap();
    hours(10 * 24).await;
    let automated = || world.rds.describe_db_snapshots().snapshot_type("automated").send();
    let snapshots = automated().await.unwrap();
    assert_eq!(snapshots.db_snapshots().len(), 3);
    let name = snapshots.db_snapshots()[0].db_snapshot_identifier().unwrap();
    assert!(name.starts_with("rds:demo-2026-07-"), "{name}");
    let delete = world.rds.delete_db_snapshot().db_snapshot_identifier(name);
    assert_eq!(code(delete.send().await), "InvalidDBSnapshotState");
    let delete = world.rds.delete_db_instance().db_instance_identifier("demo").skip_final_snapshot(true);
    delete.send().await.unwrap();
    assert!(automated().await.unwrap().db_snapshots().is_empty());
}
