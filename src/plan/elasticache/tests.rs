use super::*;
use crate::{
    managed::{
        Value,
        elasticache::{
            Call,
            parameter_group::ParameterGroup,
            user::{User, UserGroup},
        },
        parameters::Parameter,
    },
    observe::Observed,
    plan::{
        call,
        managed::Removal,
        testing::{from_spec, settings},
    },
    validate::validate,
};
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeSet;

fn platform(cache: serde_json::Value) -> Platform {
    let spec = json!({"aws": {"region": "eu-central-1", "tags": {"team": "media"}}, "cache": cache});
    validate(&from_spec(spec), &Observed::default(), &settings()).unwrap()
}

fn in_aws(aws: serde_json::Value) -> Platform {
    platform(json!({"provider": "AWS", "aws": aws}))
}

fn now() -> Timestamp {
    // A Wednesday.
    "2026-07-01T12:00:00Z".parse().unwrap()
}

fn planned(platform: &Platform, seen: &Seen<Cache>) -> DataPlan {
    plan(platform, platform.cache_in_aws().unwrap(), seen, now())
}

fn called(plan: &DataPlan) -> Vec<Call> {
    let calls = plan.calls.iter().map(|call| match call {
        call::Call::ElastiCache(call) => call.clone(),
        other => panic!("{other} is not ElastiCache's"),
    });
    calls.collect()
}

/// What AWS makes of a call, at once.
fn carry_out(there: &mut Cache, call: Call) {
    match call {
        Call::CreateGroup { identifier, settings, tags, .. } => {
            let shards = settings.get(&GroupSetting::Shards).map_or(1, Value::number);
            let replicas = replicas(&settings);
            there.group = Some(Group {
                arn: format!("arn:{identifier}"),
                identifier,
                status: "available".into(),
                endpoint: Some(("primary.example.com".into(), 6379)),
                reader_endpoint: Some("reader.example.com".into()),
                shards: (1..=shards).map(|shard| (format!("{shard:04}"), replicas)).collect(),
                settings,
                tags,
                created_at: Some(now()),
                ..Group::default()
            });
        }
        Call::ModifyGroup { settings, .. } => group(there).settings.extend(settings),
        Call::SetReplicas { replicas, grow, shards, .. } => {
            let group = group(there);
            for (shard, count) in &mut group.shards {
                if shards.is_empty() || shards.contains(shard) {
                    assert_eq!(grow, replicas > *count, "AWS refuses the other way");
                    *count = replicas;
                }
            }
            let counts = group::replicas(group.shards.values().copied());
            group.settings.insert(GroupSetting::Replicas, counts);
        }
        Call::SetShards { count, remove, .. } => {
            let group = group(there);
            group.shards.retain(|shard, _| !remove.contains(shard));
            let replicas = replicas(&group.settings);
            for shard in 1..=count {
                group.shards.entry(format!("{shard:04}")).or_insert(replicas);
            }
            assert_eq!(group.shards.len(), usize::try_from(count).unwrap());
            group.settings.insert(GroupSetting::Shards, count.into());
        }
        Call::DeleteGroup { .. } => there.group = None,
        Call::CreateServerless { identifier, settings, tags } => {
            there.serverless = Some(Serverless {
                arn: format!("arn:{identifier}"),
                identifier,
                status: "available".into(),
                endpoint: Some(("serverless.example.com".into(), 6379)),
                settings,
                tags,
                created_at: Some(now()),
                ..Serverless::default()
            });
        }
        Call::ModifyServerless { settings, .. } => {
            there.serverless.as_mut().unwrap().settings.extend(settings);
        }
        Call::DeleteServerless { .. } => there.serverless = None,
        Call::Tag { tags, .. } => {
            there.group.iter_mut().for_each(|it| it.tags.extend(tags.clone()));
            there.serverless.iter_mut().for_each(|it| it.tags.extend(tags.clone()));
        }
        Call::Untag { keys, .. } => {
            there.group.iter_mut().for_each(|it| it.tags.retain(|key, _| !keys.contains(key)));
        }
        Call::CreateParameterGroup { name, .. } => {
            let known = ["maxmemory-policy", "cluster-enabled", "timeout"];
            let parameter = Parameter { is_modifiable: true, ..Parameter::default() };
            let parameters = known.map(|name| (name.to_owned(), parameter.clone())).into();
            there.parameter_groups.insert(name, ParameterGroup { parameters: Some(parameters) });
        }
        Call::SetParameters { name, parameters } => {
            for (parameter, value) in parameters {
                let known = of_group(there, &name).get_mut(&parameter).unwrap();
                (known.value, known.is_set) = (Some(value), true);
            }
        }
        Call::ResetParameters { name, parameters } => {
            for parameter in parameters {
                let known = of_group(there, &name).get_mut(&parameter).unwrap();
                (known.value, known.is_set) = (None, false);
            }
        }
        Call::DeleteParameterGroup { name } => drop(there.parameter_groups.remove(&name)),
        Call::CreateSubnetGroup { subnets, .. } | Call::ModifySubnetGroup { subnets, .. } => {
            there.subnet_group = Some(subnets);
        }
        Call::DeleteSubnetGroup { .. } => there.subnet_group = None,
        Call::CreateUser { identifier, .. } => {
            there.users.insert(identifier, User { status: "active".into() });
        }
        Call::DeleteUser { identifier } => drop(there.users.remove(&identifier)),
        Call::CreateUserGroup { users, .. } => {
            there.user_group = Some(UserGroup { status: "active".into(), users });
        }
        Call::DeleteUserGroup { .. } => there.user_group = None,
    }
}

