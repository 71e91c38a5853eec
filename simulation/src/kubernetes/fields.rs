//! Who owns which fields, as server-side apply keeps it.
//!
//! A list is merged by keys where the Kubernetes API says so (`x-kubernetes-list-map-keys`), and is one value else.
//! <https://kubernetes.io/docs/reference/using-api/server-side-apply/>

use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// A step from a value into it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A field of an object.
    Field(String),
    /// An item of a list, by its keys as JSON.
    Item(String),
}

/// A field, from the top of an object.
pub type Path = Vec<Step>;
/// Fields.
pub type Set = BTreeSet<Path>;

/// What tells the items of a list apart; none: the list is one value.
fn keys(path: &[Step]) -> Option<&'static [&'static str]> {
    let field = |step: &Step| match step {
        Step::Field(name) => Some(name.clone()),
        Step::Item(_) => None,
    };
    let names: Vec<String> = path.iter().filter_map(field).collect();
    let of_container = names.iter().any(|name| name == "containers" || name == "initContainers");
    match names.last()?.as_str() {
        "containers" | "initContainers" | "env" | "volumes" | "imagePullSecrets" => Some(&["name"]),
        "ports" if of_container => Some(&["containerPort", "protocol"]),
        "ports" if names.len() == 2 => Some(&["port", "protocol"]),
        "volumeMounts" => Some(&["mountPath"]),
        "conditions" => Some(&["type"]),
        "ownerReferences" => Some(&["uid"]),
        "topologySpreadConstraints" => Some(&["topologyKey", "whenUnsatisfiable"]),
        _ => None,
    }
}

/// The item's step. A protocol that is left out is TCP.
fn item(keys: &[&str], value: &Value) -> Step {
    let pair = |key: &&str| {
        let default = if *key == "protocol" { json!("TCP") } else { Value::Null };
        ((*key).to_owned(), value.get(key).cloned().unwrap_or(default))
    };
    Step::Item(Value::Object(keys.iter().map(pair).collect()).to_string())
}

/// The fields that a configuration has: its scalars, its lists that are one value, and its items.
#[must_use]
pub fn of(configuration: &Value) -> Set {
    let mut found = Set::new();
    collect(configuration, &mut Vec::new(), &mut found);
    found.retain(|path| !is_identity(path));
    found
}

/// What names an object is nobody's.
fn is_identity(path: &[Step]) -> bool {
    let is = |index: usize, names: &[&str]| matches!(path.get(index), Some(Step::Field(name)) if names.contains(&name.as_str()));
    let server =
        ["name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"];
    is(0, &["apiVersion", "kind"]) || is(0, &["metadata"]) && is(1, &server)
}

fn collect(value: &Value, path: &mut Path, found: &mut Set) {
    match (value, keys(path)) {
        (Value::Object(fields), _) if !fields.is_empty() => {
            for (name, value) in fields {
                path.push(Step::Field(name.clone()));
                collect(value, path, found);
                path.pop();
            }
        }
        (Value::Array(items), Some(keys)) => {
            for value in items {
                path.push(item(keys, value));
                found.insert(path.clone());
                collect(value, path, found);
                path.pop();
            }
        }
        (Value::Null, _) => {}
        _ => {
            found.insert(path.clone());
        }
    }
}

/// The value of a field.
#[must_use]
pub fn get<'a>(value: &'a Value, path: &[Step]) -> Option<&'a Value> {
    let mut at = value;
    for (index, step) in path.iter().enumerate() {
        at = match step {
            Step::Field(name) => at.get(name)?,
            Step::Item(_) => {
                let keys = keys(&path[..index])?;
                at.as_array()?.iter().find(|value| item(keys, value) == *step)?
            }
        };
    }
    Some(at)
}

/// Puts a configuration over what is there.
pub fn merge(there: &mut Value, configuration: &Value) {
    merge_at(there, configuration, &mut Vec::new());
}

fn merge_at(there: &mut Value, configuration: &Value, path: &mut Path) {
    match (configuration, keys(path)) {
        (Value::Object(fields), _) => {
            if !there.is_object() {
                *there = Value::Object(Map::new());
            }
            for (name, value) in fields {
                path.push(Step::Field(name.clone()));
                match value {
                    Value::Null => {}
                    value => merge_at(&mut there[name.as_str()], value, path),
                }
                path.pop();
            }
        }
        (Value::Array(items), Some(keys)) => {
            if !there.is_array() {
                *there = Value::Array(Vec::new());
            }
            for value in items {
                let step = item(keys, value);
                let known = there.as_array_mut().into_iter().flatten().find(|old| item(keys, old) == step);
                path.push(step);
                match known {
                    Some(known) => merge_at(known, value, path),
                    None => {
                        let mut new = Value::Null;
                        merge_at(&mut new, value, path);
                        there.as_array_mut().into_iter().for_each(|all| all.push(new.clone()));
                    }
                }
                path.pop();
            }
        }
        _ => *there = configuration.clone(),
    }
}

/// Takes a field out, and what is empty without it.
pub fn remove(value: &mut Value, path: &[Step]) {
    let Some((last, parents)) = path.split_last() else { return };
    if let Some(parent) = get_mut(value, parents) {
        match (last, parent) {
            (Step::Field(name), Value::Object(fields)) => drop(fields.remove(name)),
            (Step::Item(_), Value::Array(items)) => {
                if let Some(keys) = keys(parents) {
                    items.retain(|value| item(keys, value) != *last);
                }
            }
            _ => {}
        }
    }
    let is_empty = |value: &Value| match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    };
    if !parents.is_empty() && get(value, parents).is_some_and(is_empty) {
        remove(value, parents);
    }
}

fn get_mut<'a>(value: &'a mut Value, path: &[Step]) -> Option<&'a mut Value> {
    let mut at = value;
    for (index, step) in path.iter().enumerate() {
        at = match step {
            Step::Field(name) => at.get_mut(name)?,
            Step::Item(_) => {
                let keys = keys(&path[..index])?;
                at.as_array_mut()?.iter_mut().find(|value| item(keys, value) == *step)?
            }
        };
    }
    Some(at)
}

/// A set as `fieldsV1` writes it.
#[must_use]
pub fn written(set: &Set) -> Value {
    let mut top = json!({});
    for path in set {
        let mut at = &mut top;
        for step in path {
            let key = match step {
                Step::Field(name) => format!("f:{name}"),
                Step::Item(keys) => format!("k:{keys}"),
            };
            at = &mut at[key];
            if at.is_null() {
                *at = json!({});
            }
        }
    }
    top
}
