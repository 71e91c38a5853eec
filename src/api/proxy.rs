//! `spec.database.aws.proxy`: RDS Proxy before the database.

use super::schema;
use kube::{KubeSchema, core::Duration};
use serde::{Deserialize, Serialize};

/// RDS Proxy: pods connect to it, it keeps connections to the database and shares them, and holds those of pods
/// while the database fails over. Readers of an Aurora cluster are reached without it.
///
/// The logins of the pods are copied into two secrets in Secrets Manager, `<platform>-<hash>-login-a` and `-b`, which
/// it reads with a role of yours.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Proxy {
    /// Role that the proxy reads the two secrets with; it trusts `rds.amazonaws.com`.
    #[serde(rename = "roleARN")]
    #[schemars(length(max = 2048), regex(pattern = r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/.+$"))]
    pub role_arn: String,
    /// Subnets of at least two zones of the database's VPC that the proxy is in; `network.subnetIDs` when left out.
    #[serde(default, rename = "subnetIDs", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 20), extend("x-kubernetes-list-type" = "set"), inner(length(max = 64), regex(pattern = r"^subnet-[0-9a-z]+$")))]
    #[x_kube(validation = ("self.size() == oldSelf.size() && self.all(it, it in oldSelf)",
        "database.aws.proxy.subnetIDs is immutable, as AWS can't move a proxy: take the proxy out, wait until it is gone, and put it in again"))]
    pub subnet_ids: Option<Vec<String>>,
    /// Security groups of the proxy, which those of the database must admit; `network.securityGroupIDs` when left out.
    #[serde(default, rename = "securityGroupIDs", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 5), extend("x-kubernetes-list-type" = "set"), inner(length(max = 64), regex(pattern = r"^sg-[0-9a-z]+$")))]
    pub security_group_ids: Option<Vec<String>>,
    /// A pod's connection that is idle for so long is closed; 1s to 8h, 30m when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub idle_client_timeout: Option<Duration>,
    /// How long a pod waits for a connection when all are in use; up to 5m, 2m when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub connection_borrow_timeout: Option<Duration>,
    /// Share of the database's `max_connections` that the proxy may use, in percent; 100 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub max_connections_percent: Option<i32>,
    /// Share of them that it keeps open while nobody uses them, in percent; half of the former when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub max_idle_connections_percent: Option<i32>,
}
