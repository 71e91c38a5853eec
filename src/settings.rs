//! What the administrator decides for all platforms: images, allow-lists, limits.

use std::time::Duration;

/// Settings of the operator, from its command line.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Images for what a platform leaves unsaid.
    pub images: Images,
    /// Base URLs that `spec.aws.endpointURL` may name; empty: none.
    pub allowed_aws_endpoints: Vec<String>,
    /// Which roles a namespace may assume; empty: none.
    pub allowed_roles: Vec<RolePattern>,
    /// Namespaces that are watched; empty: all.
    pub watch_namespaces: Vec<String>,
    /// A reconcile of every platform at least this often, as a net below the watches.
    pub resync: Duration,
}

/// Images that the operator brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// The bundled frontend.
    pub frontend: String,
    /// The bundled backend.
    pub backend: String,
    /// The bundled worker.
    pub worker: String,
    /// The bundled transcoder.
    pub transcoder: String,
    /// PostgreSQL, by the contract of the official `postgres` image.
    pub postgres: String,
    /// Redis or Valkey, by the contract of the official `redis` image.
    pub redis: String,
}

/// `namespace=arn-pattern`: platforms of the namespace (`*`: any) may assume roles whose ARN matches. `*` in
/// the pattern stands for any characters but `/` and `:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolePattern {
    /// The namespace, or `*`.
    pub namespace: String,
    /// The pattern.
    pub role_arn: String,
}
