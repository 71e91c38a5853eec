//! The objects of a cluster, their versions, and what became of them.

use super::{
    fields::{self, Set},
    resource::Resource,
    status::Refusal,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What names an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Its kind.
    pub resource: Resource,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Who wrote some fields, and how.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Manager {
    name: String,
    operation: &'static str,
    subresource: &'static str,
    fields: Set,
}

/// An object with who owns its fields.
#[derive(Clone, Debug)]
struct Stored {
    value: Value,
    managers: Vec<Manager>,
    /// With the managers written down.
    served: Arc<Value>,
}

/// How a write is made.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    /// The field manager.
    pub manager: &'a str,
    /// Whether only the status is written, or only all else.
    pub subresource: Subresource,
    /// When.
    pub now: Timestamp,
}

/// What of an object a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subresource {
    /// All but its status.
    Main,
    /// Its status.
    Status,
}

impl Subresource {
    fn name(self) -> &'static str {
        match self {
            Self::Main => "",
            Self::Status => "status",
        }
    }
}

/// Something that happened to an object.
#[derive(Clone, Debug)]
pub struct Change {
    /// The version that it led to.
    pub revision: u64,
    /// When.
    pub at: Timestamp,
    /// To what.
    pub key: Key,
    /// As it was; none: it was made.
    pub before: Option<Arc<Value>>,
    /// As it is; none: it is gone.
    pub after: Option<Arc<Value>>,
}

/// The objects, and what happened to them.
#[derive(Clone, Debug, Default)]
pub struct Store {
    objects: BTreeMap<Key, Stored>,
    /// Oldest first.
    history: Vec<Arc<Change>>,
    /// The latest version.
    revision: u64,
    /// Watches from before this one are refused.
    compacted: u64,
    uids: u64,
}

impl Store {
    /// The latest version.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The version from which on it is known what happened.
    #[must_use]
    pub fn compacted(&self) -> u64 {
        self.compacted
    }

    /// Forgets, towards clients, what happened so far, and counts on, so that every watch is too old.
    pub fn compact(&mut self) {
        self.revision += 1;
        self.compacted = self.revision;
    }

    /// What happened after a version.
    pub fn since(&self, revision: u64) -> impl Iterator<Item = &Arc<Change>> {
        let from = self.history.partition_point(|change| change.revision <= revision);
        self.history[from..].iter()
    }

