//! RBAC: in a platform's life every right that the chart grants is used, and none is missed.

use anyhow::{Context, Result, ensure};
use e2e::kind::{
    Check, Cluster, OPERATOR, OPERATOR_NAMESPACE, Platform,
    audit::{AuditLog, Right, granted},
    clip, eventually,
    platform::{observed, transcoding},
    spec,
};
use k8s_openapi::{
    api::{
        apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler, coordination::v1::Lease,
        core::v1::ConfigMap, networking::v1::Ingress,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};

const SOON: Duration = Duration::from_secs(60);
const READY: Duration = Duration::from_secs(120);
const ROUTES: &str = "httproutes.gateway.networking.k8s.io";

/// Rights that no request shows, or that only an accident needs.
const UNSEEN: [(&str, &str, &str); 3] = [
    // Asked for by the admission plugin OwnerReferencesPermissionEnforcement, where it is on.
    ("streamingplatform.dev", "streamingplatforms/finalizers", "update"),
    // When two replicas write the Lease at the same moment.
    ("coordination.k8s.io", "leases", "get"),
    // When a Job's name turns out to be taken.
    ("batch", "jobs", "get"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_right_of_the_operator_is_used_and_none_is_missing() -> Result<()> {
    let cluster = Cluster::connect().await?;
    let log = AuditLog::from_now()?;
    let namespace = cluster.namespace("rights").await?;
    serve_routes(&cluster).await?;
    let result = Box::pin(live(&cluster, &namespace, &log)).await;
    let crds: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());
    crds.delete(ROUTES, &DeleteParams::default()).await?;
    result?;
    cluster.delete_namespace(&namespace).await
}

async fn live(cluster: &Cluster, namespace: &str, log: &AuditLog) -> Result<()> {
    begin_anew(cluster).await?;
    let platform = cluster.platform(namespace, "tv");
    everything(&platform).await?;
    platform.apply(&json!({"aws": cluster.aws_spec(), "transcoding": held_transcoding()})).await?;
    Box::pin(platform.wait("what is no longer asked for is pruned", READY, |platform| {
        observed(platform) && platform.status.as_ref().is_some_and(|s| s.components.is_empty())
    }))
    .await?;
    nothing_left::<Deployment>(&platform).await?;
    nothing_left::<HorizontalPodAutoscaler>(&platform).await?;
    nothing_left::<Ingress>(&platform).await?;
    let names = Box::pin(platform.transcoding(SOON)).await?;
    cluster.aws.put(&names.input, "b.mp4", clip::video(2, false, 0).await?).await?;
    Box::pin(platform.wait("a Job runs", SOON, |platform| transcoding(platform).jobs.running == 1)).await?;
    platform.delete().await?;
    platform.gone(READY).await?;

    let unseen = UNSEEN.map(|(group, resource, verb)| Right {
        group: group.into(),
        resource: resource.into(),
        verb: verb.into(),
    });
    let granted = granted(cluster).await?;
    let requests = log.requests()?;
    ensure!(requests.denied.is_empty(), "missing rights: {}", list(requests.denied.iter()));
    let unused: BTreeSet<_> =
        granted.iter().filter(|right| !requests.used.contains(right) && !unseen.contains(right)).collect();
    ensure!(unused.is_empty(), "rights that nothing used: {}", list(unused.into_iter()));
    Ok(())
}

fn list<'a>(rights: impl Iterator<Item = &'a Right>) -> String {
    rights.map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// New pods and no Lease: the operator lists, watches and elects as on its first day.
async fn begin_anew(cluster: &Cluster) -> Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), OPERATOR_NAMESPACE);
    let leases: Api<Lease> = Api::namespaced(cluster.client.clone(), OPERATOR_NAMESPACE);
    leases.delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
    deployments.restart(OPERATOR).await?;
    eventually("the operator's pods are new", READY, async || {
        let deployment = deployments.get(OPERATOR).await?;
        let wanted = deployment.spec.as_ref().and_then(|s| s.replicas);
        let status = deployment.status.unwrap_or_default();
        let new = status.observed_generation == deployment.metadata.generation
            && status.updated_replicas == wanted
            && status.available_replicas == wanted
            && status.replicas == wanted;
        Ok(if new { Check::Done(()) } else { Check::NotYet(format!("{:?}", status.conditions)) })
    })
    .await?;
    cluster.leader().await?;
    Ok(())
}

