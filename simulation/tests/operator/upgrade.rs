//! Major upgrades of a database in RDS by a blue/green deployment, and the way back.

use crate::world::{REGION, World};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use simulation::aws::{
    fault::{Effect, Injection},
    rds::{Deployment, Rds},
};
use std::{collections::BTreeSet, time::Duration};
use streaming_operator::api::names;

const SPEC: &str = "{version: '16', majorUpgrades: BlueGreen, masterPassword: Kubernetes}";
const READY: &str = "approve status.database.approval to have it take its place";

/// A database with version 16 that shall have version 17.
async fn ahead() -> World {
    let mut world = World::new(SPEC).await;
    world.settle().await;
    let identifier = identifier(&world);
    world.rds(|rds, now| assert!(rds.write(&identifier, now, 7)));
    world.edit(|aws| aws["version"] = json!("17"));
    world
}

/// The same, with a green instance that is ready.
async fn green() -> World {
    let mut world = ahead().await;
    until_told(&mut world, READY).await;
    world
}

fn identifier(world: &World) -> String {
    world.status().identifier.expect("it is there")
}

fn resource_id(world: &World, identifier: &str) -> String {
    world.rds(|rds, _| rds.instances[identifier].resource_id.clone())
}

async fn until_told(world: &mut World, text: &str) {
    world.until(text, |world, _| world.condition().2.contains(text)).await;
}

fn approve(world: &mut World) {
    let token = world.status().approval.expect("something to approve");
    world.annotate(names::ANNOTATION_APPROVE, &token);
}

fn count(world: &World, action: &str) -> usize {
    world.changes().iter().filter(|it| *it == action).count()
}

fn is_upgraded(world: &World) -> bool {
    world.status().version.is_some_and(|it| it.starts_with("17")) && world.rds(|rds, _| is_over(rds))
}

/// Whether no deployment is left, and no instance is marked as a part of one.
fn is_over(rds: &Rds) -> bool {
    let stage = |it: &simulation::aws::rds::Instance| it.tags.get(names::TAG_UPGRADE).cloned();
    let marked: BTreeSet<_> = rds.instances.values().filter_map(stage).collect();
    rds.deployments.is_empty() && marked.iter().all(|it| it == "replaced")
}

async fn until_upgraded(world: &mut World) {
    world.until("upgraded", |world, _| is_upgraded(world)).await;
    world.settle().await;
}

/// The only deployment.
fn deployment<T>(world: &World, act: impl FnOnce(&mut Deployment) -> T) -> T {
    world.rds(|rds, _| {
        assert_eq!(rds.deployments.len(), 1);
        act(rds.deployments.values_mut().next().unwrap())
    })
}

#[tokio::test(start_paused = true)]
async fn green_waits_for_an_approval_takes_over_and_the_old_one_is_kept_until_let_go() {
    let mut world = ahead().await;
    let (blue, made) = (identifier(&world), world.changes().len());
    let (old_id, host) = (resource_id(&world, &blue), world.reconcile().await.plan.database.connection);
    until_told(&mut world, READY).await;
    let calls = world.changes().len();
    let window: Timestamp = "2026-07-05T03:10:00Z".parse().unwrap();
    tokio::time::advance(window.duration_since(world.now()).unsigned_abs()).await;
    world.idle(2).await;
    assert_eq!(world.changes_since(calls), [""; 0], "not even in the window");
    assert_eq!(world.condition().0, "True");
    let pending = world.status().pending_changes;
    assert_eq!((pending[0].field.as_str(), pending[0].effect.as_str()), ("version", "replaces"));
    assert_eq!((pending[0].to.as_str(), &pending[0].at, &world.status().kept), ("17", &None, &Vec::new()));

    world.rds(|rds, now| assert!(rds.write(&blue, now, 8)));
    let login = world.login.clone();
    approve(&mut world);
    until_upgraded(&mut world).await;
    let old = format!("{blue}-old1");
    assert_eq!(world.rds(|rds, _| rds.read(&blue)), Some(8));
    assert_eq!((identifier(&world), world.status().kept), (blue.clone(), vec![old.clone()]));
    let connection = world.reconcile().await.plan.database.connection.unwrap();
    assert_eq!(connection.host, host.unwrap().host);
    assert_ne!(world.login, login, "the login is set on the new one");
    assert_eq!(
        world.changes_since(made),
        [
            "rds:CreateDBParameterGroup",
            "rds:ModifyDBParameterGroup",
            "rds:AddTagsToResource",
            "rds:CreateBlueGreenDeployment",
            "rds:AddTagsToResource",
            "rds:AddTagsToResource",
            "rds:SwitchoverBlueGreenDeployment",
            "rds:AddTagsToResource",
            "rds:DeleteBlueGreenDeployment",
            "rds:RemoveTagsFromResource",
        ]
    );

    // Neither another confirmation nor time lets the old one go.
    let all = world.cloud.calls().len();
    world.annotate(names::ANNOTATION_CONFIRM_UPGRADE, &resource_id(&world, &blue));
    world.annotate(names::ANNOTATION_CONFIRM_RESTORE, "one");
    world.idle(3).await;
    let calls = world.cloud.calls().split_off(all);
    assert!(!calls.iter().any(|it| it.action.contains("BlueGreen")), "nobody looks for deployments");
    assert_eq!(world.status().kept, std::slice::from_ref(&old));
    assert!(world.condition().2.contains(&old_id), "{:?}", world.condition());
    world.annotate(names::ANNOTATION_CONFIRM_UPGRADE, &old_id);
    world.until("the old one is gone", |world, _| world.status().kept.is_empty()).await;
    world.settle().await;
    world.rds(|rds, _| {
        assert_eq!(rds.instances.keys().collect::<Vec<_>>(), [&blue]);
        assert!(rds.snapshots.keys().any(|it| it.starts_with(&format!("{old}-final-"))));
    });
}

