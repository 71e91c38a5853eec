//! Deleting a platform: what goes, what stays, and what is said while AWS does not answer.

use anyhow::{Context, Result, ensure};
use aws_sdk_s3::primitives::ByteStream;
use e2e::kind::{
    Cluster, Platform,
    aws::Aws,
    clip, helm, inventory,
    jobs::JobHistory,
    platform::{Transcoding, condition},
    relay::Relay,
    spec,
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};
use streaming_operator::api::{ConditionReason, ConditionType};

const READY: Duration = Duration::from_secs(240);
const SOON: Duration = Duration::from_secs(60);
/// What is kept in the namespace: the database's volume, and the password that opens it.
const KEPT: [&str; 2] = ["PersistentVolumeClaim/data-tv-database-0", "Secret/tv-database"];

#[tokio::test(flavor = "multi_thread")]
async fn deletion_ends_running_jobs_and_keeps_exactly_what_the_spec_keeps() -> Result<()> {
    let cluster = Cluster::connect().await?;
    let namespace = cluster.namespace("delete").await?;
    let platform = cluster.platform(&namespace, "tv");
    let jobs = JobHistory::follow(&cluster.client, &namespace);
    platform.apply(&spec_with_policies(&cluster)).await?;
    Box::pin(platform.ready(READY)).await?;
    let aws = Box::pin(platform.transcoding(SOON)).await?;
    let password = platform.secret("tv-database", "password").await?;

    cluster.aws.put(&aws.input, "a.mp4", clip::video(2, false, 0).await?).await?;
    let extra = cluster.aws.s3.put_object().bucket(&aws.output).key("by-hand.txt");
    extra.body(ByteStream::from_static(b"outputs go with all that is in them")).send().await?;
    jobs.wait("a Job runs", SOON, |history| history.active().count() == 1).await?;
    platform.delete().await?;
    platform.gone(Duration::from_secs(120)).await?;
    jobs.wait("no Job is left", SOON, |history| history.jobs.values().all(|job| job.deleted)).await?;

    inventory::holds_exactly(&cluster, &namespace, &KEPT, SOON).await?;
    in_aws(&cluster.aws, &aws).await?;

    // What was kept is taken up again by a platform of the same name, and opened with what was kept with it.
    platform.apply(&json!({"database": spec::embedded("Delete")})).await?;
    Box::pin(platform.ready(READY)).await?;
    ensure!(
        platform.secret("tv-database", "password").await? == password,
        "the kept volume has a new password"
    );
    platform.delete().await?;
    platform.gone(SOON).await?;
    for url in [&aws.queue, &aws.dead_letters, &aws.events] {
        cluster.aws.sqs.delete_queue().queue_url(url).send().await?;
    }
    cluster.delete_namespace(&namespace).await
}

/// Some of everything; kept are the database, the queue and the uploads.
fn spec_with_policies(cluster: &Cluster) -> Value {
    let mut transcoding = spec::transcoding();
    transcoding["queue"]["deletionPolicy"] = json!("Retain");
    transcoding["input"]["deletionPolicy"] = json!("Retain");
    transcoding["drainTimeout"] = json!("5s");
    transcoding["job"]["podTemplate"] = spec::held();
    let mut frontend = spec::component();
    frontend["route"] = json!({"hostname": "tv.example.com"});
    let worker = json!({
        "autoscaling": {"minReplicas": 1, "maxReplicas": 2},
        "resources": spec::component()["resources"],
    });
    json!({
        "aws": cluster.aws_spec(),
        "frontend": frontend,
        "backend": spec::component(),
        "worker": worker,
        "transcoding": transcoding,
        "database": spec::embedded("Retain"),
        "cache": spec::embedded("Delete"),
    })
}

/// The queues and the uploads stay, the message is back on the queue, outputs are gone with their bucket.
async fn in_aws(aws: &Aws, names: &Transcoding) -> Result<()> {
    let prefix = names.input.strip_suffix("input").context("the bucket's name ends with its part")?;
    let kept = ["transcoding", "dead-letter", "events", "input"].map(|part| format!("{prefix}{part}"));
    let found = aws.names(prefix).await?;
    ensure!(found == BTreeSet::from(kept), "kept are {found:?}");
    let depth = aws.depth(&names.queue).await?;
    ensure!(depth.visible == 1 && depth.in_flight == 0, "the message is back on the queue: {depth:?}");
    ensure!(aws.list(&names.input, "").await?.contains_key("a.mp4"), "uploads are kept");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_that_does_not_answer_is_named_in_the_status_until_it_does() -> Result<()> {
    let cluster = Cluster::connect().await?;
    let namespace = cluster.namespace("wedged").await?;
    let relay = Relay::to(&cluster.aws.endpoint).await?;
    let values = helm::values().await?;
    let mut allowed = values.clone();
    allowed["aws"]["allowedEndpoints"] = json!([cluster.aws.endpoint, relay.url]);
    helm::upgrade_tree(&allowed).await?;

    let platform = cluster.platform(&namespace, "tv");
    let result = Box::pin(wedge(&platform, &relay)).await;
    relay.open();
    let gone = platform.gone(Duration::from_secs(120)).await;
    helm::upgrade_tree(&values).await?;
    result?;
    gone.context("once AWS answers, the deletion goes on")?;
    cluster.delete_namespace(&namespace).await
}

async fn wedge(platform: &Platform, relay: &Relay) -> Result<()> {
    let mut aws = platform.cluster.aws_spec();
    aws["endpointURL"] = json!(relay.url);
    platform.apply(&json!({"aws": aws, "transcoding": spec::transcoding()})).await?;
    Box::pin(platform.transcoding(SOON)).await?;

    relay.shut();
    platform.delete().await?;
    Box::pin(platform.wait("status tells what the deletion waits for", SOON, |platform| {
        condition(platform, ConditionType::Ready).is_some_and(|(_, reason, message)| {
            reason == ConditionReason::Deleting.to_string() && message.contains("could not be sent")
        })
    }))
    .await?;
    Ok(())
}
