//! Golden files, and the invariants of plans.

use super::{WaitReason, check, testing::*, workload};
use crate::{
    api::{StreamingPlatform, names},
    kinds::{Kind, ObjectKey},
    observe::Reference,
    validate::validate,
};
use proptest::{collection::vec, option, prelude::*, sample::select};
use rstest::rstest;
use serde_json::{Value, json};

const MINIMAL: &str = include_str!("../../examples/minimal.yaml");
const DEMO: &str = include_str!("../../examples/demo.yaml");
const EXTERNAL: &str = include_str!("../../examples/external.yaml");

#[rstest]
#[case::minimal("minimal", MINIMAL)]
#[case::demo("demo", DEMO)]
#[case::external("external", EXTERNAL)]
fn the_plan_of_an_example(#[case] name: &str, #[case] manifest: &str) {
    let resource = example(manifest);
    let mut cluster = Cluster::with_references(&resource);
    let (_, first) = cluster.plan(&resource);
    cluster.apply(&first);
    let (platform, second) = cluster.plan(&resource);
    insta::with_settings!({ snapshot_path => "snapshots", prepend_module_to_snapshot => false }, {
        insta::assert_yaml_snapshot!(format!("{name}-1"), golden(&first));
        insta::assert_yaml_snapshot!(format!("{name}-2"), golden(&second));
        insta::assert_yaml_snapshot!(format!("{name}-job"), workload::job::prototype(&platform));
    });
}

#[test]
fn pods_wait_for_what_they_read_and_nothing_else_does() {
    let resource = resource(
        "{services: [{name: srs, image: a, replicas: 1, envFrom: [{secretRef: {name: s}}, {configMapRef: {name: c, optional: true}}]}]}",
    );
    let mut cluster = Cluster::default();
    let (_, plan) = cluster.plan(&resource);
    assert_eq!(
        outline(&plan),
        [
            "apply ServiceAccount/tv-srs",
            "apply NetworkPolicy/tv-srs",
            "apply Service/tv-srs",
            r#"Deployment/tv-srs waits: ReferenceMissing { reference: "Secret/s", key: None }"#,
        ]
    );
    cluster.apply(&plan);
    cluster.data.insert(Reference::Secret("s".to_owned()), [("a".to_owned(), "1".to_owned())].into());
    assert_eq!(outline(&cluster.plan(&resource).1), ["apply Deployment/tv-srs"]);
}

#[test]
fn a_missing_key_is_named() {
    let resource = resource(
        "{services: [{name: srs, image: a, replicas: 1, env: [{name: A, valueFrom: {secretKeyRef: {name: s, key: token}}}]}]}",
    );
    let mut cluster = Cluster::default();
    cluster.data.insert(Reference::Secret("s".to_owned()), [("other".to_owned(), "1".to_owned())].into());
    let (_, plan) = cluster.plan(&resource);
    let expected =
        WaitReason::ReferenceMissing { reference: "Secret/s".to_owned(), key: Some("token".to_owned()) };
    assert_eq!(plan.waiting.iter().map(|it| &it.reason).collect::<Vec<_>>(), [&expected]);
}

#[test]
fn a_deployment_waits_for_the_queue_and_the_frontend_does_not() {
    let resource = example(MINIMAL);
    let mut cluster = Cluster::with_references(&resource);
    cluster.queues = false;
    let (_, plan) = cluster.plan(&resource);
    cluster.apply(&plan);
    let (_, plan) = cluster.plan(&resource);
    let waiting: Vec<_> = plan.waiting.iter().map(|it| it.what.to_string()).collect();
    assert_eq!(waiting, ["Deployment/tv-backend", "Deployment/tv-worker"]);
    assert!(cluster.keys().contains("Deployment/tv-frontend"));
}

#[test]
fn changed_content_rolls_the_pods_that_read_it_once() {
    let resource = example(EXTERNAL);
    let mut cluster = Cluster::with_references(&resource);
    cluster.converge(&resource);
    let settings = Reference::ConfigMap("rtmp-settings".to_owned());
    cluster.data.insert(settings, [("key".to_owned(), "2".to_owned())].into());
    assert_eq!(outline(&cluster.plan(&resource).1), ["apply Deployment/media-rtmp"]);
    assert_eq!(cluster.converge(&resource), 1);
}