    /// An object, as it is served.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<Value> {
        self.objects.get(key).map(|stored| Value::clone(&stored.served))
    }

    /// Every object of a kind, in a namespace or in all.
    pub fn list<'a>(
        &'a self,
        resource: Resource,
        namespace: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a Key, Value)> {
        self.objects
            .iter()
            .filter(move |(key, _)| {
                key.resource == resource && namespace.is_none_or(|wanted| wanted == key.namespace)
            })
            .map(|(key, stored)| (key, Value::clone(&stored.served)))
    }

    /// Every object, as it is served.
    pub fn shared(&self) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        self.objects.iter().map(|(key, stored)| (key, &stored.served))
    }

    /// Every object.
    pub fn all(&self) -> impl Iterator<Item = (&Key, &Value)> {
        self.objects.iter().map(|(key, stored)| (key, &stored.value))
    }

    /// Makes an object.
    ///
    /// # Errors
    /// When one of its name is there.
    pub fn create(&mut self, key: &Key, value: Value, write: Write<'_>) -> Result<Value, Refusal> {
        if self.objects.contains_key(key) {
            return Err(Refusal::already_exists(key));
        }
        let manager = update(write, fields::of(&value));
        self.uids += 1;
        let mut stored = Stored { value, managers: vec![manager], served: Arc::default() };
        let metadata = &mut stored.value["metadata"];
        metadata["uid"] = json!(format!("00000000-0000-4000-8000-{:012}", self.uids));
        metadata["creationTimestamp"] = json!(seconds(write.now));
        metadata["generation"] = json!(1);
        (metadata["name"], metadata["namespace"]) = (json!(key.name), json!(key.namespace));
        stored.value["apiVersion"] = json!(key.resource.api_version());
        stored.value["kind"] = json!(key.resource.kind);
        admit(&mut stored.value)?;
        Ok(self.put(key, None, stored, write.now))
    }

    /// Server-side apply.
    ///
    /// # Errors
    /// When another one owns a field that would change, or the object is another one.
    pub fn apply(
        &mut self,
        key: &Key,
        configuration: &Value,
        force: bool,
        write: Write<'_>,
    ) -> Result<Value, Refusal> {
        let Some(before) = self.objects.get(key).cloned() else {
            if write.subresource == Subresource::Status || configuration["metadata"].get("uid").is_some() {
                return Err(Refusal::not_found(key));
            }
            let made = self.create(key, configuration.clone(), write)?;
            if let Some(stored) = self.objects.get_mut(key) {
                stored.managers.iter_mut().for_each(|it| it.operation = "Apply");
                stored.write_down();
            }
            return Ok(made);
        };
        check_identity(key, &before.value, configuration)?;
        let wanted = only(configuration, write.subresource);
        let mut after = before.clone();
        let new = fields::of(&wanted);
        let is_self = |it: &Manager| {
            it.name == write.manager && it.operation == "Apply" && it.subresource == write.subresource.name()
        };
        for other in after.managers.iter_mut().filter(|it| !is_self(it)) {
            let contested: Set = other
                .fields
                .intersection(&new)
                .filter(|path| fields::get(&before.value, path) != fields::get(&wanted, path))
                .cloned()
                .collect();
            if !contested.is_empty() && !force {
                return Err(Refusal::conflict(format!("conflict with {:?}: {contested:?}", other.name)));
            }
            other.fields.retain(|path| !contested.contains(path));
        }
        let old =
            after.managers.iter().find(|it| is_self(it)).map(|it| it.fields.clone()).unwrap_or_default();
        after.managers.retain(|it| !is_self(it) && !it.fields.is_empty());
        for path in old.difference(&new) {
            let is_others = after.managers.iter().any(|it| it.fields.iter().any(|own| own.starts_with(path)));
            if !is_others {
                fields::remove(&mut after.value, path);
            }
        }
        fields::merge(&mut after.value, &wanted);
        after.managers.push(Manager { operation: "Apply", ..update(write, new) });
        self.write(key, before, after, write)
    }

    /// Puts an object in the place of another one.
    ///
    /// # Errors
    /// When it is not there, or changed meanwhile.
    pub fn replace(&mut self, key: &Key, value: &Value, write: Write<'_>) -> Result<Value, Refusal> {
        let before = self.objects.get(key).cloned().ok_or_else(|| Refusal::not_found(key))?;
        check_identity(key, &before.value, value)?;
        let mut after = before.clone();
        match write.subresource {
            Subresource::Status => after.value["status"] = value["status"].clone(),
            Subresource::Main => {
                let status = before.value.get("status").cloned();
                after.value = value.clone();
                keep_servers_metadata(&before.value, &mut after.value);
                set_or_remove(&mut after.value, "status", status);
            }
        }
        self.update(key, before, after, write)
    }

    /// A JSON merge patch: RFC 7386.
    ///
    /// # Errors
    /// When the object is not there or another one, or changed meanwhile.
    pub fn merge_patch(&mut self, key: &Key, patch: &Value, write: Write<'_>) -> Result<Value, Refusal> {
        let before = self.objects.get(key).cloned().ok_or_else(|| Refusal::not_found(key))?;
        check_identity(key, &before.value, patch)?;
        let mut after = before.clone();
        json_patch::merge(&mut after.value, &only(patch, write.subresource));
        keep_servers_metadata(&before.value, &mut after.value);
        self.update(key, before, after, write)
    }

    /// Deletes an object, or marks it where it has finalizers.
    ///
    /// # Errors
    /// When it is not there, or not the one that is meant.
    pub fn delete(&mut self, key: &Key, preconditions: &Value, now: Timestamp) -> Result<Value, Refusal> {
        let before = self.objects.get(key).cloned().ok_or_else(|| Refusal::not_found(key))?;
        for name in ["uid", "resourceVersion"] {
            let wanted = preconditions.get(name).filter(|wanted| !wanted.is_null());
            if wanted.is_some_and(|wanted| *wanted != before.value["metadata"][name]) {
                return Err(Refusal::conflict(format!("precondition failed: {name} of {}", key.name)));
            }
        }
        if !has_finalizers(&before.value) {
            return Ok(self.remove(key, now));
        }
        if before.value["metadata"].get("deletionTimestamp").is_some() {
            return Ok(Value::clone(&before.served));
        }
        let mut after = before.clone();
        after.value["metadata"]["deletionTimestamp"] = json!(seconds(now));
        let generation = before.value["metadata"]["generation"].as_u64().unwrap_or_default();
        after.value["metadata"]["generation"] = json!(generation + 1);
        Ok(self.put(key, Some(before), after, now))
    }

    /// A write by a manager that does not apply: it owns what it changes.
    fn update(
        &mut self,
        key: &Key,
        before: Stored,
        mut after: Stored,
        write: Write<'_>,
    ) -> Result<Value, Refusal> {
        let (old, new) = (fields::of(&before.value), fields::of(&after.value));
        let differs =
            |path: &&fields::Path| fields::get(&before.value, path) != fields::get(&after.value, path);
        let changed: Set = new.iter().filter(differs).cloned().collect();
        let gone: Set = old.difference(&new).cloned().collect();
        let mut own = update(write, changed.clone());
        for manager in &mut after.managers {
            manager.fields.retain(|path| !gone.contains(path));
            let is_own = (&manager.name, manager.operation, manager.subresource)
                == (&own.name, own.operation, own.subresource);
            if is_own {
                own.fields.append(&mut manager.fields);
            } else {
                manager.fields.retain(|path| !changed.contains(path));
            }
        }
        after.managers.retain(|it| !it.fields.is_empty());
        if !own.fields.is_empty() {
            after.managers.push(own);
        }
        self.write(key, before, after, write)
    }

    fn write(
        &mut self,
        key: &Key,
        before: Stored,
        mut after: Stored,
        write: Write<'_>,
    ) -> Result<Value, Refusal> {
        admit(&mut after.value)?;
        if after.value == before.value && after.owners() == before.owners() {
            // Nothing changes, not even the version.
            return Ok(Value::clone(&before.served));
        }
        if without(&after.value, &["metadata", "status"]) != without(&before.value, &["metadata", "status"]) {
            let generation = before.value["metadata"]["generation"].as_u64().unwrap_or_default();
            after.value["metadata"]["generation"] = json!(generation + 1);
        }
        let is_gone =
            after.value["metadata"].get("deletionTimestamp").is_some() && !has_finalizers(&after.value);
        if is_gone {
            return Ok(self.remove(key, write.now));
        }
        Ok(self.put(key, Some(before), after, write.now))
    }

    fn put(&mut self, key: &Key, before: Option<Stored>, mut after: Stored, now: Timestamp) -> Value {
        self.revision += 1;
        after.value["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        let served = Arc::clone(after.write_down());
        self.history.push(Arc::new(Change {
            revision: self.revision,
            at: now,
            key: key.clone(),
            before: before.map(|it| it.served),
            after: Some(Arc::clone(&served)),
        }));
        self.objects.insert(key.clone(), after);
        Value::clone(&served)
    }

    fn remove(&mut self, key: &Key, now: Timestamp) -> Value {
        let Some(mut gone) = self.objects.remove(key) else { return Value::Null };
        let before = Arc::clone(&gone.served);
        self.revision += 1;
        gone.value["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        self.history.push(Arc::new(Change {
            revision: self.revision,
            at: now,
            key: key.clone(),
            before: Some(before),
            after: None,
        }));
        Value::clone(gone.write_down())
    }
}