fn group(there: &mut Cache) -> &mut Group {
    there.group.as_mut().unwrap()
}

fn of_group<'a>(there: &'a mut Cache, name: &str) -> &'a mut BTreeMap<String, Parameter> {
    there.parameter_groups.get_mut(name).unwrap().parameters.as_mut().unwrap()
}

fn replicas(settings: &crate::managed::Settings<GroupSetting>) -> i64 {
    settings[&GroupSetting::Replicas].names().first().unwrap().parse().unwrap()
}

/// Plans and carries out until nothing is left, and returns the calls.
fn converge(platform: &Platform, seen: &mut Seen<Cache>) -> Vec<Call> {
    let mut made = Vec::new();
    for _ in 0..12 {
        let plan = planned(platform, seen);
        let calls = called(&plan);
        if calls.is_empty() {
            assert!(matches!(plan.state, State::Ready(_)), "{:?}", plan.state);
            assert_eq!(plan.pending, []);
            seen.settled_generation = plan.facts.settled_generation;
            seen.identifier = plan.facts.identifier;
            return made;
        }
        for call in calls {
            carry_out(&mut seen.resource, call.clone());
            made.push(call);
        }
    }
    panic!("not converged: {:#?}", planned(platform, seen));
}

/// Calls as a golden file shows them.
fn golden(calls: &[Call]) -> String {
    let detail = |call: &Call| match call {
        Call::CreateGroup { settings, tags, snapshot, .. } => {
            format!("{}tags: {tags:?}\nsnapshot: {snapshot:?}\n", table(settings))
        }
        Call::ModifyGroup { settings, immediately, .. } => {
            format!("{}immediately: {immediately}\n", table(settings))
        }
        Call::CreateServerless { settings, .. } | Call::ModifyServerless { settings, .. } => table(settings),
        Call::SetReplicas { shards, .. } | Call::SetShards { remove: shards, .. } => format!("{shards:?}\n"),
        _ => String::new(),
    };
    let each = calls.iter().map(|call| format!("# {call}\n{}", detail(call)));
    each.collect()
}

fn table<S: Setting>(settings: &crate::managed::Settings<S>) -> String {
    settings.iter().map(|(setting, value)| format!("{}: {value}\n", setting.field())).collect()
}

#[test]
fn a_cache_of_each_size_and_shape_is_made() {
    for (name, size, aws) in [
        ("small", "Small", json!({})),
        ("medium", "Medium", json!({})),
        ("large", "Large", json!({"shards": 2, "network": {"subnetIDs": ["subnet-1"]}})),
        ("redis", "Small", json!({"engine": "Redis", "snapshotName": "before", "kmsKeyID": "key"})),
        ("serverless", "Medium", json!({"serverless": {}})),
    ] {
        let spec = json!({"aws": {"region": "eu-central-1"}, "size": size, "cache": {"provider": "AWS", "aws": aws}});
        let platform = validate(&from_spec(spec), &Observed::default(), &settings()).unwrap();
        insta::assert_snapshot!(name, golden(&converge(&platform, &mut Seen::default())));
    }
}

