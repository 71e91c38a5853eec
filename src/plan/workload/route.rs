//! Routes: a way in from outside, by the Gateway API or an ingress controller.

use crate::{
    api::{Endpoint, Gateway, Route},
    kinds::{Kind, ObjectKey},
    plan::object::Draft,
    platform::{Component, Platform},
};
use serde_json::{Value, json};

/// The HTTPRoute or Ingress of a component that has a route.
pub(super) fn draft(platform: &Platform, component: &Component) -> Option<Draft> {
    let route = component.route.as_ref()?;
    let service = platform.name.child(&component.name);
    let port = component.first_port().container_port;
    let (kind, spec) = match &route.gateway {
        Some(gateway) => (Kind::HttpRoute, http_route(route, gateway, &service, port)),
        None => (Kind::Ingress, ingress(route, &service, port)),
    };
    let mut fields = json!({ "spec": spec });
    if !route.annotations.is_empty() {
        fields["metadata"]["annotations"] = json!(route.annotations);
    }
    Some(Draft::new(platform, &component.name, ObjectKey::new(kind, service), fields))
}

/// Where a component can be reached.
pub(crate) fn endpoint(platform: &Platform, component: &Component) -> Endpoint {
    let host = platform.name.child(&component.name);
    let port = component.first_port().container_port;
    Endpoint {
        name: component.name.clone(),
        internal_url: format!("http://{host}.{}.svc:{port}", platform.namespace),
        external_url: component.route.as_ref().map(|route| {
            let scheme = if route.tls.is_some() { "https" } else { "http" };
            format!("{scheme}://{}{}", route.hostname, path(route))
        }),
    }
}

fn path(route: &Route) -> &str {
    route.path.as_deref().unwrap_or("/")
}

fn http_route(route: &Route, gateway: &Gateway, service: &str, port: i32) -> Value {
    let mut parent = json!({
        "group": "gateway.networking.k8s.io",
        "kind": "Gateway",
        "name": gateway.name,
    });
    if let Some(namespace) = &gateway.namespace {
        parent["namespace"] = json!(namespace);
    }
    if let Some(section) = &gateway.section_name {
        parent["sectionName"] = json!(section);
    }
    json!({
        "parentRefs": [parent],
        "hostnames": [route.hostname],
        "rules": [{
            "matches": [{ "path": { "type": "PathPrefix", "value": path(route) } }],
            "backendRefs": [{ "name": service, "port": port }],
        }],
    })
}

fn ingress(route: &Route, service: &str, port: i32) -> Value {
    let backend = json!({ "service": { "name": service, "port": { "number": port } } });
    let mut spec = json!({
        "rules": [{
            "host": route.hostname,
            "http": { "paths": [{ "path": path(route), "pathType": "Prefix", "backend": backend }] },
        }],
    });
    if let Some(class) = &route.ingress_class_name {
        spec["ingressClassName"] = json!(class);
    }
    if let Some(tls) = &route.tls {
        spec["tls"] = json!([{ "hosts": [route.hostname], "secretName": tls.secret_name }]);
    }
    spec
}
