//! RDS Proxy before a database: made, led to, rotated through, changed, taken out, and removed.

use crate::{
    database::final_snapshots,
    world::{Pass, World},
};
use rstest::rstest;
use serde_json::{Value, json};
use simulation::aws::{
    fault::{Effect, Injection},
    rds::Proxy,
};
use std::{collections::BTreeSet, time::Duration};
use streaming_operator::{api::names, plan::login::Step};

const ROLE: &str = "arn:aws:iam::123456789012:role/proxy";

fn spec(engine: &str) -> String {
    json!({"engine": engine, "proxy": proxy()}).to_string()
}

fn proxy() -> Value {
    json!({"roleARN": ROLE, "subnetIDs": ["subnet-default-a", "subnet-default-b"]})
}

/// A database with a proxy to which pods are led.
async fn led(engine: &str) -> World {
    let mut world = World::new(&spec(engine)).await;
    until_led(&mut world).await;
    world
}

/// Where the Secret leads pods, once nothing is to be done about it.
fn host(pass: &Pass) -> Option<&str> {
    let login = pass.plan.database.login.as_ref()?;
    matches!(login.step, Step::Nothing { .. }).then_some(login.endpoint.host.as_str())
}

fn is_settled(world: &World, pass: &Pass) -> bool {
    world.condition().0 == "True" && pass.plan.database.calls.is_empty()
}

async fn until_led(world: &mut World) {
    world
        .until("led to the proxy", |world, pass| {
            assert_led_only_to_what_reaches(world, pass);
            is_settled(world, pass) && host(pass).is_some_and(|it| it.contains(".proxy-"))
        })
        .await;
}

async fn until_direct(world: &mut World) {
    world
        .until("without a proxy", |world, pass| {
            is_settled(world, pass) && host(pass).is_some_and(|it| !it.contains(".proxy-"))
        })
        .await;
}

/// A Secret leads pods to a proxy only when that reaches the database and knows the login.
fn assert_led_only_to_what_reaches(world: &World, pass: &Pass) {
    let Some(login) = &pass.plan.database.login else { return };
    let (Step::Set { record, .. } | Step::Rewrite { record }) = &login.step else { return };
    if login.endpoint.has_proxy() {
        let identifier = world.status().identifier.expect("a database");
        world.rds(|rds, now| {
            let target = rds.proxies[&identifier].target.clone().expect("a target");
            assert_eq!((target.identifier.as_str(), target.is_ready(now)), (identifier.as_str(), true));
        });
        assert!(known_versions(world).contains(&record.version()), "{record:?}");
    }
}

/// Versions of the logins' secrets that are read.
fn known_versions(world: &World) -> BTreeSet<String> {
    world.secret(|secrets, _| {
        let logins = secrets.secrets.values().filter(|secret| secret.name.contains("-login-"));
        let current = logins.flat_map(|secret| {
            let versions = secret.versions.iter();
            versions.filter(|(_, version)| version.stages.contains("AWSCURRENT")).map(|(id, _)| id.clone())
        });
        current.collect()
    })
}

fn logins(world: &World) -> usize {
    world.secret(|secrets, _| secrets.secrets.keys().filter(|name| name.contains("-login-")).count())
}

fn proxies(world: &World) -> Vec<String> {
    world.rds(|rds, _| rds.proxies.keys().cloned().collect())
}

fn change_proxy(world: &World, change: impl FnOnce(&mut Proxy)) {
    world.rds(|rds, _| change(rds.proxies.values_mut().next().expect("a proxy")));
}

