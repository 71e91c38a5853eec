//! AWS refuses: it throttles, or denies.

use crate::world::World;
use serde_json::Value;
use simulation::aws::{
    ACCOUNT, Place,
    fault::{Effect, Fault, Injection},
};
use std::time::Duration;
use tokio::time::Instant;

const SPEC: &str = "{aws: {region: eu-central-1}, backend: {image: 'b:1'}, database: {provider: AWS},
    cache: {provider: AWS}, transcoding: {maxConcurrentJobs: 2}}";
/// The simulated PostgreSQL servers are those of one account.
const OTHER: &str = "{aws: {region: eu-central-1}, backend: {image: 'b:1'}, cache: {provider: AWS},
    transcoding: {maxConcurrentJobs: 2}}";
const CLIPS: &str = "{aws: {region: eu-central-1}, transcoding: {maxConcurrentJobs: 2}}";
const CACHE: &str = "{aws: {region: eu-central-1}, cache: {provider: AWS}}";
const OTHER_ACCOUNT: &str = "444455556666";

/// Answers three of ten calls of the first account with 429 or 503.
fn throttle(world: &World) {
    let mut calls = 0_u64;
    world.cloud.set_fault(move |place: &Place, _| {
        calls += 1;
        // As good as chance, and the same each time.
        let chance = calls.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        if place.account != ACCOUNT || chance % 10 >= 3 {
            return None;
        }
        let (status, code) =
            if chance.is_multiple_of(2) { (429, "TooManyRequestsException") } else { (503, "SlowDown") };
        let status = http::StatusCode::from_u16(status).unwrap();
        Some(Effect::Answer(Fault::sender(status, code, "Please reduce your request rate.")))
    });
}

/// How long things take in an hour.
#[derive(Debug)]
struct Times {
    /// Until the platform is ready.
    ready: Duration,
    /// Until another one in another account is.
    other: Duration,
    /// Until clips are transcoded and an edit is rolled out, eight times, all together.
    work: Duration,
}

async fn times(throttled: bool) -> Times {
    let world = World::new(None);
    if throttled {
        throttle(&world);
    }
    world.apply(SPEC);
    world.apply_in_account("tv-other", OTHER_ACCOUNT, OTHER);
    let began = Instant::now();
    let (ready, other) = tokio::join!(world.time_to_settle("tv"), world.time_to_settle("tv-other"));
    let mut work = Duration::ZERO;
    for round in 1..=8 {
        tokio::time::sleep_until(began + Duration::from_secs(1200 + 300 * (round - 1))).await;
        let begins = Instant::now();
        ["one", "two", "three"].iter().for_each(|clip| world.upload(&format!("{clip}-{round}.mp4")));
        world.apply(&SPEC.replace("b:1", &format!("b:{}", round + 1)));
        let is_done =
            |world: &World| world.is_settled() && world.jobs_done_and_active() == (3 * round as usize, 0);
        world.until("transcoded and rolled out", is_done).await;
        work += begins.elapsed();
    }
    world.check();
    Times { ready, other, work }
}

#[tokio::test(start_paused = true)]
async fn throttling_at_most_doubles_the_time_and_slows_no_other_account() {
    let (alone, throttled) = (times(false).await, times(true).await);
    println!("{alone:?}; throttled {throttled:?}");
    assert!(throttled.ready <= 2 * alone.ready, "{throttled:?} instead of {alone:?}");
    assert!(throttled.work <= 2 * alone.work, "{throttled:?} instead of {alone:?}");
    // The world is looked at every other second.
    assert!(throttled.other <= alone.other + Duration::from_secs(4), "{throttled:?} instead of {alone:?}");
}

fn denied() -> Effect {
    let status = http::StatusCode::FORBIDDEN;
    Effect::Answer(Fault::sender(status, "AccessDenied", "User is not authorized to perform this action"))
}

/// AWS denies some calls from now on.
fn deny(world: &World, action: &str) {
    let (after, times, effect) = (0, u32::MAX, denied());
    world.cloud.inject(Injection { action: action.to_owned(), after, times, effect });
}

/// Lives for an hour in which AWS denies a call, which is tried seldom.
async fn denied_for_an_hour(spec: &str, action: &str) -> World {
    let world = World::new(None);
    deny(&world, action);
    world.apply(spec);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let calls = world.cloud.calls();
    let denied = calls.iter().filter(|call| call.action.starts_with(action.trim_end_matches('*'))).count();
    assert!((10..400).contains(&denied), "{denied} calls within an hour that were denied");
    world
}

#[tokio::test(start_paused = true)]
async fn what_is_denied_is_tried_seldom() {
    denied_for_an_hour(CLIPS, "sqs:*").await;
}

/// A try claims the connection Secret, whose changes are a reason to try again.
#[tokio::test(start_paused = true)]
async fn a_login_that_cannot_be_set_is_tried_seldom_and_claimed_once() {
    let world = denied_for_an_hour(CACHE, "elasticache:ModifyUser").await;
    let to_secrets = |request: &String| !request.starts_with("GET") && request.contains("/secrets");
    assert_eq!(world.requests().iter().filter(|it| to_secrets(it)).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_seen_is_not_taken_for_missing() {
    let world = World::new(None);
    deny(&world, "sqs:GetQueueUrl");
    world.apply(CLIPS);
    tokio::time::sleep(Duration::from_secs(1800)).await;
    assert!(world.asked("sqs:GetQueueUrl") > 1);
    assert_eq!(world.asked("sqs:CreateQueue"), 0);
}

/// The operator still sees a platform that waits for AWS to let it go, while someone took its finalizer away and
/// made another one of its name.
#[tokio::test(start_paused = true)]
async fn the_status_of_a_deleted_platform_never_reaches_the_next_one_of_its_name() {
    let world = World::new(None);
    world.apply(CLIPS);
    world.settled().await;
    world.cloud.set_fault(|_, _| Some(denied()));
    world.delete();
    let deleting = |world: &World| {
        let resource = world.resource();
        resource.is_some_and(|it| it["status"]["conditions"].to_string().contains("Deleting"))
    };
    world.until("it waits for AWS", deleting).await;
    world.cluster.set_watch_lag(Duration::from_mins(20));
    world.take_finalizers();
    assert_eq!(world.resource(), None);
    world.apply(CLIPS);
    let asked = world.cloud.calls().len();
    world.cloud.set_fault(|_, _| None);
    for _ in 0..300 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(world.resource().map(|it| it["status"].clone()), Some(Value::Null));
    }
    assert!(world.cloud.calls().len() > asked, "the deletion went on");
    world.settled().await;
}
