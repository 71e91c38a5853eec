//! A database with a proxy, under the whole operator: pods never have a login that is refused.

use crate::{report, world::World};
use rstest::rstest;
use serde_json::Value;
use simulation::{
    kubernetes::{resource::SECRETS, store::Key},
    wire::{Break, Fate},
};
use streaming_operator::api::names;

const WITHOUT: &str =
    "{aws: {region: eu-central-1}, backend: {image: 'b:1', replicas: 2}, database: {provider: AWS}}";
const WITH: &str = "{aws: {region: eu-central-1}, backend: {image: 'b:1', replicas: 2}, database: {provider: AWS, aws: {
    proxy: {roleARN: 'arn:aws:iam::123456789012:role/proxy', subnetIDs: [subnet-default-a, subnet-default-b]}}}}";

fn secret(world: &World) -> Value {
    let key = Key { resource: SECRETS, namespace: "media".to_owned(), name: "tv-database".to_owned() };
    world.cluster.with(|store, _| store.get(&key)).unwrap_or_default()
}

fn held(world: &World, key: &str) -> String {
    crate::invariants::text(&secret(world), key).unwrap_or_default()
}

fn is_led(world: &World) -> bool {
    held(world, "host").contains(".proxy-") && held(world, "uri").contains(".proxy-")
}

/// A proxy is put before a database in use, the login is rotated, and it is taken out. Returns the requests of that.
async fn live(dies: Option<Break>) -> Vec<String> {
    let world = World::new(dies);
    world.apply(WITHOUT);
    world.settled().await;
    assert!(!is_led(&world));
    world.apply(WITH);
    world.until("led to the proxy", |world| world.is_settled() && is_led(world)).await;
    let user = held(&world, "username");
    world.annotate(names::ANNOTATION_ROTATE_LOGIN, "1");
    world.until("rotated", |world| world.is_settled() && held(world, "username") != user).await;
    assert!(is_led(&world));
    world.apply(WITHOUT);
    let is_gone = |world: &World| {
        world.in_region(|region, _| {
            let logins = region.secrets.secrets.keys().filter(|name| name.contains("-login-")).count();
            region.rds.proxies.is_empty() && logins == 0
        })
    };
    world.until("taken out", |world| world.is_settled() && !is_led(world) && is_gone(world)).await;
    world.check();
    world.requests()
}

/// The operator dies at these of the requests that are about the proxy, its secrets and the logins.
async fn die_at(requests: impl Fn(usize) -> bool) {
    let all = live(None).await;
    let is_about = |name: &str| {
        ["Proxy", "Secret", "postgres"].iter().any(|it| name.contains(it)) && !name.contains("Describe")
    };
    let about = all.iter().enumerate().filter(|(_, name)| is_about(name));
    let mut deaths = 0;
    for (_, (at, name)) in about.enumerate().filter(|(number, _)| requests(*number)) {
        for fate in [Fate::Lost, Fate::Performed] {
            deaths += 1;
            eprintln!("it dies at request {at}, {name}: {fate:?}");
            let sent = live(Some(Break { at, fate })).await;
            assert!(sent.len() > at, "it sent {} requests, and died at none", sent.len());
        }
    }
    report::lived(deaths, &format!("{} requests", all.len()));
}

#[tokio::test(start_paused = true)]
async fn no_login_is_refused_while_a_proxy_comes_and_goes() {
    die_at(|number| number % 32 == 9).await;
}

#[rstest]
#[tokio::test(start_paused = true)]
#[ignore = "takes minutes; run by `make faults`"]
async fn no_login_is_refused_whatever_request_the_operator_dies_at(#[values(0, 1)] half: usize) {
    die_at(|number| number % 2 == half).await;
}
