//! Two replicas, one leader.

use super::{DEADLINE, components};
use anyhow::{Context, Result};
use e2e::{
    apiserver::{ApiServer, Operator},
    kind::{Check, eventually},
};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use std::time::{Duration, Instant};
use streaming_operator::api::StreamingPlatform;

const LEASE: &str = "streaming-operator";

fn leads(operator: &Operator) -> bool {
    operator.metrics.render().is_ok_and(|text| text.contains("\nstreaming_operator_leader 1\n"))
}

/// Waits until `operator` leads; how long that took.
async fn until_leads(operator: &Operator, deadline: Duration) -> Result<Duration> {
    let begun = Instant::now();
    eventually("it leads", deadline, async || {
        Ok(if leads(operator) { Check::Done(()) } else { Check::NotYet("it does not".into()) })
    })
    .await?;
    Ok(begun.elapsed())
}

async fn two(name: &str) -> Result<(Client, String, Operator, Operator)> {
    let server = ApiServer::shared().await;
    let (client, namespace) = (server.client().await?, server.namespace(name).await?);
    let first = Operator::replica(server, &namespace, "first").await?;
    until_leads(&first, DEADLINE).await?;
    let second = Operator::replica(server, &namespace, "second").await?;
    Ok((client, namespace, first, second))
}

/// Applies a platform and waits until someone has observed it.
async fn acts(client: &Client, namespace: &str, name: &str) -> Result<()> {
    let platforms = Api::<StreamingPlatform>::namespaced(client.clone(), namespace);
    let platform = serde_json::from_value(json!({
        "apiVersion": "streamingplatform.dev/v1alpha1", "kind": "StreamingPlatform",
        "metadata": {"name": name}, "spec": components(),
    }))?;
    platforms.create(&PostParams::default(), &platform).await?;
    eventually("it is observed", DEADLINE, async || {
        let status = platforms.get(name).await?.status;
        Ok(if status.is_some() { Check::Done(()) } else { Check::NotYet("no status".into()) })
    })
    .await
}

#[tokio::test]
async fn a_stop_hands_over_within_two_seconds() -> Result<()> {
    let (client, namespace, first, second) = two("release").await?;
    acts(&client, &namespace, "one").await?;
    assert!(!leads(&second) && second.requests.writes().is_empty(), "only the leader acts");
    let begun = Instant::now();
    let (stopped, took) = tokio::join!(first.stop(), until_leads(&second, DEADLINE));
    stopped?;
    took?;
    assert!(begun.elapsed() <= Duration::from_secs(2), "took {:?}", begun.elapsed());
    acts(&client, &namespace, "two").await?;
    second.stop().await
}

#[tokio::test]
async fn after_a_crash_another_leads_within_twenty_seconds() -> Result<()> {
    let (client, namespace, first, second) = two("crash").await?;
    first.crash();
    let took = until_leads(&second, DEADLINE).await?;
    assert!(took <= Duration::from_secs(20), "took {took:?}");
    assert!(took >= Duration::from_secs(5), "a lease that is held is not taken at once: {took:?}");
    acts(&client, &namespace, "one").await?;
    second.stop().await
}

#[tokio::test]
async fn a_candidate_is_ready_and_says_that_it_does_not_lead() -> Result<()> {
    let (_, _, first, second) = two("admin").await?;
    let (url, stop) = second.admin().await?;
    eventually("it is ready", DEADLINE, async || {
        let answer = reqwest::get(format!("{url}/ready")).await?;
        let ready = answer.status().is_success();
        Ok(if ready { Check::Done(()) } else { Check::NotYet(answer.text().await?) })
    })
    .await?;
    assert!(reqwest::get(format!("{url}/live")).await?.status().is_success());
    let metrics = reqwest::get(format!("{url}/metrics")).await?.text().await?;
    assert!(metrics.contains("\nstreaming_operator_leader 0\n"), "{metrics}");
    stop.cancel();
    first.stop().await?;
    second.stop().await
}

/// Someone else writes their name into the lease, and goes away. The process that led takes it up again.
#[tokio::test]
async fn a_leader_that_lost_its_lease_stops_acting_and_leads_again() -> Result<()> {
    let (client, namespace, first, second) = two("lost").await?;
    second.crash();
    acts(&client, &namespace, "one").await?;
    let usurper = json!({"spec": {"holderIdentity": "usurper"}});
    let leases = Api::<Lease>::namespaced(client.clone(), &namespace);
    leases.patch(LEASE, &PatchParams::default(), &Patch::Merge(&usurper)).await?;
    eventually("it leads no more", DEADLINE, async || {
        Ok(if leads(&first) { Check::NotYet("it does".into()) } else { Check::Done(()) })
    })
    .await?;
    until_leads(&first, DEADLINE).await?;
    let lease = leases.get(LEASE).await?.spec.context("a record")?;
    assert_eq!(lease.holder_identity.as_deref(), Some("first"));
    acts(&client, &namespace, "two").await?;
    first.stop().await
}
