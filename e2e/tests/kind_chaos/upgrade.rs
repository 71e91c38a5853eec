//! The operator is upgraded and downgraded while Jobs run.

use crate::judge;
use anyhow::{Result, ensure};
use e2e::kind::{Cluster, OPERATOR, OPERATOR_NAMESPACE, flow::Flow, helm, image, record::Row};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use serde_json::json;
use std::time::Duration;

const MESSAGES: u32 = 400;
const LENGTH: Duration = Duration::from_secs(120);
const REST: Duration = Duration::from_secs(180);

/// To another image of the same program, and back as docs/operations.md says: with the older image and the newer schema,
/// which the next upgrade takes up again.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; `make faults` runs it"]
async fn an_upgrade_and_a_downgrade_meet_jobs_in_flight() -> Result<()> {
    let cluster = Cluster::connect().await?;
    let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), OPERATOR_NAMESPACE);
    let operator = Box::pin(deployments.get(OPERATOR)).await?;
    let next = image::upon(&operator, "next", "LABEL build=next", &[]).await?;
    let flow = Box::pin(Flow::begin(&cluster, "upgrade", cluster.aws_spec())).await?;
    let sending = flow.send(0..MESSAGES, LENGTH);
    let mut in_flight = Vec::new();

    flow.succeeded(50).await?;
    in_flight.push(flow.jobs.now().active().count());
    let values = helm::values().await?;
    let mut newer = values.clone();
    newer["image"]["tag"] = json!(next);
    helm::upgrade_tree(&newer).await?;

    flow.succeeded(200).await?;
    in_flight.push(flow.jobs.now().active().count());
    let mut older = values.clone();
    older["crds"] = json!({"install": false});
    helm::upgrade_tree(&older).await?;

    ensure!(in_flight.iter().all(|jobs| *jobs > 0), "Jobs are in flight each time: {in_flight:?}");
    sending.await??;
    let tally = Box::pin(flow.settled(MESSAGES, REST)).await?;
    helm::upgrade_tree(&values).await?;
    let takeovers = flow.replicas.hand_overs();
    ensure!(takeovers.len() >= 2, "the lease is handed over each time: {:?}", flow.replicas.now().terms);
    let done = format!(
        "`helm upgrade` to another image of the same program with {} Jobs in flight, and back, without the chart's CRD, with {}; takeover is the time without a holder of the lease",
        in_flight[0], in_flight[1]
    );
    let restarts = flow.replicas.restarts();
    judge(&Row { scenario: "upgrade and downgrade", done, tally, takeovers, restarts, ..Row::default() })?;
    Box::pin(flow.end()).await
}
