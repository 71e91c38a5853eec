//! The token by which the operator's pods act ends.

use crate::judge;
use anyhow::{Context, Result, ensure};
use e2e::kind::{Cluster, OPERATOR, OPERATOR_NAMESPACE, flow::Flow, helm, node, record::Row};
use k8s_openapi::api::{
    apps::v1::Deployment,
    authentication::v1::{TokenReview, TokenReviewSpec},
};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use std::time::Duration;

const MESSAGES: u32 = 330;
/// The shortest life that the API server gives a token.
const LIFE: Duration = Duration::from_secs(600);
/// Past the end of the first token.
const LENGTH: Duration = Duration::from_secs(660);
const REST: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes twelve minutes; `make faults` runs it"]
async fn the_operators_token_expires() -> Result<()> {
    let cluster = Cluster::connect().await?;
    let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), OPERATOR_NAMESPACE);
    let short = json!({"spec": {"template": {"spec": {
        "automountServiceAccountToken": false,
        "volumes": [{"name": "access", "projected": {"sources": [
            {"serviceAccountToken": {"path": "token", "expirationSeconds": LIFE.as_secs()}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
        ]}}],
        "containers": [{"name": "operator", "volumeMounts": [
            {"name": "access", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": true},
        ]}],
    }}}});
    deployments.patch(OPERATOR, &PatchParams::default(), &Patch::Strategic(short)).await?;
    helm::rolled_out().await?;

    let flow = Box::pin(Flow::begin(&cluster, "token", cluster.aws_spec())).await?;
    let leader = Box::pin(cluster.leader()).await?.uid().context("a pod has a uid")?;
    let file = format!("/var/lib/kubelet/pods/{leader}/volumes/kubernetes.io~projected/access/token");
    let first = node::run(&["cat", &file]).await?;
    ensure!(is_good(&cluster, &first).await?, "the token is good at first");
    let terms = flow.replicas.now().terms.len();
    flow.send(0..MESSAGES, LENGTH).await??;
    ensure!(!is_good(&cluster, &first).await?, "the token has expired");
    let tally = Box::pin(flow.settled(MESSAGES, REST)).await?;
    let seen = flow.replicas.now().terms;
    let done = format!(
        "service account tokens of {} s; the one that the leader began with was refused at the end, and the same replica led all the time",
        LIFE.as_secs()
    );
    let restarts = flow.replicas.restarts();
    judge(&Row { scenario: "token expired", done, tally, restarts, ..Row::default() })?;
    ensure!(seen.len() == terms, "it led all the time: {seen:?}");
    Box::pin(flow.end()).await?;
    helm::undo().await
}

async fn is_good(cluster: &Cluster, token: &str) -> Result<bool> {
    let spec = TokenReviewSpec { token: Some(token.to_owned()), ..TokenReviewSpec::default() };
    let review = TokenReview { spec, ..TokenReview::default() };
    let review = Api::all(cluster.client.clone()).create(&PostParams::default(), &review).await?;
    Ok(review.status.and_then(|status| status.authenticated).unwrap_or_default())
}
