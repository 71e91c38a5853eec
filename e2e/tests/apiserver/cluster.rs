//! What is made of a platform.

use super::{Test, components, condition};
use anyhow::Result;
use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{Secret, Service, ServiceAccount},
    events::v1::Event,
    networking::v1::{Ingress, NetworkPolicy},
    policy::v1::PodDisruptionBudget,
};
use kube::{ResourceExt, api::ListParams};
use serde_json::json;
use streaming_operator::api::{ConditionType, StreamingPlatform};

#[tokio::test]
async fn a_manifest_becomes_a_platform() -> Result<()> {
    let test = Test::start("whole").await?;
    test.apply("tv", json!({
        "frontend": {"image": "test/app:1", "route": {"hostname": "tv.example.com"}},
        "backend": {"image": "test/app:1", "replicas": 2},
        "worker": {"image": "test/app:1", "replicas": 1},
        "services": [{"name": "srs", "image": "test/srs:1", "replicas": 1, "ports": [{"name": "rtmp", "containerPort": 1935}]}],
        "database": {"provider": "Embedded"},
        "cache": {"provider": "Embedded"},
    })).await?;
    let status = test.ready("tv").await?;

    for name in ["tv-frontend", "tv-backend", "tv-worker", "tv-srs"] {
        let deployment = test.deployment(name).await?;
        assert_eq!(deployment.owner_references()[0].kind, "StreamingPlatform", "{name}");
        test.api::<ServiceAccount>().get(name).await?;
        test.api::<NetworkPolicy>().get(name).await?;
    }
    for name in ["tv-frontend", "tv-backend", "tv-srs"] {
        test.api::<Service>().get(name).await?;
    }
    test.api::<HorizontalPodAutoscaler>().get("tv-frontend").await?;
    test.api::<PodDisruptionBudget>().get("tv-backend").await?;
    test.api::<Ingress>().get("tv-frontend").await?;
    for name in ["tv-database", "tv-cache"] {
        test.api::<StatefulSet>().get(name).await?;
        test.api::<Secret>().get(name).await?;
    }

    let names: Vec<_> = status.components.iter().map(|c| (c.name.as_str(), c.available_replicas)).collect();
    assert_eq!(names, [("frontend", 2), ("backend", 2), ("worker", 1), ("srs", 1)]);
    for part in [ConditionType::WorkloadsAvailable, ConditionType::DatabaseReady, ConditionType::CacheReady] {
        assert_eq!(condition(&status, part).0, "True", "{part:?}");
    }
    assert_eq!(condition(&status, ConditionType::Stalled).0, "False");
    assert!(
        status
            .endpoints
            .iter()
            .any(|e| e.external_url.as_deref().is_some_and(|u| u.contains("tv.example.com")))
    );
    assert!(status.waiting.is_empty(), "{:?}", status.waiting);

    let platform = test.api::<StreamingPlatform>().get("tv").await?;
    assert!(platform.finalizers().is_empty(), "nothing of it is outside the cluster");
    let events = test.api::<Event>().list(&ListParams::default()).await?;
    let reasons: Vec<_> = events
        .iter()
        .filter(|event| {
            event.regarding.as_ref().is_some_and(|r| r.kind.as_deref() == Some("StreamingPlatform"))
        })
        .filter_map(|event| event.reason.as_deref())
        .collect();
    assert!(reasons.contains(&"Applied") && reasons.contains(&"Ready"), "{reasons:?}");
    test.operator.stop().await
}

#[tokio::test]
async fn a_platform_at_rest_costs_no_write() -> Result<()> {
    let test = Test::start("idle").await?;
    test.apply(
        "tv",
        json!({
            "backend": {"image": "test/app:1"},
            "worker": {"image": "test/app:1", "replicas": 1},
            "database": {"provider": "Embedded"},
            "cache": {"provider": "Embedded"},
        }),
    )
    .await?;
    test.ready("tv").await?;
    let before = test.operator.requests.writes();
    for round in 0..3 {
        let converged = test.converged()?;
        let patch = json!({"metadata": {"annotations": {"round": round.to_string()}}});
        test.merge::<Deployment>("tv-worker", patch).await?;
        test.converges(converged).await?;
    }
    let after = test.operator.requests.writes();
    assert_eq!(after[before.len()..], [] as [String; 0]);
    test.operator.stop().await
}

#[tokio::test]
async fn what_applying_does_not_change_is_not_applied_again() -> Result<()> {
    let test = Test::start("unmoved").await?;
    // The API server makes 1 of the 0.
    let probe = json!({"tcpSocket": {"port": "http"}, "timeoutSeconds": 0});
    let worker = json!({
        "image": "test/app:1", "replicas": 1, "probes": {"readiness": probe},
        "ports": [{"name": "http", "containerPort": 8080}],
    });
    test.apply("tv", json!({"worker": worker})).await?;
    test.ready("tv").await?;
    let mut rounds = Vec::new();
    for round in 0..3 {
        let converged = test.converged()?;
        let patch = json!({"metadata": {"annotations": {"round": round.to_string()}}});
        test.merge::<ServiceAccount>("tv-worker", patch).await?;
        test.converges(converged).await?;
        rounds.push(test.operator.requests.writes());
    }
    assert_eq!(rounds[2][rounds[0].len()..], [] as [String; 0]);
    test.operator.stop().await
}

#[tokio::test]
async fn what_the_spec_no_longer_asks_for_goes() -> Result<()> {
    let test = Test::start("prune").await?;
    test.apply("tv", components()).await?;
    test.ready("tv").await?;
    let mut spec = components();
    spec.as_object_mut().unwrap().remove("worker");
    test.apply("tv", spec).await?;
    test.gone::<Deployment>("tv-worker").await?;
    test.gone::<ServiceAccount>("tv-worker").await?;
    test.gone::<NetworkPolicy>("tv-worker").await?;
    let status = test.ready("tv").await?;
    assert_eq!(status.components.len(), 2);
    test.deployment("tv-backend").await?;
    test.operator.stop().await
}

#[tokio::test]
async fn a_broken_platform_delays_no_other() -> Result<()> {
    let test = Test::start("broken").await?;
    for number in 0..6 {
        // More than the operator reconciles at a time; each is refused again and again.
        test.apply(&format!("broken-{number}"), json!({
            "backend": {"image": "test/app:1", "replicas": 1, "podTemplate": {"spec": {"noSuchField": 1}}},
        })).await?;
    }
    let refused = test.status("broken-0", "the refusal is told", |status| {
        condition(status, ConditionType::Stalled).0 == "True"
    });
    let message = condition(&refused.await?, ConditionType::Ready).2.to_owned();
    assert!(message.contains("noSuchField"), "{message}");
    test.apply("good", components()).await?;
    test.ready("good").await?;
    test.operator.stop().await
}
