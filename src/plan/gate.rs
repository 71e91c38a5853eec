//! gate: what can be applied now, and what waits on what.
//!
//! Pods wait for the Secrets and ConfigMaps that they read, because the kubelet would only tell so in an
//! event. They don't wait for the database or cache to be ready: they cope with that themselves.

use super::{
    Desired, WaitReason, Waiting,
    object::{Draft, hex},
    references::{self, PodReference},
};
use crate::{
    api::names,
    kinds::{Kind, ObjectKey},
    observe::{Observed, Reference, Referenced},
    platform::Platform,
};
use sha2::{Digest, Sha256};

/// The object that can be applied, or what it waits for.
pub(super) fn gate(
    platform: &Platform,
    mut draft: Draft,
    observed: &Observed,
) -> Result<Desired, Vec<Waiting>> {
    let mut reasons = Vec::new();
    if !draft.key.kind.is_built_in() && !observed.served.contains(&draft.key.kind) {
        reasons.push(WaitReason::NotServed(draft.key.kind));
    }
    if let Some(what) = draft.needs_aws {
        reasons.push(WaitReason::Aws(what.to_owned()));
    }
    let reads = draft.pod_template().map(references::of_pod).unwrap_or_default();
    let mut hasher = Sha256::new();
    for read in &reads {
        match state(read, observed) {
            Ok(content) => hasher.update(format!("{:?}={content};", read.reference)),
            Err(missing) => reasons.push(missing.reason(platform, read, observed)),
        }
    }
    reasons.dedup();
    if !reasons.is_empty() {
        return Err(reasons.into_iter().map(|reason| Waiting { what: draft.key.clone(), reason }).collect());
    }
    if !reads.is_empty() {
        draft.set_config_hash(&hex(&hasher.finalize()));
    }
    Ok(draft.finish())
}

/// What is missing of a reference.
enum Missing {
    Object,
    Key(String),
}

/// The hash of what a pod reads, empty where it may be missing and is.
fn state<'a>(read: &PodReference, observed: &'a Observed) -> Result<&'a str, Missing> {
    let missing = match observed.references.get(&read.reference) {
        Some(Referenced::Present { keys, content_hash }) => match &read.key {
            Some(key) if !keys.contains(key) => Missing::Key(key.clone()),
            _ => return Ok(content_hash),
        },
        Some(Referenced::Missing) | None => Missing::Object,
    };
    if read.optional { Ok("") } else { Err(missing) }
}

impl Missing {
    fn reason(self, platform: &Platform, read: &PodReference, observed: &Observed) -> WaitReason {
        let (kind, name) = match &read.reference {
            Reference::ConfigMap(name) => (Kind::ConfigMap, name),
            Reference::Secret(name) => (Kind::Secret, name),
        };
        let object = ObjectKey::new(kind, name);
        let ours = [names::DATABASE, names::CACHE, names::API_TOKEN].map(|part| platform.name.child(part));
        match self {
            Self::Object
                if *name == platform.name.child(names::DATABASE) && platform.database_in_aws().is_some() =>
            {
                WaitReason::Database
            }
            Self::Object
                if *name == platform.name.child(names::CACHE) && platform.cache_in_aws().is_some() =>
            {
                WaitReason::Cache
            }
            Self::Object if ours.contains(name) && !observed.objects.contains_key(&object) => {
                WaitReason::Generating(object)
            }
            Self::Object => WaitReason::ReferenceMissing { reference: object.to_string(), key: None },
            Self::Key(key) => WaitReason::ReferenceMissing { reference: object.to_string(), key: Some(key) },
        }
    }
}
