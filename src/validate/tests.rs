use super::{Invalid, Platform, resolve, resolve_outside, validate};
use crate::{
    api::ConditionReason,
    observe::Observed,
    plan::testing::{example, resource, settings},
    platform::{Credentials, Data, Role, Scale},
};
use rstest::rstest;
use std::time::Duration;

fn validated(spec: &str) -> Result<Platform, Vec<Invalid>> {
    validate(&resource(spec), &Observed::default(), &settings())
}

#[track_caller]
fn refusal(spec: &str) -> Invalid {
    validated(spec).unwrap_err().remove(0)
}

const WHOLE: &str = "aws: {region: eu-central-1}, frontend: {}, backend: {}, worker: {}, \
    transcoding: {}, database: {provider: Embedded}, cache: {provider: Embedded}";

#[rstest]
#[case("Small", 5, "100m", "256Mi")]
#[case("Medium", 20, "250m", "1Gi")]
#[case("Large", 100, "1", "4Gi")]
fn the_size_decides_what_is_left_unsaid(
    #[case] size: &str,
    #[case] slots: u32,
    #[case] cpu: &str,
    #[case] database_memory: &str,
) {
    let platform = validated(&format!("{{size: {size}, {WHOLE}}}")).unwrap();
    let request = |resources: &k8s_openapi::api::core::v1::ResourceRequirements, name: &str| {
        resources.requests.as_ref().unwrap()[name].0.clone()
    };
    assert_eq!(platform.transcoding.unwrap().max_concurrent_jobs, slots);
    assert_eq!(request(&platform.components[1].resources, "cpu"), cpu);
    let Some(Data::Embedded(database)) = platform.database else { panic!("embedded") };
    assert_eq!(request(&database.resources, "memory"), database_memory);
}

#[test]
fn what_is_said_wins_over_the_size() {
    let platform = validated(
        "{size: Large, services: [{name: a, image: i, replicas: 3, resources: {limits: {cpu: 50m, memory: 64Mi}}}]}",
    )
    .unwrap();
    let component = &platform.components[0];
    assert_eq!(component.scale, Scale::Fixed(3));
    let requests = component.resources.requests.as_ref().unwrap();
    assert_eq!((requests["cpu"].0.as_str(), requests["memory"].0.as_str()), ("50m", "64Mi"));
}

#[test]
fn nothing_said_of_scale_is_two_to_ten_at_seventy_percent() {
    let platform = validated("{services: [{name: a, image: i}]}").unwrap();
    assert_eq!(platform.components[0].scale, Scale::Auto { min: 2, max: 10, target_cpu_percent: 70 });
}

#[rstest]
#[case("{aws: {region: eu-central-1, roleARN: 'arn:aws:iam::123456789012:role/admin'}}", "spec.aws.roleARN")]
#[case("{aws: {region: eu-central-1, endpointURL: 'http://169.254.169.254'}}", "spec.aws.endpointURL")]
fn what_the_administrator_does_not_allow_is_told_apart(#[case] spec: &str, #[case] field: &str) {
    let refusal = refusal(spec);
    assert_eq!((refusal.field.as_str(), refusal.reason), (field, ConditionReason::NotAllowed));
    assert!(refusal.message.contains("--allowed-"), "{refusal}");
}

#[test]
fn what_the_administrator_allows_is_used() {
    let role = "arn:aws:iam::123456789012:role/media-tv";
    let platform = validated(&format!(
        "{{aws: {{region: eu-central-1, roleARN: '{role}', endpointURL: 'http://172.31.240.1:4566/'}}}}"
    ))
    .unwrap();
    let aws = platform.aws.unwrap();
    let Credentials::Role(assumed) = aws.credentials else { panic!("{:?}", aws.credentials) };
    assert_eq!(assumed.arn, role);
    assert_eq!(assumed.external_id, "streaming-operator/media/tv");
    assert_eq!(aws.endpoint_url.as_deref(), Some("http://172.31.240.1:4566"));
}