#[tokio::test(start_paused = true)]
async fn what_it_needs_is_made_first_and_the_approval_of_that_is_not_that_of_the_switch_over() {
    let mut world = World::new("{version: '16', maintenance: {restarts: WhenApproved}}").await;
    world.settle().await;
    world.edit(|aws| {
        aws["version"] = json!("17");
        aws["majorUpgrades"] = json!("BlueGreen");
        aws["masterPassword"] = json!("Kubernetes");
    });
    world.until("restart", |world, _| world.status().approval.is_some()).await;
    let fields = |world: &World| -> BTreeSet<String> {
        world.status().pending_changes.into_iter().map(|it| it.field).collect()
    };
    assert_eq!(fields(&world), ["parameters", "version"].map(str::to_owned).into());
    world.rds(|rds, _| assert!(rds.instances.values().all(|it| it.secret.is_none())));
    world.idle(2).await;
    assert_eq!(count(&world, "rds:RebootDBInstance") + count(&world, "rds:CreateBlueGreenDeployment"), 0);
    approve(&mut world);
    until_told(&mut world, READY).await;
    assert_eq!(count(&world, "rds:RebootDBInstance"), 1);
    world.idle(3).await;
    assert_eq!(count(&world, "rds:SwitchoverBlueGreenDeployment"), 0);
    approve(&mut world);
    until_upgraded(&mut world).await;
}

#[tokio::test(start_paused = true)]
async fn taking_the_version_back_deletes_green_and_nothing_else() {
    for stage in ["PROVISIONING", "AVAILABLE", "INVALID_CONFIGURATION", "SWITCHOVER_FAILED"] {
        let is_early = stage == "PROVISIONING";
        let mut world = if is_early { ahead().await } else { green().await };
        if is_early {
            world.until("made", |world, _| world.rds(|rds, _| !rds.deployments.is_empty())).await;
        } else {
            deployment(&world, |it| it.force_status(stage, "so"));
        }
        let blue = identifier(&world);
        let id = resource_id(&world, &blue);
        world.edit(|aws| aws["version"] = json!("16"));
        world.until("given up", |world, _| world.rds(|rds, _| is_over(rds))).await;
        world.settle().await;
        world.until("green is gone", |world, _| world.rds(|rds, _| rds.instances.len() == 1)).await;
        assert_eq!((resource_id(&world, &blue), world.status().pending_changes), (id, Vec::new()), "{stage}");
        assert_eq!(world.rds(|rds, _| rds.read(&blue)), Some(7), "{stage}");
    }
}

#[tokio::test(start_paused = true)]
async fn another_version_or_another_way_gives_green_up() {
    for (field, value) in [("version", "17.4"), ("majorUpgrades", "InPlace")] {
        let mut world = green().await;
        world.edit(|aws| aws[field] = json!(value));
        world.until("given up", |world, _| count(world, "rds:DeleteBlueGreenDeployment") == 1).await;
        let made = || count(&world, "rds:CreateBlueGreenDeployment");
        assert_eq!(made(), 1);
        assert_eq!(count(&world, "rds:SwitchoverBlueGreenDeployment"), 0, "{field}");
    }
}

