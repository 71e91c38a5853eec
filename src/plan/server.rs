//! What an embedded database and an embedded cache have in common: one pod, its volume, its password.

use super::{
    DataSummary, GeneratedSecret, Intent, environment,
    object::Draft,
    workload::{self, network_policy, pod, service},
};
use crate::{
    api::{DataStatus, DeletionPolicy},
    kinds::{Kind, ObjectKey},
    observe::Observed,
    platform::{Data, Embedded, Platform},
    quantity,
};
use k8s_openapi::api::core::v1::{Container, ContainerPort, PodSpec, SecurityContext, Volume};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// User and group of the official images of PostgreSQL, Redis and Valkey.
const USER: i64 = 999;
/// Name of the volume, and with the StatefulSet's name that of its claim.
const VOLUME: &str = "data";

/// What sets one server apart from another.
pub(super) struct Server<'a> {
    /// Suffix of its objects.
    pub part: &'static str,
    /// What the spec says of it.
    pub spec: &'a Embedded,
    /// Its port.
    pub port: i32,
    /// Where its volume is mounted.
    pub data_path: &'static str,
    /// Its container, without security, resources and the volume.
    pub container: Container,
    /// Further volumes.
    pub volumes: Vec<Volume>,
    /// Values of its connection Secret, with `{random}` for the password.
    pub secret: BTreeMap<String, String>,
}

/// Adds the objects of a server.
///
/// What is retained survives the platform: the claim, because the StatefulSet says so, and the Secret, because
/// it has no owner. What is not goes with the StatefulSet and with the platform.
pub(super) fn add(platform: &Platform, server: Server<'_>, observed: &Observed, intent: &mut Intent) {
    let Server { part, spec, port, .. } = server;
    let owned = spec.deletion_policy == DeletionPolicy::Delete;
    intent.generate.push(GeneratedSecret {
        name: platform.name.child(part),
        labels: platform.labels(part),
        template: server.secret.clone(),
    });
    intent.drafts.extend(workload::owned_secret(platform, part, part, owned, observed));
    intent.drafts.push(service::of_server(platform, part, port));
    intent.drafts.push(network_policy::of_server(platform, part, port));
    intent.drafts.extend(growth(platform, part, spec, observed));
    intent.drafts.push(stateful_set(platform, server, observed));
}

/// A database or cache, for the status.
pub(super) fn summary<A>(platform: &Platform, part: &str, data: &Data<A>) -> DataSummary {
    let (provider, stateful_set) = match data {
        Data::Aws(_) => ("AWS", None),
        Data::Embedded(_) => ("Embedded", Some(ObjectKey::new(Kind::StatefulSet, platform.name.child(part)))),
        Data::External { .. } => ("External", None),
    };
    let secret_name = environment::connection_secret(platform, part, data);
    let status = DataStatus { provider: provider.to_owned(), secret_name, ..DataStatus::default() };
    DataSummary { status, stateful_set }
}

fn stateful_set(platform: &Platform, server: Server<'_>, observed: &Observed) -> Draft {
    let Server { part, spec, port, data_path, mut container, mut volumes, .. } = server;
    let key = ObjectKey::new(Kind::StatefulSet, platform.name.child(part));
    container.image = Some(spec.image.clone());
    container.ports = Some(vec![ContainerPort {
        name: Some(part.to_owned()),
        container_port: port,
        protocol: Some("TCP".to_owned()),
        ..Default::default()
    }]);
    container.resources = Some(spec.resources.clone());
    container.security_context =
        Some(SecurityContext { read_only_root_filesystem: Some(true), ..pod::restricted() });
    let mounts = container.volume_mounts.get_or_insert_default();
    mounts.extend([pod::mount(VOLUME, data_path), pod::mount("tmp", "/tmp")]);
    volumes.push(pod::scratch("tmp", None));
    let mut security = pod::pod_security();
    (security.run_as_user, security.run_as_group, security.fs_group) = (Some(USER), Some(USER), Some(USER));
    // Or the kubelet would walk over the whole volume at each start.
    security.fs_group_change_policy = Some("OnRootMismatch".to_owned());
    let pod = PodSpec {
        containers: vec![container],
        volumes: Some(volumes),
        security_context: Some(security),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(60),
        ..Default::default()
    };
    let when_deleted = match spec.deletion_policy {
        DeletionPolicy::Retain => "Retain",
        DeletionPolicy::Delete => "Delete",
    };
    let fields = json!({
        "spec": {
            "replicas": 1,
            "serviceName": key.name,
            "selector": { "matchLabels": platform.selector(Some(part)) },
            "persistentVolumeClaimRetentionPolicy": { "whenDeleted": when_deleted, "whenScaled": "Retain" },
            "volumeClaimTemplates": [claim_template(platform, part, spec, observed, &key)],
            "template": pod::finish(platform, part, pod, None),
        },
    });
    Draft::new(platform, part, key, fields)
}

/// The template of the claim. Kubernetes lets none change, so it keeps the size that it was made with; see
/// [`growth`] for how the volume gets larger.
fn claim_template(
    platform: &Platform,
    part: &str,
    spec: &Embedded,
    observed: &Observed,
    stateful_set: &ObjectKey,
) -> Value {
    let first_size = observed.objects.get(stateful_set).and_then(|existing| {
        existing.data.pointer("/spec/volumeClaimTemplates/0/spec/resources/requests/storage")?.as_str()
    });
    let mut claim = json!({
        "metadata": { "name": VOLUME, "labels": platform.labels(part) },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": { "requests": { "storage": first_size.unwrap_or(&spec.storage_size) } },
        },
    });
    if let Some(class) = &spec.storage_class {
        claim["spec"]["storageClassName"] = json!(class);
    }
    claim
}

/// The claim with its new size, where the spec asks for more than it has.
fn growth(platform: &Platform, part: &str, spec: &Embedded, observed: &Observed) -> Option<Draft> {
    let name = format!("{VOLUME}-{}-0", platform.name.child(part));
    let key = ObjectKey::new(Kind::PersistentVolumeClaim, name);
    let existing = observed.objects.get(&key)?;
    let size = existing.data.pointer("/spec/resources/requests/storage")?.as_str()?;
    let grows = quantity::nanos(&spec.storage_size)? > quantity::nanos(size)?;
    let ours = existing.metadata.annotations.as_ref();
    let grown_before = ours.is_some_and(|it| it.contains_key(crate::api::names::ANNOTATION_APPLIED));
    if !grows && !grown_before {
        return None;
    }
    let wanted = if grows { &spec.storage_size } else { size };
    let fields = json!({ "spec": { "resources": { "requests": { "storage": wanted } } } });
    Some(Draft::new(platform, part, key, fields).unowned().only(existing.metadata.uid.as_deref()?))
}
