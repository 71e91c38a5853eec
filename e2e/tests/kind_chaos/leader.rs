//! The leader is killed, again and again.

use crate::judge;
use anyhow::Result;
use e2e::kind::{Cluster, flow::Flow, record::Row};
use std::time::Duration;
use tokio::time::{Instant, interval_at};

const MESSAGES: u32 = 2000;
const LENGTH: Duration = Duration::from_secs(600);
const KILLS: u32 = 10;
/// How long the rest may take after the last message.
const REST: Duration = Duration::from_secs(180);

/// Every other time its pod goes with the process, so that no container of the same name takes the lease up again.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a quarter of an hour; `make faults` runs it"]
async fn the_leader_is_killed_every_minute_while_messages_flow() -> Result<()> {
    let cluster = Cluster::connect().await?;
    let flow = Box::pin(Flow::begin(&cluster, "leader", cluster.aws_spec())).await?;
    let sending = flow.send(0..MESSAGES, LENGTH);
    let every = LENGTH / KILLS;
    let mut minutes = interval_at(Instant::now() + every / 2, every);
    let (mut takeovers, mut restarts_asked) = (Vec::new(), 0);
    for kill in 0..KILLS {
        minutes.tick().await;
        let killed = if kill % 2 == 0 {
            restarts_asked += 1;
            Box::pin(cluster.kill_leader()).await?.1
        } else {
            Box::pin(cluster.kill_leader_with_its_pod()).await?
        };
        takeovers.push(flow.replicas.takeover(killed).await?);
    }
    sending.await??;
    let tally = Box::pin(flow.settled(MESSAGES, REST)).await?;
    let done = format!(
        "killed by SIGKILL {KILLS} times in {} s, {restarts_asked} times with its pod left to restart it, else with its pod",
        LENGTH.as_secs()
    );
    let restarts = flow.replicas.restarts();
    judge(&Row { scenario: "leader killed", done, tally, takeovers, restarts_asked, restarts })?;
    Box::pin(flow.end()).await
}
