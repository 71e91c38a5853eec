//! diff: whether an object must be applied, and whether it is ours to delete.

use super::{Desired, merge};
use crate::{api::names, kinds::Kind, observe::Observed, platform::Platform, quantity};
use kube::{ResourceExt, api::DynamicObject};
use serde_json::Value;

/// Booleans that the API server keeps apart from "not said". Any other one that is false it may drop.
const THREE_VALUED: [&str; 9] = [
    "allowPrivilegeEscalation",
    "automountServiceAccountToken",
    "blockOwnerDeletion",
    "controller",
    "enableServiceLinks",
    "optional",
    "privileged",
    "readOnlyRootFilesystem",
    "runAsNonRoot",
];

/// Whether the observed object is not as desired: another intent was applied last, or a field that we own
/// drifted. Fields that we do not name are none of our business.
pub(super) fn differs(desired: &Desired, observed: &Observed) -> bool {
    let Some(existing) = observed.objects.get(&desired.key) else { return true };
    let intent = |object: &DynamicObject| object.annotations().get(names::ANNOTATION_APPLIED).cloned();
    intent(existing) != intent(&desired.object)
        || !metadata_holds(&desired.object, existing)
        || !holds("", &desired.object.data, &existing.data)
}

/// Whether an object goes with the platform: it was made for it and names it as its owner. Volumes are
/// never taken away by us, only by the retention policy of their StatefulSet.
pub(super) fn is_owned(platform: &Platform, kind: Kind, object: &DynamicObject) -> bool {
    kind != Kind::PersistentVolumeClaim
        && object.owner_references().iter().any(|owner| owner.uid == platform.uid)
}

fn metadata_holds(desired: &DynamicObject, observed: &DynamicObject) -> bool {
    let part = |object: &DynamicObject| {
        serde_json::json!({
            "labels": object.metadata.labels,
            "annotations": object.metadata.annotations,
            "ownerReferences": object.metadata.owner_references,
            "uid": object.metadata.uid,
        })
    };
    holds("metadata", &part(desired), &part(observed))
}

/// Whether the observed value of a field holds everything that is desired of it.
fn holds(field: &str, desired: &Value, observed: &Value) -> bool {
    match (desired, observed) {
        (Value::Null, _) => true,
        (desired, Value::Null) => is_unsaid(field, desired),
        (Value::Object(desired), Value::Object(observed)) => desired
            .iter()
            .all(|(name, value)| holds_entry(field, name, value, observed.get(name).unwrap_or(&Value::Null))),
        (Value::Array(desired), Value::Array(observed)) => list_holds(field, desired, observed),
        (desired, observed) => desired == observed,
    }
}

/// Whether an entry of an object is as desired. Quantities are compared by value, because the API server
/// writes them its own way.
fn holds_entry(parent: &str, name: &str, desired: &Value, observed: &Value) -> bool {
    if (matches!(parent, "requests" | "limits") || name == "sizeLimit")
        && let (Some(desired), Some(observed)) = (desired.as_str(), observed.as_str())
    {
        return desired == observed
            || quantity::nanos(desired).is_some_and(|it| quantity::nanos(observed) == Some(it));
    }
    holds(name, desired, observed)
}

fn list_holds(field: &str, desired: &[Value], observed: &[Value]) -> bool {
    let keys = merge::list_keys(merge::list_name(field, desired));
    if keys.is_empty() {
        return desired.len() == observed.len()
            && desired.iter().zip(observed).all(|(desired, observed)| holds("", desired, observed));
    }
    desired.iter().all(|desired| {
        observed
            .iter()
            .any(|observed| merge::same_element(keys, desired, observed) && holds("", desired, observed))
    })
}

/// Whether a value is one that the API server may leave out when it stores an object.
fn is_unsaid(field: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value && !THREE_VALUED.contains(&field),
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(elements) => elements.is_empty(),
        Value::Object(fields) => fields.iter().all(|(field, value)| is_unsaid(field, value)),
    }
}

#[cfg(test)]
mod tests {
    use super::holds;
    use rstest::rstest;
    use serde_json::{Value, json};

    #[rstest]
    #[case::a_foreign_field(json!({"a": 1}), json!({"a": 1, "b": 2}))]
    #[case::a_quantity_in_other_words(json!({"limits": {"cpu": "0.5"}}), json!({"limits": {"cpu": "500m"}}))]
    #[case::an_empty_list_left_out(json!({"ingress": []}), json!({}))]
    #[case::what_is_not_said(json!({"uid": null}), json!({"uid": "1"}))]
    #[case::a_false_left_out(json!({"hostNetwork": false}), json!({}))]
    #[case::a_foreign_container(
        json!({"containers": [{"name": "a"}]}),
        json!({"containers": [{"name": "injected"}, {"name": "a", "image": "x"}]})
    )]
    #[case::a_defaulted_protocol(
        json!({"ports": [{"containerPort": 80}]}),
        json!({"ports": [{"containerPort": 80, "protocol": "TCP"}]})
    )]
    fn what_the_api_server_and_others_add_is_no_drift(#[case] desired: Value, #[case] observed: Value) {
        assert!(holds("", &desired, &observed));
    }

    #[rstest]
    #[case::another_value(json!({"a": 1}), json!({"a": 2}))]
    #[case::a_missing_field(json!({"a": 1}), json!({}))]
    #[case::a_missing_refusal(json!({"allowPrivilegeEscalation": false}), json!({}))]
    #[case::a_shorter_list(json!({"args": ["a", "b"]}), json!({"args": ["a"]}))]
    #[case::a_longer_list(json!({"args": ["a"]}), json!({"args": ["a", "b"]}))]
    #[case::a_missing_container(json!({"containers": [{"name": "a"}]}), json!({"containers": [{"name": "b"}]}))]
    #[case::a_changed_quantity(json!({"limits": {"cpu": "1"}}), json!({"limits": {"cpu": "2"}}))]
    #[case::a_value_that_only_looks_like_a_quantity(json!({"value": "1"}), json!({"value": "1000m"}))]
    fn what_differs_in_an_owned_field_is_drift(#[case] desired: Value, #[case] observed: Value) {
        assert!(!holds("", &desired, &observed));
    }
}
