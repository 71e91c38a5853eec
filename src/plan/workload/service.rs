//! Services: the address of a component within the cluster, and outside where it is exposed.

use super::pod;
use crate::{
    api::ServiceType,
    kinds::{Kind, ObjectKey},
    plan::object::Draft,
    platform::{Component, Platform},
};
use serde_json::{Value, json};

/// The Service of a component: its ports under their own numbers.
pub(super) fn of_component(platform: &Platform, component: &Component) -> Draft {
    let mut ports: Vec<Value> = component
        .ports
        .iter()
        .map(|port| port_fields(&port.name, port.container_port, &pod::protocol(port.protocol)))
        .collect();
    if let Some(node_port) = component.exposure.node_port {
        ports[0]["nodePort"] = json!(node_port);
    }
    let kind = match component.exposure.kind.unwrap_or_default() {
        ServiceType::ClusterIP => "ClusterIP",
        ServiceType::NodePort => "NodePort",
        ServiceType::LoadBalancer => "LoadBalancer",
    };
    let mut fields = json!({
        "spec": { "type": kind, "selector": platform.selector(Some(&component.name)), "ports": ports },
    });
    if !component.exposure.annotations.is_empty() {
        fields["metadata"]["annotations"] = json!(component.exposure.annotations);
    }
    let key = ObjectKey::new(Kind::Service, platform.name.child(&component.name));
    Draft::new(platform, &component.name, key, fields)
}

/// The Service of a database or cache, within the cluster only.
pub(in crate::plan) fn of_server(platform: &Platform, part: &str, port: i32) -> Draft {
    let fields = json!({
        "spec": {
            "type": "ClusterIP",
            "selector": platform.selector(Some(part)),
            "ports": [port_fields(part, port, "TCP")],
        },
    });
    Draft::new(platform, part, ObjectKey::new(Kind::Service, platform.name.child(part)), fields)
}

fn port_fields(name: &str, port: i32, protocol: &str) -> Value {
    json!({ "name": name, "port": port, "targetPort": name, "protocol": protocol })
}
