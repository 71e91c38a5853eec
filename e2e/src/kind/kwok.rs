//! Nodes that kwok plays: Jobs by the thousand run on them, and take no processor.

use super::{Cluster, variable};
use crate::process::{Guard, Program};
use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams},
    runtime::wait::await_condition,
};
use serde_json::{Value, json};
use std::{path::PathBuf, time::Duration};
use tempfile::TempDir;
use tokio::time::timeout;

/// Label of the nodes, whose value is the name of the flow that they are for.
const LABEL: &str = "kwok";
/// Taint of the nodes, which keeps others away.
const TAINT: &str = "kwok.x-k8s.io/node";
/// How many nodes there are.
const NODES: u32 = 3;

/// kwok, playing until it is dropped. The nodes stay until [`Kwok::end`].
pub struct Kwok {
    /// Names of the nodes.
    pub names: Vec<String>,
    nodes: Api<Node>,
    selector: String,
    _process: Guard,
    _logs: TempDir,
}

/// `transcoding.job.scheduling` of Jobs that run on the played nodes of a flow.
#[must_use]
pub fn scheduling(flow: &str) -> Value {
    json!({
        "nodeSelector": {LABEL: flow},
        "tolerations": [{"key": TAINT, "operator": "Exists", "effect": "NoSchedule"}],
    })
}

impl Kwok {
    /// Starts kwok with nodes for the flow of that name, and waits until they are ready.
    ///
    /// # Errors
    /// When it can't be started, or a node does not become ready.
    pub async fn start(cluster: &Cluster, flow: &str) -> Result<Self> {
        let logs = TempDir::new()?;
        let config = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("cluster/kwok.yaml");
        let config = config.to_str().context("a path in UTF-8")?;
        let kubeconfig = variable("KUBECONFIG")?;
        let selector = format!("{LABEL}={flow}");
        let args = ["--kubeconfig", &kubeconfig, "--config", config, "--manage-nodes-with-label-selector"];
        let process = Program::new("KWOK", "kwok")?
            .args(args.map(str::to_owned))
            .args([selector.clone(), "--node-lease-duration-seconds=40".to_owned(), "--v=WARN".to_owned()])
            .start(logs.path(), "kwok")?;
        let nodes: Api<Node> = Api::all(cluster.client.clone());
        let names: Vec<_> = (0..NODES).map(|number| format!("kwok-{flow}-{number}")).collect();
        for name in &names {
            let node = json!({
                "apiVersion": "v1", "kind": "Node",
                "metadata": {"name": name, "labels": {LABEL: flow}},
                "spec": {"unschedulable": false, "taints": [{"key": TAINT, "value": "fake", "effect": "NoSchedule"}]},
            });
            nodes.patch(name, &PatchParams::apply("e2e").force(), &Patch::Apply(&node)).await?;
            let ready =
                await_condition(nodes.clone(), name, |node: Option<&Node>| node.is_some_and(is_ready));
            timeout(Duration::from_secs(30), ready)
                .await
                .with_context(|| format!("node {name} is not ready; {}", process.log_tail()))??;
        }
        Ok(Self { names, nodes, selector, _process: process, _logs: logs })
    }

    /// Takes the nodes away.
    ///
    /// # Errors
    /// When one can't be deleted.
    pub async fn end(self) -> Result<()> {
        let all = ListParams::default().labels(&self.selector);
        self.nodes.delete_collection(&DeleteParams::default(), &all).await?;
        Ok(())
    }
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
