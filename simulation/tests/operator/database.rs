//! A database in RDS, from its making to its end.

use crate::world::World;
use serde_json::json;
use simulation::aws::{
    fault::{Effect, Fault, Injection},
    rds::{Rds, Subnet},
};
use std::time::Duration;
use streaming_operator::{
    api::names, apply::master, observe::aws::database::Databases, plan::managed::Master,
};
use tokio::time::Instant;

const INSTANCE: &str = "engine: PostgreSQL";
const AURORA: &str = "{engine: AuroraPostgreSQL, serverless: {minACU: '0.5', maxACU: '4'}, readers: 1}";

/// How many final snapshots there are.
pub fn final_snapshots(rds: &Rds) -> usize {
    rds.snapshots.keys().chain(rds.cluster_snapshots.keys()).filter(|name| name.contains("-final-")).count()
}

/// The only instance of the platform.
fn identifier(world: &World) -> String {
    world.status().identifier.expect("it is there")
}

#[tokio::test(start_paused = true)]
async fn an_instance_is_made_and_costs_nothing_while_it_idles() {
    let mut world = World::new(INSTANCE).await;
    world.settle().await;
    let status = world.status();
    assert_eq!((status.state.as_deref(), status.version.as_deref()), (Some("available"), Some("16.9")));
    assert_eq!(world.changes(), ["rds:CreateDBParameterGroup", "rds:CreateDBInstance"]);
    let made = world.cloud.calls().len();
    world.idle(2).await;
    assert_eq!(world.changes().len(), 2, "{:?}", world.changes_since(2));
    // One listing a minute: instances, clusters, subnet groups, two kinds of parameter groups and their events;
    // and the parameters of the group every hour.
    let reads = world.cloud.calls().len() - made;
    assert!(reads <= 120 * 6 + 3 * 5, "{reads} calls in 120 idle minutes");
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_makes_no_second_instance() {
    for effect in [Effect::CutRequest, Effect::CutReply] {
        let mut world = World::new(INSTANCE).await;
        let action = "rds:CreateDBInstance".to_owned();
        world.cloud.inject(Injection { action, after: 0, times: 3, effect });
        world.settle().await;
        world.rds(|rds, _| assert_eq!(rds.instances.len(), 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_making_says_why_and_what_to_do() {
    let mut world = World::new(INSTANCE).await;
    let fault = Fault::bad_request("InstanceQuotaExceeded", "Instance quota exceeded");
    let action = "rds:CreateDBInstance".to_owned();
    world.cloud.inject(Injection { action, after: 0, times: 1, effect: Effect::Answer(fault) });
    world.until("told", |world, _| world.condition().2.contains("quota exceeded")).await;
    assert_eq!(world.condition().1, "CallFailed");
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn an_aurora_cluster_is_made_with_its_reader_and_costs_nothing_while_it_idles() {
    let mut world = World::new(AURORA).await;
    world.settle().await;
    world.rds(|rds, _| {
        assert_eq!((rds.clusters.len(), rds.instances.len()), (1, 2));
    });
    let made = world.changes().len();
    world.idle(3).await;
    assert_eq!(world.changes_since(made), [""; 0]);
    world.edit(|aws| aws["readers"] = json!(2));
    world
        .until("two readers", |world, pass| {
            pass.plan.database.calls.is_empty() && world.rds(|rds, _| rds.instances.len() == 3)
        })
        .await;
    world.settle().await;
    world.edit(|aws| aws["readers"] = json!(0));
    world.until("no reader", |world, _| world.rds(|rds, _| rds.instances.len() == 1)).await;
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn a_change_online_is_made_at_once() {
    let mut world = World::new(INSTANCE).await;
    world.settle().await;
    let made = world.changes().len();
    world.edit(|aws| {
        aws["backup"] = json!({"retentionDays": 14});
        aws["storage"] = json!({"size": "50Gi"});
    });
    world.settle().await;
    assert_eq!(world.changes_since(made), ["rds:ModifyDBInstance"]);
    let identifier = identifier(&world);
    world.rds(|rds, _| {
        let settings = &rds.instances[&identifier].settings;
        assert_eq!((settings.allocated_storage, settings.backup_retention), (50, 14));
    });
}

#[tokio::test(start_paused = true)]
async fn what_restarts_waits_for_the_window_and_says_so() {
    let mut world = World::new(INSTANCE).await;
    world.settle().await;
    let made = world.changes().len();
    world.edit(|aws| aws["instanceClass"] = json!("db.t4g.medium"));
    world.idle(3).await;
    assert_eq!(world.changes_since(made), [""; 0]);
    let pending = world.status().pending_changes;
    assert_eq!(pending.len(), 1);
    assert_eq!((pending[0].field.as_str(), pending[0].effect.as_str()), ("instanceClass", "restarts"));
    let at = pending[0].at.as_ref().unwrap().0;
    assert_eq!(at.to_string(), "2026-07-05T03:00:00Z", "the next Sunday at three");
    let until_the_window = at.duration_since(world.now()).as_secs().unsigned_abs();
    tokio::time::advance(Duration::from_secs(until_the_window - 600)).await;
    world
        .until("changed", |world, pass| {
            pass.plan.database.calls.is_empty()
                && world.status().pending_changes.is_empty()
                && world.now() > at
        })
        .await;
    assert_eq!(world.changes_since(made), ["rds:ModifyDBInstance"]);
    assert!(world.now().duration_since(at).as_secs() < 3600);
}

#[tokio::test(start_paused = true)]
async fn what_restarts_is_made_at_once_when_it_is_approved_and_only_then() {
    let mut world = World::new("{maintenance: {restarts: WhenApproved}}").await;
    world.settle().await;
    let made = world.changes().len();
    world.edit(|aws| aws["instanceClass"] = json!("db.t4g.medium"));
    world.eight_days().await;
    assert_eq!(world.changes_since(made), [""; 0], "not even in the window");
    let token = world.status().approval.expect("something to approve");
    world.annotate(names::ANNOTATION_APPROVE, "another");
    world.idle(1).await;
    assert_eq!(world.changes_since(made), [""; 0]);
    world.annotate(names::ANNOTATION_APPROVE, &token);
    world.until("changed", |world, _| world.status().pending_changes.is_empty()).await;
    world.settle().await;
    assert_eq!(world.changes_since(made), ["rds:ModifyDBInstance"]);
    // The approval was for that change, not for the next one.
    world.edit(|aws| aws["instanceClass"] = json!("db.t4g.large"));
    world.idle(1).await;
    assert_eq!(world.changes_since(made), ["rds:ModifyDBInstance"]);
    assert_ne!(world.status().approval, Some(token));
}

#[tokio::test(start_paused = true)]
async fn drift_is_undone_within_a_minute_or_told() {
    for (policy, repaired) in [("Repair", true), ("Report", false)] {
        let mut world = World::new(&format!("driftPolicy: {policy}")).await;
        world.settle().await;
        let identifier = identifier(&world);
        let made = world.changes().len();
        // Someone at the console.
        let console = aws_sdk_rds::Client::new(&world.cloud.sdk_config(crate::world::REGION));
        let request = console.modify_db_instance().db_instance_identifier(&identifier);
        request.backup_retention_period(1).apply_immediately(true).send().await.unwrap();
        let changes = world.changes_since(made).len();
        tokio::time::advance(Duration::from_secs(60)).await;
        world.reconcile().await;
        let repairs = world.changes_since(made).len() - changes;
        assert_eq!(repairs, usize::from(repaired), "{policy}: {:?}", world.condition());
        if !repaired {
            assert_eq!(world.condition().1, "Drifted");
            assert!(world.condition().2.contains("backup.retentionDays"), "{:?}", world.condition());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn parameters_that_someone_sets_are_reset_within_a_minute() {
    let mut world = World::new(INSTANCE).await;
    world.settle().await;
    world.idle(1).await;
    let (name, made) = ("tv-4s4wk5wzjc-postgres16", world.changes().len());
    let console = aws_sdk_rds::Client::new(&world.cloud.sdk_config(crate::world::REGION));
    let parameter = aws_sdk_rds::types::Parameter::builder()
        .parameter_name("log_min_duration_statement")
        .parameter_value("1")
        .apply_method(aws_sdk_rds::types::ApplyMethod::Immediate)
        .build();
    let request = console.modify_db_parameter_group().db_parameter_group_name(name).parameters(parameter);
    request.send().await.unwrap();
    tokio::time::advance(Duration::from_secs(60)).await;
    world.reconcile().await;
    assert_eq!(world.changes_since(made), ["rds:ModifyDBParameterGroup", "rds:ResetDBParameterGroup"]);
}

/// A listing has pages of a hundred; parameters are read group by group, once an hour where nobody changes them.
#[tokio::test(start_paused = true)]
async fn a_thousand_platforms_cost_the_pages_of_one_listing_a_minute() {
    let mut world = World::new(INSTANCE).await;
    world.settle().await;
    let own = identifier(&world);
    world.rds(|rds, _| {
        let (instance, group) =
            (rds.instances[&own].clone(), rds.groups.groups["tv-4s4wk5wzjc-postgres16"].clone());
        for number in 1..1000 {
            let name = format!("of-{number:04}");
            let mut instance = instance.clone();
            instance.identifier.clone_from(&name);
            rds.instances.insert(name, instance);
            rds.groups.groups.insert(format!("of-{number:04}"), group.clone());
        }
    });
    let databases = Databases::default();
    let (platform, before) = (world.platform(), world.cloud.calls().len());
    for number in 0..1000 {
        let mut platform = platform.clone();
        platform.uid = format!("uid-{number}");
        let not_before = Instant::now() - Duration::from_secs(60);
        let wanted = platform.database_in_aws().unwrap();
        let account = Ok(&world.account);
        let observed = databases.observe(&world.resource, &platform, wanted, account, not_before).await;
        assert_eq!(observed.seen.failure, None);
    }
    let calls = world.cloud.calls().split_off(before);
    let of = |action: &str| calls.iter().filter(|call| call.action == action).count();
    assert_eq!((of("rds:DescribeDBInstances"), of("rds:DescribeDBParameterGroups")), (10, 11));
    let parameters = of("rds:DescribeDBParameters");
    assert_eq!(calls.len() - parameters, 10 + 11 + 4, "and one page of all else");
}

#[tokio::test(start_paused = true)]
async fn what_aws_grows_is_no_drift() {
    let mut world = World::new(INSTANCE).await;
    world.settle().await;
    let identifier = identifier(&world);
    let made = world.changes().len();
    world.rds(|rds, now| rds.fill(&identifier, now, 19));
    world.idle(3).await;
    world.rds(|rds, _| assert!(rds.instances[&identifier].settings.allocated_storage > 20));
    assert_eq!(world.changes_since(made), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_parameter_is_set_and_a_static_one_waits_for_its_restart() {
    let mut world = World::new("parameters: {log_min_duration_statement: '500'}").await;
    world.settle().await;
    world.edit(|aws| aws["parameters"]["max_connections"] = json!("200"));
    world.until("pending", |world, _| !world.status().pending_changes.is_empty()).await;
    assert_eq!(world.status().pending_changes[0].field, "parameters");
    let token = world.status().approval.unwrap();
    world.annotate(names::ANNOTATION_APPROVE, &token);
    world
        .until("in force", |world, pass| {
            world.status().pending_changes.is_empty() && pass.plan.database.calls.is_empty()
        })
        .await;
    assert!(world.changes().contains(&"rds:RebootDBInstance".to_owned()), "{:?}", world.changes());
    world.edit(|aws| aws["parameters"]["max_conections"] = json!("1"));
    world.idle(1).await;
    assert!(world.condition().2.contains("max_conections"), "{:?}", world.condition());
}

#[tokio::test(start_paused = true)]
async fn it_is_deleted_after_a_final_snapshot() {
    for spec in [INSTANCE, AURORA] {
        let mut world = World::new(spec).await;
        world.settle().await;
        world.delete().await.unwrap();
        world.rds(|rds, _| {
            assert!(rds.instances.is_empty() && rds.clusters.is_empty(), "{spec}");
            assert_eq!(final_snapshots(rds), 1, "{spec}");
        });
    }
}

#[tokio::test(start_paused = true)]
async fn a_deletion_with_lost_replies_takes_one_snapshot_and_leaves_nothing() {
    for action in ["rds:DeleteDBInstance", "rds:ModifyDBInstance", "rds:DeleteDBParameterGroup"] {
        let mut world = World::new(INSTANCE).await;
        world.settle().await;
        let action = action.to_owned();
        world.cloud.inject(Injection { action, after: 0, times: 2, effect: Effect::CutReply });
        while let Err(message) = world.delete().await {
            assert!(message.contains("the request could not be sent"), "{message}");
        }
        world.rds(|rds, _| {
            assert!(rds.instances.is_empty());
            assert_eq!(final_snapshots(rds), 1);
        });
    }
}

#[tokio::test(start_paused = true)]
async fn protection_that_the_spec_names_holds_the_deletion_up() {
    let mut world = World::new("deletionProtection: true").await;
    world.settle().await;
    let told = world.delete().await.unwrap_err();
    assert!(told.contains("deletionProtection"), "{told}");
    world.rds(|rds, _| assert_eq!(rds.instances.len(), 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_retained_can_be_adopted_once_that_is_approved() {
    let mut world = World::new("{identifier: tv-prod}").await;
    let mut spec = serde_json::to_value(&world.resource.spec).unwrap();
    spec["database"]["deletionPolicy"] = json!("Retain");
    world.set_spec(spec);
    world.settle().await;
    world.rds(|rds, now| assert!(rds.write("tv-prod", now, 42)));
    world.delete().await.unwrap();
    world.rds(|rds, _| assert_eq!(rds.instances.len(), 1));

    let mut refused = World::in_cloud(world.cloud.clone(), "heir", "{identifier: tv-prod}").await;
    refused.idle(1).await;
    assert_eq!(refused.condition().1, "NotOwned");
    let made = refused.changes().len();

    refused.edit(|aws| {
        aws["adopt"] = json!(true);
        aws["backup"] = json!({"retentionDays": 21});
    });
    refused.idle(1).await;
    assert_eq!(refused.condition().1, "ApprovalNeeded");
    let pending: Vec<_> = refused.status().pending_changes.into_iter().map(|it| it.field).collect();
    assert!(
        pending.contains(&"adopt".to_owned()) && pending.contains(&"backup.retentionDays".to_owned()),
        "{pending:?}"
    );
    // The parameter group of the new platform is its own; nothing else was touched.
    let touched: Vec<_> =
        refused.changes_since(made).into_iter().filter(|it| it != "rds:CreateDBParameterGroup").collect();
    assert_eq!(touched, [""; 0]);
    let token = refused.status().approval.unwrap();
    refused.annotate(names::ANNOTATION_APPROVE, &token);
    refused.settle().await;
    refused.rds(|rds, _| assert_eq!(rds.read("tv-prod"), Some(42)));
}

#[tokio::test(start_paused = true)]
async fn a_database_that_is_gone_is_never_made_anew() {
    let mut world = World::new(INSTANCE).await;
    world.settle().await;
    world.rds(|rds, _| rds.instances.clear());
    let made = world.changes().len();
    world.idle(1).await;
    assert_eq!((world.condition().0.as_str(), world.condition().1.as_str()), ("False", "NotFound"));
    assert_eq!(world.changes_since(made), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_restore_brings_the_data_back_and_keeps_the_old_one_until_confirmed() {
    for spec in [INSTANCE, AURORA] {
        let mut world = World::new(spec).await;
        world.settle().await;
        let old = identifier(&world);
        // Of a cluster, its first instance.
        let server = |identifier: &str| {
            if spec == AURORA { format!("{identifier}-1") } else { identifier.to_owned() }
        };
        world.rds(|rds, now| assert!(rds.write(&server(&old), now, 7)));
        tokio::time::advance(Duration::from_secs(3600)).await;
        let good = world.now();
        tokio::time::advance(Duration::from_secs(3600)).await;
        world.rds(|rds, now| assert!(rds.write(&server(&old), now, 666)));
        world.edit(|aws| aws["restore"] = json!({"name": "one", "time": good.to_string()}));
        world
            .until("restored", |world, pass| {
                assert!(world.serves(), "pods stay with the old one");
                pass.plan.database.calls.is_empty()
                    && world.condition().0 == "True"
                    && world.status().identifier.is_some_and(|it| it.ends_with("-one"))
            })
            .await;
        let new = identifier(&world);
        world.rds(|rds, _| {
            assert_eq!((rds.read(&server(&new)), rds.read(&server(&old))), (Some(7), Some(666)));
        });
        assert_eq!(world.status().kept, std::slice::from_ref(&old));
        assert!(world.login.as_ref().unwrap().database.contains('/'));
        world.idle(3).await;
        assert_eq!(world.status().kept, std::slice::from_ref(&old), "it is kept");
        world.annotate(names::ANNOTATION_CONFIRM_RESTORE, "one");
        world.until("the old one is gone", |world, _| world.status().kept.is_empty()).await;
        world.settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_suspended_platform_keeps_its_database_stopped_beyond_the_seven_days() {
    for spec in [INSTANCE, AURORA] {
        let mut world = World::new(spec).await;
        world.edit(|aws| aws["whenSuspended"] = json!("Stopped"));
        world.settle().await;
        let mut spec = serde_json::to_value(&world.resource.spec).unwrap();
        spec["suspend"] = json!(true);
        world.set_spec(spec.clone());
        world.until("stopped", |world, _| world.status().state.as_deref() == Some("stopped")).await;
        let made = world.changes().len();
        tokio::time::advance(Duration::from_secs(7 * 24 * 3600)).await;
        world.until("started by AWS", |world, _| world.status().state.as_deref() != Some("stopped")).await;
        world.until("stopped again", |world, _| world.status().state.as_deref() == Some("stopped")).await;
        assert_eq!(world.changes_since(made).len(), 1);
        spec["suspend"] = json!(false);
        world.set_spec(spec);
        world.settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_minor_upgrade_waits_and_a_major_one_needs_an_approval() {
    let mut world = World::new("version: '16.3'").await;
    world.settle().await;
    let made = world.changes().len();
    world.edit(|aws| aws["version"] = json!("16.9"));
    world.idle(1).await;
    assert!(world.status().pending_changes[0].at.is_some());
    world.edit(|aws| aws["version"] = json!("17"));
    world.eight_days().await;
    let pending = world.status().pending_changes;
    assert!(pending.iter().any(|it| it.effect == "replaces" && it.at.is_none()), "{pending:?}");
    let upgrades =
        |world: &World| world.changes_since(made).iter().filter(|it| *it == "rds:ModifyDBInstance").count();
    assert_eq!(upgrades(&world), 0);
    let token = world.status().approval.unwrap();
    world.annotate(names::ANNOTATION_APPROVE, &token);
    world.until("upgraded", |world, _| world.status().version.is_some_and(|it| it.starts_with("17"))).await;
    world.settle().await;
    assert_eq!((upgrades(&world), world.status().pending_changes), (1, Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn a_subnet_group_is_made_of_the_specs_subnets_and_goes_with_them() {
    for engine in ["PostgreSQL", "AuroraPostgreSQL"] {
        let spec = "network: {subnetIDs: [subnet-a, subnet-b]}, parameters: {work_mem: '8192'}, engine:";
        let mut world = World::new(&format!("{{{spec} {engine}}}")).await;
        world.rds(|rds, _| rds.subnets.extend(subnets(&['a', 'b', 'c'])));
        world.settle().await;
        world.edit(|aws| {
            aws["network"]["subnetIDs"] = json!(["subnet-a", "subnet-c"]);
            aws["parameters"] = json!({"log_statement": "ddl"});
        });
        world
            .until("in force", |world, pass| {
                let done = pass.plan.database.calls.is_empty();
                done && world
                    .rds(|rds, _| rds.subnet_groups.values().any(|it| it.subnets.contains("subnet-c")))
            })
            .await;
        world.settle().await;
        world.delete().await.unwrap();
        world.rds(|rds, _| {
            assert!(rds.instances.is_empty() && rds.clusters.is_empty(), "{engine}");
            assert_eq!(rds.subnet_groups.keys().collect::<Vec<_>>(), ["default"], "{engine}");
            let ours = |name: &&String| name.starts_with("tv-");
            let groups = rds.groups.groups.keys().chain(rds.cluster_groups.groups.keys());
            assert_eq!(groups.filter(ours).count(), 0, "{engine}");
        });
    }
}

fn subnets(zones: &[char]) -> impl Iterator<Item = (String, Subnet)> {
    zones.iter().map(|zone| (format!("subnet-{zone}"), Subnet { vpc: "vpc-1".to_owned(), zone: *zone }))
}

#[tokio::test(start_paused = true)]
async fn the_masters_login_is_where_rds_keeps_it() {
    let mut world = World::new(INSTANCE).await;
    world.settle().await;
    let plan = world.reconcile().await.plan;
    let master = plan.database.connection.expect("it can be connected to").master;
    assert!(matches!(master, Master::SecretsManager(_)), "{master:?}");
    let login = master::login(&world.account, &world.secrets(), &master).await.unwrap();
    assert_eq!(login.username, "postgres");
    let missing = Master::SecretsManager("arn:aws:secretsmanager:eu-central-1:1:secret:rds!none".to_owned());
    let error = master::login(&world.account, &world.secrets(), &missing).await.unwrap_err().to_string();
    assert!(error.contains("rds!none"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_is_restored_gets_the_masters_password_of_its_own_platform() {
    for spec in [INSTANCE, AURORA] {
        let mut source = World::new(spec).await;
        source.edit(|aws| aws["masterPassword"] = json!("Kubernetes"));
        source.settle().await;
        let from = identifier(&source);
        source.rds(|rds, _| {
            rds.instances.values_mut().for_each(|it| it.password = Some("another-one".to_owned()));
            rds.clusters.values_mut().for_each(|it| it.password = Some("another-one".to_owned()));
        });
        tokio::time::advance(Duration::from_secs(3600)).await;
        let mut world = World::in_cloud(source.cloud.clone(), "copy", spec).await;
        world.edit(|aws| {
            aws["masterPassword"] = json!("Kubernetes");
            aws["restore"] = json!({"name": "one", "fromIdentifier": from, "latest": true});
        });
        world.settle().await;
        let new = identifier(&world);
        let password = world.rds(|rds, _| match rds.clusters.get(&new) {
            Some(cluster) => cluster.password.clone(),
            None => rds.instances[&new].password.clone(),
        });
        assert_eq!(password.as_deref(), Some("correct-horse"), "{spec}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_masters_login_moves_to_a_secret_and_back() {
    for spec in [INSTANCE, AURORA] {
        let mut world = World::new(spec).await;
        world.settle().await;
        for (keeper, managed) in [("Kubernetes", false), ("SecretsManager", true)] {
            let made = world.changes().len();
            world.edit(|aws| aws["masterPassword"] = json!(keeper));
            world.settle().await;
            world.idle(1).await;
            assert_eq!(world.changes_since(made).len(), 1, "{spec} {keeper}");
            let master = world.reconcile().await.plan.database.connection.expect("it serves").master;
            assert_eq!(matches!(master, Master::SecretsManager(_)), managed, "{spec} {keeper}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_restore_that_fails_says_so_and_the_one_in_use_stays_it() {
    let mut world = World::new(INSTANCE).await;
    world.settle().await;
    let old = identifier(&world);
    tokio::time::advance(Duration::from_secs(3600)).await;
    world.rds(|rds, _| rds.fail_next_creation("incompatible-restore", "no such thing"));
    world.edit(|aws| aws["restore"] = json!({"name": "one", "latest": true}));
    world.until("failed", |world, _| world.condition().1 == "Failed").await;
    assert!(world.condition().2.contains("restore again under another"), "{:?}", world.condition());
    assert!(world.serves(), "pods stay with the old one");
    assert_eq!((world.status().identifier, world.status().kept), (Some(old.clone()), vec![old.clone()]));
    world.edit(|aws| aws["restore"]["name"] = json!("two"));
    world
        .until("restored", |world, _| world.status().identifier.is_some_and(|it| it.ends_with("-two")))
        .await;
    world.settle().await;
}

#[tokio::test(start_paused = true)]
async fn a_cluster_is_restored_from_its_snapshot() {
    let mut world = World::new(AURORA).await;
    world.settle().await;
    let old = identifier(&world);
    world.rds(|rds, now| assert!(rds.write(&format!("{old}-1"), now, 7)));
    let console = aws_sdk_rds::Client::new(&world.cloud.sdk_config(crate::world::REGION));
    let request = console.create_db_cluster_snapshot().db_cluster_identifier(&old);
    request.db_cluster_snapshot_identifier("by-hand").send().await.unwrap();
    tokio::time::advance(Duration::from_secs(3600)).await;
    world.edit(|aws| aws["restore"] = json!({"name": "one", "snapshotIdentifier": "by-hand"}));
    world
        .until("restored", |world, _| world.status().identifier.is_some_and(|it| it.ends_with("-one")))
        .await;
    world.settle().await;
    let new = identifier(&world);
    world.rds(|rds, _| assert_eq!(rds.read(&format!("{new}-1")), Some(7)));
}

#[tokio::test(start_paused = true)]
async fn one_that_is_stopped_is_started_to_be_deleted_after_its_snapshot() {
    for spec in [INSTANCE, AURORA] {
        let mut world = World::new(spec).await;
        world.edit(|aws| aws["whenSuspended"] = json!("Stopped"));
        world.settle().await;
        let mut suspended = serde_json::to_value(&world.resource.spec).unwrap();
        suspended["suspend"] = json!(true);
        world.set_spec(suspended);
        world.until("stopped", |world, _| world.status().state.as_deref() == Some("stopped")).await;
        world.delete().await.unwrap();
        world.rds(|rds, _| {
            assert!(rds.instances.is_empty() && rds.clusters.is_empty(), "{spec}");
            assert_eq!(final_snapshots(rds), 1, "{spec}");
        });
    }
}