#[tokio::test(start_paused = true)]
async fn lost_requests_and_replies_make_no_second_green_and_switch_over_once() {
    for action in [
        "AddTagsToResource",
        "CreateBlueGreenDeployment",
        "SwitchoverBlueGreenDeployment",
        "DeleteBlueGreenDeployment",
        "RemoveTagsFromResource",
    ] {
        for effect in [Effect::CutRequest, Effect::CutReply] {
            let mut world = World::new(SPEC).await;
            world.settle().await;
            let blue = identifier(&world);
            let action = format!("rds:{action}");
            world.cloud.inject(Injection { action: action.clone(), after: 0, times: 5, effect });
            world.edit(|aws| aws["version"] = json!("17"));
            approve_all(&mut world).await;
            world.rds(|rds, _| {
                let there: Vec<_> = rds.instances.keys().cloned().collect();
                assert_eq!(there, [blue.clone(), format!("{blue}-old1")], "{action}");
                assert!(is_over(rds), "{action}");
            });
        }
    }
}

/// Approves whatever waits, until the upgrade is over.
async fn approve_all(world: &mut World) {
    for _ in 0..1000 {
        world.reconcile().await;
        if let Some(token) = world.status().approval {
            world.annotate(names::ANNOTATION_APPROVE, &token);
        }
        if is_upgraded(world) {
            return world.settle().await;
        }
        tokio::time::advance(Duration::from_secs(15)).await;
    }
    panic!("not upgraded: {:?}", world.condition());
}

