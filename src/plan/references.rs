//! The Secrets and ConfigMaps that pods read: what is observed of them, and what waits for them.

use crate::{
    api::{self, StreamingPlatform, names},
    observe::Reference,
    platform::PlatformName,
};
use kube::ResourceExt;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A Secret or ConfigMap that a pod reads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PodReference {
    /// Which one.
    pub reference: Reference,
    /// The key that must be there; none: any.
    pub key: Option<String>,
    /// Whether the pod starts without it.
    pub optional: bool,
}

/// Everything that has to be read before a platform can be planned: what its spec names, and what the
/// operator generates and its pods read.
#[must_use]
pub fn references(platform: &StreamingPlatform) -> BTreeSet<Reference> {
    let spec = &platform.spec;
    let mut found = BTreeSet::new();
    let services = spec.services.iter().map(|service| &service.component);
    for component in [&spec.frontend, &spec.backend, &spec.worker].into_iter().flatten().chain(services) {
        let container = json!({ "env": component.env, "envFrom": component.env_from });
        collect(&json!({ "spec": { "containers": [container] } }), &mut found);
        component.pod_template.iter().for_each(|template| collect(template, &mut found));
    }
    let job = spec.transcoding.as_ref().and_then(|it| it.job.as_ref()?.pod_template.as_ref());
    job.into_iter().for_each(|template| collect(template, &mut found));
    let credentials = spec.aws.as_ref().and_then(|aws| aws.credentials_secret_ref.as_ref());
    found.extend(credentials.map(|secret| Reference::Secret(secret.name.clone())));
    let Some(name) = PlatformName::new(&platform.name_any()) else { return found };
    let external = |connection: &Option<api::ExternalConnection>| {
        connection.as_ref().map(|it| it.secret_ref.name.clone())
    };
    let database = spec
        .database
        .as_ref()
        .map(|it| external(&it.external).unwrap_or_else(|| name.child(names::DATABASE)));
    let cache =
        spec.cache.as_ref().map(|it| external(&it.external).unwrap_or_else(|| name.child(names::CACHE)));
    let token = spec.backend.as_ref().map(|_| name.child(names::API_TOKEN));
    found.extend([database, cache, token].into_iter().flatten().map(Reference::Secret));
    found
}

fn collect(pod_template: &Value, found: &mut BTreeSet<Reference>) {
    found.extend(of_pod(pod_template).into_iter().map(|it| it.reference));
}

/// What the pods of a template read.
pub(super) fn of_pod(pod_template: &Value) -> BTreeSet<PodReference> {
    let mut found = BTreeSet::new();
    let spec = &pod_template["spec"];
    for container in elements(&spec["initContainers"]).chain(elements(&spec["containers"])) {
        for variable in elements(&container["env"]) {
            let source = &variable["valueFrom"];
            found.extend(reference(&source["secretKeyRef"], "name", Reference::Secret));
            found.extend(reference(&source["configMapKeyRef"], "name", Reference::ConfigMap));
        }
        for source in elements(&container["envFrom"]) {
            found.extend(reference(&source["secretRef"], "name", Reference::Secret));
            found.extend(reference(&source["configMapRef"], "name", Reference::ConfigMap));
        }
    }
    for volume in elements(&spec["volumes"]) {
        found.extend(reference(&volume["secret"], "secretName", Reference::Secret));
        found.extend(reference(&volume["configMap"], "name", Reference::ConfigMap));
        for source in elements(&volume["projected"]["sources"]) {
            found.extend(reference(&source["secret"], "name", Reference::Secret));
            found.extend(reference(&source["configMap"], "name", Reference::ConfigMap));
        }
    }
    found
}

fn elements(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn reference(source: &Value, name: &str, kind: fn(String) -> Reference) -> Option<PodReference> {
    Some(PodReference {
        reference: kind(source.get(name)?.as_str()?.to_owned()),
        key: source["key"].as_str().map(str::to_owned),
        optional: source["optional"].as_bool().unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::merge;

    #[test]
    fn every_way_in_which_a_pod_reads_one_is_found() {
        let mut template = json!({ "spec": {
            "initContainers": [{ "env": [{ "valueFrom": { "configMapKeyRef": { "name": "a", "key": "k" } } }] }],
            "containers": [{
                "env": [{ "valueFrom": { "secretKeyRef": { "name": "b", "key": "k", "optional": true } } }, { "value": "x" }],
                "envFrom": [{ "secretRef": { "name": "c" } }, { "configMapRef": { "name": "d" } }],
            }],
        }});
        merge::strategic(
            &mut template,
            &json!({ "spec": { "volumes": [
                { "name": "1", "secret": { "secretName": "e" } },
                { "name": "2", "configMap": { "name": "f" } },
                { "name": "3", "projected": { "sources": [{ "secret": { "name": "g" } }, { "configMap": { "name": "h" } }] } },
                { "name": "4", "emptyDir": {} },
            ] } }),
        );
        let found = of_pod(&template);
        let names: Vec<_> = found
            .iter()
            .map(|it| match &it.reference {
                Reference::ConfigMap(name) => format!("ConfigMap/{name}"),
                Reference::Secret(name) => format!("Secret/{name}"),
            })
            .collect();
        assert_eq!(
            names,
            [
                "ConfigMap/a",
                "ConfigMap/d",
                "ConfigMap/f",
                "ConfigMap/h",
                "Secret/b",
                "Secret/c",
                "Secret/e",
                "Secret/g"
            ]
        );
        assert!(found.iter().any(|it| it.optional && it.key.as_deref() == Some("k")));
    }
}