/// A platform with every kind of object, and a Job.
async fn everything(platform: &Platform) -> Result<()> {
    let settings = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"COLOUR": "green"},
    });
    let maps: Api<ConfigMap> = platform.objects();
    maps.patch("settings", &PatchParams::apply("e2e"), &Patch::Apply(&settings)).await?;
    let idle = |route: Value| {
        json!({
            "image": "redis:7-bookworm",
            "command": ["sleep", "3600"],
            "podTemplate": {"spec": {"securityContext": {"runAsUser": 65532}}},
            "autoscaling": {"minReplicas": 2, "maxReplicas": 3},
            "resources": {"requests": {"cpu": "10m", "memory": "8Mi"}},
            "probes": {"readiness": {"exec": {"command": ["true"]}}},
            "envFrom": [{"configMapRef": {"name": "settings"}}],
            "route": route,
        })
    };
    let mut aside = idle(json!({"hostname": "aside.example.com", "gateway": {"name": "web"}}));
    aside["name"] = json!("aside");
    let mut database = spec::embedded("Delete");
    let spec = |database: &Value| {
        json!({
            "aws": platform.cluster.aws_spec(),
            "frontend": idle(json!({"hostname": "tv.example.com"})),
            "backend": idle(Value::Null),
            "services": [aside],
            "transcoding": spec::transcoding(),
            "database": database,
        })
    };
    platform.apply(&spec(&database)).await?;
    Box::pin(platform.ready(READY)).await?;
    let names = Box::pin(platform.transcoding(SOON)).await?;
    platform.cluster.aws.put(&names.input, "a.mp4", clip::video(2, false, 0).await?).await?;
    Box::pin(platform.wait("a Job is settled", READY, |p| transcoding(p).jobs.succeeded == 1)).await?;
    // The volume of the test cluster can't grow, so that the API server refuses; the operator asks all the same.
    database["embedded"]["storage"]["size"] = json!("256Mi");
    platform.apply(&spec(&database)).await?;
    Box::pin(platform.wait("the new size was looked at", SOON, observed)).await.context("grow the volume")?;
    Ok(())
}

fn held_transcoding() -> Value {
    let mut transcoding = spec::transcoding();
    transcoding["drainTimeout"] = json!("1s");
    transcoding["job"]["podTemplate"] = spec::held();
    transcoding
}

async fn nothing_left<K>(platform: &Platform) -> Result<()>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + serde::de::DeserializeOwned
        + std::fmt::Debug,
    K::DynamicType: Default,
{
    let what = format!("all {} are pruned", K::plural(&K::DynamicType::default()));
    eventually(&what, SOON, async || {
        let left = platform.objects::<K>().list_metadata(&ListParams::default()).await?.items.len();
        Ok(if left == 0 { Check::Done(()) } else { Check::NotYet(format!("{left} left")) })
    })
    .await
}

/// The Gateway API's HTTPRoute, as far as the operator needs it; nothing routes by it.
async fn serve_routes(cluster: &Cluster) -> Result<()> {
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": ROUTES,
            "annotations": {"api-approved.kubernetes.io": "unapproved, a stand-in for tests"},
        },
        "spec": {
            "group": "gateway.networking.k8s.io",
            "scope": "Namespaced",
            "names": {"kind": "HTTPRoute", "plural": "httproutes", "singular": "httproute"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}],
        },
    });
    let crds: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());
    crds.patch(ROUTES, &PatchParams::apply("e2e").force(), &Patch::Apply(&crd)).await?;
    eventually("the cluster serves HTTPRoutes", SOON, async || {
        let conditions = crds.get(ROUTES).await?.status.and_then(|s| s.conditions).unwrap_or_default();
        let served = conditions.iter().any(|c| c.type_ == "Established" && c.status == "True");
        Ok(if served { Check::Done(()) } else { Check::NotYet(format!("{conditions:?}")) })
    })
    .await
}
