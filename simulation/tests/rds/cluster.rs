//! Aurora clusters.

use crate::support::{World, code, hours, minutes, seconds};
use aws_sdk_rds::{
    operation::create_db_cluster::builders::CreateDBClusterFluentBuilder,
    types::{DbCluster, ServerlessV2ScalingConfiguration},
};

impl World {
    fn create_cluster(&self, least: f64) -> CreateDBClusterFluentBuilder {
        let scaling =
            ServerlessV2ScalingConfiguration::builder().min_capacity(least).max_capacity(4.0).build();
        self.rds
            .create_db_cluster()
            .db_cluster_identifier("demo")
            .engine("aurora-postgresql")
            .engine_version("16.4")
            .master_username("media")
            .master_user_password("correct-horse")
            .serverless_v2_scaling_configuration(scaling)
    }

    async fn join(&self, name: &str, class: &str, tier: i32) {
        let create = self.rds.create_db_instance().db_instance_identifier(name).db_instance_class(class);
        let create = create.engine("aurora-postgresql").db_cluster_identifier("demo").promotion_tier(tier);
        create.send().await.unwrap();
    }

    async fn cluster(&self) -> DbCluster {
        let found = self.rds.describe_db_clusters().db_cluster_identifier("demo").send().await.unwrap();
        found.db_clusters.unwrap().remove(0)
    }

    async fn writer(&self) -> String {
        let cluster = self.cluster().await;
        let writer =
            cluster.db_cluster_members().iter().find(|member| member.is_cluster_writer() == Some(true));
        writer.unwrap().db_instance_identifier().unwrap().to_owned()
    }

    async fn running_cluster(&self) {
        self.create_cluster(0.5).send().await.unwrap();
        self.join("one", "db.serverless", 1).await;
        self.join("two", "db.r7g.large", 2).await;
        self.join("three", "db.serverless", 0).await;
        minutes(5).await;
    }
}

#[tokio::test(start_paused = true)]
async fn capacity_zero_is_for_versions_that_pause() {
    let world = World::new();
    let old = world.create_cluster(0.0).engine_version("15.5");
    assert_eq!(code(old.send().await), "InvalidParameterValue");
    assert_eq!(code(world.create_cluster(0.7).send().await), "InvalidParameterValue");
    assert_eq!(code(world.create_cluster(8.0).send().await), "InvalidParameterValue");
    world.create_cluster(0.0).send().await.unwrap();
    minutes(5).await;
    let cluster = world.cluster().await;
    assert_eq!(cluster.status(), Some("available"));
    let scaling = cluster.serverless_v2_scaling_configuration().unwrap();
    assert_eq!((scaling.min_capacity(), scaling.seconds_until_auto_pause()), (Some(0.0), Some(300)));
}

#[tokio::test(start_paused = true)]
async fn a_failover_makes_the_reader_of_the_lowest_tier_the_writer() {
    let world = World::new();
    world.running_cluster().await;
    assert_eq!(world.writer().await, "one");
    world.rds.failover_db_cluster().db_cluster_identifier("demo").send().await.unwrap();
    assert_eq!(world.cluster().await.status(), Some("failing-over"));
    assert_eq!(world.writer().await, "one");
    seconds(30).await;
    assert_eq!(world.writer().await, "three");
    let to = |name: &str| {
        let failover = world.rds.failover_db_cluster().db_cluster_identifier("demo");
        failover.target_db_instance_identifier(name).send()
    };
    assert_eq!(code(to("three").await), "InvalidDBClusterStateFault");
    to("two").await.unwrap();
    seconds(30).await;
    assert_eq!(world.writer().await, "two");
}

#[tokio::test(start_paused = true)]
async fn members_go_before_their_cluster() {
    let world = World::new();
    world.running_cluster().await;
    let delete = || world.rds.delete_db_cluster().db_cluster_identifier("demo");
    let now = delete().skip_final_snapshot(true);
    assert_eq!(code(now.send().await), "InvalidDBClusterStateFault");
    for name in ["one", "two", "three"] {
        world.rds.delete_db_instance().db_instance_identifier(name).send().await.unwrap();
    }
    assert_eq!(code(delete().send().await), "InvalidParameterCombination");
    delete().final_db_snapshot_identifier("last").send().await.unwrap();
    minutes(10).await;
    let describe = world.rds.describe_db_clusters().db_cluster_identifier("demo");
    assert_eq!(code(describe.send().await), "DBClusterNotFoundFault");
    let snapshots = world.rds.describe_db_cluster_snapshots().send().await.unwrap();
    assert_eq!(snapshots.db_cluster_snapshots().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_restored_cluster_holds_what_was_written_by_then() {
    let world = World::new();
    world.running_cluster().await;
    world.with(|rds, now| rds.write("one", now, 7));
    minutes(10).await;
    world.with(|rds, now| rds.write("one", now, 8));
    let restore = world.rds.restore_db_cluster_to_point_in_time().db_cluster_identifier("copy");
    let restore = restore.source_db_cluster_identifier("demo").use_latest_restorable_time(true);
    restore.send().await.unwrap();
    let found = world.with(|rds, _| rds.clusters["copy"].data.value());
    assert_eq!(found, Some(7));
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_and_a_stop_are_the_members_too() {
    let world = World::new();
    world.running_cluster().await;
    let modify = world.rds.modify_db_cluster().db_cluster_identifier("demo").engine_version("16.9");
    modify.clone().send().await.unwrap();
    assert_eq!(world.cluster().await.pending_modified_values().unwrap().engine_version(), Some("16.9"));
    modify.apply_immediately(true).send().await.unwrap();
    seconds(10).await;
    assert_eq!(world.cluster().await.status(), Some("upgrading"));
    assert_eq!(world.status("two").await, "upgrading");
    minutes(10).await;
    assert_eq!(world.cluster().await.engine_version(), Some("16.9"));
    assert_eq!(world.instance("two").await.engine_version(), Some("16.9"));
    world.rds.stop_db_cluster().db_cluster_identifier("demo").send().await.unwrap();
    minutes(3).await;
    assert_eq!(world.cluster().await.status(), Some("stopped"));
    assert_eq!(world.status("one").await, "stopped");
    hours(7 * 24).await;
    minutes(5).await;
    assert_eq!(world.cluster().await.status(), Some("available"));
    assert_eq!(world.status("one").await, "available");
}
