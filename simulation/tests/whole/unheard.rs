//! Passwords that were sent to AWS, of which nothing was heard, and that arrive when another one is set.

use crate::world::World;
use rstest::rstest;
use simulation::{
    aws::fault::{Effect, Injection},
    kubernetes::{Effect as Reply, resource::LEASES},
};
use std::time::Duration;
use tokio::time::Instant;

const SPEC: &str = "{aws: {region: eu-central-1}, backend: {image: 'b:1'}, cache: {provider: AWS}}";
const LATE: Duration = Duration::from_mins(2);
/// How often the SDK tries a call.
const TRIES: u32 = 3;

/// A platform is made, and the first tries of setting its cache's password are late.
fn world(late_tries: u32) -> World {
    let world = World::new(None);
    let action = "elasticache:ModifyUser".to_owned();
    world.cloud.inject(Injection { action, after: 0, times: late_tries, effect: Effect::Late(LATE) });
    world.apply(SPEC);
    world
}

fn passwords_sent(world: &World) -> usize {
    world.asked("elasticache:ModifyUser")
}

/// In the end, the pods are let in.
async fn settles(world: &World) {
    world.settled().await;
    tokio::time::sleep(2 * LATE).await;
    world.check();
}

/// Ends the operator in order.
async fn time_to_hand_over(world: &World) -> Duration {
    world.replace_operator();
    let ended = Instant::now();
    world.until("another one leads", |world| world.leader() == "second").await;
    ended.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_password_of_which_nothing_was_heard_replaces_none() {
    let world = world(TRIES);
    settles(&world).await;
    assert_eq!(passwords_sent(&world), 7, "three, each when it is cut and when it arrives, and another one");
}

#[tokio::test(start_paused = true)]
async fn one_that_ends_in_order_hands_nothing_over_that_is_still_on_its_way() {
    let world = world(1);
    world.until("a password was sent", |world| passwords_sent(world) > 0).await;
    world.replace_operator();
    settles(&world).await;
    assert_eq!(world.leader(), "second");
}

#[tokio::test(start_paused = true)]
async fn one_whose_passwords_were_all_answered_hands_over_at_once() {
    let world = world(0);
    world.settled().await;
    assert_eq!(passwords_sent(&world), 1);
    assert!(time_to_hand_over(&world).await < Duration::from_secs(10));
}

/// What one that died has sent may still arrive when its successor ends.
#[rstest]
#[case::of_a_cache(SPEC, true)]
#[case::of_none("{backend: {image: 'b:1'}}", false)]
#[tokio::test(start_paused = true)]
async fn the_lead_of_one_that_died_lapses_a_second_time_where_it_may_have_sent_a_password(
    #[case] spec: &str,
    #[case] lapses: bool,
) {
    let world = World::new(None);
    world.lease_of_the_dead();
    world.apply(spec);
    world.until("it leads", |world| world.leader() == "first").await;
    let took = time_to_hand_over(&world).await;
    assert_eq!(took > Duration::from_secs(10), lapses, "{took:?}");
}

/// It may be told to end before it hears that it leads.
#[tokio::test(start_paused = true)]
async fn a_lease_that_was_taken_is_handed_over_though_the_reply_was_late() {
    let world = World::new(None);
    let mut is_first = true;
    world.cluster.set_fault(move |request| {
        let is_taken = request.resource == LEASES && request.verb.writes();
        (is_taken && std::mem::take(&mut is_first)).then_some(Reply::LateReply(Duration::from_secs(3)))
    });
    world.apply(SPEC);
    world.until("it took the lease", |world| world.leader() == "first").await;
    let took = time_to_hand_over(&world).await;
    assert!(took < Duration::from_secs(10), "{took:?}");
}
