//! check: lints any plan. A test that makes a plan runs it, and so does every debug build.

use super::Plan;
use crate::{
    api::names,
    kinds::{Kind, ObjectKey},
    platform::Platform,
    validate::holds_secret,
};
use kube::ResourceExt;
use serde_json::Value;
use std::collections::BTreeSet;

/// Volumes that the restricted Pod Security Standard admits.
const VOLUME_TYPES: [&str; 8] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

/// What is wrong with a plan; nothing, if plan does its work.
#[must_use]
pub fn check(platform: &Platform, plan: &Plan) -> Vec<String> {
    let Plan {
        generate,
        hand_over,
        apply,
        prune,
        waiting: _,
        transcoding: _,
        database: _,
        cache: _,
        summary: _,
    } = plan;
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for desired in apply {
        let key = &desired.key;
        let value = serde_json::to_value(&desired.object).unwrap_or_default();
        found.extend(metadata(platform, key, &value).into_iter().map(|it| format!("{key}: {it}")));
        if let Some(template) = value.pointer("/spec/template") {
            let component = value["metadata"]["labels"][names::LABEL_NAME].as_str().unwrap_or_default();
            found.extend(pod(platform, component, template).into_iter().map(|it| format!("{key}: {it}")));
        }
        if key.kind == Kind::Secret && (value.get("data").is_some() || value.get("stringData").is_some()) {
            found.push(format!("{key}: the value of a Secret is generated, never applied"));
        }
        if desired.object.name_any() != key.name {
            found.push(format!("{key}: names another object"));
        }
        if !seen.insert(key) {
            found.push(format!("{key}: applied twice"));
        }
    }
    for secret in generate {
        if secret.name.len() > 63 || !secret.name.starts_with(platform.name.as_str()) {
            found.push(format!("Secret/{}: name", secret.name));
        }
        if !secret.template.values().any(|value| value.contains("{random}")) {
            found.push(format!("Secret/{}: nothing in it is random", secret.name));
        }
    }
    for key in prune {
        if seen.contains(key) {
            found.push(format!("{key}: applied and deleted"));
        }
        if key.kind == Kind::PersistentVolumeClaim {
            found.push(format!("{key}: a volume is never deleted by a plan"));
        }
    }
    let of_us = |it: &&super::HandOver| !it.deployment.starts_with(platform.name.as_str());
    found.extend(hand_over.iter().filter(of_us).map(|it| format!("{}: not of this platform", it.deployment)));
    found
}

/// Names, labels and owner.
fn metadata(platform: &Platform, key: &ObjectKey, object: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let metadata = &object["metadata"];
    let resource = key.kind.api_resource();
    if object["kind"] != resource.kind || object["apiVersion"] != resource.api_version {
        found.push("kind and apiVersion are not those of its key".to_owned());
    }
    if key.name.len() > 63 {
        found.push("its name is longer than 63 characters".to_owned());
    }
    if metadata["namespace"] != platform.namespace.as_str() {
        found.push("is not in the platform's namespace".to_owned());
    }
    for (label, value) in platform.labels("") {
        let actual = metadata["labels"][&label].as_str();
        if (label == names::LABEL_NAME && actual.is_none())
            || (label != names::LABEL_NAME && actual != Some(&value))
        {
            found.push(format!("label {label} is {actual:?}"));
        }
    }
    if metadata["annotations"][names::ANNOTATION_APPLIED].as_str().is_none_or(|hash| hash.len() != 64) {
        found.push("has no hash of its intent".to_owned());
    }
    let owned = metadata["ownerReferences"]
        .as_array()
        .is_some_and(|owners| owners.len() == 1 && owners[0]["uid"] == platform.uid.as_str());
    let outlives = matches!(key.kind, Kind::Secret | Kind::PersistentVolumeClaim);
    if !owned && !outlives {
        found.push("has no owner".to_owned());
    }
    if outlives && metadata["uid"].as_str().is_none() {
        found.push("could be made anew although only an existing one is meant".to_owned());
    }
    found
}

/// What is wrong with a component's pod template: labels, identity, resources, plain secrets, and whatever the
/// restricted Pod Security Standard refuses.
#[must_use]
pub fn pod(platform: &Platform, component: &str, template: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let spec = &template["spec"];
    let labels = &template["metadata"]["labels"];
    if platform.selector(Some(component)).iter().any(|(label, value)| labels[label] != value.as_str())
        || labels[names::LABEL_MANAGED_BY] != names::FIELD_MANAGER
    {
        found.push(
            "the operator's labels must stay: its Services and policies select pods by them".to_owned(),
        );
    }
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        if spec[field] == true {
            found.push(format!("spec.{field} is refused by the restricted Pod Security Standard"));
        }
    }
    if spec["automountServiceAccountToken"] != false {
        found.push("spec.automountServiceAccountToken must be false: pods of a platform need no access to the API server".to_owned());
    }
    let own = platform.name.child(component);
    if ["serviceAccountName", "serviceAccount"]
        .iter()
        .any(|it| !spec[it].is_null() && spec[it] != own.as_str())
    {
        found.push(format!(
            "spec.serviceAccountName must stay {own}: with another one its rights would be the pod's; give {own} the rights it needs"
        ));
    }
    found.extend(app_armor(&template["metadata"]["annotations"]));
    found.extend(run_as("spec.securityContext", &spec["securityContext"]));
    for volume in list(&spec["volumes"]) {
        let types = volume.as_object().into_iter().flatten().map(|(field, _)| field.as_str());
        for kind in types.filter(|field| *field != "name" && !VOLUME_TYPES.contains(field)) {
            found.push(format!(
                "spec.volumes[{}]: {kind} is refused by the restricted Pod Security Standard",
                name(volume)
            ));
        }
    }
    if list(&spec["containers"]).next().is_none() {
        found.push("spec.containers is empty".to_owned());
    }
    for field in ["initContainers", "containers"] {
        for container in list(&spec[field]) {
            let at = format!("spec.{field}[{}]", name(container));
            found.extend(container_findings(&at, container, &spec["securityContext"]));
        }
    }
    found
}

