//! Restore drills: due, made once, ended, and nothing left behind.

use crate::world::{Pass, World};
use aws_sdk_rds::types::Tag;
use serde_json::json;
use simulation::aws::{
    fault::{Effect, Fault, Injection},
    rds::Rds,
};
use std::time::Duration;
use streaming_operator::{
    api::{FinishedDrill, RestoreDrillStatus, names},
    apply::aws::Drilled,
    controller::events::of_transitions,
    plan::rds::drill::{Answer, Step},
};

const INSTANCE: &str = "engine: PostgreSQL, multiAZ: true";
const AURORA: &str = "engine: AuroraPostgreSQL, serverless: {minACU: '0.5', maxACU: '4'}, readers: 1";
/// The world begins at noon; by two, a database is at rest.
const DAILY: &str = "restoreDrill: {schedule: '0 14 * * *'}";
const SLOT: &str = "2026-07-01T14:00:00Z";
/// What a drill of an instance calls, and what one of a cluster does.
const CALLS: [&str; 2] = ["rds:RestoreDBInstanceToPointInTime", "rds:DeleteDBInstance"];
const CLUSTER_CALLS: [&str; 5] = [
    "rds:RestoreDBClusterToPointInTime",
    "rds:CreateDBInstance",
    "rds:ModifyDBCluster",
    "rds:DeleteDBInstance",
    "rds:DeleteDBCluster",
];

fn spec(engine: &str) -> String {
    format!("{{{engine}, {DAILY}}}")
}

/// A platform at rest, a minute before its first drill.
async fn before_the_slot(engine: &str) -> World {
    let mut world = World::new(&spec(engine)).await;
    world.settle().await;
    let slot = SLOT.parse().unwrap();
    let until = world.now().duration_since(slot).as_secs().unsigned_abs();
    assert!(world.now() < slot, "{} is too late", world.now());
    tokio::time::advance(Duration::from_secs(until - 60)).await;
    world.reconcile().await;
    world
}

fn drills(world: &World) -> RestoreDrillStatus {
    world.status().restore_drill.unwrap_or_default()
}

fn last(world: &World) -> FinishedDrill {
    drills(world).last.expect("a drill has ended")
}

fn is_over(world: &World, _: &Pass) -> bool {
    let drills = drills(world);
    drills.last.is_some() && drills.running.is_none() && drills.scratch.is_none()
}

fn asks(pass: &Pass) -> bool {
    matches!(pass.plan.database.drill.as_ref().map(|it| &it.step), Some(Step::Ask(_)))
}

/// Names of what drills made.
fn scratch(rds: &Rds) -> Vec<String> {
    let names = rds.instances.keys().chain(rds.clusters.keys());
    names.filter(|name| name.contains("-drill-")).cloned().collect()
}

fn count(world: &World, action: &str) -> usize {
    world.changes().iter().filter(|it| *it == action).count()
}

/// The condition `RestoreDrillPassed`: status and reason.
fn condition(world: &World, kind: &str) -> Option<(String, String)> {
    let status = world.resource.status.as_ref()?;
    let found = status.conditions.iter().find(|it| it.type_ == kind)?;
    Some((found.status.clone(), found.reason.clone()))
}

fn is(status: &str, reason: &str) -> Option<(String, String)> {
    Some((status.to_owned(), reason.to_owned()))
}

#[tokio::test(start_paused = true)]
async fn a_drill_restores_asks_and_leaves_nothing_behind() {
    for (engine, calls) in [(INSTANCE, &CALLS[..]), (AURORA, &CLUSTER_CALLS)] {
        let mut world = before_the_slot(engine).await;
        let database = world.status().identifier.unwrap();
        let writer = if engine == AURORA { format!("{database}-1") } else { database.clone() };
        world.rds(|rds, now| assert!(rds.write(&writer, now, 7)));
        assert_eq!(drills(&world).next.unwrap().0.to_string(), SLOT);
        assert_eq!(condition(&world, "RestoreDrillPassed"), None);
        let made = world.changes().len();
        tokio::time::advance(Duration::from_secs(1800)).await;

        world.until("asked", |_, pass| asks(pass)).await;
        world.rds(|rds, _| {
            let names = scratch(rds);
            let server = names.iter().find_map(|name| rds.instances.get(name)).unwrap();
            assert_eq!(rds.read(&server.identifier), Some(7), "the rows are back");
            let settings = &server.settings;
            assert!(
                !settings.multi_az && !settings.deletion_protection && !settings.public && !settings.insights
            );
            if engine == INSTANCE {
                assert_eq!(settings.backup_retention, 0);
                assert_eq!(settings.parameter_group, rds.instances[&writer].settings.parameter_group);
            }
            assert_eq!(server.tags[names::TAG_UID], "uid-of-tv");
        });
        world.until("over", is_over).await;
        let reads = |call: &String| call != "secretsmanager:GetSecretValue";
        let changes: Vec<_> = world.changes_since(made).into_iter().filter(reads).collect();
        assert_eq!(changes, calls, "{engine}");
        world.rds(|rds, _| assert_eq!(scratch(rds), [""; 0]));

        let drill = last(&world);
        assert_eq!((drill.slot.0.to_string().as_str(), drill.passed), (SLOT, true));
        let rto = drill.finished_at.0.duration_since(drill.started_at.0).as_secs();
        assert_eq!(drill.rto_seconds, Some(rto));
        assert!((300..1800).contains(&rto), "{rto} s");
        let rpo = drill.rpo_seconds.unwrap();
        assert!((1..=600).contains(&rpo), "{rpo} s");
        assert_eq!(drills(&world).last_passed_at, Some(drill.finished_at));
        assert_eq!(condition(&world, "RestoreDrillPassed"), is("True", "AsExpected"));
        let status = world.status();
        assert_eq!((status.identifier, status.kept), (Some(database), Vec::new()));
    }
}

