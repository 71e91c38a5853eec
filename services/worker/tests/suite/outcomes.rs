//! The events queue into the catalogue: any order, twice, by several replicas, and past what is broken.

use crate::harness::{World, at, event};
use catalog::{Catalog, State, Upload, Video, video::About};
use contract::Outcome::{DeadLettered, Retrying, Running, Succeeded};
use http::StatusCode;
use service_common::{Shutdown, testing::until};
use std::time::Duration;
use tokio::sync::watch;
use uuid::Uuid;
use worker::outcomes::Handled;

const DEADLINE: Duration = Duration::from_secs(20);

fn permutations<T: Clone>(items: &[T]) -> Vec<Vec<T>> {
    if items.is_empty() {
        return vec![vec![]];
    }
    let mut all = Vec::new();
    for (i, first) in items.iter().enumerate() {
        let mut rest = items.to_vec();
        rest.remove(i);
        all.extend(permutations(&rest).into_iter().map(|mut tail| {
            tail.insert(0, first.clone());
            tail
        }));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn every_order_of_events_ends_in_the_same_video() {
    let world = World::new().await;
    let consumer = world.consumer();
    let story = [(1, Running), (1, Retrying), (2, Running), (2, Succeeded)];
    for (i, order) in permutations(&story).into_iter().enumerate() {
        let (source, identity) = world.put_source(&format!("clip-{i}.mp4")).await;
        world.put_record(&identity, &source).await;
        for (attempt, outcome) in &order {
            let body = event(&source, *attempt, *outcome, i64::from(*attempt));
            consumer.handle(&body, at(10)).await.unwrap();
            assert_eq!(consumer.handle(&body, at(11)).await.unwrap(), Handled::Known, "{order:?}");
        }
    }
    let videos = world.videos().await;
    assert_eq!(videos.len(), 24);
    for video in videos {
        let latest = video.latest().unwrap();
        assert_eq!(
            (video.state(), latest.attempt, latest.requested_at),
            (State::Ready, 2, at(1)),
            "{video:?}"
        );
        assert_eq!(video.playable().unwrap().record.as_ref().unwrap().duration_seconds, Some(5.3));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_were_put_by_other_means_appear_as_videos() {
    let world = World::new().await;
    let (source, _) = world.put_source("inbox/Great Film.mp4").await;
    world.consumer().handle(&event(&source, 1, Running, 1), at(2)).await.unwrap();
    let video = world.only_video().await;
    assert_eq!(
        (video.title.as_str(), video.size, video.content_type.as_str()),
        ("Great Film", 3, "video/mp4")
    );
    assert_eq!((video.state(), &video.source), (State::Transcoding, &source));

    // A second version of the key is a video of its own.
    let (second, _) = world.put_source("inbox/Great Film.mp4").await;
    world.consumer().handle(&event(&second, 1, DeadLettered, 1), at(2)).await.unwrap();
    assert_eq!(world.videos().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_faster_than_the_backend_meets_its_upload() {
    let world = World::new().await;
    let (source, _) = world.put_source("video/clip.mp4").await;
    let upload = Upload { id: "u".into(), part_size: 8 << 20, expires_at: at(100) };
    let unversioned = contract::job::Source { version_id: None, ..source.clone() };
    let about = About::from_key("clip.mp4", 3, "video/mp4".into());
    let uploading = Video::uploading(Uuid::now_v7(), about, unversioned, upload, at(0));
    assert!(world.catalog.insert(&uploading).await.unwrap());
    world.consumer().handle(&event(&source, 1, Running, 1), at(2)).await.unwrap();
    let video = world.only_video().await;
    assert_eq!((video.id, video.state(), video.source), (uploading.id, State::Transcoding, source));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_success_without_a_record_is_shown_as_a_failure_until_the_record_is_there() {
    let world = World::new().await;
    let (source, identity) = world.put_source("clip.mp4").await;
    let body = event(&source, 1, Succeeded, 1);
    world.consumer().handle(&body, at(2)).await.unwrap();
    let video = world.only_video().await;
    let failure = video.latest().unwrap().failure.clone().unwrap();
    assert_eq!((video.state(), failure.reason.as_str()), (State::Failed, "OUTPUT_INCOMPLETE"));
    world.put_output(&identity, "job.json", b"{".to_vec()).await;
    assert_eq!(world.consumer().handle(&body, at(2)).await.unwrap(), Handled::Known);
    world.put_record(&identity, &source).await;
    assert_eq!(world.consumer().handle(&body, at(2)).await.unwrap(), Handled::Merged);
    assert_eq!(world.only_video().await.state(), State::Ready);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_video_does_not_come_back() {
    let world = World::new().await;
    let (source, _) = world.put_source("clip.mp4").await;
    world.consumer().handle(&event(&source, 1, Running, 1), at(2)).await.unwrap();
    let mut edit = world.catalog.edit(world.only_video().await.id).await.unwrap().unwrap();
    edit.video.delete(at(3));
    edit.commit(at(3)).await.unwrap();
    world.consumer().handle(&event(&source, 1, DeadLettered, 4), at(4)).await.unwrap();
    assert!(world.videos().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_this_release_can_not_store_is_told_from_what_passes() {
    let world = World::new().await;
    let (source, _) = world.put_source("clip.mp4").await;
    let body = event(&source, 1, Running, 1);
    let garbage = world.consumer().handle("{}", at(1)).await.unwrap_err();
    assert!(garbage.is_lasting(), "{garbage}");
    let zero = body.replace("clip.mp4", "clip\\u0000.mp4");
    let refused = world.consumer().handle(&zero, at(1)).await.unwrap_err();
    assert!(refused.is_lasting(), "{refused}");

    let nowhere = Catalog::connect("postgres://nobody@127.0.0.1:1/nothing", 1).unwrap();
    let mut consumer = world.consumer();
    consumer.catalog = nowhere;
    let passing = consumer.handle(&body, at(1)).await.unwrap_err();
    assert!(!passing.is_lasting(), "{passing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_counts_though_its_source_may_not_be_looked_at() {
    let world = World::new().await;
    for (status, counts) in [
        (StatusCode::FORBIDDEN, true),
        (StatusCode::BAD_REQUEST, true),
        (StatusCode::SERVICE_UNAVAILABLE, false),
    ] {
        let (source, _) = world.put_source(&format!("{}.mp4", status.as_u16())).await;
        let mut consumer = world.consumer();
        consumer.s3 = world.s3_that_says(status).await;
        let handled = consumer.handle(&event(&source, 1, DeadLettered, 1), at(2)).await;
        assert_eq!(handled.is_ok(), counts, "{status}: {handled:?}");
    }
    let videos = world.videos().await;
    assert_eq!(videos.len(), 2);
    assert!(videos.iter().all(|v| v.size == 0 && v.state() == State::Failed), "{videos:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_too_large_is_no_record() {
    let world = World::new().await;
    let (source, identity) = world.put_source("clip.mp4").await;
    world.put_output(&identity, "job.json", vec![b' '; (1 << 20) + 1]).await;
    world.consumer().handle(&event(&source, 1, Succeeded, 1), at(2)).await.unwrap();
    assert_eq!(world.only_video().await.state(), State::Failed);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_hangs_comes_back_and_stops_no_other() {
    let world = World::new().await;
    let (stuck, _) = world.put_source("stuck.mp4").await;
    world.consumer().handle(&event(&stuck, 1, Running, 1), at(1)).await.unwrap();
    let lock = world.catalog.edit(world.only_video().await.id).await.unwrap().unwrap();
    let mut consumer = world.consumer();
    consumer.handle_timeout = Duration::from_millis(300);
    world.send(&event(&stuck, 1, DeadLettered, 2)).await;
    let shutdown = Shutdown::new(Duration::ZERO, Duration::ZERO);
    let (reachable, _reached) = watch::channel(Err(String::new()));
    // Below the 10 s after which PostgreSQL itself ends the wait for a lock.
    let soon = DEADLINE / 4;
    let metrics = consumer.metrics.clone();
    let story = async {
        until("the event fails", soon, async || metrics.of(Handled::Failed) > 0).await;
        let (other, _) = world.put_source("other.mp4").await;
        world.send(&event(&other, 1, Running, 3)).await;
        until("another is merged", soon, async || metrics.of(Handled::Merged) == 1).await;
        drop(lock);
        until("it is merged", soon, async || metrics.of(Handled::Merged) == 2).await;
        shutdown.begin().await;
    };
    tokio::join!(consumer.run(&shutdown, &reachable), story);
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_the_queue_and_what_is_broken_blocks_nobody() {
    const CLIPS: u32 = 8;
    let world = World::new().await;
    world.send("no json").await;
    world.send(r#"{"specversion": "1.0"}"#).await;
    for i in 0..CLIPS {
        let (source, identity) = world.put_source(&format!("clip-{i}.mp4")).await;
        world.put_record(&identity, &source).await;
        for (outcome, time) in [(Succeeded, 2), (Running, 1), (Succeeded, 2)] {
            world.send(&event(&source, 1, outcome, time)).await;
        }
    }
    let (one, other) = (world.consumer(), world.consumer());
    let shutdown = Shutdown::new(Duration::ZERO, Duration::ZERO);
    let (reachable, reached) = watch::channel(Err(String::new()));
    let watcher = async {
        until("no message is left", DEADLINE, async || world.queue_depth().await == 0).await;
        shutdown.begin().await;
    };
    tokio::join!(one.run(&shutdown, &reachable), other.run(&shutdown, &reachable), watcher);
    assert_eq!(*reached.borrow(), Ok(()));
    let videos = world.videos().await;
    assert_eq!(videos.len(), usize::try_from(CLIPS).unwrap());
    assert!(videos.iter().all(|video| video.state() == State::Ready), "{videos:?}");
    let both = |result| one.metrics.of(result) + other.metrics.of(result);
    assert_eq!((both(Handled::Bad), both(Handled::GivenUp), both(Handled::Failed)), (2, 2, 0));
    assert!(both(Handled::Merged) >= u64::from(CLIPS));
}
