//! The operator dies at each of its requests: what becomes of the platform is the same.

use crate::{report, world::World};
use rstest::rstest;
use serde_json::Value;
use simulation::wire::{Break, Fate};
use std::collections::BTreeMap;

/// Made; changed, scaled and given an autoscaler; and a part taken out.
const STEPS: &[&str] = &[
    "{frontend: {image: 'a:1'}, backend: {image: 'b:1', replicas: 2}, database: {provider: Embedded}}",
    "{frontend: {image: 'a:2', replicas: 3}, backend: {image: 'b:1', autoscaling: {minReplicas: 2, maxReplicas: 4}},
      database: {provider: Embedded}, cache: {provider: Embedded}}",
    "{backend: {image: 'b:1', autoscaling: {minReplicas: 2, maxReplicas: 4}}, database: {provider: Embedded}}",
];

/// Lives through all steps, and returns what there is in the end and how many requests that took.
async fn live(crash: Option<Break>) -> (BTreeMap<String, Value>, Vec<String>) {
    let world = World::new(crash);
    for step in STEPS {
        world.apply(step);
        world.settled().await;
    }
    world.check();
    (world.state(), world.requests())
}

/// The operator dies at each of these requests, before and after it is performed.
async fn die_at(requests: impl Fn(usize) -> bool) {
    let (expected, all) = live(None).await;
    assert!(expected.contains_key("deployments/tv-backend"), "{:?}", expected.keys());
    assert!(!expected.contains_key("deployments/tv-frontend"), "{:?}", expected.keys());
    let mut deaths = 0;
    for (at, name) in all.iter().enumerate().filter(|(at, _)| requests(*at)) {
        for fate in [Fate::Lost, Fate::Performed] {
            deaths += 1;
            let (state, sent) = live(Some(Break { at, fate })).await;
            assert!(sent.len() > at, "it sent {} requests, and died at none", sent.len());
            assert_eq!(state, expected, "it died at request {at} of {}, {name}: {fate:?}", all.len());
        }
    }
    report::lived(deaths, &format!("{} requests", all.len()));
}

#[tokio::test(start_paused = true)]
async fn at_some_requests_it_dies_and_the_end_is_the_same() {
    die_at(|at| at % 16 == 7).await;
}

#[rstest]
#[tokio::test(start_paused = true)]
#[ignore = "takes minutes; run by `make faults`"]
async fn whatever_request_it_dies_at_the_end_is_the_same(#[values(0, 1)] half: usize) {
    die_at(|at| at % 2 == half).await;
}
