//! A database with a proxy, under the whole operator: pods never have a login that is refused.

use crate::world::World;
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

#[tokio::test(start_paused = true)]
async fn no_login_is_refused_while_a_proxy_comes_and_goes_and_the_operator_dies_at_some_requests() {
    let all = live(None).await;
    let about =
        |name: &&String| name.contains("Proxy") || name.contains("Secret") || name.contains("postgres");
    let at = all.iter().enumerate().filter(|(_, name)| about(name) && !name.contains("Describe"));
    for at in at.map(|(at, _)| at).step_by(4) {
        live(Some(Break { at, fate: Fate::Performed })).await;
    }
}
