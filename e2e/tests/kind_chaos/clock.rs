//! The leader's clock jumps.

use crate::judge;
use anyhow::{Context, Result, ensure};
use e2e::kind::{
    Check, Cluster, OPERATOR, OPERATOR_NAMESPACE, eventually, flow::Flow, helm, image, node, record::Row,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{apps::v1::Deployment, coordination::v1::Lease};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;
use std::{path::Path, time::Duration};
use tokio::time::sleep;

const MESSAGES: u32 = 400;
const LENGTH: Duration = Duration::from_secs(160);
/// How long the clock is wrong.
const WRONG: Duration = Duration::from_secs(60);
const REST: Duration = Duration::from_secs(240);
/// Of Debian's package `libfaketime`.
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
/// Its own environment: wall-clock time is what the file says, read at each call; monotonic time is true.
const SETTINGS: &str = "COPY libfaketimeMT.so.1 /usr/local/lib/
ENV LD_PRELOAD=/usr/local/lib/libfaketimeMT.so.1 FAKETIME_TIMESTAMP_FILE=/clock/offset \
    FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1 DONT_FAKE_MONOTONIC=1";

/// An hour ahead, and after a minute back again: a jump of an hour each way. The other replica's clock is right.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; `make faults` runs it"]
async fn the_leaders_clock_jumps_an_hour_ahead_and_back() -> Result<()> {
    let cluster = Cluster::connect().await?;
    let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), OPERATOR_NAMESPACE);
    let operator = Box::pin(deployments.get(OPERATOR)).await?;
    let tag = Box::pin(image::upon(&operator, "clock", SETTINGS, &[Path::new(LIBRARY)])).await?;
    let values = helm::values().await?;
    let mut faked = values.clone();
    faked["image"]["tag"] = json!(tag);
    helm::upgrade_tree(&faked).await?;
    let with_a_clock = json!({"spec": {"template": {"spec": {
        "volumes": [{"name": "clock", "emptyDir": {}}],
        "containers": [{"name": "operator", "volumeMounts": [{"name": "clock", "mountPath": "/clock"}]}],
    }}}});
    deployments.patch(OPERATOR, &PatchParams::default(), &Patch::Strategic(with_a_clock)).await?;
    helm::rolled_out().await?;

    let flow = Box::pin(Flow::begin(&cluster, "clock", cluster.aws_spec())).await?;
    let terms = flow.replicas.now().terms.len();
    let sending = flow.send(0..MESSAGES, LENGTH);
    flow.succeeded(50).await?;
    Box::pin(jump(&cluster)).await?;
    sending.await??;
    let tally = Box::pin(flow.settled(MESSAGES, REST)).await?;
    let seen = flow.replicas.now().terms;
    let restarts = flow.replicas.restarts();
    let done = format!(
        "the leader's wall clock an hour ahead for {} s and back; it led all the time",
        WRONG.as_secs()
    );
    judge(&Row { scenario: "clock jumped", done, tally, restarts, ..Row::default() })?;
    ensure!(seen.len() == terms, "a clock moves no lease: {seen:?}");
    Box::pin(flow.end()).await?;
    helm::undo().await?;
    helm::upgrade_tree(&values).await
}

/// Puts the leader's clock an hour ahead, and back.
async fn jump(cluster: &Cluster) -> Result<()> {
    let leader = Box::pin(cluster.leader()).await?.uid().context("a pod has a uid")?;
    let file = format!("/var/lib/kubelet/pods/{leader}/volumes/kubernetes.io~empty-dir/clock/offset");
    node::write(&file, "+3600").await?;
    let ahead = renewed_ahead(cluster).await;
    sleep(WRONG).await;
    node::write(&file, "+0").await?;
    ahead
}

/// Waits until the leader writes a time to its lease that is ahead: its clock did jump.
async fn renewed_ahead(cluster: &Cluster) -> Result<()> {
    let leases: Api<Lease> = Api::namespaced(cluster.client.clone(), OPERATOR_NAMESPACE);
    eventually("the lease is renewed by the leader's clock", Duration::from_secs(30), async || {
        let renewed = leases.get(OPERATOR).await?.spec.and_then(|spec| spec.renew_time);
        let ahead = renewed.as_ref().map(|at| at.0.duration_since(Timestamp::now()));
        let jumped = ahead.is_some_and(|ahead| ahead > SignedDuration::from_mins(30));
        Ok(if jumped { Check::Done(()) } else { Check::NotYet(format!("{renewed:?}")) })
    })
    .await
}