#[tokio::test(start_paused = true)]
async fn stale_descriptions_make_no_second_green_and_lose_nothing() {
    for lag in [20, 90, 300] {
        let mut world = ahead().await;
        let blue = identifier(&world);
        world.rds(|rds, now| rds.answer_stale(now, SignedDuration::from_secs(lag)));
        approve_all(&mut world).await;
        tokio::time::advance(Duration::from_secs(600)).await;
        world.settle().await;
        world.rds(|rds, _| {
            let there: Vec<_> = rds.instances.keys().cloned().collect();
            assert_eq!(there, [blue.clone(), format!("{blue}-old1")], "{lag}");
            assert_eq!((rds.read(&blue), is_over(rds)), (Some(7), true), "{lag}");
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_green_that_is_no_use_is_told_and_made_anew_only_when_approved() {
    let mut world = green().await;
    deployment(&world, |it| it.force_status("INVALID_CONFIGURATION", "incompatible parameter"));
    until_told(&mut world, "incompatible parameter").await;
    assert_eq!((world.condition().1.as_str(), identifier(&world).is_empty()), ("Failed", false));
    let made = world.changes().len();
    world.idle(5).await;
    assert_eq!(world.changes_since(made), [""; 0]);
    approve(&mut world);
    until_told(&mut world, READY).await;
    assert_eq!(count(&world, "rds:CreateBlueGreenDeployment"), 2);
    world.idle(1).await;
    assert_eq!(count(&world, "rds:SwitchoverBlueGreenDeployment"), 0);
    approve(&mut world);
    until_upgraded(&mut world).await;
}

#[tokio::test(start_paused = true)]
async fn a_switch_over_that_fails_is_told_and_each_approval_is_good_for_one_try() {
    for status in ["SWITCHOVER_FAILED", "AVAILABLE"] {
        let mut world = green().await;
        let blue = identifier(&world);
        deployment(&world, |it| it.fail_switchover(status, "replication lag"));
        approve(&mut world);
        until_told(&mut world, "replication lag").await;
        world.idle(5).await;
        assert_eq!(count(&world, "rds:SwitchoverBlueGreenDeployment"), 1, "{status}");
        assert!(world.rds(|rds, now| rds.write(&blue, now, 9)));
        assert!(world.login.as_ref().unwrap().database.starts_with(&resource_id(&world, &blue)));
        deployment(&world, |it| it.force_status("AVAILABLE", ""));
        world.idle(1).await;
        assert_eq!(count(&world, "rds:SwitchoverBlueGreenDeployment"), 1, "{status}");
        approve(&mut world);
        until_upgraded(&mut world).await;
        assert_eq!(world.rds(|rds, _| rds.read(&blue)), Some(9));
    }
}

#[tokio::test(start_paused = true)]
async fn the_way_back_is_a_restore_of_what_was_kept() {
    let mut world = green().await;
    let blue = identifier(&world);
    approve(&mut world);
    until_upgraded(&mut world).await;
    let old = format!("{blue}-old1");
    world.rds(|rds, now| assert!(rds.write(&blue, now, 666)));
    tokio::time::advance(Duration::from_secs(3600)).await;
    world.edit(|aws| {
        aws["version"] = json!("16");
        aws["restore"] = json!({"name": "back", "latest": true, "fromIdentifier": old});
    });
    world
        .until("restored", |world, _| world.status().identifier.is_some_and(|it| it.ends_with("-back")))
        .await;
    world.settle().await;
    let back = identifier(&world);
    assert!(world.status().version.unwrap().starts_with("16"));
    assert_eq!(world.rds(|rds, _| (rds.read(&back), rds.read(&blue))), (Some(7), Some(666)));
    assert_eq!(world.status().kept, [blue.clone(), old.clone()]);
    // The restore's confirmation is for what the restore replaced.
    world.annotate(names::ANNOTATION_CONFIRM_RESTORE, "back");
    world.until("one is gone", |world, _| world.status().kept == [old.clone()]).await;
    world.idle(1).await;
    assert_eq!(world.status().kept, std::slice::from_ref(&old));
}

#[tokio::test(start_paused = true)]
async fn a_restore_within_an_upgrade_gives_it_up() {
    for stage in ["PROVISIONING", "AVAILABLE"] {
        let mut world = ahead().await;
        tokio::time::advance(Duration::from_secs(3600)).await;
        world
            .until(stage, |world, _| {
                world.rds(|rds, _| rds.deployments.values().any(|it| it.status() == stage))
            })
            .await;
        let blue = identifier(&world);
        world.edit(|aws| {
            aws["version"] = json!("16");
            aws["restore"] = json!({"name": "one", "latest": true});
        });
        world
            .until("restored", |world, _| {
                world.status().identifier.is_some_and(|it| it.ends_with("-one"))
                    && world.rds(|rds, _| is_over(rds))
            })
            .await;
        world.settle().await;
        world.until("green is gone", |world, _| world.rds(|rds, _| rds.instances.len() == 2)).await;
        assert_eq!(world.status().kept, std::slice::from_ref(&blue), "{stage}");
        world.annotate(names::ANNOTATION_CONFIRM_RESTORE, "one");
        world.until("gone", |world, _| world.rds(|rds, _| rds.instances.len() == 1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_platform_that_is_deleted_within_an_upgrade_leaves_nothing() {
    for stage in ["PROVISIONING", "AVAILABLE", "SWITCHOVER_IN_PROGRESS", "upgraded"] {
        let mut world = if stage == "PROVISIONING" { ahead().await } else { green().await };
        if stage != "PROVISIONING" && stage != "AVAILABLE" {
            approve(&mut world);
        }
        world
            .until(stage, |world, _| {
                let now = world.rds(|rds, _| rds.deployments.values().map(Deployment::status).next());
                now == Some(stage) || stage == "upgraded" && is_upgraded(world)
            })
            .await;
        world.delete().await.unwrap();
        world.rds(|rds, _| {
            assert!(rds.instances.is_empty() && rds.deployments.is_empty(), "{stage}");
            let groups = rds.groups.groups.keys().filter(|name| name.starts_with("tv-"));
            assert_eq!(groups.count(), 0, "{stage}");
            assert!(rds.snapshots.keys().any(|it| it.contains("-final-")), "{stage}");
        });
    }
}

#[tokio::test(start_paused = true)]
async fn no_login_is_rotated_that_green_would_not_know() {
    let mut world = green().await;
    let login = world.login.clone();
    world.annotate(names::ANNOTATION_ROTATE_LOGIN, "now");
    world.idle(1).await;
    assert_eq!(world.login, login);
    approve(&mut world);
    until_upgraded(&mut world).await;
    assert_ne!(world.login, login);
}

#[tokio::test(start_paused = true)]
async fn a_suspended_platform_leaves_an_upgrade_as_it_is() {
    let mut world = green().await;
    world.edit(|aws| aws["whenSuspended"] = json!("Stopped"));
    let mut spec = serde_json::to_value(&world.resource.spec).unwrap();
    spec["suspend"] = json!(true);
    world.set_spec(spec);
    let made = world.changes().len();
    world.idle(2).await;
    assert_eq!(world.changes_since(made), [""; 0]);
    assert!(world.condition().2.contains("not stopped within an upgrade"), "{:?}", world.condition());
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_someone_else_made_is_left_alone() {
    let mut world = ahead().await;
    let arn = world.rds(|rds, _| rds.instances.keys().next().unwrap().clone());
    let arn = format!("arn:aws:rds:{REGION}:{}:db:{arn}", simulation::aws::ACCOUNT);
    let console = aws_sdk_rds::Client::new(&world.cloud.sdk_config(REGION));
    let request = console.create_blue_green_deployment().blue_green_deployment_name("by-hand");
    request.source(arn).send().await.unwrap();
    until_told(&mut world, "by-hand").await;
    assert_eq!(world.condition().1, "NotOwned");
    let made = world.changes().len();
    world.idle(2).await;
    assert_eq!(world.changes_since(made), [""; 0]);
    assert_eq!(world.status().kept, [""; 0]);
}
