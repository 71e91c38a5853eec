//! Pods of components and Jobs: restricted security, probes, spread, and what the user merges over them.

use crate::{
    api::{Port, Probes, Protocol, names},
    observe::Observed,
    plan::{check, environment, merge},
    platform::{Component, Image, Platform, Scheduling},
};
use k8s_openapi::{
    api::core::v1::{
        Capabilities, Container, ContainerPort, EmptyDirVolumeSource, EnvVar, HTTPGetAction, Lifecycle,
        LifecycleHandler, LocalObjectReference, PodSecurityContext, PodSpec, PodTemplateSpec, Probe,
        SeccompProfile, SecurityContext, SleepAction, TCPSocketAction, TopologySpreadConstraint, Volume,
        VolumeMount,
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};
use serde_json::{Value, json};

/// User and group of the project's own images.
const BUNDLED_USER: i64 = 65532;
/// How long a pod that ends goes on serving, until every node has taken it out of its Service.
const DRAIN_SECONDS: i64 = 5;

/// The pod template of a component, with the user's merged over it.
pub(crate) fn of_component(platform: &Platform, component: &Component, observed: &Observed) -> Value {
    let name = &component.name;
    let container = Container {
        name: name.clone(),
        image: Some(component.image.reference.clone()),
        command: some(component.command.clone()),
        args: some(component.args.clone()),
        env: Some(variables(environment::of_component(platform, component, observed), &component.env)),
        env_from: some(component.env_from.clone()),
        ports: Some(component.ports.iter().map(container_port).collect()),
        resources: Some(component.resources.clone()),
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                sleep: Some(SleepAction { seconds: DRAIN_SECONDS }),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..probed(component)
    };
    let mut spec = PodSpec {
        containers: vec![container],
        service_account_name: Some(platform.name.child(name)),
        topology_spread_constraints: Some(spread(platform, name)),
        termination_grace_period_seconds: Some(45),
        ..scheduled(&component.scheduling, &component.image_pull_secrets)
    };
    secure(&mut spec, &component.image);
    finish(platform, name, spec, component.pod_template.as_ref())
}

/// What is wrong with the user's pod templates: field and message.
pub(crate) fn lint(platform: &Platform, observed: &Observed) -> Vec<(String, String)> {
    let components = platform
        .components
        .iter()
        .filter(|component| component.pod_template.is_some())
        .map(|it| (it.name.as_str(), it.field.clone(), of_component(platform, it, observed)));
    let job = platform.transcoding.as_ref().filter(|it| it.job.pod_template.is_some());
    let job = job.map(|it| {
        (names::TRANSCODER, "spec.transcoding.job".to_owned(), super::job::pod_template(platform, it))
    });
    components
        .chain(job)
        .flat_map(|(component, field, template)| {
            let field = format!("{field}.podTemplate");
            let mut found = unknown_fields(&template);
            found.extend(check::pod(platform, component, &template));
            found.into_iter().map(move |message| (field.clone(), message))
        })
        .collect()
}

/// What Kubernetes' own type of a pod template does not know.
fn unknown_fields(template: &Value) -> Vec<String> {
    match serde_json::from_value::<PodTemplateSpec>(template.clone()) {
        Err(error) => vec![format!("is no pod template: {error}")],
        Ok(known) => {
            let known = serde_json::to_value(known).expect("types of Kubernetes serialise");
            let mut unknown = Vec::new();
            lost("", template, &known, &mut unknown);
            unknown
        }
    }
}

fn lost(path: &str, given: &Value, known: &Value, unknown: &mut Vec<String>) {
    match (given, known) {
        (Value::Object(given), Value::Object(known)) => {
            for (name, value) in given {
                let path = format!("{path}.{name}");
                match known.get(name) {
                    Some(known) => lost(&path, value, known, unknown),
                    None => unknown.push(format!("Kubernetes knows no field {}", &path[1..])),
                }
            }
        }
        (Value::Array(given), Value::Array(known)) => {
            for (index, (given, known)) in given.iter().zip(known).enumerate() {
                lost(&format!("{path}[{index}]"), given, known, unknown);
            }
        }
        _ => {}
    }
}

/// The template: labels, the user's fields, and what containers that the user added leave unsaid.
pub(in crate::plan) fn finish(
    platform: &Platform,
    component: &str,
    spec: PodSpec,
    patch: Option<&Value>,
) -> Value {
    let template = PodTemplateSpec {
        metadata: Some(ObjectMeta { labels: Some(platform.labels(component)), ..Default::default() }),
        spec: Some(spec),
    };
    let mut template = serde_json::to_value(template).expect("types of Kubernetes serialise");
    if let Some(patch) = patch {
        merge::strategic(&mut template, patch);
        for list in ["initContainers", "containers"] {
            if let Some(containers) = template["spec"].get_mut(list).and_then(Value::as_array_mut) {
                containers.iter_mut().for_each(complete);
            }
        }
    }
    template
}

/// A container that the user may have added: restricted, and with requests if it names no resources.
fn complete(container: &mut Value) {
    // What is no object is no container; the lint tells so.
    if !container.is_object() {
        return;
    }
    merge::fill(container, &json!({ "securityContext": restricted() }));
    if container.get("resources").is_none() {
        container["resources"] = json!({ "requests": { "cpu": "10m", "memory": "32Mi" } });
    }
}

/// What the restricted Pod Security Standard demands, and a user and a file system that can't be written
/// where the image is known to cope with them.
pub(super) fn secure(spec: &mut PodSpec, image: &Image) {
    spec.automount_service_account_token = Some(false);
    spec.enable_service_links = Some(false);
    let user = image.bundled.then_some(BUNDLED_USER);
    spec.security_context =
        Some(PodSecurityContext { run_as_user: user, run_as_group: user, fs_group: user, ..pod_security() });
    for container in &mut spec.containers {
        container.security_context = Some(SecurityContext {
            read_only_root_filesystem: image.bundled.then_some(true),
            ..restricted()
        });
        if image.bundled {
            container.volume_mounts.get_or_insert_default().push(mount("tmp", "/tmp"));
        }
    }
    if image.bundled {
        spec.volumes.get_or_insert_default().push(scratch("tmp", None));
    }
}

/// Security of a pod by the restricted standard.
pub(in crate::plan) fn pod_security() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
        ..Default::default()
    }
}

