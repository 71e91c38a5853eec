//! Throttled and stale answers.

use crate::setup::{World, code, minutes};
use jiff::SignedDuration;
use simulation::aws::elasticache::answers::Throttle;

#[tokio::test(start_paused = true)]
async fn a_bucket_for_each_operation_refills() {
    let world = World::new();
    world.state(|cache, _| cache.throttle = Some(Throttle::new(2, SignedDuration::from_secs(60))));
    let describe = || world.client.describe_replication_groups().send();
    describe().await.unwrap();
    describe().await.unwrap();
    assert_eq!(code(describe().await), "Throttling");
    world.client.describe_snapshots().send().await.unwrap();
    minutes(1).await;
    describe().await.unwrap();
    assert_eq!(code(describe().await), "Throttling");
}

#[tokio::test(start_paused = true)]
async fn describes_may_be_out_of_date() {
    let world = World::new();
    world.state(|cache, now| cache.describe_the_past(SignedDuration::from_mins(2), now));
    world.create("cache").send().await.unwrap();
    let describe = || world.client.describe_replication_groups().replication_group_id("cache").send();
    assert_eq!(code(describe().await), "ReplicationGroupNotFoundFault");
    assert_eq!(code(world.create("cache").send().await), "ReplicationGroupAlreadyExists");
    minutes(2).await;
    assert_eq!(world.group("cache").await.status(), Some("creating"));
    minutes(7).await;
    assert_eq!(world.group("cache").await.status(), Some("creating"));
    minutes(1).await;
    assert_eq!(world.group("cache").await.status(), Some("available"));
    let modify = world.client.modify_replication_group().replication_group_id("cache");
    modify.replication_group_description("changed").send().await.unwrap();
    assert_eq!(world.group("cache").await.description(), Some("a cache"));
    minutes(2).await;
    assert_eq!(world.group("cache").await.description(), Some("changed"));
}
