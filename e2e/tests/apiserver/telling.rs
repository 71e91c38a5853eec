//! What a person is told when something is wrong.

use super::{DEADLINE, Test, components, condition};
use anyhow::Result;
use e2e::{
    apiserver::{ApiServer, Operator},
    kind::{Check, eventually},
};
use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use streaming_operator::api::{ConditionType, StreamingPlatform};

async fn quota(test: &Test, name: &str, hard: Value) -> Result<()> {
    let quota: ResourceQuota =
        serde_json::from_value(json!({"metadata": {"name": name}, "spec": {"hard": hard}}))?;
    test.api::<ResourceQuota>().create(&PostParams::default(), &quota).await?;
    test.until(name, "the quota is in force", |quota: ResourceQuota| {
        quota.status.and_then(|status| status.hard).map(drop).ok_or_else(|| "no status".to_owned())
    })
    .await
}

#[tokio::test]
async fn a_refused_object_is_told_and_others_are_made() -> Result<()> {
    let test = Test::start("quota-objects").await?;
    quota(&test, "few", json!({"count/deployments.apps": "1"})).await?;
    test.apply("tv", components()).await?;
    let status = test
        .status("tv", "it says what is refused", |status| {
            condition(status, ConditionType::Ready).1 == "Refused"
        })
        .await?;
    let (_, _, message) = condition(&status, ConditionType::Ready);
    assert!(message.contains("exceeded quota: few"), "{message}");
    assert_eq!(condition(&status, ConditionType::Stalled).0, "True");
    test.until(
        "tv-worker",
        "what comes after it is made",
        |_: k8s_openapi::api::core::v1::ServiceAccount| Ok(()),
    )
    .await?;
    test.delete::<ResourceQuota>("few").await?;
    test.ready("tv").await?;
    test.operator.stop().await
}

#[tokio::test]
async fn a_quota_on_pods_is_told() -> Result<()> {
    let test = Test::start("quota-pods").await?;
    quota(&test, "none", json!({"pods": "0"})).await?;
    test.apply("tv", json!({"backend": {"image": "test/app:1", "replicas": 1}})).await?;
    let status = test
        .status("tv", "it says why there is no pod", |status| {
            condition(status, ConditionType::WorkloadsAvailable).1 == "Refused"
        })
        .await?;
    let (_, _, message) = condition(&status, ConditionType::WorkloadsAvailable);
    assert!(message.contains("exceeded quota: none"), "{message}");
    test.operator.stop().await
}

#[tokio::test]
async fn trouble_of_a_pod_is_told() -> Result<()> {
    // Without a stand-in for a kubelet: the pod does what this test says.
    let server = ApiServer::shared().await;
    let (client, namespace) = (server.client().await?, server.namespace("pods").await?);
    let operator = Operator::start(server, &namespace).await?;
    let platforms = Api::<StreamingPlatform>::namespaced(client.clone(), &namespace);
    let platform = serde_json::from_value(json!({
        "apiVersion": "streamingplatform.dev/v1alpha1", "kind": "StreamingPlatform",
        "metadata": {"name": "tv"}, "spec": {"backend": {"image": "test/app:1", "replicas": 1}},
    }))?;
    platforms.create(&PostParams::default(), &platform).await?;
    let pods = Api::<Pod>::namespaced(client, &namespace);
    let pod = eventually("there is a pod", DEADLINE, async || {
        let found = pods.list(&ListParams::default()).await?.items.pop();
        Ok(found.map_or_else(|| Check::NotYet("none".into()), |pod| Check::Done(pod.name_any())))
    })
    .await?;
    let status = json!({"status": {"containerStatuses": [{
        "name": "backend", "image": "test/app:1", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}},
    }]}});
    pods.patch_status(&pod, &PatchParams::default(), &Patch::Merge(&status)).await?;
    eventually("the status says so", DEADLINE, async || {
        let status = platforms.get("tv").await?.status.unwrap_or_default();
        let (_, _, message) = condition(&status, ConditionType::Ready);
        let told = message.contains("can't pull image test/app:1") && message.contains(&pod);
        Ok(if told { Check::Done(()) } else { Check::NotYet(message.to_owned()) })
    })
    .await?;
    operator.stop().await
}

#[tokio::test]
async fn what_the_administrator_does_not_allow_is_told() -> Result<()> {
    let test = Test::start("allowed").await?;
    let mut spec = components();
    spec["aws"] = json!({"region": "eu-central-1", "endpointURL": "http://evil.example"});
    test.apply("tv", spec).await?;
    let status = test
        .status("tv", "it says so", |status| condition(status, ConditionType::Ready).1 == "NotAllowed")
        .await?;
    let (_, _, message) = condition(&status, ConditionType::Stalled);
    assert!(message.contains("spec.aws.endpointURL"), "{message}");
    test.apply("tv", components()).await?;
    test.ready("tv").await?;

    test.apply("own", json!({"aws": {"region": "eu-central-1"}, "transcoding": {}})).await?;
    let status = test
        .status("own", "it says so", |status| condition(status, ConditionType::Ready).1 == "NotAllowed")
        .await?;
    let (_, _, message) = condition(&status, ConditionType::Stalled);
    assert!(message.contains("--operator-identity-namespaces"), "{message}");
    test.operator.stop().await
}
