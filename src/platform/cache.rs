//! A cache in Amazon ElastiCache, every field decided.

use super::database::{Subnets, Window};
use crate::api::{CacheEngine, CacheLog, DatabaseDeletionPolicy, DriftPolicy, Management, Restarts};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// A cache in Amazon ElastiCache.
#[derive(Clone, Debug, PartialEq)]
pub struct AwsCache {
    /// The engine.
    pub engine: CacheEngine,
    /// Version that it has at least.
    pub version: String,
    /// Nodes, or none.
    pub shape: Shape,
    /// Identifier of the replication group or serverless cache.
    pub identifier: String,
    /// Whether a cache of that identifier that is not ours becomes ours.
    pub adopt: bool,
    /// How much of it is managed.
    pub management: Management,
    /// Its subnets.
    pub subnets: Subnets,
    /// Its security groups; empty: the VPC's default one.
    pub security_groups: BTreeSet<String>,
    /// Whether connections are encrypted, and need a login.
    pub tls: bool,
    /// KMS key; none: AWS's own.
    pub kms_key_id: Option<String>,
    /// Days that automatic snapshots are kept.
    pub snapshot_retention_days: i64,
    /// When they are taken.
    pub snapshot_window: String,
    /// How often the login gets a new password; none: only when asked.
    pub login_rotation_interval: Option<Duration>,
    /// What is done about drift.
    pub drift_policy: DriftPolicy,
    /// What becomes of it with the platform.
    pub deletion_policy: DatabaseDeletionPolicy,
}

impl AwsCache {
    /// The engine in AWS's word.
    #[must_use]
    pub fn engine_name(&self) -> &'static str {
        match self.engine {
            CacheEngine::Valkey => "valkey",
            CacheEngine::Redis => "redis",
        }
    }

    /// The major version.
    #[must_use]
    pub fn major_version(&self) -> &str {
        self.version.split('.').next().unwrap_or(&self.version)
    }

    /// Which changes wait for what, and the window. AWS changes a serverless cache without interruption.
    #[must_use]
    pub fn maintenance(&self) -> (Restarts, Window) {
        match &self.shape {
            Shape::Nodes(nodes) => (nodes.restarts, nodes.maintenance_window),
            Shape::Serverless(_) => (Restarts::WhenApproved, Window::default()),
        }
    }
}

/// What a cache is made of.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// A replication group.
    Nodes(Nodes),
    /// A serverless cache.
    Serverless(Bounds),
}

/// A replication group.
#[derive(Clone, Debug, PartialEq)]
pub struct Nodes {
    /// Type of its nodes.
    pub node_type: String,
    /// Replicas of each primary.
    pub replicas: i64,
    /// Shards; none: no cluster mode.
    pub shards: Option<i64>,
    /// Whether nodes lie in several zones.
    pub multi_az: bool,
    /// Whether AWS installs minor versions.
    pub auto_minor_version_upgrade: bool,
    /// The engine's parameters.
    pub parameters: BTreeMap<String, String>,
    /// A snapshot that it begins with.
    pub snapshot_name: Option<String>,
    /// When what interrupts is done.
    pub maintenance_window: Window,
    /// Which changes wait for what.
    pub restarts: Restarts,
    /// Where its logs go.
    pub logs: BTreeMap<CacheLog, LogDestination>,
}

impl Nodes {
    /// Whether a replica takes over from a primary that fails. Cluster mode has it always.
    #[must_use]
    pub fn automatic_failover(&self) -> bool {
        self.replicas > 0 || self.shards.is_some()
    }
}

/// Where a log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogDestination {
    /// A log group of CloudWatch Logs.
    LogGroup(String),
    /// A delivery stream of Amazon Data Firehose.
    DeliveryStream(String),
}

/// Bounds of a serverless cache; a least of 0 is AWS's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Storage in GB, least and most.
    pub storage: (i64, i64),
    /// ElastiCache Processing Units a second, least and most.
    pub ecpu: (i64, i64),
}
