//! Components: frontend, backend, worker and services.

use super::{Figures, Findings};
use crate::{
    api::{self, Autoscaling, Port, Size, StreamingPlatformSpec},
    platform::{Component, Image, Role, Scale, Scheduling},
    settings::Settings,
};
use std::collections::BTreeSet;

/// Port of a component that names none: what the bundled services listen on.
const DEFAULT_PORT: i32 = 8080;
/// Variables that hold a secret, and so must come from one.
const SECRET_VARIABLES: [&str; 3] = ["API_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];

/// All components of a platform.
pub(super) fn resolve(
    spec: &StreamingPlatformSpec,
    size: Size,
    settings: &Settings,
    findings: &mut Findings,
) -> Vec<Component> {
    let images = &settings.images;
    let bundled = [
        ("frontend", Role::Frontend, &spec.frontend, &images.frontend),
        ("backend", Role::Backend, &spec.backend, &images.backend),
        ("worker", Role::Worker, &spec.worker, &images.worker),
    ];
    let mut components: Vec<_> = bundled
        .into_iter()
        .filter_map(|(name, role, component, image)| {
            let identity = Identity { name, role, field: format!("spec.{name}"), image: Some(image) };
            Some(component_of(identity, component.as_ref()?, size, findings))
        })
        .collect();
    for service in &spec.services {
        let field = format!("spec.services[{}]", service.name);
        let taken = components.iter().any(|component| component.name == service.name)
            || ["frontend", "backend", "worker", "database", "cache", "transcoder", "api-token"]
                .contains(&service.name.as_str());
        if taken {
            findings.invalid(format!("{field}.name"), "is taken; choose another name");
        }
        let identity = Identity { name: &service.name, role: Role::Service, field, image: None };
        components.push(component_of(identity, &service.component, size, findings));
    }
    check_unique(&components, findings);
    components
}

struct Identity<'a> {
    name: &'a str,
    role: Role,
    field: String,
    image: Option<&'a String>,
}

fn component_of(
    identity: Identity<'_>,
    spec: &api::Component,
    size: Size,
    findings: &mut Findings,
) -> Component {
    let Identity { name, role, field, image } = identity;
    let figures = match size {
        Size::Small => Figures { cpu: "100m", memory: "128Mi", memory_limit: "512Mi" },
        Size::Medium => Figures { cpu: "250m", memory: "256Mi", memory_limit: "1Gi" },
        Size::Large => Figures { cpu: "1", memory: "512Mi", memory_limit: "2Gi" },
    };
    let image = match (&spec.image, image) {
        (Some(own), _) => Image { reference: own.clone(), bundled: false },
        (None, Some(bundled)) => Image { reference: bundled.clone(), bundled: true },
        (None, None) => {
            findings.invalid(
                format!("{field}.image"),
                "required: there is no bundled image for a service of your own",
            );
            Image { reference: String::new(), bundled: false }
        }
    };
    check_variables(&field, spec, findings);
    check_probes(&field, spec.probes.as_ref(), findings);
    Component {
        image,
        name: name.to_owned(),
        role,
        image_pull_secrets: spec.image_pull_secrets.iter().map(|secret| secret.name.clone()).collect(),
        command: spec.command.clone(),
        args: spec.args.clone(),
        ports: ports(&field, &spec.ports, findings),
        env: spec.env.clone(),
        env_from: spec.env_from.clone(),
        resources: figures.complete(&field, spec.resources.clone(), findings),
        probes: spec.probes.clone(),
        service_account: spec.service_account.clone().unwrap_or_default(),
        scheduling: scheduling(&field, spec.scheduling.as_ref(), findings),
        pod_template: spec.pod_template.clone(),
        scale: scale(&field, spec.replicas, spec.autoscaling.as_ref(), findings),
        exposure: spec.exposure.clone().unwrap_or_default(),
        route: spec.route.clone(),
        field,
    }
}

