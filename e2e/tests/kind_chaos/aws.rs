//! AWS is cut off, slow, or throttles.

use crate::judge;
use anyhow::Result;
use e2e::kind::{
    Cluster,
    faulty::{Fault, Faulty},
    flow::{Flow, Tally},
    platform::{condition, observed},
    record::Row,
};
use serde_json::json;
use std::time::Duration;
use streaming_operator::api::{ConditionReason, ConditionType, StreamingPlatform};
use tokio::time::sleep;

const MESSAGES: u32 = 300;
const LENGTH: Duration = Duration::from_secs(100);
/// How long the fault lasts.
const FAULT: Duration = Duration::from_secs(60);
/// How soon the status tells of a fault, or of its end.
const TOLD: Duration = Duration::from_secs(90);
const REST: Duration = Duration::from_secs(240);

/// Runs a flow through a fault of AWS. `told`: the status has to name it while it lasts.
async fn through(name: &str, scenario: &'static str, fault: Fault, told: bool) -> Result<()> {
    let cluster = Cluster::connect().await?;
    let faulty = Faulty::open(&cluster.aws.endpoint).await?;
    let mut aws = cluster.aws_spec();
    aws["endpointURL"] = json!(faulty.url);
    let flow = Box::pin(Flow::begin(&cluster, name, aws)).await?;
    let result = Box::pin(broken(&flow, &faulty, fault, told)).await;
    faulty.set(Fault::None);
    let (tally, done) = result?;
    let restarts = flow.replicas.restarts();
    judge(&Row { scenario, done, tally, restarts, ..Row::default() })?;
    Box::pin(flow.end()).await
}

async fn broken(flow: &Flow, faulty: &Faulty, fault: Fault, told: bool) -> Result<(Tally, String)> {
    let sending = flow.send(0..MESSAGES, LENGTH);
    flow.succeeded(20).await?;
    let (_, before) = faulty.hit();
    faulty.set(fault);
    let (told_within, ()) = tokio::try_join!(tell(flow, told), async {
        sleep(FAULT).await;
        Ok(())
    })?;
    let (hit, all) = faulty.hit();
    faulty.set(Fault::None);
    let over = |platform: &_| observed(platform) && serves(platform);
    Box::pin(flow.platform.wait("the status tells that it is over", TOLD, over)).await?;
    sending.await??;
    let tally = Box::pin(flow.settled(MESSAGES, REST)).await?;
    let told = told_within.map_or_else(String::new, |message| format!("; status: `{message}`"));
    let how = match fault {
        Fault::Cut => "connections dropped".to_owned(),
        _ => format!("{hit} of {} requests hit", all - before),
    };
    Ok((tally, format!("{how} for {} s{told}", FAULT.as_secs())))
}

/// What the status says of the fault.
async fn tell(flow: &Flow, told: bool) -> Result<Option<String>> {
    if !told {
        return Ok(None);
    }
    let platform = Box::pin(flow.platform.wait("the status names the fault", TOLD, serves_not)).await?;
    let (_, _, message) = condition(&platform, ConditionType::TranscodingReady).unwrap_or_default();
    // Without the queue's name, which is another one in each run.
    Ok(message.rsplit(": ").next().map(str::to_owned))
}

fn serves(platform: &StreamingPlatform) -> bool {
    condition(platform, ConditionType::TranscodingReady).is_some_and(|(good, ..)| good)
}

fn serves_not(platform: &StreamingPlatform) -> bool {
    condition(platform, ConditionType::TranscodingReady)
        .is_some_and(|(good, reason, _)| !good && reason == ConditionReason::CallFailed.to_string())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; `make faults` runs it"]
async fn aws_is_cut_off() -> Result<()> {
    Box::pin(through("cut", "AWS cut off", Fault::Cut, true)).await
}

/// Each answer comes after five seconds, those of long polls too: slow, and still in time.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; `make faults` runs it"]
async fn aws_is_slow() -> Result<()> {
    Box::pin(through("slow", "AWS slow by 5 s", Fault::Slow(Duration::from_secs(5)), false)).await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; `make faults` runs it"]
async fn aws_throttles_three_calls_of_ten() -> Result<()> {
    Box::pin(through("throttled", "AWS throttles 30 %", Fault::Throttled(3), false)).await
}
