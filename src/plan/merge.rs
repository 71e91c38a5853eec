//! Strategic merge: how Kubernetes' lists are told apart, for `podTemplate` and for comparing objects.

use serde_json::{Map, Value};

/// The fields by which the elements of a list are told apart; empty for a list that is one value.
///
/// After the `patchMergeKey` and `listMapKeys` of Kubernetes' own types, for those that we apply.
pub(super) fn list_keys(list: &str) -> &'static [&'static str] {
    match list {
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "env"
        | "volumes"
        | "imagePullSecrets"
        | "resourceClaims" => &["name"],
        "containerPorts" => &["containerPort", "protocol"],
        "servicePorts" => &["port", "protocol"],
        "volumeMounts" => &["mountPath"],
        "volumeDevices" => &["devicePath"],
        "hostAliases" => &["ip"],
        "topologySpreadConstraints" => &["topologyKey", "whenUnsatisfiable"],
        "ownerReferences" => &["uid"],
        _ => &[],
    }
}

/// The list that a field of an object holds, where its name alone does not say.
pub(super) fn list_name<'a>(field: &'a str, elements: &[Value]) -> &'a str {
    if field != "ports" {
        return field;
    }
    match elements.first() {
        Some(port) if port.get("containerPort").is_some() => "containerPorts",
        Some(port) if port.get("port").is_some_and(Value::is_number) && port.get("name").is_some() => {
            "servicePorts"
        }
        _ => field,
    }
}

/// Whether two elements of a list are the same one.
pub(super) fn same_element(keys: &[&str], one: &Value, other: &Value) -> bool {
    keys.iter().all(|key| {
        let value = |element: &Value| match element.get(key) {
            None if *key == "protocol" => Value::from("TCP"),
            value => value.cloned().unwrap_or_default(),
        };
        value(one) == value(other)
    })
}

/// Merges a patch over an object: maps field by field, lists with keys element by element, all else is
/// replaced. `null` takes a field away.
pub(super) fn strategic(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    for (field, value) in patch {
        match value {
            Value::Null => {
                target.remove(field);
            }
            Value::Array(elements) if !list_keys(list_name(field, elements)).is_empty() => {
                let keys = list_keys(list_name(field, elements));
                merge_list(target.entry(field).or_insert_with(|| Value::Array(Vec::new())), elements, keys);
            }
            _ => strategic(target.entry(field).or_insert(Value::Null), value),
        }
    }
}

fn merge_list(target: &mut Value, patch: &[Value], keys: &[&str]) {
    let Value::Array(target) = target else {
        *target = Value::Array(patch.to_vec());
        return;
    };
    for element in patch {
        match target.iter_mut().find(|existing| same_element(keys, existing, element)) {
            Some(existing) => strategic(existing, element),
            None => {
                let mut added = Value::Null;
                strategic(&mut added, element);
                target.push(added);
            }
        }
    }
}

/// Fills what an object leaves unsaid from another one.
pub(super) fn fill(target: &mut Value, defaults: &Value) {
    let mut filled = defaults.clone();
    strategic(&mut filled, target);
    *target = filled;
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn merged(mut target: Value, patch: Value) -> Value {
        strategic(&mut target, &patch);
        target
    }

    #[test]
    fn maps_merge_and_null_takes_away() {
        assert_eq!(
            merged(json!({"a": 1, "b": {"c": 2}}), json!({"a": null, "b": {"d": 3}})),
            json!({"b": {"c": 2, "d": 3}})
        );
    }

    #[test]
    fn lists_with_keys_merge_by_key_and_others_are_replaced() {
        assert_eq!(
            merged(
                json!({"containers": [{"name": "a", "image": "x", "args": ["1"]}], "tolerations": [{"key": "k"}]}),
                json!({"containers": [{"name": "a", "args": ["2"]}, {"name": "b"}], "tolerations": [{"key": "l"}]}),
            ),
            json!({"containers": [{"name": "a", "image": "x", "args": ["2"]}, {"name": "b"}], "tolerations": [{"key": "l"}]}),
        );
    }

    #[test]
    fn a_port_without_protocol_is_a_tcp_port() {
        assert_eq!(
            merged(
                json!({"ports": [{"containerPort": 53, "name": "dns"}, {"containerPort": 53, "protocol": "UDP", "name": "u"}]}),
                json!({"ports": [{"containerPort": 53, "protocol": "TCP", "name": "tcp"}]}),
            ),
            json!({"ports": [{"containerPort": 53, "protocol": "TCP", "name": "tcp"}, {"containerPort": 53, "protocol": "UDP", "name": "u"}]}),
        );
    }

    #[test]
    fn a_value_of_another_source_replaces_a_variable_only_field_by_field() {
        assert_eq!(
            merged(
                json!({"env": [{"name": "A", "value": "1"}]}),
                json!({"env": [{"name": "A", "value": null, "valueFrom": {}}]})
            ),
            json!({"env": [{"name": "A", "valueFrom": {}}]}),
        );
    }
}
