//! What is at rest: its JSON instead of its tree, which takes several times the memory.

use serde::{Serialize, de::DeserializeOwned};
use std::{fmt, marker::PhantomData};

/// Something that is kept for long and looked at now and then. Equal where its JSON is.
pub struct Packed<T> {
    json: Box<[u8]>,
    object: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> Packed<T> {
    /// Packs it.
    pub fn new(object: &T) -> Self {
        let json = serde_json::to_vec(object).expect("what is kept serialises").into();
        Self { json, object: PhantomData }
    }

    /// What was packed.
    pub fn unpack(&self) -> T {
        serde_json::from_slice(&self.json).expect("what was serialised from the type is one")
    }
}

// Derived, these would ask the same of the object, which is not there.
impl<T> Clone for Packed<T> {
    fn clone(&self) -> Self {
        Self { json: self.json.clone(), object: PhantomData }
    }
}

impl<T> PartialEq for Packed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.json == other.json
    }
}

impl<T> fmt::Debug for Packed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.json))
    }
}

#[cfg(test)]
mod tests {
    use super::Packed;
    use kube::api::DynamicObject;
    use serde_json::json;

    #[test]
    fn an_object_comes_back_as_it_was() {
        let object: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "a", "labels": {"b": "c"}, "managedFields": [
                {"manager": "d", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
            ]},
            "spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "e", "env": []}]}}},
            "status": {"conditions": [{"type": "Available", "status": "True"}]},
        }))
        .unwrap();
        assert_eq!(Packed::new(&object).unpack(), object);
    }
}