#[test]
fn an_owned_field_that_drifts_comes_back_and_a_foreign_one_stays() {
    let resource = resource("{services: [{name: srs, image: a, replicas: 3}]}");
    let mut cluster = Cluster::default();
    cluster.converge(&resource);
    let foreign = json!({ "metadata": { "annotations": { "theirs": "1" } }, "spec": { "paused": true } });
    cluster.edit(Kind::Deployment, "tv-srs", &foreign);
    assert!(is_empty(&cluster.plan(&resource).1));
    cluster.edit(Kind::Deployment, "tv-srs", &json!({ "spec": { "replicas": 0 } }));
    assert_eq!(outline(&cluster.plan(&resource).1), ["apply Deployment/tv-srs"]);
    cluster.converge(&resource);
    assert_eq!(cluster.field(Kind::Deployment, "tv-srs", "/spec/replicas"), Some(&json!(3)));
    assert_eq!(cluster.field(Kind::Deployment, "tv-srs", "/spec/paused"), Some(&json!(true)));
}

#[test]
fn replicas_are_handed_over_and_never_fall_on_the_way() {
    let fixed = resource("{services: [{name: srs, image: a, replicas: 5}]}");
    let scaled = resource("{services: [{name: srs, image: a, autoscaling: {minReplicas: 3}}]}");
    let mut cluster = Cluster::default();
    cluster.converge(&fixed);
    let mut steps = Vec::new();
    loop {
        let (_, plan) = cluster.plan(&scaled);
        if is_empty(&plan) {
            break;
        }
        steps.push(outline(&plan));
        cluster.apply(&plan);
        assert_eq!(cluster.field(Kind::Deployment, "tv-srs", "/spec/replicas"), Some(&json!(5)));
    }
    assert_eq!(
        steps,
        [
            vec!["apply HorizontalPodAutoscaler/tv-srs"],
            vec!["hand over 5 of tv-srs"],
            vec!["apply Deployment/tv-srs"],
        ]
    );
    cluster.autoscale("tv-srs", 7);
    assert!(is_empty(&cluster.plan(&scaled).1), "the autoscaler's number is no drift");
    assert_eq!(cluster.plan(&scaled).1.summary.components[0].replicas, 7);
    cluster.converge(&fixed);
    assert_eq!(cluster.field(Kind::Deployment, "tv-srs", "/spec/replicas"), Some(&json!(5)));
    assert!(!cluster.keys().contains("HorizontalPodAutoscaler/tv-srs"));
}

#[test]
fn an_autoscaler_that_was_faster_needs_no_hand_over() {
    let fixed = resource("{services: [{name: srs, image: a, replicas: 5}]}");
    let scaled = resource("{services: [{name: srs, image: a}]}");
    let mut cluster = Cluster::default();
    cluster.converge(&fixed);
    cluster.apply(&cluster.plan(&scaled).1);
    cluster.autoscale("tv-srs", 9);
    let (_, plan) = cluster.plan(&scaled);
    assert_eq!(outline(&plan), ["apply Deployment/tv-srs"]);
    cluster.apply(&plan);
    assert_eq!(cluster.field(Kind::Deployment, "tv-srs", "/spec/replicas"), Some(&json!(9)));
}

#[rstest]
#[case::retained_by_default("Retain", "{}", true)]
#[case::retained_when_it_becomes_external(
    "Retain",
    "{database: {provider: External, external: {secretRef: {name: s}}}}",
    true
)]
#[case::deleted_in_words("Delete", "{}", false)]
fn a_database_that_is_taken_out_leaves_what_its_policy_says(
    #[case] policy: &str,
    #[case] without: &str,
    #[case] kept: bool,
) {
    let with = resource(&format!("{{database: {{provider: Embedded, deletionPolicy: {policy}}}}}"));
    let without = resource(without);
    let mut cluster = Cluster::with_references(&without);
    cluster.converge(&with);
    let everything = cluster.keys();
    cluster.converge(&without);
    let data = ["PersistentVolumeClaim/data-tv-database-0", "Secret/tv-database"];
    assert_eq!(data.map(|key| cluster.keys().contains(key)), [kept; 2]);
    assert!(!cluster.keys().contains("StatefulSet/tv-database"));
    // It comes back with the password that opens the volume.
    let password = cluster.data.get(&Reference::Secret("tv-database".to_owned())).cloned();
    cluster.converge(&with);
    assert_eq!(cluster.keys(), everything);
    if kept {
        assert_eq!(cluster.data.get(&Reference::Secret("tv-database".to_owned())), password.as_ref());
    }
}

