use super::*;
use crate::{
    managed::{
        Value,
        parameters::Parameter,
        rds::{
            Call, Origin, Parameters,
            blue_green::{Deployment, REPLICATION},
            cluster::ClusterSetting,
            parameter_group::ParameterGroup,
            proxy::{LoginSecret, Proxy, Target},
        },
    },
    observe::Observed,
    plan::{
        managed::Removal,
        testing::{from_spec, settings},
    },
    validate::validate,
};
use proptest::prelude::*;
use serde_json::json;

const DYNAMIC: &str = "log_min_duration_statement";
const STATIC: &str = "max_connections";

fn platform(database: serde_json::Value) -> Platform {
    let spec = json!({"aws": {"region": "eu-central-1", "tags": {"team": "media"}}, "database": database});
    validate(&from_spec(spec), &Observed::default(), &settings()).unwrap()
}

fn in_aws(aws: serde_json::Value) -> Platform {
    platform(json!({"provider": "AWS", "aws": aws}))
}

fn now() -> Timestamp {
    // A Wednesday.
    "2026-07-01T12:00:00Z".parse().unwrap()
}

fn planned(platform: &Platform, seen: &Seen<Database>) -> DataPlan {
    plan(platform, platform.database_in_aws().unwrap(), seen, now())
}

fn called(plan: &DataPlan) -> Vec<Call> {
    let calls = plan.calls.iter().map(|call| match call {
        super::Call::Rds(call) => call.clone(),
        other => panic!("{other} is not RDS's"),
    });
    calls.collect()
}

