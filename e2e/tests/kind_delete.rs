//! Deleting a platform: what goes, what stays, and what is said while AWS does not answer.

use anyhow::{Context, Result, ensure};
use aws_sdk_s3::primitives::ByteStream;
use e2e::kind::{
    Check, Cluster, Platform, clip, eventually, helm,
    jobs::JobHistory,
    platform::{Transcoding, condition},
    relay::Relay,
    spec,
};
use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    autoscaling::v2::HorizontalPodAutoscaler,
    batch::v1::Job,
    core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::{ResourceExt, api::ListParams};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::{collections::BTreeSet, fmt::Debug, time::Duration};
use streaming_operator::api::{
    ConditionReason, ConditionType,
    names::{FIELD_MANAGER, LABEL_MANAGED_BY},
};

const READY: Duration = Duration::from_secs(240);
const SOON: Duration = Duration::from_secs(60);

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

    in_the_cluster(&platform).await?;
    in_aws(&platform, &aws).await?;

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
    let worker = json!({
        "autoscaling": {"minReplicas": 1, "maxReplicas": 2},
        "resources": spec::component()["resources"],
    });
    json!({
        "aws": cluster.aws_spec(),
        "backend": spec::component(),
        "worker": worker,
        "transcoding": transcoding,
        "database": spec::embedded("Retain"),
        "cache": spec::embedded("Delete"),
    })
}

async fn in_the_cluster(platform: &Platform) -> Result<()> {
    none::<Job>(platform).await?;
    none::<Pod>(platform).await?;
    none::<Deployment>(platform).await?;
    none::<StatefulSet>(platform).await?;
    none::<Service>(platform).await?;
    none::<ServiceAccount>(platform).await?;
    none::<ConfigMap>(platform).await?;
    none::<HorizontalPodAutoscaler>(platform).await?;
    none::<PodDisruptionBudget>(platform).await?;
    none::<NetworkPolicy>(platform).await?;
    kept::<PersistentVolumeClaim>(platform, "the database's volume", |name| name.contains("tv-database"))
        .await?;
    kept::<Secret>(platform, "the database's password", |name| name.contains("tv-database")).await
}

async fn none<K>(platform: &Platform) -> Result<()>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    K::DynamicType: Default,
{
    left::<K>(platform, "nothing", BTreeSet::is_empty).await
}

async fn kept<K>(platform: &Platform, what: &str, wanted: impl Fn(&str) -> bool) -> Result<()>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    K::DynamicType: Default,
{
    left::<K>(platform, what, |names| !names.is_empty() && names.iter().all(|name| wanted(name))).await
}

/// Waits until of the operator's objects of a kind only the wanted are left: garbage collection takes a moment.
async fn left<K>(platform: &Platform, what: &str, wanted: impl Fn(&BTreeSet<String>) -> bool) -> Result<()>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    K::DynamicType: Default,
{
    let ours = ListParams::default().labels(&format!("{LABEL_MANAGED_BY}={FIELD_MANAGER}"));
    let what = format!("of {} {what} is left", K::plural(&K::DynamicType::default()));
    eventually(&what, SOON, async || {
        let names: BTreeSet<_> =
            platform.objects::<K>().list_metadata(&ours).await?.iter().map(ResourceExt::name_any).collect();
        Ok(if wanted(&names) { Check::Done(()) } else { Check::NotYet(format!("{names:?}")) })
    })
    .await
}

/// Queue and uploads stay, the message is back on the queue, outputs are gone with their bucket.
async fn in_aws(platform: &Platform, names: &Transcoding) -> Result<()> {
    let aws = &platform.cluster.aws;
    let depth = aws.depth(&names.queue).await.context("the queue is kept")?;
    ensure!(depth.visible == 1 && depth.in_flight == 0, "the message is back on the queue: {depth:?}");
    ensure!(aws.has_queue(&names.dead_letters).await?, "the dead-letter queue is kept");
    ensure!(aws.list(&names.input, "").await?.contains_key("a.mp4"), "uploads are kept");
    ensure!(!aws.has_bucket(&names.output).await?, "the output bucket is deleted");
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
