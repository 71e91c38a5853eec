//! Objects on their way into a plan: drafts with the metadata that all of ours have.

use super::Desired;
use crate::{
    api::{StreamingPlatform, names},
    kinds::ObjectKey,
    observe::Observed,
    platform::Platform,
};
use kube::{Resource, api::DynamicObject};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// An object before it is known whether it can be applied.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    /// Which object.
    pub key: ObjectKey,
    /// Its fields, without the hash of the intent.
    pub fields: Value,
    /// What it needs of AWS and is not there yet.
    pub needs_aws: Option<&'static str>,
}

impl Draft {
    /// An object of a platform's component: typed fields, to which labels, namespace and owner are added.
    pub fn new(platform: &Platform, component: &str, key: ObjectKey, fields: impl Serialize) -> Self {
        let mut fields = serde_json::to_value(fields).expect("types of Kubernetes serialise");
        let resource = key.kind.api_resource();
        fields["apiVersion"] = json!(resource.api_version);
        fields["kind"] = json!(resource.kind);
        let metadata = &mut fields["metadata"];
        metadata["name"] = json!(key.name);
        metadata["namespace"] = json!(platform.namespace);
        metadata["labels"] = json!(platform.labels(component));
        metadata["ownerReferences"] = json!([owner(platform)]);
        Self { key, fields, needs_aws: None }
    }

    /// Takes the owner away: it stays when the platform goes.
    pub fn unowned(mut self) -> Self {
        if let Some(metadata) = self.fields["metadata"].as_object_mut() {
            metadata.remove("ownerReferences");
        }
        self
    }

    /// Means the observed object of that UID and no other: applied to nothing, it is refused.
    pub fn only(mut self, uid: &str) -> Self {
        self.fields["metadata"]["uid"] = json!(uid);
        self
    }

    /// The pod template, where it has one.
    pub fn pod_template(&self) -> Option<&Value> {
        self.fields.pointer("/spec/template")
    }

    /// Adds the hash over the content of what the pods read, so that a change rolls them once.
    pub fn set_config_hash(&mut self, hash: &str) {
        self.fields["spec"]["template"]["metadata"]["annotations"][names::ANNOTATION_CONFIG] = json!(hash);
    }

    /// The object with the hash of its intent.
    pub fn finish(mut self) -> Desired {
        let hash = hex(&Sha256::digest(self.fields.to_string()));
        self.fields["metadata"]["annotations"][names::ANNOTATION_APPLIED] = json!(hash);
        let object: DynamicObject =
            serde_json::from_value(self.fields).expect("a draft has type and metadata");
        Desired { key: self.key, object }
    }
}

/// The reference by which the platform owns an object.
pub(super) fn owner(platform: &Platform) -> Value {
    json!({
        "apiVersion": StreamingPlatform::api_version(&()),
        "kind": StreamingPlatform::kind(&()),
        "name": platform.name.as_str(),
        "uid": platform.uid,
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// Bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// An integer of an observed object.
pub(super) fn integer(observed: &Observed, key: &ObjectKey, pointer: &str) -> Option<i64> {
    observed.objects.get(key)?.data.pointer(pointer)?.as_i64()
}
