//! observe: everything that a plan may look at, read into one [`Observed`].
//!
//! The only module besides apply and dispatch that talks to Kubernetes and AWS. Reads come from shared
//! stores, so that their number does not grow with platforms.

pub mod aws;
pub mod cluster;
pub mod pods;
pub mod references;

use crate::{
    dispatch,
    kinds::ObjectKey,
    managed::{Seen, elasticache, rds},
};
use kube::api::DynamicObject;
use std::collections::{BTreeMap, BTreeSet};

/// What was observed of one platform and its surroundings.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Objects that carry the platform's labels. Of Secrets only the metadata.
    pub objects: BTreeMap<ObjectKey, DynamicObject>,
    /// The Secrets and ConfigMaps that the spec, or a planned pod, names.
    pub references: BTreeMap<Reference, Referenced>,
    /// Optional kinds that the cluster serves.
    pub served: BTreeSet<crate::kinds::Kind>,
    /// Why pods of a component are not available, in one sentence each, by component.
    pub pod_troubles: BTreeMap<String, String>,
    /// Queue and buckets, where the spec asks for transcoding.
    pub transcoding: Option<aws::Transcoding>,
    /// The database, where it is in AWS.
    pub database: Option<Seen<rds::Database>>,
    /// The cache, where it is in AWS.
    pub cache: Option<Seen<elasticache::Cache>>,
    /// What the dispatcher does, where it runs for this platform.
    pub dispatch: Option<dispatch::Report>,
    /// `namespace/name` of an older platform that holds the same existing queue.
    pub queue_claimed_by: Option<String>,
}

/// A Secret or ConfigMap that is read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reference {
    /// A ConfigMap in the platform's namespace.
    ConfigMap(String),
    /// A Secret in the platform's namespace.
    Secret(String),
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ConfigMap(name) => write!(f, "ConfigMap/{name}"),
            Self::Secret(name) => write!(f, "Secret/{name}"),
        }
    }
}

/// What is known of a [`Reference`]. Never its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Referenced {
    /// There is none of that name, or it is a connection Secret that holds no login yet.
    Missing,
    /// It is there.
    Present {
        /// Its keys.
        keys: BTreeSet<String>,
        /// SHA-256 over keys and values, in hexadecimal.
        content_hash: String,
    },
}
