//! AWS and the API server take so many requests a second: how many a platform costs.

use crate::world::World;
use simulation::aws::fault::{Effect, Fault, Injection};

/// Its two buckets once they are made; whom one of them tells of uploads, which is set last, is read alone.
const READS: (usize, usize) = (2, 4);

#[tokio::test(start_paused = true)]
async fn of_what_is_there_only_what_was_changed_is_read_again() {
    let world = World::new(None);
    world.apply("{aws: {region: eu-central-1}, transcoding: {}}");
    world.settled().await;
    assert_eq!(
        (world.asked("s3:GetBucketVersioning"), world.asked("s3:GetBucketNotificationConfiguration")),
        READS
    );
}

/// The bucket may be gone: then all of it is looked at. What fails is the last read, that of the notifications alone.
#[tokio::test(start_paused = true)]
async fn where_notifications_cannot_be_read_the_whole_bucket_is() {
    let world = World::new(None);
    let (action, after) = ("s3:GetBucketNotificationConfiguration".to_owned(), 3);
    let effect = Effect::Answer(Fault::not_found("NoSuchBucket", "The specified bucket does not exist"));
    world.cloud.inject(Injection { action, after, times: 1, effect });
    world.apply("{aws: {region: eu-central-1}, transcoding: {}}");
    world.settled().await;
    assert_eq!(world.asked("s3:GetBucketVersioning"), READS.0 + 1);
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

/// One when nothing is left that a reconcile can do, one when messages are received, one when all pods are available.
const STATUSES: usize = 3;
/// What was applied, and that it is on its way, and Ready.
const EVENTS: usize = 3;

#[tokio::test(start_paused = true)]
async fn while_a_platform_is_made_its_status_is_written_three_times() {
    let world = World::new(None);
    world.apply(
        "{aws: {region: eu-central-1}, frontend: {image: 'f:1'}, backend: {image: 'b:1'}, worker: {image: 'w:1'},
        transcoding: {}}",
    );
    world.settled().await;
    let requests = world.requests();
    let count = |what: &str| requests.iter().filter(|request| request.contains(what)).count();
    assert_eq!(
        (count("streamingplatforms/tv/status"), count("/events")),
        (STATUSES, EVENTS),
        "{requests:#?}"
    );
    let applied = world.events("Applied");
    assert!(applied.contains("Deployment/tv-backend") && applied.contains("Service/tv-backend"), "{applied}");
}

/// A reconcile goes on only with the spec that it began with.
#[tokio::test(start_paused = true)]
async fn what_is_deleted_while_it_is_made_is_made_no_further() {
    let world = World::new(None);
    let cluster = world.cluster.clone();
    let mut deleted = false;
    world.cloud.set_fault(move |_, action| {
        if action == "s3:CreateBucket" && !std::mem::replace(&mut deleted, true) {
            World::delete_in(&cluster);
        }
        None
    });
    world.apply("{aws: {region: eu-central-1}, transcoding: {}}");
    world.until("gone", |world| world.resource().is_none()).await;
    assert_eq!(world.asked("s3:PutBucketNotificationConfiguration"), 0);
}
