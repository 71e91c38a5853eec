//! Valid documents, broken at random places.

use crate::text;
use proptest::{collection::vec, prelude::*, sample::Index};
use serde_json::Value;

/// What happens at one place of a document.
#[derive(Clone, Debug)]
enum Edit {
    Replace(Value),
    Remove,
    Rename(String),
    Add(String, Value),
    Duplicate,
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        4 => text::value().prop_map(Edit::Replace),
        2 => Just(Edit::Remove),
        1 => text::string().prop_map(Edit::Rename),
        1 => (text::string(), text::value()).prop_map(|(name, value)| Edit::Add(name, value)),
        1 => Just(Edit::Duplicate),
    ]
}

/// One of the documents, with up to `most` edits.
pub fn broken(documents: Vec<Value>, most: usize) -> impl Strategy<Value = Value> {
    (prop::sample::select(documents), vec((any::<Index>(), edit()), 0..=most)).prop_map(
        |(mut document, edits)| {
            for (at, edit) in edits {
                apply(&mut document, &at, edit);
            }
            document
        },
    )
}

/// JSON pointers of all values below the root.
fn pointers(value: &Value, path: &str, found: &mut Vec<String>) {
    let mut below = |name: &str, value: &Value| {
        let path = format!("{path}/{}", escaped(name));
        found.push(path.clone());
        pointers(value, &path, found);
    };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| below(name, value)),
        Value::Array(elements) => {
            elements.iter().enumerate().for_each(|(index, value)| below(&index.to_string(), value));
        }
        _ => {}
    }
}

fn apply(document: &mut Value, at: &Index, edit: Edit) {
    let mut found = Vec::new();
    pointers(document, "", &mut found);
    if found.is_empty() {
        return;
    }
    let path: &String = at.get(&found);
    match edit {
        Edit::Replace(value) => {
            if let Some(place) = document.pointer_mut(path) {
                *place = value;
            }
        }
        Edit::Add(name, value) => {
            if let Some(Value::Object(fields)) = document.pointer_mut(path) {
                fields.insert(name, value);
            }
        }
        Edit::Remove => drop(take(document, path)),
        Edit::Rename(name) => {
            let taken = take(document, path);
            if let (Some(value), Some(Value::Object(fields))) = (taken, document.pointer_mut(parent(path))) {
                fields.insert(name, value);
            }
        }
        Edit::Duplicate => {
            let copy = document.pointer(path).cloned();
            if let (Some(value), Some(Value::Array(elements))) = (copy, document.pointer_mut(parent(path))) {
                elements.push(value);
            }
        }
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// Takes the value at a pointer out of the document.
fn take(document: &mut Value, path: &str) -> Option<Value> {
    let (parent, name) = path.rsplit_once('/')?;
    match document.pointer_mut(parent)? {
        Value::Object(fields) => fields.remove(&name.replace("~1", "/").replace("~0", "~")),
        Value::Array(elements) => {
            let index = name.parse().ok().filter(|index| *index < elements.len())?;
            Some(elements.remove(index))
        }
        _ => None,
    }
}

/// The document with a field that nobody knows in one of the objects whose fields the schema names.
#[must_use]
pub fn with_unknown_field(document: &Value, at: &Index, schema: &Value) -> Value {
    let mut found = Vec::new();
    named_objects(document, schema, "", &mut found);
    let mut changed = document.clone();
    if let Some(Value::Object(fields)) = changed.pointer_mut(at.get::<String>(&found)) {
        fields.insert("fieldOfTheFuture".to_owned(), serde_json::json!({ "a": [1] }));
    }
    changed
}

/// JSON pointers of the objects whose fields the schema names. The root is one.
fn named_objects(value: &Value, schema: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            let named = schema.get("properties");
            if named.is_some() {
                found.push(path.to_owned());
            }
            for (name, value) in fields {
                let below = named.map_or(&schema["additionalProperties"], |named| &named[name]);
                named_objects(value, below, &format!("{path}/{}", escaped(name)), found);
            }
        }
        Value::Array(elements) => {
            for (index, value) in elements.iter().enumerate() {
                named_objects(value, &schema["items"], &format!("{path}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// A name as a part of a JSON pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