#[rstest]
#[case("PostgreSQL", false)]
#[case("AuroraPostgreSQL", true)]
#[tokio::test(start_paused = true)]
async fn a_proxy_is_made_and_costs_nothing_while_it_idles(#[case] engine: &str, #[case] is_cluster: bool) {
    let mut world = led(engine).await;
    let identifier = world.status().identifier.expect("a database");
    world.rds(|rds, _| {
        let target = rds.proxies[&identifier].target.clone().expect("a target");
        assert_eq!((target.identifier, target.is_cluster), (identifier.clone(), is_cluster));
    });
    let made = world.changes();
    let of_proxy: Vec<_> =
        made.iter().filter(|it| it.contains("Prox") || it.starts_with("secretsmanager")).collect();
    assert_eq!(
        of_proxy,
        [
            "secretsmanager:CreateSecret",
            "secretsmanager:CreateSecret",
            "rds:CreateDBProxy",
            "secretsmanager:PutSecretValue",
            "rds:RegisterDBProxyTargets",
        ]
    );
    let calls = world.cloud.calls().len();
    world.idle(2).await;
    assert_eq!(world.changes_since(made.len()), [""; 0]);
    // As without a proxy 6 calls a minute, and two listings; the proxy itself every ten minutes.
    let reads = world.cloud.calls().len() - calls;
    assert!(reads <= 120 * 8 + 12 * 5 + 3 * 5, "{reads} calls in 120 idle minutes");
}

#[tokio::test(start_paused = true)]
async fn a_rotation_goes_through_the_proxy() {
    let mut world = led("PostgreSQL").await;
    let before = world.login.clone().unwrap();
    world.annotate(names::ANNOTATION_ROTATE_LOGIN, "1");
    world
        .until("rotated", |world, pass| {
            assert_led_only_to_what_reaches(world, pass);
            world.login.as_ref().is_some_and(|it| it.user != before.user)
        })
        .await;
    let after = world.login.clone().unwrap();
    // Pods that were started before log in as they did.
    assert_eq!(known_versions(&world), BTreeSet::from([before.version(), after.version()]));
    until_led(&mut world).await;
}