#[test]
fn a_policy_that_changes_changes_who_owns_the_password() {
    let policy = |policy| resource(&format!("{{cache: {{provider: Embedded, deletionPolicy: {policy}}}}}"));
    let owner = "/metadata/ownerReferences";
    let mut cluster = Cluster::default();
    cluster.converge(&policy("Delete"));
    assert!(cluster.field(Kind::Secret, "tv-cache", owner).is_some());
    cluster.converge(&policy("Retain"));
    assert_eq!(cluster.field(Kind::Secret, "tv-cache", owner), None);
    let when_deleted = "/spec/persistentVolumeClaimRetentionPolicy/whenDeleted";
    assert_eq!(cluster.field(Kind::StatefulSet, "tv-cache", when_deleted), Some(&json!("Retain")));
}

#[rstest]
#[case::with_the_platform("Snapshot", true)]
#[case::with_the_database("Delete", true)]
#[case::never("Retain", false)]
fn the_password_of_a_master_in_aws_goes(#[case] policy: &str, #[case] owned: bool) {
    let database =
        format!("{{provider: AWS, deletionPolicy: {policy}, aws: {{masterPassword: Kubernetes}}}}");
    let mut cluster = Cluster::default();
    cluster.converge(&resource(&format!("{{aws: {{region: eu-central-1}}, database: {database}}}")));
    let owner = cluster.field(Kind::Secret, "tv-database-master", "/metadata/ownerReferences");
    assert_eq!(owner.is_some(), owned);
    assert!(cluster.keys().contains("Secret/tv-database-master"));
}

#[test]
fn a_volume_grows_by_its_claim_and_the_template_stays() {
    let size = |size| {
        resource(&format!("{{database: {{provider: Embedded, embedded: {{storage: {{size: {size}}}}}}}}}"))
    };
    let mut cluster = Cluster::default();
    cluster.converge(&size("1Gi"));
    assert_eq!(outline(&cluster.plan(&size("2Gi")).1), ["apply PersistentVolumeClaim/data-tv-database-0"]);
    cluster.converge(&size("2Gi"));
    let claim =
        cluster.field(Kind::PersistentVolumeClaim, "data-tv-database-0", "/spec/resources/requests/storage");
    assert_eq!(claim, Some(&json!("2Gi")));
    assert!(is_empty(&cluster.plan(&size("2048Mi")).1), "the same size in other words");
}

#[test]
fn a_suspended_platform_changes_nothing_and_still_knows_what_it_is() {
    let mut resource = example(MINIMAL);
    resource.spec.suspend = Some(true);
    let mut cluster = Cluster::with_references(&resource);
    let (_, plan) = cluster.plan(&resource);
    assert!(is_empty(&plan), "nothing is made: {:?}", outline(&plan));
    assert_eq!(plan.summary.components.len(), 3);
    resource.spec.suspend = None;
    cluster.converge(&resource);
    resource.spec.suspend = Some(true);
    resource.spec.worker = None;
    let (_, plan) = cluster.plan(&resource);
    assert!(is_empty(&plan), "nothing is deleted: {:?}", outline(&plan));
}

#[test]
fn what_is_not_ours_is_not_deleted() {
    let resource = resource("{services: [{name: srs, image: a, replicas: 1}]}");
    let mut cluster = Cluster::default();
    cluster.converge(&resource);
    let foreign = json!({ "metadata": { "ownerReferences": null } });
    cluster.edit(Kind::Service, "tv-srs", &foreign);
    let none = super::testing::resource("{}");
    let (_, plan) = cluster.plan(&none);
    assert!(!plan.prune.contains(&ObjectKey::new(Kind::Service, "tv-srs")));
    assert!(plan.prune.contains(&ObjectKey::new(Kind::Deployment, "tv-srs")));
}

#[test]
fn a_route_waits_where_the_cluster_serves_no_gateway_api() {
    let resource = resource(
        "{services: [{name: a, image: a, replicas: 1, route: {hostname: a.example, gateway: {name: g}}}]}",
    );
    let (_, plan) = Cluster::default().plan(&resource);
    let reasons: Vec<_> = plan.waiting.iter().map(|it| &it.reason).collect();
    assert_eq!(reasons, [&WaitReason::NotServed(Kind::HttpRoute)]);
}

