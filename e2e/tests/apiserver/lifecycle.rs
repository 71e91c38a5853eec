//! Suspending and deleting.

use super::{Test, components, condition};
use anyhow::Result;
use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::{PersistentVolumeClaim, Secret, Service},
};
use kube::api::ListParams;
use serde_json::json;
use streaming_operator::api::{ConditionType, StreamingPlatform};

#[tokio::test]
async fn a_suspended_platform_is_left_alone_and_told_of() -> Result<()> {
    let test = Test::start("suspend").await?;
    test.apply("tv", components()).await?;
    test.ready("tv").await?;
    let mut spec = components();
    spec["suspend"] = json!(true);
    spec["backend"]["image"] = json!("test/app:2");
    test.apply("tv", spec.clone()).await?;
    test.status("tv", "it says that it is suspended", |status| {
        condition(status, ConditionType::Reconciling).1 == "Suspended"
    })
    .await?;
    test.delete::<Service>("tv-backend").await?;
    test.merge::<Deployment>("tv-worker", json!({"spec": {"replicas": 0}})).await?;
    // The status goes on: it shows what became of the worker.
    test.status("tv", "the worker is seen to be gone", |status| {
        status.components.iter().any(|c| c.name == "worker" && c.available_replicas == 0)
    })
    .await?;
    assert!(test.api::<Service>().get_opt("tv-backend").await?.is_none());
    let image =
        |deployment: Deployment| deployment.spec.unwrap().template.spec.unwrap().containers[0].image.clone();
    assert_eq!(image(test.deployment("tv-backend").await?).as_deref(), Some("test/app:1"));

    spec["suspend"] = json!(false);
    test.apply("tv", spec).await?;
    test.ready("tv").await?;
    test.api::<Service>().get("tv-backend").await?;
    assert_eq!(image(test.deployment("tv-backend").await?).as_deref(), Some("test/app:2"));
    test.operator.stop().await
}

/// Applies a platform with a database, makes its volume as the StatefulSet does, and deletes the platform.
async fn deleted(name: &str, policy: &str) -> Result<Test> {
    let test = Test::start(name).await?;
    let mut spec = components();
    spec["database"] = json!({"provider": "Embedded", "deletionPolicy": policy});
    test.apply("tv", spec).await?;
    test.ready("tv").await?;
    test.delete::<StreamingPlatform>("tv").await?;
    test.gone::<StreamingPlatform>("tv").await?;
    for name in ["tv-frontend", "tv-backend", "tv-worker"] {
        test.gone::<Deployment>(name).await?;
        test.gone::<Service>(name).await?;
    }
    test.gone::<StatefulSet>("tv-database").await?;
    Ok(test)
}

#[tokio::test]
async fn what_a_deleted_platform_retains_keeps_what_opens_it() -> Result<()> {
    let test = deleted("retain", "Retain").await?;
    let volumes = test.api::<PersistentVolumeClaim>().list(&ListParams::default()).await?;
    assert_eq!(volumes.items.len(), 1);
    assert!(volumes.items[0].metadata.deletion_timestamp.is_none());
    test.api::<Secret>().get("tv-database").await?;

    // Made again under its name, the platform opens what was kept.
    let before = test.api::<Secret>().get("tv-database").await?.data;
    let mut spec = components();
    spec["database"] = json!({"provider": "Embedded"});
    test.apply("tv", spec).await?;
    test.ready("tv").await?;
    assert_eq!(test.api::<Secret>().get("tv-database").await?.data, before);
    test.operator.stop().await
}

#[tokio::test]
async fn what_shall_be_deleted_is() -> Result<()> {
    let test = deleted("delete", "Delete").await?;
    test.gone::<Secret>("tv-database").await?;
    test.operator.stop().await
}
