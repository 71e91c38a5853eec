//! Secrets: their content rolls pods, and is seen nowhere else.

use super::{Test, condition};
use anyhow::Result;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Secret, events::v1::Event};
use kube::api::ListParams;
use serde_json::{Value, json};
use streaming_operator::api::{ConditionType, StreamingPlatform, names};

const SENTINEL: &str = "sentinel-of-a-secret";

fn spec() -> Value {
    json!({"backend": {
        "image": "test/app:1",
        "replicas": 1,
        "envFrom": [{"secretRef": {"name": "keys"}}],
    }})
}

fn hash(deployment: &Deployment) -> Option<String> {
    let metadata = deployment.spec.as_ref()?.template.metadata.as_ref()?;
    metadata.annotations.as_ref()?.get(names::ANNOTATION_CONFIG).cloned()
}

#[tokio::test]
async fn a_change_of_content_rolls_pods_once() -> Result<()> {
    let test = Test::start("content").await?;
    test.secret("keys", json!({"KEY": SENTINEL})).await?;
    test.apply("tv", spec()).await?;
    test.ready("tv").await?;
    let before = test.deployment("tv-backend").await?;

    // Another resource version, the same content: nothing happens.
    let converged = test.converged()?;
    test.merge::<Secret>("keys", json!({"metadata": {"labels": {"a": "b"}}})).await?;
    test.converges(converged).await?;
    let same = test.deployment("tv-backend").await?;
    assert_eq!(same.metadata.generation, before.metadata.generation);

    test.merge::<Secret>("keys", json!({"stringData": {"KEY": format!("{SENTINEL}-2")}})).await?;
    let after = test
        .until("tv-backend", "the pods are rolled", |deployment: Deployment| {
            if hash(&deployment) == hash(&before) { Err("the same hash".into()) } else { Ok(deployment) }
        })
        .await?;
    test.ready("tv").await?;
    let last = test.deployment("tv-backend").await?;
    assert_eq!(last.metadata.generation, before.metadata.generation.map(|n| n + 1), "once");
    assert_eq!(hash(&last), hash(&after));

    // What was read is seen in no status, event or object.
    let mut seen =
        serde_json::to_string(&test.api::<StreamingPlatform>().list(&ListParams::default()).await?)?;
    seen += &serde_json::to_string(&test.api::<Event>().list(&ListParams::default()).await?)?;
    seen += &serde_json::to_string(&test.api::<Deployment>().list(&ListParams::default()).await?)?;
    assert!(!seen.contains(SENTINEL));
    test.operator.stop().await
}

#[tokio::test]
async fn a_missing_secret_is_told_and_waited_for() -> Result<()> {
    let test = Test::start("missing").await?;
    test.apply("tv", spec()).await?;
    let status = test
        .status("tv", "it says what is missing", |status| {
            condition(status, ConditionType::Ready).1 == "SecretMissing"
        })
        .await?;
    assert!(condition(&status, ConditionType::Ready).2.contains("Secret/keys is missing; create it"));
    assert_eq!(status.waiting[0].on, "Secret/keys");
    assert_eq!(condition(&status, ConditionType::Stalled).0, "True");
    assert!(test.api::<Deployment>().get_opt("tv-backend").await?.is_none());

    test.secret("keys", json!({"KEY": "value"})).await?;
    let status = test.ready("tv").await?;
    assert!(status.waiting.is_empty());
    test.operator.stop().await
}