#[rstest]
#[case::privileged(json!({ "securityContext": { "privileged": true } }), "privileged is refused")]
#[case::capabilities_kept(json!({ "securityContext": { "capabilities": { "drop": [] } } }), "must name ALL")]
#[case::capabilities_added(json!({ "securityContext": { "capabilities": { "add": ["SYS_ADMIN"] } } }), "NET_BIND_SERVICE only")]
#[case::escalation(json!({ "securityContext": { "allowPrivilegeEscalation": true } }), "must be false")]
#[case::root(json!({ "securityContext": { "runAsUser": 0 } }), "runAsUser must not be 0")]
#[case::perhaps_root(json!({ "securityContext": { "runAsNonRoot": false } }), "runAsNonRoot must be true")]
#[case::unconfined(json!({ "securityContext": { "seccompProfile": { "type": "Unconfined" } } }), "seccompProfile must be")]
#[case::proc(json!({ "securityContext": { "procMount": "Unmasked" } }), "procMount")]
#[case::no_requests(json!({ "resources": { "requests": { "cpu": null } } }), "requests.cpu is missing")]
#[case::secret_by_name(json!({ "env": [{ "name": "API_TOKEN", "value": "hunter2" }] }), "holds a secret in plain text")]
#[case::secret_in_url(json!({ "env": [{ "name": "X", "value": "postgres://a:b@c/d" }] }), "holds a secret in plain text")]
#[case::host_port(json!({ "ports": [{ "containerPort": 80, "hostPort": 80 }] }), "hostPort is refused")]
#[case::typo(json!({ "imagePullPolice": "Always" }), "no field spec.containers[0].imagePullPolice")]
#[case::wrong_type(json!({ "args": "all" }), "is no pod template")]
#[case::probe_elsewhere(
    json!({ "readinessProbe": { "tcpSocket": { "port": 80, "host": "169.254.169.254" } } }),
    "readinessProbe.tcpSocket.host is refused"
)]
#[case::hook_elsewhere(
    json!({ "lifecycle": { "preStop": { "sleep": null, "httpGet": { "port": 80, "host": "169.254.169.254" } } } }),
    "lifecycle.preStop.httpGet.host is refused"
)]
fn a_pod_template_does_not_weaken_a_container(#[case] fields: Value, #[case] expected: &str) {
    let mut container = fields;
    container["name"] = json!("srs");
    refused(json!({ "spec": { "containers": [container] } }), expected);
}

#[rstest]
#[case::host_network(json!({ "spec": { "hostNetwork": true } }), "hostNetwork is refused")]
#[case::host_pid(json!({ "spec": { "hostPID": true } }), "hostPID is refused")]
#[case::no_security(json!({ "spec": { "securityContext": null } }), "runAsNonRoot must be true")]
#[case::sysctls(json!({ "spec": { "securityContext": { "sysctls": [{ "name": "kernel.msgmax", "value": "1" }] } } }), "sysctls")]
#[case::token(json!({ "spec": { "automountServiceAccountToken": true } }), "automountServiceAccountToken must be false")]
#[case::host_path(json!({ "spec": { "volumes": [{ "name": "v", "hostPath": { "path": "/" } }] } }), "hostPath is refused")]
#[case::no_containers(json!({ "spec": { "containers": null } }), "containers is empty")]
#[case::no_container(json!({ "spec": { "containers": ["x"] } }), "is no pod template")]
#[case::no_labels(json!({ "metadata": { "labels": null } }), "labels must stay")]
#[case::another_part(json!({ "metadata": { "labels": { (names::LABEL_NAME): "backend" } } }), "labels must stay")]
#[case::another_account(
    json!({ "spec": { "serviceAccountName": "streaming-operator" } }),
    "spec.serviceAccountName must stay tv-srs"
)]
#[case::another_account_as_of_old(
    json!({ "spec": { "serviceAccount": "streaming-operator" } }),
    "spec.serviceAccountName must stay tv-srs"
)]
#[case::se_linux(
    json!({ "spec": { "securityContext": { "seLinuxOptions": { "type": "RuntimeDefault" } } } }),
    "seLinuxOptions is not for a platform's pods"
)]
#[case::app_armor_as_of_old(
    json!({ "metadata": { "annotations": { "container.apparmor.security.beta.kubernetes.io/srs": "unconfined" } } }),
    "is not for a platform's pods"
)]
#[case::labels_of_another(json!({ "metadata": { "labels": { (names::LABEL_INSTANCE): "other" } } }), "labels must stay")]
#[case::nobodys(json!({ "metadata": { "labels": { (names::LABEL_MANAGED_BY): null } } }), "labels must stay")]
#[case::sidecar_as_root(
    json!({ "spec": { "containers": [{ "name": "sidecar", "image": "s", "securityContext": { "runAsUser": 0 } }] } }),
    "containers[sidecar].securityContext.runAsUser must not be 0"
)]
#[case::init_without_image(json!({ "spec": { "initContainers": [{ "name": "i" }] } }), "initContainers[i].image is missing")]
fn a_pod_template_does_not_weaken_a_pod(#[case] template: Value, #[case] expected: &str) {
    refused(template, expected);
}