/// From one spec to another, in calls.
fn transition(from: serde_json::Value, to: serde_json::Value) -> String {
    let mut seen = Seen::default();
    converge(&in_aws(from), &mut seen);
    golden(&converge(&in_aws(to), &mut seen))
}

#[test]
fn each_transition_is_one_step_after_the_other() {
    let at_once = json!({"restarts": "Immediately"});
    let base = json!({"replicas": 1, "maintenance": at_once});
    let with = |change: serde_json::Value| {
        let mut spec = base.clone();
        spec.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        spec
    };
    for (name, from, to) in [
        (
            "more_replicas_and_a_larger_type",
            base.clone(),
            with(json!({"replicas": 3, "nodeType": "cache.r7g.large"})),
        ),
        ("no_replica_any_more", base.clone(), with(json!({"replicas": 0}))),
        ("a_minor_version", base.clone(), with(json!({"version": "8.1"}))),
        ("from_redis_to_valkey", with(json!({"engine": "Redis"})), base.clone()),
        ("resharding", with(json!({"shards": 3})), with(json!({"shards": 2, "replicas": 2}))),
        ("logs", with(json!({"logDelivery": [{"log": "SlowLog", "logGroup": "a"}]})), base.clone()),
    ] {
        insta::assert_snapshot!(name, transition(from, to));
    }
}

#[test]
fn an_upgrade_waits_with_its_parameter_group_and_the_rest_does_not() {
    let mut seen = Seen::default();
    converge(&in_aws(json!({"engine": "Redis", "replicas": 1})), &mut seen);
    let next = in_aws(json!({"replicas": 1, "snapshots": {"retentionDays": 9}}));
    let first = planned(&next, &seen);
    for call in called(&first) {
        carry_out(&mut seen.resource, call);
    }
    let plan = planned(&next, &seen);
    assert_eq!(called(&plan), []);
    let waiting: Vec<_> = plan.pending.iter().map(|it| (it.field.as_str(), it.to.as_str())).collect();
    assert_eq!(waiting, [("engine", "valkey"), ("version", "8.0")]);
    assert!(first.calls.iter().any(|call| call.to_string().contains("snapshots.retentionDays")));
}

#[test]
fn what_aws_can_not_change_is_told_and_the_rest_goes_on() {
    let mut seen = Seen::default();
    converge(&in_aws(json!({"replicas": 1})), &mut seen);
    group(&mut seen.resource).settings.insert(GroupSetting::Tls, false.into());
    let plan = planned(&in_aws(json!({"replicas": 2})), &seen);
    assert!(
        matches!(&plan.state, State::Stuck { message, serves: true, .. } if message.contains("network.tls"))
    );
    assert!(matches!(called(&plan)[..], [Call::SetReplicas { replicas: 2, .. }]));
}

#[test]
fn while_aws_is_at_it_nothing_is_called() {
    for status in ["creating", "modifying", "snapshotting", "something new"] {
        let mut seen = Seen::default();
        converge(&in_aws(json!({"replicas": 1})), &mut seen);
        group(&mut seen.resource).status = status.into();
        let plan = planned(&in_aws(json!({"replicas": 3})), &seen);
        assert_eq!(called(&plan), [], "{status}");
        assert!(matches!(plan.state, State::Moving(_)));
        assert_eq!(plan.connection.is_some(), ["modifying", "snapshotting"].contains(&status), "{status}");
    }
}

#[test]
fn nobody_connects_before_our_users_may_log_in() {
    let mut seen = Seen::default();
    let platform = in_aws(json!({"replicas": 1}));
    converge(&platform, &mut seen);
    assert!(planned(&platform, &seen).connection.is_some());
    group(&mut seen.resource).settings.insert(GroupSetting::UserGroup, "theirs".into());
    assert_eq!(planned(&platform, &seen).connection, None);
}

