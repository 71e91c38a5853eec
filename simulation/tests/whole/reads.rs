//! AWS takes few calls a second of what describes buckets: how many a platform costs.

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
