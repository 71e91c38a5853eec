//! Autoscalers, and who owns the number of replicas.

use crate::{
    api::names,
    kinds::{Kind, ObjectKey},
    observe::Observed,
    plan::{HandOver, object},
    platform::{Component, Platform, Scale},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde_json::{Value, json};

/// The HorizontalPodAutoscaler, where the component is scaled by load.
pub(super) fn fields(platform: &Platform, component: &Component) -> Option<Value> {
    let Scale::Auto { min, max, target_cpu_percent } = component.scale else { return None };
    Some(json!({
        "spec": {
            "scaleTargetRef": {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "name": platform.name.child(&component.name),
            },
            "minReplicas": min,
            "maxReplicas": max,
            "metrics": [{
                "type": "Resource",
                "resource": {
                    "name": "cpu",
                    "target": { "type": "Utilization", "averageUtilization": target_cpu_percent },
                },
            }],
        },
    }))
}

/// The number of replicas that the Deployment's intent names, if it names one, and the hand-over that has
/// to come first.
///
/// From a fixed number to an autoscaler in three plans: (1) the autoscaler is made, and the observed number
/// stays ours; (2) another field manager takes it besides us; (3) it is left out. An autoscaler that has
/// changed the number meanwhile owns it already, and (2) falls away.
pub(super) fn replicas(
    platform: &Platform,
    component: &Component,
    observed: &Observed,
) -> (Option<i64>, Option<HandOver>) {
    if let Scale::Fixed(replicas) = component.scale {
        return (Some(replicas.into()), None);
    }
    let name = platform.name.child(&component.name);
    let deployment = ObjectKey::new(Kind::Deployment, &name);
    let Some(existing) = observed.objects.get(&deployment) else { return (None, None) };
    let Some(current) = object::integer(observed, &deployment, "/spec/replicas") else { return (None, None) };
    let owners = || existing.metadata.managed_fields.iter().flatten().filter(|entry| owns_replicas(entry));
    if !owners().any(is_ours) || owners().any(|entry| !is_ours(entry)) {
        return (None, None);
    }
    if !observed.objects.contains_key(&ObjectKey::new(Kind::HorizontalPodAutoscaler, &name)) {
        return (Some(current), None);
    }
    let uid = existing.metadata.uid.clone().unwrap_or_default();
    (Some(current), Some(HandOver { deployment: name, uid, replicas: current }))
}

fn is_ours(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(names::FIELD_MANAGER)
}

fn owns_replicas(entry: &ManagedFieldsEntry) -> bool {
    entry.fields_v1.as_ref().is_some_and(|fields| fields.0.pointer("/f:spec/f:replicas").is_some())
}