#[track_caller]
fn refused(template: Value, expected: &str) {
    let resource = with_template(template);
    let findings = validate(&resource, &Cluster::default().observed(&resource), &settings()).unwrap_err();
    assert_eq!(findings[0].field, "spec.services[srs].podTemplate");
    assert!(findings.iter().any(|it| it.message.contains(expected)), "{findings:?}");
}

fn with_template(template: Value) -> StreamingPlatform {
    from_spec(json!({
        "services": [{ "name": "srs", "image": "a", "replicas": 1, "podTemplate": template }],
    }))
}

#[test]
fn containers_that_a_pod_template_adds_are_restricted_and_have_requests() {
    let resource = with_template(json!({ "spec": { "containers": [
        { "name": "sidecar", "image": "s" },
        { "name": "srs", "securityContext": null, "resources": null },
    ]}}));
    let (_, plan) = Cluster::default().plan(&resource);
    let deployment = plan.apply.iter().find(|it| it.key.kind == Kind::Deployment).unwrap();
    let containers = deployment.object.data["spec"]["template"]["spec"]["containers"].as_array().unwrap();
    assert_eq!(containers.len(), 2);
    for container in containers {
        assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
        assert_eq!(container["securityContext"]["capabilities"]["drop"], json!(["ALL"]));
        assert!(container["resources"]["requests"]["cpu"].is_string());
    }
}

// ---- properties

fn text() -> impl Strategy<Value = String> {
    "[a-z]{1,8}"
}

fn component(own_image: bool) -> impl Strategy<Value = Value> {
    let scale = prop_oneof![
        Just(json!({})),
        (0..5).prop_map(|replicas| json!({ "replicas": replicas })),
        (1..4).prop_map(|min| json!({ "autoscaling": { "minReplicas": min } })),
    ];
    let extras = option::of(select(vec![
        json!({ "resources": { "limits": { "cpu": "0.5", "memory": "1.5Gi" } } }),
        json!({ "exposure": { "type": "NodePort" } }),
        json!({ "scheduling": { "nodeSelector": { "a": "b" }, "tolerations": [{ "operator": "Exists" }] } }),
        json!({ "envFrom": [{ "configMapRef": { "name": "settings" } }] }),
        json!({ "podTemplate": { "spec": { "hostNetwork": false, "containers": [{ "name": "sidecar", "image": "s" }] } } }),
        json!({ "ports": [{ "name": "media", "containerPort": 1935 }, { "name": "udp", "containerPort": 8000, "protocol": "UDP" }] }),
        json!({ "probes": { "readiness": { "httpGet": { "port": 8080 }, "initialDelaySeconds": 0 } } }),
    ]));
    let env = vec((text(), text()), 0..3);
    (scale, extras, env, option::of(text())).prop_map(move |(scale, extras, env, image)| {
        let mut component = json!({});
        let env: std::collections::BTreeMap<_, _> = env.into_iter().collect();
        for part in [Some(scale), extras].into_iter().flatten() {
            super::merge::strategic(&mut component, &part);
        }
        if !env.is_empty() {
            component["env"] =
                env.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
        }
        if let Some(image) = image.or(own_image.then(|| "own".to_owned())) {
            component["image"] = json!(image);
        }
        component
    })
}

fn data() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!({ "provider": "External", "external": { "secretRef": { "name": "theirs" } } })),
        select(vec!["Retain", "Delete"])
            .prop_map(|policy| json!({ "provider": "Embedded", "deletionPolicy": policy })),
        Just(json!({ "provider": "Embedded" })),
    ]
}