fn container_findings(at: &str, container: &Value, pod_security: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let refused = |what: &str| format!("{at}.{what} by the restricted Pod Security Standard");
    let security = &container["securityContext"];
    if container["image"].as_str().is_none_or(str::is_empty) {
        found.push(format!("{at}.image is missing"));
    }
    if security["privileged"] == true {
        found.push(refused("securityContext.privileged is refused"));
    }
    if security["allowPrivilegeEscalation"] != false {
        found.push(refused("securityContext.allowPrivilegeEscalation must be false"));
    }
    if !list(&security["capabilities"]["drop"]).any(|capability| capability == "ALL") {
        found.push(refused("securityContext.capabilities.drop must name ALL"));
    }
    if list(&security["capabilities"]["add"]).any(|capability| capability != "NET_BIND_SERVICE") {
        found.push(refused("securityContext.capabilities.add may name NET_BIND_SERVICE only"));
    }
    let default_mount = |value: &Value| value.is_null() || value == "Default";
    if !default_mount(&security["procMount"]) {
        found.push(refused("securityContext.procMount must be left out"));
    }
    let either =
        |field: &str| if security[field].is_null() { &pod_security[field] } else { &security[field] };
    if either("runAsNonRoot") != true {
        found.push(refused("securityContext.runAsNonRoot must be true"));
    }
    if !matches!(either("seccompProfile")["type"].as_str(), Some("RuntimeDefault" | "Localhost")) {
        found.push(refused("securityContext.seccompProfile must be RuntimeDefault or Localhost"));
    }
    found.extend(run_as(&format!("{at}.securityContext"), security));
    found.extend(hosts(container).into_iter().map(|path| refused(&format!("{path} is refused"))));
    for port in list(&container["ports"]) {
        if port["hostPort"].as_i64().is_some_and(|port| port != 0) {
            found.push(refused("ports[].hostPort is refused"));
        }
    }
    found.extend(resources(at, &container["resources"]));
    for variable in list(&container["env"]) {
        if variable["value"].as_str().is_some_and(|value| holds_secret(&name(variable), value)) {
            found.push(format!(
                "{at}.env[{}] holds a secret in plain text; put it into a Secret and use valueFrom.secretKeyRef",
                name(variable)
            ));
        }
    }
    found
}

/// What both a pod and a container may say of the user that they run as, and of the node.
fn run_as(at: &str, security: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if security["runAsUser"] == 0 {
        found.push(format!("{at}.runAsUser must not be 0 by the restricted Pod Security Standard"));
    }
    for field in ["seLinuxOptions", "sysctls", "windowsOptions", "appArmorProfile"] {
        let usual = field == "appArmorProfile" && security[field]["type"] == "RuntimeDefault";
        if !security[field].is_null() && !usual {
            found.push(format!("{at}.{field} is not for a platform's pods to set"));
        }
    }
    found
}

/// The way to say an `appArmorProfile` that is older than the field.
fn app_armor(annotations: &Value) -> Option<String> {
    let mut names = annotations.as_object()?.keys();
    let name = names.find(|name| name.starts_with("container.apparmor.security.beta.kubernetes.io/"))?;
    Some(format!("metadata.annotations[{name}] is not for a platform's pods to set"))
}

/// Fields by which the kubelet would call another host than the pod, with the node's place in the network.
fn hosts(container: &Value) -> Vec<String> {
    let handlers = ["startupProbe", "readinessProbe", "livenessProbe"]
        .map(|probe| (probe.to_owned(), &container[probe]))
        .into_iter()
        .chain(["postStart", "preStop"].map(|at| (format!("lifecycle.{at}"), &container["lifecycle"][at])));
    handlers
        .flat_map(|(at, handler)| {
            ["httpGet", "tcpSocket"]
                .into_iter()
                .filter(|action| handler[action]["host"].as_str().is_some_and(|host| !host.is_empty()))
                .map(move |action| format!("{at}.{action}.host"))
        })
        .collect()
}

/// An autoscaler needs a request of CPU of every container, the scheduler one of memory.
fn resources(at: &str, resources: &Value) -> Vec<String> {
    ["cpu", "memory"]
        .into_iter()
        .filter(|name| resources["requests"][name].is_null() && resources["limits"][name].is_null())
        .map(|name| format!("{at}.resources.requests.{name} is missing"))
        .collect()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn name(named: &Value) -> String {
    named["name"].as_str().unwrap_or_default().to_owned()
}