/// What AWS makes of a call, at once.
fn carry_out(there: &mut Database, call: Call) {
    match call {
        Call::CreateInstance { identifier, settings, tags, origin } => {
            if origin == Origin::Member {
                let cluster = settings[&InstanceSetting::Cluster].text().to_owned();
                let members = &mut there.clusters.get_mut(&cluster).unwrap().members;
                members.insert(identifier.clone(), members.is_empty());
            }
            let instance = Instance {
                arn: format!("arn:{identifier}"),
                resource_id: format!("db-{identifier}"),
                status: "available".into(),
                endpoint: Some((format!("{identifier}.example.com"), 5432)),
                settings,
                tags,
                created_at: Some(now()),
                identifier: identifier.clone(),
                ..Instance::default()
            };
            there.instances.insert(identifier, instance);
        }
        Call::CreateCluster { identifier, settings, tags, .. } => {
            let cluster = Cluster {
                arn: format!("arn:{identifier}"),
                resource_id: format!("cluster-{identifier}"),
                status: "available".into(),
                endpoint: Some((format!("{identifier}.example.com"), 5432)),
                reader_endpoint: Some(format!("ro.{identifier}.example.com")),
                settings,
                tags,
                created_at: Some(now()),
                identifier: identifier.clone(),
                ..Cluster::default()
            };
            there.clusters.insert(identifier, cluster);
        }
        Call::ModifyInstance { identifier, settings, .. } => {
            instance(there, &identifier).settings.extend(settings);
        }
        Call::ModifyCluster { identifier, settings, .. } => {
            let version = settings.get(&ClusterSetting::EngineVersion).cloned();
            there.clusters.get_mut(&identifier).unwrap().settings.extend(settings);
            let of = Value::from(identifier);
            for member in there.instances.values_mut() {
                if member.settings.get(&InstanceSetting::Cluster) == Some(&of) {
                    member.settings.extend(version.clone().map(|it| (InstanceSetting::EngineVersion, it)));
                }
            }
        }
        Call::RebootInstance { identifier } => {
            instance(there, &identifier).parameters = Parameters::InForce;
        }
        Call::StopInstance { identifier } => instance(there, &identifier).status = "stopped".into(),
        Call::StartInstance { identifier } => instance(there, &identifier).status = "available".into(),
        Call::DeleteInstance { identifier, .. } => {
            let protected = instance(there, &identifier).settings.get(&InstanceSetting::DeletionProtection);
            assert_ne!(protected, Some(&true.into()), "AWS refuses to delete it");
            there.instances.remove(&identifier);
            there.clusters.values_mut().for_each(|it| it.members.retain(|member, _| *member != identifier));
        }
        Call::DeleteCluster { identifier, .. } => drop(there.clusters.remove(&identifier)),
        Call::Tag { arn, tags } => {
            there
                .instances
                .values_mut()
                .filter(|it| it.arn == arn)
                .for_each(|it| it.tags.extend(tags.clone()));
            there
                .clusters
                .values_mut()
                .filter(|it| it.arn == arn)
                .for_each(|it| it.tags.extend(tags.clone()));
        }
        Call::CreateParameterGroup { name, .. } => {
            let known = [(DYNAMIC, false), (STATIC, true), (REPLICATION, true), ("rds.force_ssl", false)];
            let parameters = known.map(|(name, is_static)| {
                (name.to_owned(), Parameter { is_modifiable: true, is_static, ..Parameter::default() })
            });
            let group = ParameterGroup { name: name.clone(), parameters: Some(parameters.into()) };
            there.parameter_groups.insert(name, group);
        }
        Call::SetParameters { name, parameters, .. } => {
            for (parameter, (value, is_static)) in parameters {
                let known = parameter_of(there, &name, &parameter);
                (known.value, known.is_set) = (Some(value), true);
                wait_for_restart(there, is_static);
            }
        }
        Call::ResetParameters { name, parameters, .. } => {
            for (parameter, is_static) in parameters {
                let known = parameter_of(there, &name, &parameter);
                (known.value, known.is_set) = (None, false);
                wait_for_restart(there, is_static);
            }
        }
        Call::DeleteParameterGroup { name, .. } => drop(there.parameter_groups.remove(&name)),
        Call::CreateSubnetGroup { name, subnets, .. } | Call::ModifySubnetGroup { name, subnets } => {
            there.subnet_group = Some(subnet_group::SubnetGroup { name, subnets });
        }
        Call::DeleteSubnetGroup { .. } => there.subnet_group = None,
        Call::SetMasterPassword { identifier, .. } => {
            let managed = (InstanceSetting::ManagedMasterPassword, false.into());
            instance(there, &identifier).settings.extend([managed]);
        }
        Call::CreateDeployment { name, source, version, parameter_group, tags } => {
            let blue = there.instances.values().find(|it| it.arn == source).unwrap().clone();
            let identifier = format!("{}-green-abc123", blue.identifier);
            let mut green =
                Instance { arn: format!("arn:{identifier}"), tags: BTreeMap::new(), ..blue.clone() };
            green.resource_id = format!("db-{identifier}");
            green.settings.extend([
                (InstanceSetting::EngineVersion, version.into()),
                (InstanceSetting::ParameterGroup, parameter_group.into()),
            ]);
            green.identifier.clone_from(&identifier);
            there.instances.insert(identifier.clone(), green);
            let deployment = Deployment {
                identifier: "bgd-1".into(),
                name,
                source: blue.identifier,
                target: identifier,
                status: "AVAILABLE".into(),
                details: None,
                tags,
            };
            there.deployments.insert(deployment.identifier.clone(), deployment);
        }
        Call::SwitchOver { deployment } => {
            let deployment = there.deployments.get_mut(&deployment).unwrap();
            let (blue, green) = (deployment.source.clone(), deployment.target.clone());
            deployment.status = "SWITCHOVER_COMPLETED".into();
            (deployment.source, deployment.target) = (format!("{blue}-old1"), blue.clone());
            let mut old = there.instances.remove(&blue).unwrap();
            let mut new = there.instances.remove(&green).unwrap();
            new.tags = old.tags.clone();
            for (instance, identifier) in [(&mut old, format!("{blue}-old1")), (&mut new, blue)] {
                instance.arn = format!("arn:{identifier}");
                instance.identifier = identifier;
            }
            there.instances.extend([old, new].map(|it| (it.identifier.clone(), it)));
        }
        Call::DeleteDeployment { deployment, delete_target } => {
            let deployment = there.deployments.remove(&deployment).unwrap();
            if delete_target {
                carry_out(there, delete(deployment.target));
            }
        }
        Call::CreateLoginSecret { name, tags } => {
            let arn = format!("arn:{name}");
            there
                .login_secrets
                .insert(name.clone(), LoginSecret { name, arn, tags, ..LoginSecret::default() });
        }
        Call::DeleteLoginSecret { arn } => there.login_secrets.retain(|_, it| it.arn != arn),
        Call::CreateProxy { name, settings, tags } => {
            let proxy = Proxy {
                arn: format!("arn:proxy:{name}"),
                status: "available".into(),
                host: Some(format!("{name}.proxy.example.com")),
                settings,
                tags,
                name: name.clone(),
                ..Proxy::default()
            };
            there.proxies.insert(name, proxy);
        }
        Call::ModifyProxy { name, settings } => {
            there.proxies.get_mut(&name).unwrap().settings.extend(settings);
        }
        Call::RegisterTarget { proxy, identifier, .. } => {
            let target = Target { state: "AVAILABLE".into(), reason: None };
            there.proxies.get_mut(&proxy).unwrap().targets.insert(identifier, target);
        }
        Call::DeregisterTarget { proxy, identifier, .. } => {
            there.proxies.get_mut(&proxy).unwrap().targets.remove(&identifier);
        }
        Call::DeleteProxy { name } => drop(there.proxies.remove(&name)),
        Call::Untag { arn, keys } => {
            let tagged = there.instances.values_mut().filter(|it| it.arn == arn);
            tagged.for_each(|it| it.tags.retain(|key, _| !keys.contains(key)));
        }
        other => panic!("{other} is not expected here"),
    }
}