fn spec() -> impl Strategy<Value = Value> {
    let transcoding = select(vec![
        json!({}),
        json!({ "input": { "bucket": "in-put", "prefix": "a/" }, "output": { "bucket": "in-put", "prefix": "b/" } }),
        json!({ "job": { "image": "own", "podTemplate": { "spec": { "priorityClassName": "low" } } } }),
    ]);
    let credentials = option::of(Just(json!({ "name": "aws" })));
    (
        select(vec!["Small", "Medium", "Large"]),
        (option::of(component(false)), option::of(component(false)), option::of(component(false))),
        vec(component(true), 0..3),
        (option::of(data()), option::of(data())),
        (option::of(transcoding), credentials),
    )
        .prop_map(
            |(size, (frontend, backend, worker), services, (database, cache), (transcoding, keys))| {
                let mut spec = json!({ "size": size, "aws": { "region": "eu-central-1" } });
                if let Some(keys) = keys {
                    spec["aws"]["credentialsSecretRef"] = keys;
                }
                let complete = database.is_some() && transcoding.is_some();
                let parts = [("backend", backend), ("worker", worker)];
                for (name, component) in parts.into_iter().filter_map(|(name, it)| Some((name, it?))) {
                    if complete || component.get("image").is_some() {
                        spec[name] = component;
                    }
                }
                if let Some(frontend) =
                    frontend.filter(|it| it.get("image").is_some() || spec.get("backend").is_some())
                {
                    spec["frontend"] = frontend;
                }
                let services = services.into_iter().enumerate().map(|(index, mut service)| {
                    service["name"] = json!(format!("s{index}"));
                    service
                });
                spec["services"] = services.collect();
                for (name, part) in [("database", database), ("cache", cache), ("transcoding", transcoding)] {
                    if let Some(part) = part {
                        spec[name] = part;
                    }
                }
                spec
            },
        )
}

fn references_of(resources: [&StreamingPlatform; 2]) -> Cluster {
    let mut cluster = Cluster::with_references(resources[0]);
    cluster.data.extend(Cluster::with_references(resources[1]).data);
    cluster
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_is_deterministic_sound_and_leads_to_an_empty_one(spec in spec()) {
        let resource = from_spec(spec);
        let mut cluster = Cluster::with_references(&resource);
        for _ in 0..2 {
            let (platform, plan) = cluster.plan(&resource);
            prop_assert_eq!(check::check(&platform, &plan), Vec::<String>::new());
            prop_assert_eq!(format!("{plan:?}"), format!("{:?}", cluster.plan(&resource).1));
            cluster.apply(&plan);
        }
        cluster.converge(&resource);
        let (_, plan) = cluster.plan(&resource);
        prop_assert!(is_empty(&plan) && plan.waiting.is_empty(), "{:?}", outline(&plan));
    }

    #[test]
    fn from_one_spec_to_another_ends_as_the_other_alone_would_and_keeps_retained_data(
        before in spec(),
        after in spec(),
    ) {
        let (before, after) = (from_spec(before), from_spec(after));
        let mut cluster = references_of([&before, &after]);
        let mut alone = cluster.clone();
        cluster.converge(&before);
        let data = |cluster: &Cluster| -> std::collections::BTreeSet<String> {
            let is_data = |key: &String| key.starts_with("PersistentVolumeClaim/") || ["Secret/tv-database", "Secret/tv-cache"].contains(&key.as_str());
            cluster.keys().into_iter().filter(is_data).collect()
        };
        let retained = |part: &str, deletes: bool| (!deletes).then(|| format!("tv-{part}"));
        let deletes = serde_json::to_value(&before.spec).unwrap();
        let kept: Vec<_> = ["database", "cache"]
            .into_iter()
            .filter_map(|part| retained(part, deletes[part]["deletionPolicy"] == "Delete"))
            .collect();
        let expected: Vec<_> = data(&cluster).into_iter().filter(|key| kept.iter().any(|name| key.contains(name.as_str()))).collect();
        cluster.converge(&after);
        alone.converge(&after);
        let left = data(&cluster);
        prop_assert!(expected.iter().all(|key| left.contains(key)), "{expected:?} of {left:?}");
        let others = |cluster: &Cluster| -> Vec<String> {
            let data = data(cluster);
            cluster.keys().into_iter().filter(|key| !data.contains(key)).collect()
        };
        prop_assert_eq!(others(&cluster), others(&alone));
    }
}