impl Stored {
    /// Who owns what, whoever wrote last.
    fn owners(&self) -> BTreeSet<&Manager> {
        self.managers.iter().collect()
    }

    /// Makes what is served anew.
    fn write_down(&mut self) -> &Arc<Value> {
        let mut value = self.value.clone();
        let entry = |it: &Manager| {
            let mut entry = json!({
                "manager": it.name, "operation": it.operation, "apiVersion": value["apiVersion"],
                "fieldsType": "FieldsV1", "fieldsV1": fields::written(&it.fields),
            });
            if !it.subresource.is_empty() {
                entry["subresource"] = json!(it.subresource);
            }
            entry
        };
        let entries: Vec<Value> = self.managers.iter().map(entry).collect();
        value["metadata"]["managedFields"] = Value::Array(entries);
        self.served = Arc::new(value);
        &self.served
    }
}

fn update(write: Write<'_>, fields: Set) -> Manager {
    Manager {
        name: write.manager.to_owned(),
        operation: "Update",
        subresource: write.subresource.name(),
        fields,
    }
}

/// What the API server writes its own way.
fn admit(value: &mut Value) -> Result<(), Refusal> {
    if let Some(fields) = value["metadata"].as_object_mut() {
        fields.remove("managedFields");
    }
    let controllers = value["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    if controllers.filter(|owner| owner["controller"] == true).count() > 1 {
        return Err(Refusal::invalid("Only one reference can have Controller set to true"));
    }
    if let Some(text) = value.as_object_mut().and_then(|fields| fields.remove("stringData")) {
        for (name, text) in text.as_object().into_iter().flatten() {
            let bytes = k8s_openapi::ByteString(text.as_str().unwrap_or_default().as_bytes().to_vec());
            value["data"][name] = json!(bytes);
        }
    }
    if value["metadata"]["ownerReferences"].is_null() {
        set_or_remove(&mut value["metadata"], "ownerReferences", None);
    }
    Ok(())
}