fn delete(identifier: String) -> Call {
    Call::DeleteInstance { identifier, final_snapshot: None, delete_backups: false }
}

fn instance<'a>(there: &'a mut Database, identifier: &str) -> &'a mut Instance {
    there.instances.get_mut(identifier).unwrap()
}

fn parameter_of<'a>(there: &'a mut Database, group: &str, name: &str) -> &'a mut Parameter {
    let parameters = there.parameter_groups.get_mut(group).unwrap().parameters.as_mut().unwrap();
    parameters.get_mut(name).unwrap()
}

fn wait_for_restart(there: &mut Database, is_static: bool) {
    if is_static {
        there.instances.values_mut().for_each(|it| it.parameters = Parameters::PendingReboot);
    }
}

/// Plans and carries out until nothing is left, and returns the calls.
fn converge(platform: &Platform, seen: &mut Seen<Database>) -> Vec<Call> {
    let mut made = Vec::new();
    for _ in 0..16 {
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
        Call::CreateInstance { settings, tags, origin, .. } => {
            format!("{}tags: {tags:?}\norigin: {origin:?}\n", table(settings))
        }
        Call::CreateCluster { settings, tags, origin, .. } => {
            format!("{}tags: {tags:?}\norigin: {origin:?}\n", table(settings))
        }
        Call::ModifyInstance { settings, immediately, .. } => {
            format!("{}immediately: {immediately}\n", table(settings))
        }
        Call::ModifyCluster { settings, immediately, .. } => {
            format!("{}immediately: {immediately}\n", table(settings))
        }
        Call::SetParameters { parameters, .. } => format!("{parameters:?}\n"),
        Call::ResetParameters { parameters, .. } => format!("{parameters:?}\n"),
        Call::CreateDeployment { source, version, parameter_group, .. } => {
            format!("source: {source}\nversion: {version}\nparameter group: {parameter_group}\n")
        }
        Call::CreateProxy { settings, tags, .. } => format!("{}tags: {tags:?}\n", table(settings)),
        Call::ModifyProxy { settings, .. } => table(settings),
        Call::Tag { tags, .. } => format!("{tags:?}\n"),
        Call::DeleteInstance { final_snapshot, delete_backups, .. } => {
            format!("final snapshot: {final_snapshot:?}\ndelete backups: {delete_backups}\n")
        }
        _ => String::new(),
    };
    calls.iter().map(|call| format!("# {call}\n{}", detail(call))).collect()
}

fn table<S: Setting>(settings: &crate::managed::Settings<S>) -> String {
    settings.iter().map(|(setting, value)| format!("{}: {value}\n", setting.field())).collect()
}

const AURORA: &str = "AuroraPostgreSQL";
const ROLE: &str = "arn:aws:iam::123456789012:role/proxy";

#[test]
fn a_database_of_each_size_and_shape_is_made() {
    let capacity = json!({"minACU": "0.5", "maxACU": "4"});
    for (name, size, aws) in [
        ("small", "Small", json!({})),
        ("medium", "Medium", json!({"network": {"subnetIDs": ["subnet-1", "subnet-2"]}})),
        ("large", "Large", json!({"parameters": {DYNAMIC: "500"}, "kmsKeyID": "key"})),
        ("aurora", "Medium", json!({"engine": AURORA, "serverless": capacity, "readers": 1})),
        ("restored", "Small", json!({"restore": {"name": "one", "snapshotIdentifier": "before"}})),
    ] {
        let spec = json!({"aws": {"region": "eu-central-1"}, "size": size, "database": {"provider": "AWS", "aws": aws}});
        let platform = validate(&from_spec(spec), &Observed::default(), &settings()).unwrap();
        insta::assert_snapshot!(name, golden(&converge(&platform, &mut Seen::default())));
    }
}