#[test]
fn the_other_way_to_log_in_goes_with_the_users_that_come() {
    let mut seen = Seen::default();
    let platform = in_aws(json!({}));
    converge(&platform, &mut seen);
    let settings = [(GroupSetting::UserGroup, "".into()), (GroupSetting::AuthToken, true.into())];
    group(&mut seen.resource).settings.extend(settings);
    let calls = converge(&platform, &mut seen);
    let [Call::ModifyGroup { settings, .. }] = &calls[..] else { panic!("one call: {calls:?}") };
    let changed: BTreeSet<_> = settings.keys().copied().collect();
    assert_eq!(changed, BTreeSet::from([GroupSetting::UserGroup, GroupSetting::AuthToken]));
    // One that was just adopted has clients of its own.
    group(&mut seen.resource).settings.insert(GroupSetting::UserGroup, "".into());
    seen.settled_generation = None;
    let plan = planned(&platform, &seen);
    assert_eq!((called(&plan), plan.pending.len()), (Vec::new(), 1));
}

#[test]
fn a_cache_of_another_platform_is_left_alone_to_the_end() {
    let platform = in_aws(json!({"identifier": "shared"}));
    let mut seen = Seen::default();
    converge(&platform, &mut seen);
    let tags = &mut group(&mut seen.resource).tags;
    tags.insert(names::TAG_UID.to_owned(), "another".to_owned());
    let plan = planned(&platform, &seen);
    assert!(matches!(plan.state, State::Stuck { reason: ConditionReason::NotOwned, .. }));
    assert_eq!((called(&plan), plan.connection), (Vec::new(), None));
    let Removal::Calls(calls) = teardown(&platform, platform.cache_in_aws().unwrap(), &seen) else {
        panic!("what is ours goes");
    };
    assert!(calls.iter().all(|call| !call.to_string().contains("replication group")), "{calls:?}");
}

#[test]
fn names_fit_whatever_the_platform_is_called() {
    let mut long = in_aws(json!({}));
    long.name = crate::platform::PlatformName::new(&format!("a--{}-z", "b".repeat(35))).unwrap();
    let identifiers = user::Role::ALL.map(|role| role.identifier(&long));
    for identifier in identifiers.iter().chain([&user::group_identifier(&long)]) {
        assert!(identifier.len() <= 40 && !identifier.contains("--"), "{identifier}");
    }
    assert_eq!(identifiers.iter().collect::<BTreeSet<_>>().len(), 3);
}

fn any_cache() -> impl Strategy<Value = serde_json::Value> {
    let nodes = (
        prop_oneof![Just("cache.t4g.micro"), Just("cache.r7g.large")],
        0..4,
        prop_oneof![Just("8.0"), Just("8.1")],
        0..36,
        proptest::option::of(prop_oneof![Just("allkeys-lru"), Just("noeviction")]),
        proptest::option::of("[a-z]{1,8}"),
    );
    nodes.prop_map(|(node_type, replicas, version, days, policy, log)| {
        let mut spec = json!({
            "nodeType": node_type, "replicas": replicas, "version": version,
            "snapshots": {"retentionDays": days}, "maintenance": {"restarts": "Immediately"},
        });
        if let Some(policy) = policy {
            spec["parameters"] = json!({"maxmemory-policy": policy});
        }
        if let Some(log) = log {
            spec["logDelivery"] = json!([{"log": "EngineLog", "logGroup": log}]);
        }
        spec
    })
}

proptest! {
    #[test]
    fn a_plan_of_the_planned_state_is_empty(
        mut one in any_cache(),
        mut other in any_cache(),
        shards in proptest::option::of((1..5, 1..5)),
    ) {
        if let Some((before, after)) = shards {
            (one["shards"], other["shards"]) = (json!(before), json!(after));
        }
        // AWS leads no version back.
        if one["version"] == "8.1" {
            other["version"] = json!("8.1");
        }
        let mut seen = Seen::default();
        converge(&in_aws(one), &mut seen);
        let platform = in_aws(other);
        converge(&platform, &mut seen);
        prop_assert_eq!(converge(&platform, &mut seen), Vec::new());
        let wanted = platform.cache_in_aws().unwrap();
        for _ in 0..6 {
            match teardown(&platform, wanted, &seen) {
                Removal::Done => break,
                Removal::Calls(calls) => for call in calls {
                    let call::Call::ElastiCache(call) = call else { unreachable!("another service") };
                    carry_out(&mut seen.resource, call);
                },
                Removal::Waiting(message) | Removal::HeldUp(message) => panic!("{message}"),
            }
        }
        prop_assert_eq!(&seen.resource, &Cache::default(), "nothing is left");
    }
}
