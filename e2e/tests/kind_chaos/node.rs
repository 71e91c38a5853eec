//! A node is drained.

use crate::judge;
use anyhow::{Result, ensure};
use e2e::kind::{Cluster, flow::Flow, helm, record::Row};
use kube::{ResourceExt, api::EvictParams};
use std::time::Duration;

const MESSAGES: u32 = 300;
const LENGTH: Duration = Duration::from_secs(90);
const REST: Duration = Duration::from_secs(180);

/// One of the played nodes by `kubectl drain`, and from the only real one the operator's leader, by the same API.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; `make faults` runs it"]
async fn a_node_is_drained() -> Result<()> {
    let cluster = Cluster::connect().await?;
    let flow = Box::pin(Flow::begin(&cluster, "drain", cluster.aws_spec())).await?;
    let sending = flow.send(0..MESSAGES, LENGTH);
    flow.succeeded(50).await?;
    let drain = [
        "drain",
        flow.kwok.names[0].as_str(),
        "--ignore-daemonsets",
        "--delete-emptydir-data",
        "--timeout=60s",
    ];
    let drained = helm::run("KUBECTL", &drain).await?;
    let evicted = drained.lines().filter(|line| line.ends_with("evicted")).count();
    ensure!(evicted > 0, "Jobs ran on the node: {drained}");
    flow.succeeded(100).await?;
    let leader = Box::pin(cluster.leader()).await?.name_any();
    cluster.operator_pods().evict(&leader, &EvictParams::default()).await?;
    sending.await??;
    let tally = Box::pin(flow.settled(MESSAGES, REST)).await?;
    let takeovers = flow.replicas.hand_overs();
    ensure!(!takeovers.is_empty(), "the leader handed over: {:?}", flow.replicas.now().terms);
    let done = format!(
        "`kubectl drain` of a played node with {evicted} pods of Jobs; then the leader's pod evicted, takeover is the time without a holder of the lease"
    );
    let restarts = flow.replicas.restarts();
    judge(&Row { scenario: "node drained", done, tally, takeovers, restarts, ..Row::default() })?;
    Box::pin(flow.end()).await
}