#[tokio::test(start_paused = true)]
async fn it_costs_no_calls_until_it_is_due_and_comes_again_the_next_day() {
    let mut world = before_the_slot(INSTANCE).await;
    world.until("over", is_over).await;
    let (first, made, calls) = (last(&world), world.changes().len(), world.cloud.calls().len());
    world.idle(23).await;
    assert_eq!((last(&world), world.changes().len()), (first, made));
    let reads = world.cloud.calls().len() - calls;
    assert!(reads <= 23 * (60 * 6 + 5), "{reads} calls in 23 idle hours");
    tokio::time::advance(Duration::from_secs(3600)).await;
    world.until("the second", |world, _| last(world).slot.0.to_string() == "2026-07-02T14:00:00Z").await;
    assert!(last(&world).passed);
}

#[tokio::test(start_paused = true)]
async fn slots_that_were_missed_are_made_up_for_once() {
    let mut world = before_the_slot(INSTANCE).await;
    tokio::time::advance(Duration::from_secs(73 * 3600)).await;
    world.next_operator();
    world.until("over", is_over).await;
    assert_eq!(last(&world).slot.0.to_string(), SLOT);
    assert_eq!(drills(&world).next.unwrap().0.to_string(), "2026-07-05T14:00:00Z");
    world.idle(12).await;
    assert_eq!(count(&world, CALLS[0]), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_makes_no_second_copy_and_leaves_none() {
    for (engine, calls) in [(INSTANCE, &CALLS[..]), (AURORA, &CLUSTER_CALLS)] {
        for (action, effect) in
            calls.iter().flat_map(|call| [(call, Effect::CutRequest), (call, Effect::CutReply)])
        {
            let mut world = before_the_slot(engine).await;
            let cut = Injection { action: (*action).to_owned(), after: 0, times: 3, effect };
            world.cloud.inject(cut.clone());
            world
                .until("over", |world, pass| {
                    let copies = world.rds(|rds, _| scratch(rds));
                    assert!(copies.len() <= calls.len() / 2, "{cut:?}: {copies:?}");
                    is_over(world, pass)
                })
                .await;
            assert!(last(&world).passed, "{cut:?}: {:?}", last(&world));
            world.rds(|rds, _| assert_eq!(scratch(rds), [""; 0], "{cut:?}"));
        }
    }
}

/// The status is not written, and another operator goes on: after each step of a drill in turn.
#[tokio::test(start_paused = true)]
async fn a_crash_after_any_step_makes_no_second_copy_and_leaves_none() {
    for engine in [INSTANCE, AURORA] {
        let mut crash = 0;
        loop {
            let mut world = before_the_slot(engine).await;
            tokio::time::advance(Duration::from_secs(60)).await;
            let mut steps = 0;
            loop {
                let before = world.resource.status.clone();
                let pass = world.reconcile().await;
                let is_step = pass.drilled != Drilled::default() || world.resource.status != before;
                if is_step && steps == crash {
                    world.resource.status = before;
                    world.next_operator();
                } else if is_over(&world, &pass) {
                    break;
                }
                steps += usize::from(is_step);
                assert!(steps < 100, "{crash}: it never ends");
                tokio::time::advance(Duration::from_secs(15)).await;
            }
            let drill = last(&world);
            assert!(drill.passed && drill.slot.0.to_string() == SLOT, "{crash}: {drill:?}");
            let restore = if engine == AURORA { CLUSTER_CALLS[0] } else { CALLS[0] };
            assert_eq!(count(&world, restore), 1, "{crash}");
            world.rds(|rds, _| assert_eq!(scratch(rds), [""; 0], "{crash}"));
            if crash > steps {
                break;
            }
            crash += 1;
        }
        assert!(crash >= 4, "only {crash} steps");
    }
}

#[tokio::test(start_paused = true)]
async fn a_restore_that_fails_is_told_and_what_is_left_of_it_goes() {
    let mut world = before_the_slot(INSTANCE).await;
    world.rds(|rds, _| rds.fail_next_creation("incompatible-restore", "no such thing"));
    let before = world.resource.status.clone().unwrap();
    world.until("ended", |world, _| drills(world).last.is_some()).await;
    let events = of_transitions(&before, world.resource.status.as_ref().unwrap());
    let told: Vec<_> = events.iter().map(|it| (it.warning, it.reason.as_str())).collect();
    assert_eq!(told, [(true, "RestoreDrillFailed")]);
    world.until("over", is_over).await;
    let drill = last(&world);
    assert_eq!((drill.passed, drill.rto_seconds, drills(&world).last_passed_at), (false, None, None));
    assert!(drill.message.contains("incompatible-restore"), "{}", drill.message);
    assert_eq!(condition(&world, "RestoreDrillPassed"), is("False", "RestoreDrillFailed"));
    // The database itself is well.
    assert_eq!(condition(&world, "DatabaseReady"), is("True", "AsExpected"));
    assert_eq!(condition(&world, "Stalled"), is("False", "AsExpected"));
    world.rds(|rds, _| assert_eq!(scratch(rds), [""; 0]));
}

#[tokio::test(start_paused = true)]
async fn another_answer_than_wanted_fails_the_drill() {
    let mut world = before_the_slot(INSTANCE).await;
    world.until("over", is_over).await;
    let passed_at = drills(&world).last_passed_at;
    world.answer = Answer::Failed("the query returned no row".to_owned());
    tokio::time::advance(Duration::from_secs(24 * 3600)).await;
    world.until("ended", |world, _| !last(world).passed).await;
    assert_eq!(last(&world).message, "the query returned no row");
    assert_eq!(drills(&world).last_passed_at, passed_at);
    world.until("over", is_over).await;
}

#[tokio::test(start_paused = true)]
async fn no_answer_in_time_fails_the_drill() {
    let mut world = before_the_slot(INSTANCE).await;
    world.answer = Answer::NotYet("nobody at home".to_owned());
    world.until("over", is_over).await;
    let drill = last(&world);
    assert_eq!(drill.finished_at.0.duration_since(drill.started_at.0).as_secs() / 60, 4 * 60);
    assert!(!drill.passed && drill.message.contains("nobody at home"), "{}", drill.message);
    world.rds(|rds, _| assert_eq!(scratch(rds), [""; 0]));
}

#[tokio::test(start_paused = true)]
async fn a_restore_that_aws_refuses_is_told_and_tried_until_its_time_is_over() {
    let mut world = before_the_slot(INSTANCE).await;
    let refusal = Fault::bad_request("InstanceQuotaExceeded", "Instance quota exceeded");
    let (action, effect) = (CALLS[0].to_owned(), Effect::Answer(refusal));
    world.cloud.inject(Injection { action, after: 0, times: u32::MAX, effect });
    world
        .until("told", |world, _| {
            drills(world).message.is_some_and(|message| message.contains("quota exceeded"))
        })
        .await;
    assert_eq!(condition(&world, "DatabaseReady"), is("True", "AsExpected"));
    world.until("ended", |world, _| drills(world).last.is_some()).await;
    assert!(last(&world).message.contains("quota exceeded"), "{:?}", last(&world));
    world.rds(|rds, _| assert_eq!(scratch(rds), [""; 0]));
}

#[tokio::test(start_paused = true)]
async fn taken_out_of_the_spec_it_ends_and_its_copy_goes() {
    for engine in [INSTANCE, AURORA] {
        let mut world = before_the_slot(engine).await;
        world.until("begun", |world, _| world.rds(|rds, _| !scratch(rds).is_empty())).await;
        world.edit(|aws| drop(aws.as_object_mut().unwrap().remove("restoreDrill")));
        world.until("gone", |world, _| world.rds(|rds, _| scratch(rds).is_empty())).await;
        world.reconcile().await;
        assert_eq!(world.status().restore_drill, None);
        assert_eq!(condition(&world, "RestoreDrillPassed"), None);
        world.settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn taken_out_and_put_back_it_waits_for_the_next_slot() {
    let mut world = before_the_slot(INSTANCE).await;
    world.until("begun", |world, _| world.rds(|rds, _| !scratch(rds).is_empty())).await;
    let spec = serde_json::to_value(&world.resource.spec).unwrap();
    world.edit(|aws| drop(aws.as_object_mut().unwrap().remove("restoreDrill")));
    world.until("being deleted", |world, _| count(world, CALLS[1]) == 1).await;
    world.set_spec(spec);
    world.until("gone", |world, _| world.rds(|rds, _| scratch(rds).is_empty())).await;
    world.reconcile().await;
    assert_eq!(drills(&world).last, None, "what the operator deletes itself is no failure");
    assert_eq!(drills(&world).next.unwrap().0.to_string(), "2026-07-02T14:00:00Z");
}

#[tokio::test(start_paused = true)]
async fn it_goes_with_the_platform_and_without_a_snapshot() {
    for engine in [INSTANCE, AURORA] {
        for (policy, kept) in [("Snapshot", false), ("Retain", true)] {
            let mut world = before_the_slot(engine).await;
            let mut spec = serde_json::to_value(&world.resource.spec).unwrap();
            spec["database"]["deletionPolicy"] = json!(policy);
            world.set_spec(spec);
            world.until("begun", |world, _| world.rds(|rds, _| !scratch(rds).is_empty())).await;
            world.delete().await.unwrap();
            world.rds(|rds, _| {
                assert_eq!(scratch(rds), [""; 0], "{policy}");
                assert_eq!(!rds.instances.is_empty(), kept, "{policy}");
                let snapshots = rds.snapshots.keys().chain(rds.cluster_snapshots.keys());
                assert_eq!(snapshots.filter(|name| name.contains("-drill-")).count(), 0);
            });
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_suspended_platform_begins_none_and_ends_the_one_that_runs() {
    let mut world = before_the_slot(INSTANCE).await;
    let mut spec = serde_json::to_value(&world.resource.spec).unwrap();
    let mut suspend = |world: &mut World, suspended: bool| {
        spec["suspend"] = json!(suspended);
        world.set_spec(spec.clone());
    };
    suspend(&mut world, true);
    world.idle(6).await;
    assert_eq!(count(&world, CALLS[0]), 0);
    assert!(drills(&world).message.unwrap().contains("spec.suspend"));
    suspend(&mut world, false);
    world.until("begun", |world, _| count(world, CALLS[0]) == 1).await;
    suspend(&mut world, true);
    world.until("over", is_over).await;
    assert!(last(&world).passed);
}

#[tokio::test(start_paused = true)]
async fn it_waits_until_nothing_else_moves() {
    let mut world = before_the_slot(INSTANCE).await;
    tokio::time::advance(Duration::from_secs(60)).await;
    world.edit(|aws| aws["multiAZ"] = json!(false));
    world.reconcile().await;
    assert_eq!(count(&world, CALLS[0]), 0);
    assert!(drills(&world).message.unwrap().contains("being changed"));
    world.until("over", is_over).await;
    assert_eq!(last(&world).slot.0.to_string(), SLOT);
}

#[tokio::test(start_paused = true)]
async fn a_mark_on_the_database_itself_delivers_it_to_no_drill() {
    let mut world = before_the_slot(INSTANCE).await;
    let database = world.status().identifier.unwrap();
    world.until("begun", |world, _| world.rds(|rds, _| !scratch(rds).is_empty())).await;
    let mark = world.rds(|rds, _| rds.instances[&scratch(rds)[0]].tags[names::TAG_DRILL].clone());
    let console = aws_sdk_rds::Client::new(&world.cloud.sdk_config(crate::world::REGION));
    let arn = console.describe_db_instances().db_instance_identifier(&database).send().await.unwrap();
    let arn = arn.db_instances()[0].db_instance_arn().unwrap().to_owned();
    let tag = Tag::builder().key(names::TAG_DRILL).value(mark).build();
    console.add_tags_to_resource().resource_name(arn).tags(tag).send().await.unwrap();
    world.until("over", is_over).await;
    world.idle(2).await;
    world.rds(|rds, _| assert_eq!(rds.instances.keys().collect::<Vec<_>>(), [&database]));
    assert_eq!(condition(&world, "DatabaseReady"), is("True", "AsExpected"));
}

#[tokio::test(start_paused = true)]
async fn the_copys_master_gets_the_password_that_is_known() {
    for (engine, calls, set) in
        [(INSTANCE, &CALLS[..], "rds:ModifyDBInstance"), (AURORA, &CLUSTER_CALLS, "rds:ModifyDBCluster")]
    {
        let mut world = before_the_slot(&format!("{engine}, masterPassword: Kubernetes")).await;
        let made = world.changes().len();
        world.until("over", is_over).await;
        assert!(last(&world).passed);
        let changes = world.changes_since(made);
        assert_eq!(changes.iter().filter(|it| *it == set).count(), 1, "{changes:?}");
        assert_eq!(changes.iter().filter(|it| *it == "rds:RemoveTagsFromResource").count(), 1, "{changes:?}");
        assert!(calls.iter().all(|call| changes.contains(&(*call).to_owned())), "{changes:?}");
    }
}
