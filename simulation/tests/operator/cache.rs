//! A cache in ElastiCache, from its making to its end.

use crate::{cache_world::CacheWorld, world::REGION};
use serde_json::json;
use simulation::aws::fault::{Effect, Fault, Injection};
use std::time::Duration;
use streaming_operator::api::names;

const ONE: &str = "nodeType: cache.t4g.micro";
const TWO: &str = "{nodeType: cache.t4g.small, replicas: 1}";
const SHARDS: &str = "{nodeType: cache.t4g.small, replicas: 1, shards: 2}";
const SERVERLESS: &str = "serverless: {maxStorageGB: 10, maxECPUPerSecond: 5000}";
/// What making a cache of nodes takes.
const MAKING: [&str; 6] = [
    "CreateCacheParameterGroup",
    "CreateUser",
    "CreateUser",
    "CreateUser",
    "CreateUserGroup",
    "CreateReplicationGroup",
];
/// What every login takes.
const LOGIN: &str = "ModifyUser";

#[tokio::test(start_paused = true)]
async fn each_shape_is_made_lets_pods_in_and_costs_no_change_in_100_idle_reconciles() {
    for spec in [ONE, TWO, SHARDS, SERVERLESS] {
        let mut world = CacheWorld::new(spec).await;
        world.settle().await;
        assert_eq!(world.status().state.as_deref(), Some("available"));
        let login = world.login().expect("a login");
        assert!(world.lets_in(&login), "{spec}");
        assert!(!world.lets_in(&("default".to_owned(), String::new())), "{spec}");
        let (uri, host) = (world.secret("uri").unwrap(), world.secret("host").unwrap());
        assert_eq!(uri, format!("rediss://{}:{}@{host}:6379/0", login.0.replace('-', "%2D"), login.1));
        assert_eq!(world.secret("reader-uri").is_some(), spec == TWO);
        assert_eq!(host.starts_with("clustercfg."), spec == SHARDS, "{host}");
        let (made, calls) = (world.changes().len(), world.cloud.calls().len());
        world.idle(100).await;
        assert_eq!(world.changes_since(made), [""; 0], "{spec}");
        // A listing of eight pages a minute; tags and parameters every ten.
        let reads = world.cloud.calls().len() - calls;
        assert!(reads <= 100 * 8 + 2 * 11, "{reads} calls in 100 idle minutes");
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_encrypted_and_made_in_order() {
    let mut world = CacheWorld::new(TWO).await;
    world.settle().await;
    assert_eq!(world.changes(), [MAKING.as_slice(), &[LOGIN]].concat());
    let identifier = world.identifier();
    assert!(identifier.len() <= 40, "{identifier}");
    world.elasticache(|it, _| {
        let group = &it.groups[&identifier];
        assert!(group.encrypted_at_rest && group.automatic_failover && group.multi_az);
        assert_eq!(group.transit, simulation::aws::elasticache::replication_group::Transit::Required);
        assert_eq!((group.release.series, group.retention), ("8.0", 1));
    });
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_makes_no_second_one_of_anything() {
    for action in MAKING {
        for effect in [Effect::CutRequest, Effect::CutReply] {
            let mut world = CacheWorld::new(TWO).await;
            let action = format!("elasticache:{action}");
            world.cloud.inject(Injection { action, after: 0, times: 3, effect });
            world.settle().await;
            world.elasticache(|it, _| {
                assert_eq!((it.groups.len(), it.user_groups.len(), it.parameter_groups.len()), (1, 1, 1));
                // With the one that each account has.
                assert_eq!(it.users.len(), 4);
            });
            assert!(world.lets_in(&world.login().unwrap()));
        }
    }
}

/// What was listed before shows its user active, too.
#[tokio::test(start_paused = true)]
async fn a_login_is_handed_out_only_by_what_aws_says_after_it_was_set() {
    let mut world = CacheWorld::new(ONE).await;
    world
        .until("its password is being set", |world, _| world.changes().last().is_some_and(|it| it == LOGIN))
        .await;
    let denied = || Effect::Answer(Fault::sender(http::StatusCode::FORBIDDEN, "AccessDenied", "Not now"));
    world.cloud.set_fault(move |_, _| Some(denied()));
    tokio::time::advance(Duration::from_secs(16)).await;
    world.reconcile().await;
    assert_eq!(world.login(), None);
    world.cloud.set_fault(|_, _| None);
    world.settle().await;
    assert!(world.lets_in(&world.login().unwrap()));
}

#[tokio::test(start_paused = true)]
async fn a_failed_making_says_why_and_what_to_do() {
    let mut world = CacheWorld::new(ONE).await;
    let fault = Fault::bad_request("NodeQuotaForCustomerExceeded", "Node quota exceeded");
    let action = "elasticache:CreateReplicationGroup".to_owned();
    world.cloud.inject(Injection { action, after: 0, times: 1, effect: Effect::Answer(fault) });
    world.until("told", |world, _| world.condition().2.contains("quota exceeded")).await;
    assert_eq!(world.condition().1, "CallFailed");
    world.settle().await;

    let mut world = CacheWorld::new("identifier: broken").await;
    world.elasticache(|it, _| it.failing_creations.insert("broken".to_owned()));
    world.until("told", |world, _| world.condition().1 == "Failed").await;
    assert!(world.condition().2.contains("delete it there"), "{:?}", world.condition());
    // What could not be made holds nothing, and is deleted without a snapshot.
    world.delete().await.unwrap();
    world.elasticache(|it, _| assert!(it.groups.is_empty() && it.snapshots.is_empty()));
}

#[tokio::test(start_paused = true)]
async fn a_change_online_is_made_at_once_with_one_call() {
    let mut world = CacheWorld::new(TWO).await;
    world.settle().await;
    let made = world.changes().len();
    world.edit(|aws| {
        aws["snapshots"] = json!({"retentionDays": 7, "window": "05:00-06:00"});
        aws["logDelivery"] = json!([{"log": "SlowLog", "logGroup": "/cache/slow"}]);
        aws["network"] = json!({"securityGroupIDs": ["sg-1"]});
        aws["autoMinorVersionUpgrade"] = json!(false);
    });
    world.settle().await;
    assert_eq!(world.changes_since(made), ["ModifyReplicationGroup"]);
    world.edit(|aws| {
        aws["logDelivery"] = json!([{"log": "EngineLog", "deliveryStream": "cache"}]);
        aws["parameters"] = json!({"maxmemory-policy": "allkeys-lru"});
    });
    world.settle().await;
    let identifier = world.identifier();
    world.elasticache(|it, _| {
        let group = &it.groups[&identifier];
        let logs: Vec<_> = group.logs.iter().map(|log| (log.log.as_str(), log.name.as_str())).collect();
        assert_eq!(logs, [("engine-log", "cache")]);
        assert_eq!((group.retention, group.security_groups.as_slice()), (7, ["sg-1".to_owned()].as_slice()));
        assert_eq!(it.parameter_groups[&group.parameter_group].values["maxmemory-policy"], "allkeys-lru");
    });
    world.edit(|aws| aws["parameters"] = json!({}));
    world.settle().await;
    world.elasticache(|it, _| {
        let group = &it.groups[&identifier];
        assert!(it.parameter_groups[&group.parameter_group].values.is_empty());
    });
    let made = world.changes().len();
    world.idle(100).await;
    assert_eq!(world.changes_since(made), [""; 0]);
    world.edit(|aws| aws["parameters"] = json!({"maxmemory-polizy": "allkeys-lru"}));
    world.idle(1).await;
    assert!(world.condition().2.contains("maxmemory-polizy"), "{:?}", world.condition());
}

#[tokio::test(start_paused = true)]
async fn replicas_come_before_failover_and_go_after_it() {
    let mut world = CacheWorld::new("{nodeType: cache.t4g.micro, replicas: 0}").await;
    world.settle().await;
    let made = world.changes().len();
    world.edit(|aws| aws["replicas"] = json!(2));
    world.settle().await;
    assert_eq!(world.changes_since(made), ["IncreaseReplicaCount", "ModifyReplicationGroup"]);
    assert!(world.secret("reader-uri").is_some());
    let made = world.changes().len();
    world.edit(|aws| aws["replicas"] = json!(0));
    world.settle().await;
    assert_eq!(world.changes_since(made), ["ModifyReplicationGroup", "DecreaseReplicaCount"]);
    let identifier = world.identifier();
    world.elasticache(|it, _| {
        let group = &it.groups[&identifier];
        assert_eq!((group.shards[0].members.len(), group.automatic_failover), (1, false));
    });
    assert!(world.secret("reader-uri").is_none(), "the Secret follows, with the login that it has");
    assert!(world.lets_in(&world.login().unwrap()));
}

#[tokio::test(start_paused = true)]
async fn shards_and_their_replicas_are_added_and_taken_away_online() {
    let mut world = CacheWorld::new(SHARDS).await;
    world.settle().await;
    let (made, login) = (world.changes().len(), world.login());
    world.edit(|aws| (aws["shards"], aws["replicas"]) = (json!(4), json!(2)));
    world.settle().await;
    assert_eq!(
        world.changes_since(made),
        ["IncreaseReplicaCount", "ModifyReplicationGroupShardConfiguration"]
    );
    let made = world.changes().len();
    world.edit(|aws| (aws["shards"], aws["replicas"]) = (json!(2), json!(1)));
    world.settle().await;
    assert_eq!(
        world.changes_since(made),
        ["DecreaseReplicaCount", "ModifyReplicationGroupShardConfiguration"]
    );
    let identifier = world.identifier();
    world.elasticache(|it, _| {
        let members: Vec<_> = it.groups[&identifier].shards.iter().map(|it| it.members.len()).collect();
        assert_eq!(members, [2, 2]);
    });
    assert_eq!(world.login(), login);
}

#[tokio::test(start_paused = true)]
async fn what_moves_the_primary_waits_for_the_window_and_says_so() {
    let mut world = CacheWorld::new(TWO).await;
    world.settle().await;
    let made = world.changes().len();
    world.edit(|aws| (aws["nodeType"], aws["version"]) = (json!("cache.r7g.large"), json!("8.1")));
    world.days(1).await;
    assert_eq!(world.changes_since(made), [""; 0]);
    let pending = world.status().pending_changes;
    let fields: Vec<_> = pending.iter().map(|it| (it.field.as_str(), it.effect.as_str())).collect();
    assert_eq!(fields, [("version", "restarts"), ("nodeType", "restarts")]);
    let at = pending[0].at.as_ref().unwrap().0;
    assert_eq!(at.to_string(), "2026-07-05T03:00:00Z", "the next Sunday at three");
    world.days(4).await;
    assert_eq!(world.changes_since(made), ["ModifyReplicationGroup"]);
    let identifier = world.identifier();
    world.elasticache(|it, _| {
        let group = &it.groups[&identifier];
        assert_eq!((group.node_type.name, group.release.series), ("cache.r7g.large", "8.1"));
    });
    assert_eq!(world.status().pending_changes, []);
}

#[tokio::test(start_paused = true)]
async fn redis_becomes_valkey_once_it_is_approved_with_its_parameter_group() {
    let mut world =
        CacheWorld::new("{engine: Redis, replicas: 1, maintenance: {restarts: WhenApproved}}").await;
    world.settle().await;
    let (made, login) = (world.changes().len(), world.login().unwrap());
    world.edit(|aws| aws["engine"] = json!("Valkey"));
    world.days(8).await;
    assert_eq!(world.changes_since(made), ["CreateCacheParameterGroup"], "not even in the window");
    let token = world.status().approval.expect("something to approve");
    world.annotate(names::ANNOTATION_APPROVE, &token);
    world
        .until("Valkey", |world, plan| {
            plan.cache.calls.is_empty() && world.status().version.as_deref() == Some("8.0.1")
        })
        .await;
    world.settle().await;
    assert_eq!(world.changes_since(made), ["CreateCacheParameterGroup", "ModifyReplicationGroup"]);
    assert!(world.lets_in(&login), "logins stay");
    world.delete().await.unwrap();
    world.elasticache(|it, _| assert!(it.parameter_groups.is_empty(), "both groups go"));
}

#[tokio::test(start_paused = true)]
async fn drift_is_undone_within_a_minute_or_told() {
    for (policy, repaired) in [("Repair", true), ("Report", false)] {
        let mut world = CacheWorld::new(&format!("{{replicas: 1, driftPolicy: {policy}}}")).await;
        world.settle().await;
        let made = world.changes().len();
        // Someone at the console.
        let console = aws_sdk_elasticache::Client::new(&world.cloud.sdk_config(REGION));
        let request = console.modify_replication_group().replication_group_id(world.identifier());
        request.snapshot_retention_limit(9).apply_immediately(true).send().await.unwrap();
        tokio::time::advance(Duration::from_secs(60)).await;
        world.reconcile().await;
        let repairs = world.changes_since(made).len() - 1;
        assert_eq!(repairs, usize::from(repaired), "{policy}: {:?}", world.condition());
        if !repaired {
            assert_eq!(world.condition().1, "Drifted");
            assert!(world.condition().2.contains("snapshots.retentionDays"), "{:?}", world.condition());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_someone_ordered_for_awss_window_is_taken_back() {
    let mut world = CacheWorld::new(TWO).await;
    world.settle().await;
    let console = aws_sdk_elasticache::Client::new(&world.cloud.sdk_config(REGION));
    let request = console.modify_replication_group().replication_group_id(world.identifier());
    request.cache_node_type("cache.r7g.16xlarge").apply_immediately(false).send().await.unwrap();
    let identifier = world.identifier();
    world.elasticache(|it, _| assert!(!it.groups[&identifier].pending.is_empty()));
    world.idle(2).await;
    world.elasticache(|it, _| assert!(it.groups[&identifier].pending.is_empty()));
    world.days(8).await;
    world.elasticache(|it, _| assert_eq!(it.groups[&identifier].node_type.name, "cache.t4g.small"));
}

#[tokio::test(start_paused = true)]
async fn a_failover_shows_in_the_status_and_the_login_stays() {
    let mut world = CacheWorld::new(TWO).await;
    world.settle().await;
    let (made, before) = (world.changes().len(), world.status().primary.expect("a primary"));
    let identifier = world.identifier();
    world.elasticache(|it, now| it.start_failover(&identifier, "0001", now).unwrap());
    tokio::time::advance(Duration::from_secs(60)).await;
    world.reconcile().await;
    assert_eq!(world.status().state.as_deref(), Some("modifying"));
    world.settle().await;
    let after = world.status().primary.expect("a primary");
    assert_ne!(before, after);
    assert_eq!(world.changes_since(made), [""; 0]);
    assert!(world.lets_in(&world.login().unwrap()));
}

#[tokio::test(start_paused = true)]
async fn no_login_fails_over_three_rotations_and_a_change_of_leader_in_each() {
    for spec in [TWO, SERVERLESS] {
        let mut world = CacheWorld::new(spec).await;
        world.settle().await;
        for round in 0..3 {
            let before = world.login().unwrap();
            world.annotate(names::ANNOTATION_ROTATE_LOGIN, &round.to_string());
            for step in 0..20 {
                world.reconcile().await;
                if step == 1 {
                    world.new_leader();
                }
                // At any moment, for whoever reads the Secret now and who read it before the last rotation.
                for _ in 0..5 {
                    assert!(world.lets_in(&world.login().unwrap()), "{spec}: {round}/{step}");
                    assert!(world.lets_in(&before), "{spec}: {round}/{step}: old pods");
                    tokio::time::advance(Duration::from_secs(3)).await;
                }
            }
            let after = world.login().unwrap();
            assert_ne!((&before.0, &before.1), (&after.0, &after.1));
            assert_eq!(world.login_before, Some(before));
        }
        let rotated = world.login();
        world.days(29).await;
        assert_eq!(world.login(), rotated, "not before its time");
        world.days(2).await;
        assert_ne!(world.login(), rotated, "after 30 days");
    }
}

#[tokio::test(start_paused = true)]
async fn no_password_is_told_anywhere() {
    let mut world = CacheWorld::new(TWO).await;
    world.settle().await;
    let (_, password) = world.login().unwrap();
    world.annotate(names::ANNOTATION_ROTATE_LOGIN, "1");
    let mut told = String::new();
    for _ in 0..10 {
        let plan = world.reconcile().await;
        told += &format!("{:?} {:?}", plan.cache, world.resource.status);
        tokio::time::advance(Duration::from_secs(15)).await;
    }
    let (_, next) = world.login().unwrap();
    assert_ne!(password, next);
    assert!(!told.contains(&password) && !told.contains(&next));
}

#[tokio::test(start_paused = true)]
async fn it_is_deleted_after_a_final_snapshot_and_nothing_is_left() {
    for (spec, lost) in [
        (TWO, "DeleteReplicationGroup"),
        (SERVERLESS, "DeleteServerlessCache"),
        ("{network: {subnetIDs: [subnet-1, subnet-2]}}", "DeleteUserGroup"),
        (SHARDS, "DeleteUser"),
    ] {
        let mut world = CacheWorld::new(spec).await;
        world.settle().await;
        let action = format!("elasticache:{lost}");
        world.cloud.inject(Injection { action, after: 0, times: 2, effect: Effect::CutReply });
        while let Err(message) = world.delete().await {
            assert!(message.contains("the request could not be sent"), "{message}");
        }
        world.elasticache(|it, _| {
            assert!(it.groups.is_empty() && it.serverless.is_empty() && it.user_groups.is_empty());
            assert!(it.parameter_groups.is_empty(), "{spec}");
            // Those that each account has.
            assert_eq!((it.users.len(), it.subnet_groups.len()), (1, 1), "{spec}");
            assert_eq!(it.snapshots.len() + it.serverless_snapshots.len(), 1, "{spec}");
        });
    }
}

#[tokio::test(start_paused = true)]
async fn another_subnet_joins_the_group() {
    let mut world = CacheWorld::new("{network: {subnetIDs: [subnet-1, subnet-2]}}").await;
    world.settle().await;
    world.edit(|aws| aws["network"]["subnetIDs"] = json!(["subnet-1", "subnet-2", "subnet-3"]));
    world.settle().await;
    world.elasticache(|it, _| {
        assert!(it.subnet_groups.values().any(|group| group.subnets.iter().any(|it| it == "subnet-3")));
    });
}

#[tokio::test(start_paused = true)]
async fn delete_takes_no_snapshot() {
    let mut world = CacheWorld::new(ONE).await;
    world.deletion_policy("Delete");
    world.settle().await;
    world.delete().await.unwrap();
    world.elasticache(|it, _| assert!(it.groups.is_empty() && it.snapshots.is_empty()));
}

#[tokio::test(start_paused = true)]
async fn what_is_retained_can_be_adopted_once_that_is_approved() {
    for spec in ["{identifier: tv-prod, replicas: 1}", "{identifier: tv-prod, serverless: {}}"] {
        let mut world = CacheWorld::new(spec).await;
        world.deletion_policy("Retain");
        world.settle().await;
        world.elasticache(|it, _| it.write("tv-prod", "value").unwrap());
        world.delete().await.unwrap();
        assert!(world.lets_in(&world.login().unwrap()), "what is kept keeps what opens it");

        let mut heir = CacheWorld::in_cloud(world.cloud.clone(), "heir", spec).await;
        heir.until("refused", |world, _| world.condition().1 == "NotOwned").await;
        heir.edit(|aws| {
            aws["adopt"] = json!(true);
            aws["snapshots"] = json!({"retentionDays": 3});
        });
        heir.until("offered", |world, _| world.condition().1 == "ApprovalNeeded").await;
        let made = heir.changes().len();
        heir.idle(60).await;
        assert_eq!(heir.changes_since(made), [""; 0]);
        let pending: Vec<_> = heir.status().pending_changes.into_iter().map(|it| it.field).collect();
        assert!(pending.contains(&"adopt".to_owned()), "{pending:?}");
        assert!(pending.contains(&"snapshots.retentionDays".to_owned()), "{pending:?}");
        assert!(heir.login().is_none());
        let token = heir.status().approval.unwrap();
        heir.annotate(names::ANNOTATION_APPROVE, &token);
        heir.settle().await;
        assert!(heir.lets_in(&heir.login().unwrap()));
        heir.elasticache(|it, _| {
            let value = it.groups.get("tv-prod").map(|it| it.value.clone());
            let value = value.or_else(|| it.serverless.get("tv-prod").map(|it| it.value.clone()));
            assert_eq!(value.flatten().as_deref(), Some("value"));
        });
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_gone_is_made_anew_only_when_that_is_approved() {
    let mut world = CacheWorld::new(ONE).await;
    world.settle().await;
    world.elasticache(|it, _| it.groups.clear());
    let made = world.changes().len();
    world.idle(60).await;
    assert_eq!((world.condition().0.as_str(), world.condition().1.as_str()), ("False", "NotFound"));
    assert_eq!(world.changes_since(made), [""; 0]);
    let token = world.status().approval.expect("something to approve");
    world.annotate(names::ANNOTATION_APPROVE, &token);
    world.settle().await;
    world.elasticache(|it, _| assert_eq!(it.groups.len(), 1));
    assert!(world.lets_in(&world.login().unwrap()), "the new one has the login of its Secret");
}

#[tokio::test(start_paused = true)]
async fn a_serverless_cache_changes_its_bounds_and_keeps_the_others() {
    let mut world = CacheWorld::new(SERVERLESS).await;
    world.settle().await;
    let made = world.changes().len();
    world.edit(|aws| {
        aws["serverless"] = json!({"minStorageGB": 2, "maxStorageGB": 20, "maxECPUPerSecond": 5000});
        aws["snapshots"] = json!({"retentionDays": 5, "window": "04:00-05:00"});
    });
    world.settle().await;
    assert_eq!(world.changes_since(made), ["ModifyServerlessCache"]);
    let identifier = world.identifier();
    world.elasticache(|it, _| {
        let settings = &it.serverless[&identifier].settings;
        assert_eq!((settings.storage.least, settings.storage.most), (Some(2), Some(20)));
        assert_eq!((settings.ecpu.least, settings.ecpu.most), (None, Some(5000)));
        assert_eq!((settings.retention, settings.snapshot_time.as_str()), (5, "04:00"));
    });
}

#[tokio::test(start_paused = true)]
async fn it_begins_with_a_snapshot() {
    let mut world = CacheWorld::new(ONE).await;
    world.settle().await;
    let identifier = world.identifier();
    world.elasticache(|it, _| it.write(&identifier, "before").unwrap());
    world.delete().await.unwrap();
    let snapshot = world.elasticache(|it, _| it.snapshots.keys().next().unwrap().clone());
    tokio::time::advance(Duration::from_secs(3600)).await;
    let spec = format!("{{nodeType: cache.t4g.micro, snapshotName: {snapshot}}}");
    let mut next = CacheWorld::in_cloud(world.cloud.clone(), "next", &spec).await;
    next.settle().await;
    let identifier = next.identifier();
    next.elasticache(|it, _| assert_eq!(it.groups[&identifier].value.as_deref(), Some("before")));
}

#[tokio::test(start_paused = true)]
async fn only_observed_means_nothing_is_called() {
    let mut world = CacheWorld::new("{identifier: theirs, management: ObserveOnly}").await;
    world.idle(10).await;
    assert_eq!(world.condition().1, "NotFound");
    assert_eq!(world.changes(), [""; 0]);
}