#[tokio::test(start_paused = true)]
async fn settings_are_changed_and_what_was_changed_outside_is_undone() {
    let mut world = led("PostgreSQL").await;
    let made = world.changes().len();
    world.edit(|aws| {
        aws["proxy"]["idleClientTimeout"] = json!("1h");
        aws["proxy"]["maxConnectionsPercent"] = json!(60);
    });
    until_led(&mut world).await;
    assert_eq!(world.changes_since(made), ["rds:ModifyDBProxy", "rds:ModifyDBProxyTargetGroup"]);
    change_proxy(&world, |proxy| {
        assert_eq!(proxy.settings.get("IdleClientTimeout"), Some("3600"));
        assert_eq!(proxy.pool.get("MaxConnectionsPercent"), Some("60"));
        assert_eq!(proxy.pool.get("MaxIdleConnectionsPercent"), Some("30"));
        proxy.settings.0.insert("RequireTLS".into(), "false".into());
        proxy.target.as_mut().unwrap().identifier = "another".into();
    });
    tokio::time::advance(Duration::from_secs(600)).await;
    until_led(&mut world).await;
    change_proxy(&world, |proxy| {
        assert_eq!(proxy.settings.get("RequireTLS"), Some("true"));
        assert_ne!(proxy.target.as_ref().expect("a target").identifier, "another");
    });
    assert!(world.changes().contains(&"rds:DeregisterDBProxyTargets".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_login_that_someone_replaced_in_its_secret_is_put_back() {
    let mut world = led("PostgreSQL").await;
    let known = known_versions(&world);
    world.secret(|secrets, now| {
        let secret = secrets.secrets.values_mut().find(|it| it.name.ends_with("-login-a")).unwrap();
        secret.overwrite("nonsense", now);
    });
    assert_ne!(known_versions(&world), known);
    world.until("put back", |world, _| known_versions(world) == known).await;
    let made = world.changes().len();
    world.idle(1).await;
    assert_eq!(world.changes_since(made), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_can_not_log_in_is_told_and_pods_stay_with_the_server() {
    let mut world = World::new(&spec("PostgreSQL")).await;
    world.until("a proxy", |world, _| !proxies(world).is_empty()).await;
    change_proxy(&world, |proxy| proxy.refusal = Some("AUTH_FAILURE"));
    world.until("told", |world, _| world.condition().2.contains("can't log in: AUTH_FAILURE")).await;
    assert!(world.condition().2.contains(ROLE), "{:?}", world.condition());
    let pass = world.reconcile().await;
    assert!(host(&pass).is_some_and(|it| !it.contains(".proxy-")), "{:?}", pass.plan.database.login);
    change_proxy(&world, |proxy| proxy.refusal = None);
    until_led(&mut world).await;
    // Once there, they stay: another way is not sure to be open.
    change_proxy(&world, |proxy| proxy.refusal = Some("UNREACHABLE"));
    tokio::time::advance(Duration::from_secs(600)).await;
    world.until("told", |world, _| world.condition().2.contains("does not reach")).await;
    let pass = world.reconcile().await;
    assert!(host(&pass).is_some_and(|it| it.contains(".proxy-")), "{:?}", pass.plan.database.login);
}

#[tokio::test(start_paused = true)]
async fn pods_are_led_away_before_a_proxy_is_taken_out_and_it_can_come_back() {
    let mut world = led("PostgreSQL").await;
    world.edit(|aws| drop(aws.as_object_mut().unwrap().remove("proxy")));
    world
        .until("deleted", |world, pass| {
            let deletes =
                pass.plan.database.calls.iter().any(|call| call.to_string().contains("delete proxy"));
            assert!(!deletes || host(pass).is_some_and(|it| !it.contains(".proxy-")));
            proxies(world).is_empty() && logins(world) == 0 && is_settled(world, pass)
        })
        .await;
    until_direct(&mut world).await;
    assert_eq!(world.status().proxy, None);
    let made = world.changes().len();
    world.idle(1).await;
    assert_eq!(world.changes_since(made), [""; 0]);
    world.edit(|aws| aws["proxy"] = proxy());
    until_led(&mut world).await;
}

#[tokio::test(start_paused = true)]
async fn a_restored_database_has_a_proxy_of_its_own() {
    let mut world = led("PostgreSQL").await;
    let before = world.status().identifier.unwrap();
    tokio::time::advance(Duration::from_secs(24 * 3600)).await;
    world.edit(|aws| aws["restore"] = json!({"name": "one", "latest": true}));
    let after = format!("{before}-one");
    world
        .until("restored", |world, pass| {
            assert_led_only_to_what_reaches(world, pass);
            world.status().identifier.as_deref() == Some(after.as_str())
                && is_settled(world, pass)
                && host(pass).is_some_and(|it| it.starts_with(&format!("{after}.proxy-")))
        })
        .await;
    assert_eq!(proxies(&world), [before.clone(), after.clone()]);
    world.annotate(names::ANNOTATION_CONFIRM_RESTORE, "one");
    world.until("confirmed", |world, _| world.rds(|rds, _| rds.instances.len() == 1)).await;
    until_led(&mut world).await;
    assert_eq!(proxies(&world), [after]);
}

#[rstest]
#[case("PostgreSQL")]
#[case("AuroraPostgreSQL")]
#[tokio::test(start_paused = true)]
async fn a_proxy_goes_before_its_database(#[case] engine: &str) {
    let mut world = led(engine).await;
    let made = world.changes().len();
    assert_eq!(world.delete().await, Ok(()));
    let changes = world.changes_since(made);
    let at = |action: &str| changes.iter().position(|it| it == action);
    assert!(at("rds:DeleteDBProxy").unwrap() < at("rds:DeleteDBInstance").unwrap(), "{changes:?}");
    assert_eq!((proxies(&world).len(), logins(&world)), (0, 0));
    world.rds(|rds, _| assert_eq!(final_snapshots(rds), 1));
}

#[tokio::test(start_paused = true)]
async fn a_proxy_stays_with_a_database_that_is_kept_from_deletion_or_retained() {
    let mut world = led("PostgreSQL").await;
    world.edit(|aws| aws["deletionProtection"] = json!(true));
    assert!(world.delete().await.unwrap_err().contains("deletionProtection"));
    assert_eq!(proxies(&world).len(), 1);
    let mut spec = serde_json::to_value(&world.resource.spec).unwrap();
    spec["database"]["deletionPolicy"] = json!("Retain");
    world.set_spec(spec);
    assert_eq!(world.delete().await, Ok(()));
    // The Secret that is retained leads to it.
    assert_eq!((proxies(&world).len(), logins(&world)), (1, 2));
    change_proxy(&world, |proxy| {
        assert!(!proxy.tags.contains_key(names::TAG_UID) && proxy.tags.contains_key(names::TAG_RETAINED));
    });
}

#[tokio::test(start_paused = true)]
async fn a_proxy_of_someone_else_is_left_alone() {
    let mut world = led("PostgreSQL").await;
    change_proxy(&world, |proxy| proxy.tags.clear());
    let made = world.changes().len();
    tokio::time::advance(Duration::from_secs(600)).await;
    world.until("told", |world, _| world.condition().1 == "NotOwned").await;
    until_told_direct(&mut world).await;
    assert_eq!(world.changes_since(made), [""; 0]);
}

async fn until_told_direct(world: &mut World) {
    world.until("direct", |_, pass| host(pass).is_some_and(|it| !it.contains(".proxy-"))).await;
}

/// An operator that begins, and can't look at the proxy, does not take it for gone.
#[rstest]
#[tokio::test(start_paused = true)]
async fn pods_stay_with_a_proxy_that_can_not_be_looked_at(
    #[values(
        "rds:DescribeDBProxies",
        "rds:DescribeDBProxyTargets",
        "rds:ListTagsForResource",
        "secretsmanager:ListSecrets"
    )]
    action: &str,
) {
    let mut world = led("PostgreSQL").await;
    let before = world.login.clone();
    world.next_operator();
    let effect = Effect::CutRequest;
    world.cloud.inject(Injection { action: action.to_owned(), after: 0, times: 30, effect });
    for _ in 0..5 {
        world.reconcile().await;
        assert_eq!(world.login, before);
        tokio::time::advance(Duration::from_secs(60)).await;
    }
    until_led(&mut world).await;
    assert_eq!(world.login, before);
}

/// Each call of making, changing and removing a proxy is lost once, before or after it is carried out.
#[rstest]
#[tokio::test(start_paused = true)]
async fn a_lost_call_changes_nothing_in_the_end(
    #[values(Effect::CutRequest, Effect::CutReply)] effect: Effect,
    #[values(
        "secretsmanager:CreateSecret",
        "secretsmanager:PutSecretValue",
        "secretsmanager:DeleteSecret",
        "secretsmanager:ListSecrets",
        "rds:CreateDBProxy",
        "rds:ModifyDBProxy",
        "rds:ModifyDBProxyTargetGroup",
        "rds:RegisterDBProxyTargets",
        "rds:DescribeDBProxies",
        "rds:DescribeDBProxyTargets",
        "rds:DeleteDBProxy"
    )]
    action: &str,
) {
    let mut world = World::new(&spec("PostgreSQL")).await;
    // The SDK tries three times.
    world.cloud.inject(Injection { action: action.to_owned(), after: 0, times: 3, effect });
    until_led(&mut world).await;
    world.next_operator();
    world.edit(|aws| {
        aws["proxy"]["idleClientTimeout"] = json!("1h");
        aws["proxy"]["maxConnectionsPercent"] = json!(60);
    });
    until_led(&mut world).await;
    change_proxy(&world, |proxy| {
        assert_eq!(proxy.settings.get("IdleClientTimeout"), Some("3600"));
        assert_eq!(proxy.pool.get("MaxConnectionsPercent"), Some("60"));
    });
    assert_eq!((proxies(&world).len(), logins(&world)), (1, 2));
    world.edit(|aws| drop(aws.as_object_mut().unwrap().remove("proxy")));
    world.until("deleted", |world, _| proxies(world).is_empty() && logins(world) == 0).await;
    until_direct(&mut world).await;
}
