//! Secrets and ConfigMaps that a platform names: which keys they have, and a hash of their content.
//!
//! Read by name, and only again when the watch on metadata has seen another resource version. Content never
//! leaves this file. A connection Secret that holds no login yet counts as missing, so that nothing starts with it.

use super::{Reference, Referenced, cluster::Cluster};
use crate::api::names;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client, ResourceExt};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

/// Reads references, and remembers what it read.
#[derive(Clone)]
pub struct References {
    client: Client,
    cluster: Arc<Cluster>,
    read: Arc<Mutex<HashMap<(String, Reference), Read>>>,
}

/// What was read, and at which resource version.
#[derive(Clone)]
struct Read {
    version: String,
    referenced: Referenced,
}

/// A reference could not be read.
#[derive(Debug, thiserror::Error)]
#[error("can't read {reference} in namespace {namespace}: {source}")]
pub struct ReadError {
    reference: Reference,
    namespace: String,
    source: kube::Error,
}

impl References {
    /// A reader of what `cluster` has seen.
    pub fn new(client: Client, cluster: Arc<Cluster>) -> Self {
        Self { client, cluster, read: Arc::default() }
    }

    /// What is known of the `wanted` references in `namespace`.
    ///
    /// # Errors
    /// When the API server does not answer, or refuses.
    pub async fn of(
        &self,
        namespace: &str,
        wanted: BTreeSet<Reference>,
    ) -> Result<BTreeMap<Reference, Referenced>, ReadError> {
        let mut found = BTreeMap::new();
        for reference in wanted {
            let referenced = self.one(namespace, &reference).await.map_err(|source| ReadError {
                reference: reference.clone(),
                namespace: namespace.to_owned(),
                source,
            })?;
            found.insert(reference, referenced);
        }
        Ok(found)
    }

    async fn one(&self, namespace: &str, reference: &Reference) -> Result<Referenced, kube::Error> {
        let key = (namespace.to_owned(), reference.clone());
        let Some(seen) = self.cluster.version(namespace, reference) else {
            self.memory().remove(&key);
            return Ok(Referenced::Missing);
        };
        if let Some(read) = self.memory().get(&key).filter(|read| read.version == seen) {
            return Ok(read.referenced.clone());
        }
        let Some((version, referenced)) = self.fetch(namespace, reference).await? else {
            return Ok(Referenced::Missing);
        };
        self.memory().insert(key, Read { version, referenced: referenced.clone() });
        Ok(referenced)
    }

    async fn fetch(
        &self,
        namespace: &str,
        reference: &Reference,
    ) -> Result<Option<(String, Referenced)>, kube::Error> {
        Ok(match reference {
            Reference::Secret(name) => {
                let api = Api::<Secret>::namespaced(self.client.clone(), namespace);
                api.get_opt(name).await?.map(|secret| {
                    let referenced = referenced(&secret);
                    (secret.metadata.resource_version.unwrap_or_default(), referenced)
                })
            }
            Reference::ConfigMap(name) => {
                let api = Api::<ConfigMap>::namespaced(self.client.clone(), namespace);
                api.get_opt(name).await?.map(|map| {
                    let (text, binary) = (map.data.unwrap_or_default(), map.binary_data.unwrap_or_default());
                    let entries = text
                        .iter()
                        .map(|(key, value)| (key.as_str(), value.as_bytes()))
                        .chain(binary.iter().map(|(key, value)| (key.as_str(), value.0.as_slice())));
                    (map.metadata.resource_version.unwrap_or_default(), present(entries))
                })
            }
        })
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, HashMap<(String, Reference), Read>> {
        // An entry is replaced as a whole, so that a panic elsewhere leaves nothing half done.
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn referenced(secret: &Secret) -> Referenced {
    let data = secret.data.iter().flatten();
    if secret.annotations().contains_key(names::ANNOTATION_CLAIM) && data.clone().next().is_none() {
        return Referenced::Missing;
    }
    present(data.map(|(key, value)| (key.as_str(), value.0.as_slice())))
}

/// Keys, and a hash in which no two contents are alike: sorted by key, each part with its length before it.
fn present<'a>(entries: impl Iterator<Item = (&'a str, &'a [u8])>) -> Referenced {
    let entries: BTreeMap<_, _> = entries.collect();
    let mut hash = Sha256::new();
    for (key, value) in &entries {
        for part in [key.as_bytes(), value] {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
    }
    Referenced::Present {
        keys: entries.keys().map(|&key| key.to_owned()).collect(),
        content_hash: data_encoding::HEXLOWER.encode(&hash.finalize()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn hash(entries: &[(&str, &str)]) -> String {
        match present(entries.iter().map(|(key, value)| (*key, value.as_bytes()))) {
            Referenced::Present { content_hash, .. } => content_hash,
            Referenced::Missing => unreachable!("present() never says Missing"),
        }
    }

    #[test]
    fn the_hash_knows_content_and_not_order() {
        assert_eq!(hash(&[("a", "1"), ("b", "2")]), hash(&[("b", "2"), ("a", "1")]));
        assert_ne!(hash(&[("a", "1"), ("b", "2")]), hash(&[("a", "1"), ("b", "3")]));
        assert_ne!(hash(&[("a", "1b"), ("b", "2")]), hash(&[("a", "1"), ("bb", "2")]));
        assert_ne!(hash(&[]), hash(&[("", "")]));
    }

    #[test]
    fn a_secret_that_is_only_claimed_is_missing() {
        let secret = |metadata, data| -> Secret {
            serde_json::from_value(json!({"metadata": metadata, "data": data})).unwrap()
        };
        let claimed = json!({"annotations": {names::ANNOTATION_CLAIM: "one"}});
        let password = json!({"password": "YQ=="});
        assert_eq!(referenced(&secret(claimed.clone(), Value::Null)), Referenced::Missing);
        assert!(matches!(referenced(&secret(claimed, password)), Referenced::Present { .. }));
        assert!(matches!(referenced(&secret(json!({}), Value::Null)), Referenced::Present { .. }));
    }
}
