//! Suspending and deleting.

use super::{DEADLINE, Test, components, condition};
use anyhow::Result;
use e2e::{
    apiserver::{ApiServer, Kubelet, Operator, settings},
    kind::{Check, eventually},
};
use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::{PersistentVolumeClaim, Secret, Service},
};
use kube::{
    Api, ResourceExt,
    api::{ListParams, PostParams},
};
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

/// Names of what is there, with how often its template was changed.
async fn census(test: &Test) -> Result<Vec<String>> {
    let all = ListParams::default().labels("app.kubernetes.io/instance=tv");
    let mut names = Vec::new();
    for deployment in test.api::<Deployment>().list(&all).await? {
        names.push(format!("Deployment/{} {:?}", deployment.name_any(), deployment.metadata.generation));
    }
    names.extend(
        test.api::<StatefulSet>().list(&all).await?.iter().map(|o| format!("StatefulSet/{}", o.name_any())),
    );
    names.extend(test.api::<Service>().list(&all).await?.iter().map(|o| format!("Service/{}", o.name_any())));
    names.extend(test.api::<Secret>().list(&all).await?.iter().map(|o| format!("Secret/{}", o.name_any())));
    names.sort();
    Ok(names)
}

#[tokio::test]
async fn a_crash_after_any_write_leads_to_the_same_end() -> Result<()> {
    let mut spec = components();
    spec["database"] = json!({"provider": "Embedded"});
    let undisturbed = Test::start("no-crash").await?;
    undisturbed.apply("tv", spec.clone()).await?;
    undisturbed.ready("tv").await?;
    let expected = census(&undisturbed).await?;
    undisturbed.operator.stop().await?;

    for writes in [1, 3, 7, 12, 18] {
        let mut test = Test::start("crash-at").await?;
        let requests = test.operator.requests.clone();
        test.apply("tv", spec.clone()).await?;
        eventually("so many writes were made", DEADLINE, async || {
            let made = requests.writes().len();
            Ok(if made >= writes { Check::Done(()) } else { Check::NotYet(made.to_string()) })
        })
        .await?;
        // The same name again, as a container that is restarted has: its lease is its own.
        let next = Operator::start(ApiServer::shared().await, &test.namespace).await?;
        std::mem::replace(&mut test.operator, next).crash();
        test.ready("tv").await?;
        assert_eq!(census(&test).await?, expected, "after a crash at {writes} writes");
        test.operator.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn only_the_named_namespaces_are_watched() -> Result<()> {
    let server = ApiServer::shared().await;
    let client = server.client().await?;
    let mut namespaces = Vec::new();
    for name in ["watched-a", "watched-b", "unwatched"] {
        namespaces.push(server.namespace(name).await?);
    }
    let mut settings = settings(&namespaces[0]);
    settings.watch_namespaces.push(namespaces[1].clone());
    let operator = Operator::with(server, settings, "first").await?;
    let kubelets: Vec<_> = namespaces.iter().map(|name| Kubelet::start(client.clone(), name)).collect();
    // The one that is not watched comes first, so that it would be first to be seen.
    for namespace in namespaces.iter().rev() {
        let platform = serde_json::from_value(json!({
            "apiVersion": "streamingplatform.dev/v1alpha1", "kind": "StreamingPlatform",
            "metadata": {"name": "tv"}, "spec": components(),
        }))?;
        Api::<StreamingPlatform>::namespaced(client.clone(), namespace)
            .create(&PostParams::default(), &platform)
            .await?;
    }
    for namespace in &namespaces[..2] {
        let api = Api::<StreamingPlatform>::namespaced(client.clone(), namespace);
        eventually("it is ready", DEADLINE, async || {
            let status = api.get("tv").await?.status.unwrap_or_default();
            let (ready, _, message) = condition(&status, ConditionType::Ready);
            Ok(if ready == "True" { Check::Done(()) } else { Check::NotYet(message.to_owned()) })
        })
        .await?;
    }
    let api = Api::<StreamingPlatform>::namespaced(client.clone(), &namespaces[2]);
    assert_eq!(api.get("tv").await?.status, None);
    assert!(operator.requests.writes().iter().all(|write| !write.contains(&namespaces[2])));
    drop(kubelets);
    operator.stop().await
}