fn ports(field: &str, ports: &[Port], findings: &mut Findings) -> Vec<Port> {
    if ports.is_empty() {
        return vec![Port { name: "http".to_owned(), container_port: DEFAULT_PORT, protocol: None }];
    }
    let (mut names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    for port in ports {
        let number = (port.container_port, port.protocol.unwrap_or_default());
        if !names.insert(&port.name) || !numbers.insert(number) {
            findings.invalid(
                format!("{field}.ports[{}]", port.name),
                "two ports have this name, or its number and protocol; change one of them",
            );
        }
    }
    ports.to_vec()
}

/// Where pods may run.
pub(super) fn scheduling(field: &str, spec: Option<&api::Scheduling>, findings: &mut Findings) -> Scheduling {
    let spec = spec.cloned().unwrap_or_default();
    let affinity = spec.affinity.map(serde_json::from_value).transpose().unwrap_or_else(|error| {
        findings.invalid(format!("{field}.scheduling.affinity"), format!("is no affinity: {error}"));
        None
    });
    Scheduling {
        node_selector: spec.node_selector,
        tolerations: spec.tolerations,
        affinity,
        priority_class_name: spec.priority_class_name,
    }
}

fn scale(
    field: &str,
    replicas: Option<i32>,
    autoscaling: Option<&Autoscaling>,
    findings: &mut Findings,
) -> Scale {
    if let (Some(_), Some(_)) = (replicas, autoscaling) {
        findings.invalid(field, "set replicas or autoscaling, not both");
    }
    if let (Some(replicas), None) = (replicas, autoscaling) {
        return Scale::Fixed(replicas);
    }
    let autoscaling = autoscaling.cloned().unwrap_or_default();
    let (min, max) = (autoscaling.min_replicas.unwrap_or(2), autoscaling.max_replicas.unwrap_or(10));
    if min > max {
        findings.invalid(
            format!("{field}.autoscaling"),
            format!("minReplicas ({min}) must not be greater than maxReplicas ({max})"),
        );
    }
    Scale::Auto { min, max, target_cpu_percent: autoscaling.target_cpu_utilization_percentage.unwrap_or(70) }
}

/// A secret that stands in a manifest stands in etcd, in history and in every `kubectl get`.
fn check_variables(field: &str, spec: &api::Component, findings: &mut Findings) {
    for variable in &spec.env {
        let Some(value) = &variable.value else { continue };
        if holds_secret(&variable.name, value) {
            findings.invalid(
                format!("{field}.env[{}]", variable.name),
                "holds a secret in plain text; put it into a Secret and use valueFrom.secretKeyRef",
            );
        }
    }
}

/// Whether a variable holds a secret: by its name, or because it is a URL with a password, other than one
/// that is put together from other variables.
pub(crate) fn holds_secret(variable: &str, value: &str) -> bool {
    if SECRET_VARIABLES.contains(&variable) {
        return true;
    }
    let Some((_, rest)) = value.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority
        .rsplit_once('@')
        .and_then(|(user, _)| user.split_once(':'))
        .is_some_and(|(_, password)| !password.is_empty() && !password.starts_with("$("))
}

/// The kubelet makes these calls, from the node: with a host they would go to an address of the author's choice.
fn check_probes(field: &str, probes: Option<&api::Probes>, findings: &mut Findings) {
    let Some(api::Probes { startup, readiness, liveness }) = probes else { return };
    for (name, probe) in [("startup", startup), ("readiness", readiness), ("liveness", liveness)] {
        let Some(probe) = probe else { continue };
        let http = probe.http_get.as_ref().and_then(|it| it.host.as_ref());
        let tcp = probe.tcp_socket.as_ref().and_then(|it| it.host.as_ref());
        if http.into_iter().chain(tcp).any(|host| !host.is_empty()) {
            findings.invalid(
                format!("{field}.probes.{name}"),
                "a host is refused by the restricted Pod Security Standard; leave it out to probe the pod itself",
            );
        }
    }
}

/// What two components may not both have.
fn check_unique(components: &[Component], findings: &mut Findings) {
    let (mut routes, mut node_ports) = (BTreeSet::new(), BTreeSet::new());
    for component in components {
        if let Some(route) = &component.route
            && !routes.insert((&route.hostname, route.path.as_deref().unwrap_or("/")))
        {
            findings.invalid(
                format!("{}.route", component.field),
                format!(
                    "another component has the hostname {} and this path; give one of them another path",
                    route.hostname
                ),
            );
        }
        if let Some(port) = component.exposure.node_port
            && !node_ports.insert(port)
        {
            findings.invalid(
                format!("{}.exposure.nodePort", component.field),
                format!("another component has {port}; choose another one"),
            );
        }
    }
}