/// Security of a container by the restricted standard.
pub(in crate::plan) fn restricted() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { add: None, drop: Some(vec!["ALL".to_owned()]) }),
        ..Default::default()
    }
}

/// A volume that lives as long as its pod.
pub(in crate::plan) fn scratch(name: &str, size_limit: Option<&str>) -> Volume {
    let size_limit =
        size_limit.map(|size| k8s_openapi::apimachinery::pkg::api::resource::Quantity(size.to_owned()));
    Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource { size_limit, medium: None }),
        ..Default::default()
    }
}

/// Mounts a volume.
pub(in crate::plan) fn mount(volume: &str, path: &str) -> VolumeMount {
    VolumeMount { name: volume.to_owned(), mount_path: path.to_owned(), ..Default::default() }
}

/// A pod with where it may run and what pulls its images.
pub(super) fn scheduled(scheduling: &Scheduling, image_pull_secrets: &[String]) -> PodSpec {
    PodSpec {
        node_selector: some(scheduling.node_selector.clone()),
        tolerations: some(scheduling.tolerations.clone()),
        affinity: scheduling.affinity.clone(),
        priority_class_name: scheduling.priority_class_name.clone(),
        image_pull_secrets: some(
            image_pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() }).collect(),
        ),
        ..Default::default()
    }
}

/// The operator's variables and the user's, which win.
fn variables(ours: Vec<EnvVar>, users: &[EnvVar]) -> Vec<EnvVar> {
    let mut all = ours;
    all.retain(|variable| !users.iter().any(|it| it.name == variable.name));
    all.extend_from_slice(users);
    all
}

fn container_port(port: &Port) -> ContainerPort {
    ContainerPort {
        name: Some(port.name.clone()),
        container_port: port.container_port,
        protocol: Some(protocol(port.protocol)),
        ..Default::default()
    }
}

/// A protocol as Kubernetes writes it.
pub(super) fn protocol(protocol: Option<Protocol>) -> String {
    match protocol.unwrap_or_default() {
        Protocol::Tcp => "TCP".to_owned(),
        Protocol::Udp => "UDP".to_owned(),
    }
}

/// A container with its probes: the user's; else those that the bundled images answer; else whether the
/// first port accepts connections.
fn probed(component: &Component) -> Container {
    let port = component.first_port();
    let probes = match &component.probes {
        Some(probes) => probes.clone(),
        None if component.image.bundled => Probes {
            startup: Some(Probe {
                period_seconds: Some(2),
                failure_threshold: Some(60),
                ..http("/health", port)
            }),
            readiness: Some(Probe {
                period_seconds: Some(5),
                failure_threshold: Some(2),
                ..http("/ready", port)
            }),
            liveness: Some(Probe {
                period_seconds: Some(10),
                failure_threshold: Some(6),
                ..http("/health", port)
            }),
        },
        None if port.protocol.unwrap_or_default() == Protocol::Tcp => Probes {
            readiness: Some(Probe {
                tcp_socket: Some(TCPSocketAction { port: port_name(port), host: None }),
                ..Default::default()
            }),
            ..Default::default()
        },
        None => Probes::default(),
    };
    Container {
        startup_probe: probes.startup,
        readiness_probe: probes.readiness,
        liveness_probe: probes.liveness,
        ..Default::default()
    }
}

fn http(path: &str, port: &Port) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: port_name(port),
            ..Default::default()
        }),
        timeout_seconds: Some(3),
        ..Default::default()
    }
}

fn port_name(port: &Port) -> IntOrString {
    IntOrString::String(port.name.clone())
}

/// Replicas of one generation on different zones and nodes, as far as there are any.
fn spread(platform: &Platform, component: &str) -> Vec<TopologySpreadConstraint> {
    ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
        .map(|topology_key| TopologySpreadConstraint {
            max_skew: 1,
            topology_key: topology_key.to_owned(),
            when_unsatisfiable: "ScheduleAnyway".to_owned(),
            label_selector: Some(LabelSelector {
                match_labels: Some(platform.selector(Some(component))),
                ..Default::default()
            }),
            match_label_keys: Some(vec!["pod-template-hash".to_owned()]),
            ..Default::default()
        })
        .into()
}

/// A collection, left out where it is empty.
pub(super) fn some<C: Default + PartialEq>(collection: C) -> Option<C> {
    (collection != C::default()).then_some(collection)
}
