//! `spec.aws`: the account and region that a platform's AWS resources live in.

use k8s_openapi::api::core::v1::LocalObjectReference;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How the operator and the platform's pods reach AWS.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("!(has(self.roleARN) && has(self.credentialsSecretRef))",
    "aws: set roleARN or credentialsSecretRef, not both: the operator either assumes a role with its own identity or uses the keys of a Secret"))]
pub struct Aws {
    /// AWS region, for example `ap-south-1`.
    #[schemars(length(max = 32), regex(pattern = r"^[a-z]{2}(-[a-z]+)+-[0-9]$"))]
    pub region: String,

    /// ARN of a role that the operator assumes with its own identity. The administrator decides which
    /// roles a namespace may use (`--allowed-role-arns`).
    #[serde(default, rename = "roleARN", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), regex(pattern = r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/.+$"))]
    pub role_arn: Option<String>,

    /// Secret with the keys `accessKeyID`, `secretAccessKey` and, if temporary, `sessionToken`; for
    /// emulators and clusters outside AWS. It is handed to the pods that need it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<LocalObjectReference>,

    /// URL of an emulator or VPC endpoint that stands in for AWS. Only what the operator's
    /// `--allowed-aws-endpoints` admits.
    #[serde(default, rename = "endpointURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), regex(pattern = r"^https?://[^/?#@]+/?$"))]
    pub endpoint_url: Option<String>,

    /// Tags put on every AWS resource that the operator makes, besides its own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 40))]
    #[x_kube(validation = ("self.all(k, size(k) <= 128 && !k.startsWith('aws:') && !k.startsWith('streamingplatform.dev/'))",
        "aws.tags: a key has at most 128 characters and starts neither with `aws:` nor with `streamingplatform.dev/`"))]
    pub tags: BTreeMap<String, String>,
}
