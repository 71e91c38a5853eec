//! Clips become Jobs, one for each, wherever the operator dies.

use crate::{
    report,
    world::{World, well},
};
use jiff::SignedDuration;
use rstest::rstest;
use simulation::{
    kubernetes::{Effect, controllers::Run, request::Verb, resource::JOBS},
    wire::{Break, Fate, Wire},
};
use std::{collections::BTreeSet, time::Duration};
use tokio_util::sync::CancellationToken;

const SPEC: &str = "{aws: {region: eu-central-1}, transcoding: {maxConcurrentJobs: 2}}";
const CLIPS: usize = 5;
/// As the spec says.
const SLOTS: usize = 2;

/// Uploads clips to a platform, of each of which S3 tells twice, and waits until nothing of them is left to do. Returns
/// how many requests that took.
async fn transcode(crash: Option<Break>) -> usize {
    let world = World::new(crash);
    world.apply(SPEC);
    world.settled().await;
    (0..CLIPS).for_each(|clip| world.upload(&format!("clip-{clip}.mp4")));
    world.send_again();
    for _ in 0..3600 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let (done, active) = world.jobs_done_and_active();
        assert!(active <= SLOTS, "{crash:?}: {active} Jobs at a time");
        assert!(world.messages() >= 2 * (CLIPS - done), "{crash:?}: a message went before its work was done");
        if world.messages() == 0 {
            break;
        }
    }
    let made = world.jobs_made();
    let names: BTreeSet<_> = made.iter().map(|(name, _)| name).collect();
    assert_eq!((world.messages(), names.len(), made.len()), (0, CLIPS, CLIPS), "{crash:?}: {made:#?}");
    assert_eq!(world.jobs_done_and_active(), (CLIPS, 0), "{crash:?}");
    world.check();
    world.requests().len()
}

async fn die_at(requests: impl Fn(usize) -> bool) {
    let all = transcode(None).await;
    let mut deaths = 0;
    for at in (0..all).filter(|at| requests(*at)) {
        for fate in [Fate::Lost, Fate::Performed] {
            deaths += 1;
            let sent = transcode(Some(Break { at, fate })).await;
            assert!(sent > at, "it sent {sent} requests, and died at none");
        }
    }
    report::lived(deaths, &format!("{all} requests"));
}

#[tokio::test(start_paused = true)]
async fn each_clip_has_one_job_where_the_operator_dies_at_some_requests() {
    die_at(|at| at % 16 == 5).await;
}

/// The API server makes a Job, its answer is lost, and the watch does not show it for a while: the Job's name, which
/// its work decides, keeps a second one from being made.
#[tokio::test(start_paused = true)]
async fn a_job_of_which_nothing_was_heard_is_not_made_twice() {
    let world = World::new(None);
    world.apply(SPEC);
    world.settled().await;
    world.cluster.set_watch_lag(Duration::from_secs(60));
    let mut lost = 0;
    world.cluster.set_fault(move |request| {
        let is_made = request.verb == Verb::Create && request.resource == JOBS && lost < 3;
        lost += usize::from(is_made);
        is_made.then_some(Effect::CutReply)
    });
    world.upload("clip.mp4");
    world.until("done", |world| world.messages() == 0).await;
    let made = world.jobs_made();
    assert_eq!(made.len(), 1, "{made:#?}");
}

/// A standby takes over whose watch has not yet shown the Job that the leader made a moment before it died.
#[tokio::test(start_paused = true)]
async fn a_new_leader_with_a_stale_watch_makes_no_job_beyond_the_slots() {
    let long = Run { lasts: SignedDuration::from_mins(5), ..well() };
    let handover = async |crash: Option<Break>| {
        let long = long.clone();
        let world = World::new(None).freeze().with_operator(crash, move |_| long.clone());
        let standby = world.operator("standby", &Wire::default());
        world.spawn(async move { standby.run(CancellationToken::new()).await });
        world.apply("{aws: {region: eu-central-1}, transcoding: {maxConcurrentJobs: 1}}");
        world.settled().await;
        world.cluster.set_watch_lag(Duration::from_mins(10));
        ["one.mp4", "two.mp4"].iter().for_each(|clip| world.upload(clip));
        world.until("a Job is made", |world| !world.jobs_made().is_empty()).await;
        for _ in 0..120 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let (_, active) = world.jobs_done_and_active();
            assert!(active <= 1, "{crash:?}: {active} Jobs at a time");
        }
        world.requests()
    };
    let sent = handover(None).await;
    let made = sent.iter().position(|request| request.contains("POST") && request.contains("/jobs"));
    let at = made.unwrap_or_else(|| panic!("no Job is made: {sent:#?}")) + 1;
    handover(Some(Break { at, fate: Fate::Lost })).await;
}

#[rstest]
#[tokio::test(start_paused = true)]
#[ignore = "takes minutes; run by `make faults`"]
async fn each_clip_has_one_job_whatever_request_the_operator_dies_at(#[values(0, 1)] half: usize) {
    die_at(|at| at % 2 == half).await;
}