/// Another object of the same name, or one that changed meanwhile, is not meant.
fn check_identity(key: &Key, there: &Value, given: &Value) -> Result<(), Refusal> {
    for name in ["uid", "resourceVersion"] {
        let given = given["metadata"].get(name).filter(|given| !given.is_null() && *given != "");
        if given.is_some_and(|given| *given != there["metadata"][name]) {
            return Err(Refusal::conflict(format!(
                "{} {}: {name} is another one",
                key.resource.kind, key.name
            )));
        }
    }
    Ok(())
}

/// What a write to that part of an object is about.
fn only(value: &Value, subresource: Subresource) -> Value {
    let mut part = value.clone();
    match subresource {
        Subresource::Status => {
            let status = value.get("status").cloned();
            part = json!({});
            set_or_remove(&mut part, "status", status);
        }
        Subresource::Main => set_or_remove(&mut part, "status", None),
    }
    part
}

fn keep_servers_metadata(before: &Value, after: &mut Value) {
    for name in [
        "uid",
        "creationTimestamp",
        "generation",
        "deletionTimestamp",
        "resourceVersion",
        "name",
        "namespace",
    ] {
        let kept = before["metadata"].get(name).cloned();
        set_or_remove(&mut after["metadata"], name, kept);
    }
}

fn set_or_remove(value: &mut Value, name: &str, to: Option<Value>) {
    match to {
        Some(to) => value[name] = to,
        None => {
            if let Some(fields) = value.as_object_mut() {
                fields.remove(name);
            }
        }
    }
}

fn without(value: &Value, names: &[&str]) -> Value {
    let mut rest = value.clone();
    names.iter().for_each(|name| set_or_remove(&mut rest, name, None));
    rest
}

fn has_finalizers(value: &Value) -> bool {
    value["metadata"]["finalizers"].as_array().is_some_and(|all| !all.is_empty())
}

/// Whole seconds, as Kubernetes keeps times.
pub(super) fn seconds(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}
