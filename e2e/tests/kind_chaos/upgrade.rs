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

/// To another build of the same version and back, by Helm's upgrade and rollback.
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
    let mut values = helm::values().await?;
    values["image"]["tag"] = json!(next);
    helm::upgrade_tree(&values).await?;

    flow.succeeded(200).await?;
    in_flight.push(flow.jobs.now().active().count());
    let rollback = ["rollback", OPERATOR, "--namespace", OPERATOR_NAMESPACE, "--wait", "--timeout", "3m"];
    helm::run("HELM", &rollback).await?;

    ensure!(in_flight.iter().all(|jobs| *jobs > 0), "Jobs are in flight each time: {in_flight:?}");
    sending.await??;
    let tally = Box::pin(flow.settled(MESSAGES, REST)).await?;
    let takeovers = flow.replicas.hand_overs();
    ensure!(takeovers.len() >= 2, "the lease is handed over each time: {:?}", flow.replicas.now().terms);
    let done = format!(
        "`helm upgrade` to another build with {} Jobs in flight, `helm rollback` with {}; takeover is the time without a holder of the lease",
        in_flight[0], in_flight[1]
    );
    let restarts = flow.replicas.restarts();
    judge(&Row { scenario: "upgrade and downgrade", done, tally, takeovers, restarts, ..Row::default() })?;
    Box::pin(flow.end()).await
}
