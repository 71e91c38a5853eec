//! Deployments of components.

use super::pod;
use crate::{
    observe::Observed,
    platform::{Component, Platform},
};
use serde_json::{Value, json};

/// The Deployment. `replicas` is left out where an autoscaler owns it.
pub(super) fn fields(
    platform: &Platform,
    component: &Component,
    observed: &Observed,
    replicas: Option<i64>,
) -> Value {
    let mut fields = json!({
        "spec": {
            "selector": { "matchLabels": platform.selector(Some(&component.name)) },
            "revisionHistoryLimit": 5,
            "progressDeadlineSeconds": 600,
            // The old pods serve until the new ones do.
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": { "maxUnavailable": 0, "maxSurge": 1 },
            },
            "template": pod::of_component(platform, component, observed),
        },
    });
    if let Some(replicas) = replicas {
        fields["spec"]["replicas"] = json!(replicas);
    }
    fields
}
