//! Disruption budgets: a node that is drained takes one replica at a time.

use crate::platform::{Component, Platform};
use serde_json::{Value, json};

/// The PodDisruptionBudget, where there is more than one replica to keep.
pub(super) fn fields(platform: &Platform, component: &Component) -> Option<Value> {
    (component.scale.min() > 1).then(|| {
        json!({
            "spec": {
                "selector": { "matchLabels": platform.selector(Some(&component.name)) },
                "maxUnavailable": 1,
                // A pod that does not serve anyway must not hold up a node.
                "unhealthyPodEvictionPolicy": "AlwaysAllow",
            },
        })
    })
}
