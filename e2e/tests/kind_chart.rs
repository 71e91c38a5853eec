//! The chart: installed, upgraded with its CRD, uninstalled without harm, under the restricted Pod Security Standard.

use anyhow::{Context, Result, ensure};
use e2e::kind::{
    Check, Cluster, OPERATOR, OPERATOR_NAMESPACE, Platform, eventually,
    helm::{self, chart},
    platform::observed,
    spec,
};
use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{Namespace, Pod},
        rbac::v1::ClusterRole,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use std::{fs, path::Path, time::Duration};
use tempfile::TempDir;

const CRD: &str = "streamingplatforms.streamingplatform.dev";
const READY: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_brings_the_crd_and_an_uninstall_keeps_platforms() -> Result<()> {
    let cluster = Cluster::connect().await?;
    let namespace = cluster.namespace("chart").await?;
    let values = helm::values().await?;
    let result = Box::pin(upgrade_and_uninstall(&cluster, &namespace, &values)).await;
    // Whatever happened, the tests after this one find the operator of this tree.
    helm::upgrade_tree(&values).await?;
    result?;
    cluster.delete_namespace(&namespace).await
}

async fn upgrade_and_uninstall(cluster: &Cluster, namespace: &str, values: &Value) -> Result<()> {
    under_restricted_pod_security(cluster).await?;
    let older = older_chart()?;
    helm::upgrade(older.path().to_str().context("a path in UTF-8")?, values).await?;
    ensure!(short_names(cluster).await? == ["older"], "the older chart brings its CRD");
    helm::upgrade_tree(values).await?;
    ensure!(short_names(cluster).await? == ["sp"], "an upgrade of the chart upgrades the CRD");
    pods_are_admitted(cluster).await?;

    let platform = cluster.platform(namespace, "tv");
    platform.apply(&json!({"cache": spec::embedded("Delete")})).await?;
    Box::pin(platform.ready(READY)).await?;
    let serving = pods(&platform).await?;

    helm::uninstall().await?;
    let roles: Api<ClusterRole> = Api::all(cluster.client.clone());
    ensure!(roles.get_opt(OPERATOR).await?.is_none(), "rights are taken away with the operator");
    ensure!(short_names(cluster).await? == ["sp"], "the CRD is kept");
    platform.get().await.context("the platform is kept")?;
    ensure!(pods(&platform).await? == serving, "what a platform made goes on");

    // Nobody hears of this edit until there is an operator again.
    platform.apply(&json!({"cache": spec::embedded("Delete"), "size": "Medium"})).await?;
    helm::upgrade_tree(values).await?;
    Box::pin(platform.wait("the new operator takes over", READY, observed)).await?;
    platform.delete().await?;
    platform.gone(READY).await
}

/// From now on the API server refuses pods of the operator that are not restricted.
async fn under_restricted_pod_security(cluster: &Cluster) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    let labels = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    namespaces.patch(OPERATOR_NAMESPACE, &PatchParams::default(), &Patch::Merge(&labels)).await?;
    Ok(())
}

/// All replicas are available, and none of their pods was there before the namespace was restricted.
async fn pods_are_admitted(cluster: &Cluster) -> Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), OPERATOR_NAMESPACE);
    deployments.restart(OPERATOR).await?;
    eventually("pods of the operator are admitted as restricted", READY, async || {
        let deployment = deployments.get(OPERATOR).await?;
        let wanted = deployment.spec.and_then(|s| s.replicas).unwrap_or_default();
        let status = deployment.status.unwrap_or_default();
        let current = status.observed_generation >= deployment.metadata.generation
            && status.updated_replicas == Some(wanted)
            && status.available_replicas == Some(wanted)
            && status.replicas == Some(wanted);
        Ok(if current { Check::Done(()) } else { Check::NotYet(format!("{:?}", status.conditions)) })
    })
    .await
}

async fn short_names(cluster: &Cluster) -> Result<Vec<String>> {
    let crds: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());
    Ok(crds.get(CRD).await?.spec.names.short_names.unwrap_or_default())
}

async fn pods(platform: &Platform) -> Result<Vec<String>> {
    let pods = platform.objects::<Pod>().list(&ListParams::default()).await?;
    Ok(pods.iter().filter_map(ResourceExt::uid).collect())
}

/// The chart with a CRD of another short name, as an older version of it would have.
fn older_chart() -> Result<TempDir> {
    let dir = tempfile::tempdir()?;
    copy(&chart(), dir.path())?;
    let crd = dir.path().join("files/streamingplatforms.yaml");
    let text = fs::read_to_string(&crd)?;
    let older = text.replace("\n    - sp\n", "\n    - older\n");
    ensure!(older != text, "the CRD has the short name sp");
    fs::write(&crd, older)?;
    Ok(dir)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