/// From one spec to another, in calls.
fn transition(from: &serde_json::Value, to: &serde_json::Value) -> String {
    let mut seen = Seen::default();
    converge(&in_aws(from.clone()), &mut seen);
    golden(&converge(&in_aws(to.clone()), &mut seen))
}

#[test]
fn each_transition_is_one_step_after_the_other() {
    let with = |base: &serde_json::Value, change: serde_json::Value| {
        let mut spec = base.clone();
        spec.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        spec
    };
    let base = json!({"version": "16.8", "maintenance": {"restarts": "Immediately"}});
    let proxy = json!({"roleARN": ROLE, "subnetIDs": ["subnet-1", "subnet-2"]});
    let aurora =
        with(&base, json!({"engine": AURORA, "serverless": {"minACU": "0.5", "maxACU": "4"}, "readers": 2}));
    for (name, from, to) in [
        ("another_class", &base, with(&base, json!({"instanceClass": "db.r7g.large"}))),
        ("more_storage", &base, with(&base, json!({"storage": {"size": "50Gi", "maxSize": "200Gi"}}))),
        ("a_standby", &base, with(&base, json!({"multiAZ": true}))),
        ("a_minor_version_goes_alone", &base, with(&base, json!({"version": "16.9", "multiAZ": true}))),
        ("a_dynamic_parameter", &base, with(&base, json!({"parameters": {DYNAMIC: "500"}}))),
        ("a_static_parameter_restarts", &base, with(&base, json!({"parameters": {STATIC: "300"}}))),
        ("a_parameter_less", &with(&base, json!({"parameters": {STATIC: "300"}})), base.clone()),
        ("a_proxy", &base, with(&base, json!({"proxy": proxy}))),
        (
            "a_proxy_with_a_smaller_pool",
            &with(&base, json!({"proxy": proxy})),
            with(
                &base,
                json!({"proxy": {"roleARN": ROLE, "subnetIDs": ["subnet-1", "subnet-2"], "maxConnectionsPercent": 50}}),
            ),
        ),
        ("no_protection", &base, with(&base, json!({"deletionProtection": false}))),
        (
            "aurora_with_more_capacity",
            &aurora,
            with(&aurora, json!({"serverless": {"minACU": "1", "maxACU": "16"}})),
        ),
        ("aurora_with_a_reader_less", &aurora, with(&aurora, json!({"readers": 1}))),
        ("aurora_with_a_minor_version", &aurora, with(&aurora, json!({"version": "16.9"}))),
    ] {
        insta::assert_snapshot!(name, transition(from, &to));
    }
}

#[test]
fn a_major_version_goes_with_its_parameter_group_once_it_is_approved() {
    let mut seen = Seen::default();
    converge(&in_aws(json!({"version": "16.9"})), &mut seen);
    let mut next = in_aws(json!({"version": "17.5", "backup": {"retentionDays": 30}}));
    // What does not restart is made at once.
    for _ in 0..3 {
        let plan = planned(&next, &seen);
        called(&plan).into_iter().for_each(|call| carry_out(&mut seen.resource, call));
    }
    let plan = planned(&next, &seen);
    assert_eq!(called(&plan), []);
    let waiting: Vec<_> = plan.pending.iter().map(|it| (it.field.as_str(), it.to.as_str())).collect();
    assert_eq!(waiting, [("version", "17.5")]);
    next.approved = plan.approval.clone();
    insta::assert_snapshot!("a_major_version", golden(&converge(&next, &mut seen)));
}

