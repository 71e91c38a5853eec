//! plan: what is to be done to bring the observed to the desired, as data.
//!
//! Pure: no client, no clock, no randomness. Waiting is a value. The plan of a converged platform is empty.

use crate::kinds::{Kind, ObjectKey};
use kube::api::DynamicObject;
use std::collections::BTreeMap;

/// Everything that one reconcile does, in the order of the fields.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Secrets to generate, because they are not there. An existing one is never overwritten.
    pub generate: Vec<GeneratedSecret>,
    /// Objects to apply, because they are absent or differ in a field that we own.
    pub apply: Vec<Desired>,
    /// Objects to delete, because the spec no longer asks for them.
    pub prune: Vec<ObjectKey>,
    /// What can't be done yet, and why.
    pub waiting: Vec<Waiting>,
}

/// An object as it shall be: only the fields that we own.
#[derive(Clone, Debug)]
pub struct Desired {
    /// Which object.
    pub key: ObjectKey,
    /// Its fields, complete with labels, owner and the hash of the intent.
    pub object: DynamicObject,
}

/// A Secret with a random value, made once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeneratedSecret {
    /// Name of the Secret.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Whether it goes with the platform (an owner reference). False where it opens retained data.
    pub owned: bool,
    /// Values by key. `{random}` stands for 32 random characters of `[A-Za-z0-9]`, the same in every value.
    pub template: BTreeMap<String, String>,
}

/// Something that can't be done yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// What waits.
    pub what: ObjectKey,
    /// On what and why.
    pub reason: WaitReason,
}

/// Why something waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitReason {
    /// A Secret or ConfigMap that it reads is missing.
    ReferenceMissing {
        /// `Secret/name` or `ConfigMap/name`.
        reference: String,
        /// The key, where the object is there and the key is not.
        key: Option<String>,
    },
    /// Another object of the platform is not ready.
    NotReady(ObjectKey),
    /// The queue or a bucket is not there yet.
    Aws(String),
    /// The cluster does not serve this kind.
    NotServed(Kind),
}
