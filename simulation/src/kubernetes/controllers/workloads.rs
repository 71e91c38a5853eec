//! Deployments and StatefulSets: pods of the present template, of which each replaces an older one once it is ready.

use super::{
    Agenda, MANAGER, POD_STARTS, create, created_at, delete, list, owned, pod_of, running, set_status,
};
use crate::kubernetes::{
    resource::{AUTOSCALERS, DEPLOYMENTS, PODS, STATEFUL_SETS},
    store::{Key, Store, Subresource, Write, seconds},
};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// On a pod: which template it was made from.
const TEMPLATE: &str = "pod-template-hash";

pub(super) fn step(store: &mut Store, now: Timestamp, agenda: &mut Agenda) {
    for (key, autoscaler) in list(store, AUTOSCALERS) {
        scale(store, &key, &autoscaler, now);
    }
    for resource in [DEPLOYMENTS, STATEFUL_SETS] {
        for (key, value) in list(store, resource) {
            if value["metadata"].get("deletionTimestamp").is_none() {
                replicate(store, &key, &value, now, agenda);
            }
        }
    }
}

/// Keeps a Deployment within the bounds of its autoscaler. Nothing here uses any CPU.
fn scale(store: &mut Store, key: &Key, autoscaler: &Value, now: Timestamp) {
    let name = autoscaler["spec"]["scaleTargetRef"]["name"].as_str().unwrap_or_default().to_owned();
    let deployment = Key { resource: DEPLOYMENTS, namespace: key.namespace.clone(), name };
    let Some(there) = store.get(&deployment) else { return };
    let bound = |name: &str| autoscaler["spec"][name].as_u64().unwrap_or(1);
    let present = there["spec"]["replicas"].as_u64();
    let wanted = present.unwrap_or(1).clamp(bound("minReplicas"), bound("maxReplicas"));
    if present != Some(wanted) {
        let write = Write { manager: MANAGER, subresource: Subresource::Main, now };
        let patch = json!({"spec": {"replicas": wanted}});
        let _: Result<Value, _> = store.merge_patch(&deployment, &patch, write);
    }
}

fn replicate(store: &mut Store, key: &Key, set: &Value, now: Timestamp, agenda: &mut Agenda) {
    let wanted = usize::try_from(set["spec"]["replicas"].as_u64().unwrap_or(1)).unwrap_or(1);
    let digest = Sha256::digest(set["spec"]["template"].to_string());
    let hash: String = digest.iter().take(5).map(|byte| format!("{byte:02x}")).collect();
    let (mut new, mut old): (Vec<_>, Vec<_>) = owned(store, PODS, set)
        .into_iter()
        .partition(|(_, pod)| pod["metadata"]["labels"][TEMPLATE] == *hash);
    let names: Vec<String> = new.iter().map(|(key, _)| key.name.clone()).collect();
    let free = (0..).map(|index| format!("{}-{hash}-{index}", key.name)).filter(|name| !names.contains(name));
    for name in free.take(wanted.saturating_sub(new.len())) {
        let pod = Key { resource: PODS, namespace: key.namespace.clone(), name };
        create(store, &pod, pod_of(set, TEMPLATE, &hash), now);
        agenda.is_due(now.saturating_add(POD_STARTS).unwrap_or(now), now);
    }
    for (key, _) in new.split_off(wanted.min(new.len())) {
        delete(store, &key, now);
    }
    let mut ready = 0;
    for (key, pod) in &new {
        if agenda.is_due(created_at(pod).saturating_add(POD_STARTS).unwrap_or(now), now) {
            ready += 1;
            if pod["status"]["phase"] != "Running" {
                set_status(store, key, &running(now), now);
            }
        }
    }
    // As many old ones as there are new ones to take their place.
    let kept = wanted.saturating_sub(ready);
    for (key, _) in old.split_off(kept.min(old.len())) {
        delete(store, &key, now);
    }
    let total = ready + old.len();
    let available = if total >= wanted { "True" } else { "False" };
    let transition = set["status"]["conditions"].as_array().and_then(|all| {
        let same = all.iter().find(|it| it["status"] == available)?;
        Some(same["lastTransitionTime"].clone())
    });
    let status = json!({
        "observedGeneration": set["metadata"]["generation"],
        "replicas": new.len() + old.len(),
        "updatedReplicas": new.len(),
        "readyReplicas": total,
        "availableReplicas": total,
        "conditions": [{
            "type": "Available", "status": available, "reason": "Simulated", "message": "",
            "lastTransitionTime": transition.unwrap_or_else(|| json!(seconds(now))),
        }],
    });
    set_status(store, key, &status, now);
}