#[rstest]
#[case("{transcoding: {}}", "spec.aws")]
#[case("{frontend: {}}", "spec.frontend")]
#[case("{worker: {}}", "spec.worker")]
#[case("{services: [{name: a}]}", "spec.services[a].image")]
#[case("{services: [{name: cache, image: i}]}", "spec.services[cache].name")]
#[case("{services: [{name: a, image: i, replicas: 1, autoscaling: {}}]}", "spec.services[a]")]
#[case("{services: [{name: a, image: i, autoscaling: {maxReplicas: 1}}]}", "spec.services[a].autoscaling")]
#[case(
    "{services: [{name: a, image: i, resources: {requests: {cpu: much}}}]}",
    "spec.services[a].resources.requests.cpu"
)]
#[case(
    "{services: [{name: a, image: i, resources: {requests: {cpu: 2}, limits: {cpu: 1}}}]}",
    "spec.services[a].resources.requests.cpu"
)]
#[case(
    "{services: [{name: a, image: i, env: [{name: AWS_SESSION_TOKEN, value: x}]}]}",
    "spec.services[a].env[AWS_SESSION_TOKEN]"
)]
#[case(
    "{services: [{name: a, image: i, scheduling: {affinity: {nodeAffinity: 1}}}]}",
    "spec.services[a].scheduling.affinity"
)]
#[case(
    "{services: [{name: a, image: i, ports: [{name: p, containerPort: 1}, {name: q, containerPort: 1}]}]}",
    "spec.services[a].ports[q]"
)]
#[case(
    "{services: [{name: a, image: i, route: {hostname: h}}, {name: b, image: i, route: {hostname: h, path: /}}]}",
    "spec.services[b].route"
)]
#[case("{database: {provider: External}}", "spec.database.external")]
#[case("{cache: {provider: Embedded, embedded: {storage: {size: 0}}}}", "spec.cache.embedded.storage.size")]
#[case("{cache: {provider: AWS}}", "spec.aws")]
#[case("{aws: {region: r}, cache: {provider: AWS, aws: {multiAZ: true}}}", "spec.cache.aws.multiAZ")]
#[case(
    "{aws: {region: r}, cache: {provider: AWS, aws: {network: {tls: false}}}}",
    "spec.cache.aws.network.tls"
)]
#[case(
    "{aws: {region: r}, cache: {provider: AWS, aws: {maintenance: {window: 'sun:03:00-sun:03:30'}}}}",
    "spec.cache.aws.maintenance.window"
)]
#[case(
    "{aws: {region: r}, cache: {provider: AWS, aws: {snapshots: {window: '03:30-04:30'}}}}",
    "spec.cache.aws.snapshots.window"
)]
#[case(
    "{aws: {region: r}, cache: {provider: AWS, aws: {logDelivery: [{log: SlowLog}]}}}",
    "spec.cache.aws.logDelivery"
)]
#[case(
    "{aws: {region: r}, cache: {provider: AWS, aws: {loginRotationInterval: 1m}}}",
    "spec.cache.aws.loginRotationInterval"
)]
#[case(
    "{aws: {region: eu-central-1}, database: {provider: AWS, aws: {restoreDrill: {schedule: 0 25 * * 0}}}}",
    "spec.database.aws.restoreDrill.schedule"
)]
#[case(
    "{aws: {region: eu-central-1}, database: {provider: AWS, aws: {restoreDrill: {schedule: 0 0 30 2 *}}}}",
    "spec.database.aws.restoreDrill.schedule"
)]
#[case(
    "{aws: {region: eu-central-1}, database: {provider: AWS, aws: {restoreDrill: {schedule: 0 5 * * 0, timeout: 5m}}}}",
    "spec.database.aws.restoreDrill.timeout"
)]
#[case("{aws: {region: r}, transcoding: {input: {bucket: b}, output: {bucket: b}}}", "spec.transcoding")]
#[case("{aws: {region: r}, transcoding: {queue: {url: u}}}", "spec.transcoding.queue")]
#[case(
    "{aws: {region: r}, transcoding: {queue: {visibilityTimeout: 1s}}}",
    "spec.transcoding.queue.visibilityTimeout"
)]
#[case("{aws: {region: r}, transcoding: {profile: {gopSeconds: 5}}}", "spec.transcoding.profile")]
#[case("{aws: {region: r}, transcoding: {profile: {maxFrameRate: 144}}}", "spec.transcoding.profile")]
#[case("{aws: {region: r}, transcoding: {job: {scratchSize: none}}}", "spec.transcoding.job.scratchSize")]
fn a_refusal_names_the_field(#[case] spec: &str, #[case] field: &str) {
    let refusal = refusal(
        &spec.replace("cpu: 2}", "cpu: '2'}").replace("cpu: 1}", "cpu: '1'}").replace("size: 0", "size: '0'"),
    );
    assert_eq!((refusal.field.as_str(), refusal.reason), (field, ConditionReason::InvalidSpec));
}

