//! Progress, housekeeping, and the lock that gives them to one replica.

use crate::harness::{World, at, event};
use catalog::{Catalog, State, Storage, Upload, Video, video::About};
use contract::Outcome::{Retrying, Running, Succeeded};
use jiff::{SignedDuration, Timestamp};
use service_common::testing::until;
use std::time::Duration;
use uuid::Uuid;
use worker::{
    housekeeping::{Round, round},
    outcomes::Handled,
    progress::Follower,
};

const DEADLINE: Duration = Duration::from_secs(5);

fn follower(world: &World) -> Follower {
    Follower::new(world.catalog.clone(), world.storage.clone(), world.s3.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_moves_the_running_attempt_and_tells_listeners() {
    let world = World::new().await;
    let follower = follower(&world);
    let (source, identity) = world.put_source("clip.mp4").await;
    world.consumer().handle(&event(&source, 1, Running, 1), at(1)).await.unwrap();
    let percent = async || world.only_video().await.latest().unwrap().percent;
    assert_eq!(follower.round(at(2)).await.unwrap(), 0);
    world.put_progress(&identity, 1, 40).await;
    let mut listener = world.catalog.listen(DEADLINE).await.unwrap();
    assert_eq!(follower.round(at(3)).await.unwrap(), 1);
    let told = tokio::time::timeout(DEADLINE, listener.next()).await.unwrap().unwrap();
    assert_eq!(told, Some(world.only_video().await.id));
    assert_eq!((follower.round(at(4)).await.unwrap(), percent().await), (0, 40));

    // Another attempt begins at 0, whatever the file of the last one says.
    world.consumer().handle(&event(&source, 1, Retrying, 5), at(5)).await.unwrap();
    world.put_progress(&identity, 1, 90).await;
    world.consumer().handle(&event(&source, 2, Running, 6), at(6)).await.unwrap();
    assert_eq!((follower.round(at(7)).await.unwrap(), percent().await), (0, 0));
    world.put_progress(&identity, 2, 10).await;
    assert_eq!((follower.round(at(8)).await.unwrap(), percent().await), (1, 10));

    world.put_output(&identity, "progress.json", b"{".to_vec()).await;
    assert_eq!(follower.round(at(9)).await.unwrap(), 0);
}

async fn begin_upload(world: &World, key: &str, expires_at: Timestamp) -> Video {
    let begun = world.s3.create_multipart_upload().bucket(&world.storage.input_bucket).key(key);
    let id = begun.send().await.unwrap().upload_id().unwrap().to_owned();
    let upload = Upload { id, part_size: 8 << 20, expires_at };
    let bucket = world.storage.input_bucket.clone();
    let source = contract::job::Source { bucket, key: key.into(), version_id: None };
    let about = About::from_key(key, 3, "video/mp4".into());
    let video = Video::uploading(Uuid::now_v7(), about, source, upload, at(0));
    assert!(world.catalog.insert(&video).await.unwrap());
    video
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_take_too_long_are_given_up() {
    let world = World::new().await;
    begin_upload(&world, "late.mp4", at(10)).await;
    let fresh = begin_upload(&world, "fresh.mp4", at(100)).await;
    let keep = async |now| round(&world.catalog, &world.storage, &world.s3, now).await.unwrap();
    assert_eq!(keep(at(10)).await, Round::default());
    assert_eq!(keep(at(11)).await, Round { expired: 1, erased: 1, ..Round::default() });
    assert_eq!(world.only_video().await.id, fresh.id);
    let open = world.s3.list_multipart_uploads().bucket(&world.storage.input_bucket).send().await.unwrap();
    assert_eq!(open.uploads().len(), 1);
    assert_eq!(keep(at(12)).await, Round::default());
    let later = at(12) + SignedDuration::from_hours(15 * 24);
    assert_eq!(keep(later).await, Round { expired: 1, erased: 1, forgotten: 1, ..Round::default() });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_job_wrote_after_its_video_was_deleted_is_erased() {
    let world = World::new().await;
    let (source, identity) = world.put_source("clip.mp4").await;
    world.consumer().handle(&event(&source, 1, Running, 1), at(1)).await.unwrap();
    let mut edit = world.catalog.edit(world.only_video().await.id).await.unwrap().unwrap();
    edit.video.delete(at(2));
    edit.commit(at(2)).await.unwrap();
    let keep = async |now| round(&world.catalog, &world.storage, &world.s3, now).await.unwrap();
    assert_eq!(keep(at(3)).await.erased, 1);
    assert_eq!(world.sources().await, 0);

    world.put_record(&identity, &source).await;
    assert_eq!(keep(at(4)).await.erased, 0);
    world.consumer().handle(&event(&source, 1, Succeeded, 5), at(5)).await.unwrap();
    assert_eq!((keep(at(6)).await.erased, world.outputs().await), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_between_erasing_and_recording_it_keeps_the_video_to_be_erased() {
    let world = World::new().await;
    let (source, _) = world.put_source("clip.mp4").await;
    world.consumer().handle(&event(&source, 1, Running, 1), at(1)).await.unwrap();
    let mut edit = world.catalog.edit(world.only_video().await.id).await.unwrap().unwrap();
    edit.video.delete(at(2));
    let seen = edit.commit(at(2)).await.unwrap();
    world.consumer().handle(&event(&source, 1, Succeeded, 3), at(3)).await.unwrap();
    world.catalog.erased(&seen, at(4)).await.unwrap();
    let left = world.catalog.to_erase(10).await.unwrap();
    assert_eq!(left.len(), 1);
    world.catalog.erased(&left[0], at(5)).await.unwrap();
    assert!(world.catalog.to_erase(10).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_that_refuses_delays_erasing_and_nothing_else() {
    let world = World::new().await;
    begin_upload(&world, "late.mp4", at(10)).await;
    let nowhere = Storage { input_bucket: "no-such-bucket".into(), ..world.storage.clone() };
    let (source, _) = world.put_source("clip.mp4").await;
    world.consumer().handle(&event(&source, 1, Running, 1), at(1)).await.unwrap();
    let gone = Storage { output_bucket: "no-such-bucket".into(), ..nowhere };
    let mut edit =
        world.catalog.edit_work(&crate::harness::identity_of(&source), None).await.unwrap().unwrap();
    edit.video.delete(at(2));
    edit.commit(at(2)).await.unwrap();
    let done = round(&world.catalog, &gone, &world.s3, at(11)).await.unwrap();
    assert_eq!((done.expired, world.catalog.to_erase(10).await.unwrap().len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_whose_event_was_lost_is_found_in_the_output() {
    let world = World::new().await;
    let (source, identity) = world.put_source("clip.mp4").await;
    let (other, _) = world.put_source("other.mp4").await;
    for source in [&source, &other] {
        world.consumer().handle(&event(source, 2, Running, 1), at(1)).await.unwrap();
    }
    // An attempt that finds the whole output of another is done as well.
    world.put_record_of(&identity, &source, 1).await;
    let keep = async |now| round(&world.catalog, &world.storage, &world.s3, now).await.unwrap().found;
    let silence = SignedDuration::from_hours(3);
    assert_eq!(keep(at(1) + silence).await, 0);
    assert_eq!(keep(at(2) + silence).await, 1);
    let video = world.catalog.edit_work(&identity, None).await.unwrap().unwrap().video;
    assert_eq!((video.state(), video.latest().unwrap().attempt), (State::Ready, 2));
    assert_eq!(keep(at(2) + silence * 2).await, 0);
    let late = world.consumer().handle(&event(&source, 2, Succeeded, 3), at(3)).await.unwrap();
    assert_eq!(late, Handled::Known);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stuck_does_not_keep_what_is_new_from_being_followed() {
    let world = World::new().await;
    for i in 0..3 {
        let (source, _) = world.put_source(&format!("clip-{i}.mp4")).await;
        world.consumer().handle(&event(&source, 1, Running, i), at(i)).await.unwrap();
    }
    let (newest, identity) = world.put_source("newest.mp4").await;
    world.consumer().handle(&event(&newest, 1, Running, 9), at(9)).await.unwrap();
    assert_eq!(world.catalog.running(1).await.unwrap(), [identity]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_asks_in_vain_for_the_lock_keeps_its_connection() {
    let world = World::new().await;
    let lock = world.catalog.try_lock(7).await.unwrap().expect("nobody holds it");
    let other = Catalog::connect(&world.database, 1).unwrap();
    let process = async || {
        let pid = sqlx::query_scalar::<_, i32>("SELECT pg_backend_pid()");
        pid.fetch_one(other.pool()).await.unwrap()
    };
    let before = process().await;
    assert!(other.try_lock(7).await.unwrap().is_none());
    assert_eq!(process().await, before);
    drop(lock);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_replica_holds_the_lock_until_its_connection_ends() {
    let world = World::new().await;
    let mut lock = world.catalog.try_lock(7).await.unwrap().expect("nobody holds it");
    assert!(lock.is_held().await);
    assert!(world.catalog.try_lock(7).await.unwrap().is_none());
    drop(lock);
    let free = async || world.catalog.try_lock(7).await.unwrap().is_some();
    until("the lock goes with its connection", DEADLINE, free).await;
}
