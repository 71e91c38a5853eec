//! Whose fields are whose.

use super::{Test, components};
use anyhow::Result;
use futures::{StreamExt, pin_mut};
use k8s_openapi::api::{apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler, core::v1::Service};
use kube::{
    ResourceExt,
    runtime::{WatchStreamExt, watcher},
};
use serde_json::json;

#[tokio::test]
async fn a_field_of_ours_that_drifts_comes_back() -> Result<()> {
    let test = Test::start("drift").await?;
    test.apply("tv", components()).await?;
    test.ready("tv").await?;
    test.merge::<Deployment>("tv-backend", json!({"spec": {"replicas": 7}})).await?;
    test.until("tv-backend", "replicas are back", |deployment: Deployment| {
        match deployment.spec.and_then(|spec| spec.replicas) {
            Some(1) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    test.delete::<Service>("tv-backend").await?;
    test.until("tv-backend", "the Service is back", |_: Service| Ok(())).await?;
    test.operator.stop().await
}

#[tokio::test]
async fn fields_of_others_survive() -> Result<()> {
    let test = Test::start("foreign").await?;
    test.apply("tv", components()).await?;
    test.ready("tv").await?;
    let foreign = json!({
        "metadata": {"annotations": {"example.com/note": "keep"}, "labels": {"team": "video"}},
        "spec": {"minReadySeconds": 1},
    });
    test.merge::<Deployment>("tv-backend", foreign).await?;
    let mut spec = components();
    spec["backend"]["image"] = json!("test/app:2");
    test.apply("tv", spec).await?;
    let deployment = test
        .until("tv-backend", "the new image", |deployment: Deployment| {
            let image =
                deployment.spec.as_ref().unwrap().template.spec.as_ref().unwrap().containers[0].image.clone();
            if image.as_deref() == Some("test/app:2") { Ok(deployment) } else { Err(format!("{image:?}")) }
        })
        .await?;
    assert_eq!(deployment.annotations()["example.com/note"], "keep");
    assert_eq!(deployment.labels()["team"], "video");
    assert_eq!(deployment.spec.unwrap().min_ready_seconds, Some(1));
    test.operator.stop().await
}

#[tokio::test]
async fn replicas_are_handed_to_the_autoscaler_without_a_dip() -> Result<()> {
    let test = Test::start("handover").await?;
    test.apply("tv", json!({"backend": {"image": "test/app:1", "replicas": 4}})).await?;
    test.ready("tv").await?;

    let config = watcher::Config::default().fields("metadata.name=tv-backend");
    let deployments = watcher(test.api::<Deployment>(), config).default_backoff().applied_objects();
    pin_mut!(deployments);
    let spec =
        json!({"backend": {"image": "test/app:1", "autoscaling": {"minReplicas": 2, "maxReplicas": 6}}});
    test.apply("tv", spec).await?;
    let seen = async {
        let mut seen = Vec::new();
        while let Some(Ok(deployment)) = deployments.next().await {
            seen.push(deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or_default());
            let ours = deployment.managed_fields().iter().any(|entry| {
                entry.manager.as_deref() == Some("streaming-operator")
                    && entry.fields_v1.as_ref().is_some_and(|f| f.0.pointer("/f:spec/f:replicas").is_some())
            });
            if !ours {
                return seen;
            }
        }
        seen
    };
    let seen = tokio::time::timeout(super::DEADLINE, seen).await?;
    assert!(seen.iter().all(|&replicas| replicas >= 4), "a dip: {seen:?}");
    test.api::<HorizontalPodAutoscaler>().get("tv-backend").await?;

    // From now on the number is the autoscaler's: what it sets stays.
    let converged = test.converged()?;
    test.merge::<Deployment>("tv-backend", json!({"spec": {"replicas": 5}})).await?;
    test.converges(converged).await?;
    test.ready("tv").await?;
    assert_eq!(test.deployment("tv-backend").await?.spec.unwrap().replicas, Some(5));
    test.operator.stop().await
}