/// Approved at once, so that each step follows the one before.
#[test]
fn a_blue_green_upgrade_is_one_step_after_the_other() {
    let mut seen = Seen::default();
    converge(&in_aws(json!({"version": "16.9"})), &mut seen);
    let spec = json!({
        "version": "17", "majorUpgrades": "BlueGreen", "masterPassword": "Kubernetes",
        "maintenance": {"restarts": "Immediately"},
    });
    let mut platform = in_aws(spec);
    let mut made = Vec::new();
    loop {
        let plan = planned(&platform, &seen);
        let calls = called(&plan);
        if calls.is_empty() && plan.approval.is_none() {
            break;
        }
        platform.approved = plan.approval.or(platform.approved);
        calls.iter().for_each(|call| carry_out(&mut seen.resource, call.clone()));
        made.extend(calls);
        assert!(made.len() < 30, "{}", golden(&made));
    }
    // The approval changes with every field that is wanted.
    let golden = golden(&made).replace(platform.approved.as_deref().unwrap(), "APPROVAL");
    insta::assert_snapshot!("a_blue_green_upgrade", golden);
    assert_eq!(converge(&platform, &mut seen), []);
}

#[test]
fn while_aws_is_at_it_nothing_is_called() {
    for status in ["creating", "modifying", "backing-up", "upgrading", "rebooting", "something new"] {
        let mut seen = Seen::default();
        converge(&in_aws(json!({})), &mut seen);
        seen.resource.instances.values_mut().for_each(|it| it.status = status.into());
        let plan =
            planned(&in_aws(json!({"multiAZ": true, "maintenance": {"restarts": "Immediately"}})), &seen);
        assert_eq!(called(&plan), [], "{status}");
        assert!(matches!(plan.state, State::Moving(_)));
        assert_eq!(plan.connection.is_some(), ["modifying", "backing-up"].contains(&status), "{status}");
    }
}

fn any_database() -> impl Strategy<Value = serde_json::Value> {
    (
        prop_oneof![Just("db.t4g.micro"), Just("db.r7g.large")],
        20..100,
        any::<bool>(),
        prop_oneof![Just("16.8"), Just("16.9")],
        1..36,
        proptest::option::of(100..900_u16),
        proptest::option::of(100..900_u16),
        proptest::option::of(1..100_u8),
    )
        .prop_map(|(class, gigabytes, standby, version, days, slow, connections, pool)| {
            let mut parameters = serde_json::Map::new();
            parameters.extend(slow.map(|it| (DYNAMIC.to_owned(), json!(it.to_string()))));
            parameters.extend(connections.map(|it| (STATIC.to_owned(), json!(it.to_string()))));
            let proxy = pool.map(|percent| {
                json!({"roleARN": ROLE, "subnetIDs": ["subnet-1", "subnet-2"], "maxConnectionsPercent": percent})
            });
            json!({
                "proxy": proxy, "instanceClass": class, "storage": {"size": format!("{gigabytes}Gi")}, "multiAZ": standby,
                "version": version, "backup": {"retentionDays": days}, "parameters": parameters,
                "deletionProtection": false, "maintenance": {"restarts": "Immediately"},
            })
        })
}

/// The same for Aurora.
fn clustered(mut spec: serde_json::Value, readers: u8) -> serde_json::Value {
    let fields = spec.as_object_mut().unwrap();
    fields.remove("storage");
    fields.remove("multiAZ");
    fields.insert("engine".into(), json!(AURORA));
    fields.insert("readers".into(), json!(readers));
    spec
}

proptest! {
    #[test]
    fn a_plan_of_the_planned_state_is_empty(
        mut one in any_database(),
        mut other in any_database(),
        readers in proptest::option::of((0..4_u8, 0..4_u8)),
    ) {
        // AWS makes no storage smaller and leads no version back.
        if one["version"] == "16.9" {
            other["version"] = json!("16.9");
        }
        other["storage"] = one["storage"].clone();
        if let Some((before, after)) = readers {
            (one, other) = (clustered(one, before), clustered(other, after));
        }
        let mut seen = Seen::default();
        converge(&in_aws(one), &mut seen);
        let platform = in_aws(other);
        converge(&platform, &mut seen);
        prop_assert_eq!(converge(&platform, &mut seen), Vec::new());
        let wanted = platform.database_in_aws().unwrap();
        for _ in 0..12 {
            match teardown(&platform, wanted, &seen) {
                Removal::Done => break,
                Removal::Calls(calls) => for call in calls {
                    let super::Call::Rds(call) = call else { unreachable!("another service") };
                    carry_out(&mut seen.resource, call);
                },
                Removal::Waiting(message) | Removal::HeldUp(message) => panic!("{message}"),
            }
        }
        prop_assert_eq!(&seen.resource, &Database::default(), "nothing is left");
    }
}
