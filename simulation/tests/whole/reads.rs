//! AWS takes few calls a second: how many a platform costs.

use crate::world::World;

/// Its two buckets once they are made, and the one that uploads are announced to once more.
const READS: usize = 3;

#[tokio::test(start_paused = true)]
async fn of_what_is_there_only_what_was_changed_is_read_again() {
    let world = World::new(None);
    world.apply("{aws: {region: eu-central-1}, transcoding: {}}");
    world.settled().await;
    assert_eq!(world.asked("s3:GetBucketVersioning"), READS);
}

/// Most calls for a deletion that takes a quarter of an hour, most of which waits for two final snapshots.
const DELETION: usize = 700;

#[tokio::test(start_paused = true)]
async fn a_deletion_that_waits_asks_seldom() {
    let world = World::new(None);
    world.apply(
        "{aws: {region: eu-central-1}, backend: {image: 'b:1'}, database: {provider: AWS}, cache: {provider: AWS},
        transcoding: {}}",
    );
    world.settled().await;
    let before = world.cloud.calls().len();
    world.delete();
    world.until("gone", |world| world.resource().is_none()).await;
    let calls = world.cloud.calls().len() - before;
    assert!(calls <= DELETION, "{calls} calls of AWS");
}