#[test]
fn a_password_that_is_put_together_from_variables_is_no_plain_secret() {
    let spec = "{services: [{name: a, image: i, env: [{name: U, value: 'redis://u:$(PASSWORD)@h'}]}]}";
    assert!(validated(spec).is_ok());
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    assert_eq!(
        validated("{transcoding: {}, frontend: {}, database: {provider: External}}").unwrap_err().len(),
        3
    );
}

#[test]
fn uploads_are_admitted_from_the_frontend_s_own_route() {
    let origins = |route: &str| {
        let spec = format!(
            "{{aws: {{region: r}}, frontend: {{image: i, route: {route}}}, transcoding: {{input: {{allowedOrigins: ['http://b']}}}}}}"
        );
        validated(&spec).unwrap().transcoding.unwrap().upload_origins
    };
    assert_eq!(origins("{hostname: a}"), ["http://a", "http://b"]);
    assert_eq!(origins("{hostname: a, tls: {secretName: s}}"), ["http://b", "https://a"]);
    assert_eq!(origins("{hostname: a, gateway: {name: g}}"), ["http://a", "http://b", "https://a"]);
}

#[test]
fn a_settled_job_outlives_a_late_duplicate_of_its_message() {
    let spec = "{aws: {region: r}, transcoding: {jobRetention: 1m, queue: {visibilityTimeout: 1h}}}";
    assert_eq!(validated(spec).unwrap().transcoding.unwrap().job_retention, Duration::from_secs(7200));
}

#[test]
fn names_in_aws_come_from_the_uid_and_fit() {
    let mut platform = validated(&format!("{{{WHOLE}}}")).unwrap();
    assert!(platform.component(Role::Backend).is_some());
    let name = platform.aws_name("output");
    platform.uid = "another".to_owned();
    assert_ne!(platform.aws_name("output"), name);
    assert!(name.starts_with("tv-") && name.ends_with("-output") && name.len() == 3 + 10 + 7);
}

#[rstest]
#[case::pods(
    "{aws: {region: r}, transcoding: {}, frontend: {image: i, podTemplate: {spec: {containers: none}}}}",
    true
)]
#[case::what_pods_need("{aws: {region: r}, transcoding: {}, backend: {}}", true)]
#[case::jobs("{aws: {region: r}, transcoding: {job: {podTemplate: {spec: {containers: none}}}}}", true)]
#[case::a_service("{services: [{name: a, image: i, podTemplate: {spec: {containers: none}}}]}", true)]
#[case::what_is_outside("{transcoding: {}, frontend: {image: i}}", false)]
fn what_is_wrong_with_pods_holds_no_deletion_up(#[case] spec: &str, #[case] goes: bool) {
    let resource = resource(spec);
    assert!(resolve(&resource, &Observed::default(), &settings()).is_err());
    let outside = resolve_outside(&resource, &Observed::default(), &settings());
    assert_eq!(outside.is_ok(), goes, "{outside:?}");
}

#[rstest]
#[case(include_str!("../../examples/production.yaml"))]
#[case(include_str!("../../examples/development.yaml"))]
fn the_examples_in_aws_can_be_planned(#[case] manifest: &str) {
    let resource = example(manifest);
    let platform = resolve(&resource, &Observed::default(), &settings()).unwrap();
    assert!(platform.database_in_aws().is_some() && platform.calls_aws());
}

#[rstest]
#[case("{}", Some("1"))]
#[case("{rds.logical_replication: '1'}", Some("1"))]
#[case("{rds.logical_replication: '0'}", None)]
fn a_blue_green_upgrade_needs_logical_replication(#[case] parameters: &str, #[case] value: Option<&str>) {
    let aws = format!("{{majorUpgrades: BlueGreen, masterPassword: Kubernetes, parameters: {parameters}}}");
    let spec = format!("{{aws: {{region: eu-central-1}}, database: {{provider: AWS, aws: {aws}}}}}");
    match (validated(&spec), value) {
        (Ok(platform), Some(value)) => {
            assert_eq!(platform.database_in_aws().unwrap().parameters["rds.logical_replication"], value);
        }
        (Err(findings), None) => assert!(format!("{findings:?}").contains("rds.logical_replication")),
        (found, _) => panic!("{found:?}"),
    }
}
