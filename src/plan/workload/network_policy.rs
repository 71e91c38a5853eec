//! Network policies: who may connect to what. Additive, so that one of your own can admit more.
//!
//! No pod reaches the metadata service of its node, which hands out the node's own role in AWS.

use super::pod;
use crate::{
    api::names,
    kinds::{Kind, ObjectKey},
    plan::object::Draft,
    platform::{Component, Platform, Role},
};
use serde_json::{Value, json};

/// Where the bundled frontend serves its metrics: its first port is open to the world.
const FRONTEND_METRICS_PORT: i32 = 9090;
/// Where EC2's instance metadata service answers, by IPv4 and IPv6 (EC2 User Guide, "Access instance metadata").
/// EKS Pod Identity's agent has another address.
const METADATA: [(&str, &str); 2] = [("0.0.0.0/0", "169.254.169.254/32"), ("::/0", "fd00:ec2::254/128")];

/// A public component admits everyone to its ports; others admit the parts of the platform that call them, and
/// Prometheus (by its usual label, in any namespace). The bundled frontend admits Prometheus to its metrics.
pub(super) fn of_component(platform: &Platform, component: &Component) -> Draft {
    let ports: Vec<Value> = component
        .ports
        .iter()
        .map(|port| json!({ "port": port.container_port, "protocol": pod::protocol(port.protocol) }))
        .collect();
    let rule = if component.is_public() {
        json!({ "ports": ports })
    } else {
        let mut from: Vec<Value> =
            callers(platform, component).map(|caller| peer(platform, &caller.name)).collect();
        from.push(prometheus());
        json!({ "ports": ports, "from": from })
    };
    let mut ingress = vec![rule];
    if component.role == Role::Frontend && component.image.bundled {
        let port = json!({ "port": FRONTEND_METRICS_PORT, "protocol": "TCP" });
        ingress.push(json!({ "ports": [port], "from": [prometheus()] }));
    }
    policy(platform, &component.name, outgoing(json!({ "ingress": ingress })))
}

/// Rules for what comes in, and those for what goes out: to anywhere but the metadata service.
fn outgoing(mut rules: Value) -> Value {
    let addresses = METADATA.map(|(all, except)| json!({ "ipBlock": { "cidr": all, "except": [except] } }));
    // Some network plugins count no pod among the addresses.
    let pods = json!({ "namespaceSelector": {} });
    let to: Vec<Value> = std::iter::once(pods).chain(addresses).collect();
    rules["policyTypes"] = json!(["Ingress", "Egress"]);
    rules["egress"] = json!([{ "to": to }]);
    rules
}

fn prometheus() -> Value {
    json!({
        "namespaceSelector": {},
        "podSelector": { "matchLabels": { names::LABEL_NAME: "prometheus" } },
    })
}

/// A database or cache admits backend, worker and services, and connects to nothing itself.
pub(in crate::plan) fn of_server(platform: &Platform, part: &str, port: i32) -> Draft {
    let clients = platform.components.iter().filter(|component| component.role != Role::Frontend);
    let from: Vec<Value> = clients.map(|client| peer(platform, &client.name)).collect();
    // An empty list of peers would admit everyone.
    let ingress = if from.is_empty() {
        json!([])
    } else {
        json!([{ "ports": [{ "port": port, "protocol": "TCP" }], "from": from }])
    };
    let rules = json!({ "policyTypes": ["Ingress", "Egress"], "ingress": ingress, "egress": [] });
    policy(platform, part, rules)
}

/// Nobody connects to a transcoding Job.
pub(super) fn of_jobs(platform: &Platform) -> Draft {
    policy(platform, names::TRANSCODER, outgoing(json!({ "ingress": [] })))
}

/// The components that call another one: the frontend the backend, services anything.
fn callers<'a>(platform: &'a Platform, component: &'a Component) -> impl Iterator<Item = &'a Component> {
    platform.components.iter().filter(move |caller| {
        caller.name != component.name
            && match component.role {
                Role::Backend => matches!(caller.role, Role::Frontend | Role::Service),
                Role::Service => true,
                Role::Frontend | Role::Worker => caller.role == Role::Service,
            }
    })
}

fn peer(platform: &Platform, component: &str) -> Value {
    json!({ "podSelector": { "matchLabels": platform.selector(Some(component)) } })
}

fn policy(platform: &Platform, component: &str, rules: Value) -> Draft {
    let mut fields = json!({ "spec": rules });
    fields["spec"]["podSelector"] = json!({ "matchLabels": platform.selector(Some(component)) });
    let key = ObjectKey::new(Kind::NetworkPolicy, platform.name.child(component));
    Draft::new(platform, component, key, fields)
}
