//! Nodes that kwok plays, and a scheduler: pods become ready, and those of Jobs end after a while.

use super::{ADMIN, ApiServer, START};
use crate::{
    kind::{Check, eventually},
    process::{Guard, Program, free_port},
};
use anyhow::Result;
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api, Client,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
};
use serde_json::json;
use std::{fs, time::Duration};

/// How the pods live that kwok plays; `JOB_MILLISECONDS` is how long those of Jobs run.
const STAGES: &str = include_str!("stages.yaml");

/// Nodes that are played. They end when this is dropped.
pub struct Nodes {
    _processes: [Guard; 2],
}

impl Nodes {
    /// Adds so many nodes to a server, each with room for any number of pods. Pods of Jobs run for `job`.
    ///
    /// # Errors
    /// When a program is missing, or the nodes don't become ready.
    pub async fn start(server: &ApiServer, number: usize, job: Duration) -> Result<Self> {
        let stages = server.directory().join("stages.yaml");
        fs::write(&stages, STAGES.replace("JOB_MILLISECONDS", &job.as_millis().to_string()))?;
        let kubeconfig = server.kubeconfig(ADMIN);
        let kwok = Program::new("KWOK", "kwok")?
            .args([
                format!("--kubeconfig={}", kubeconfig.display()),
                format!("--config={}", stages.display()),
                "--manage-all-nodes=true".into(),
                "--node-lease-duration-seconds=0".into(),
                format!("--server-address=127.0.0.1:{}", free_port()?),
            ])
            .start(server.directory(), "kwok")?;
        let scheduler = Program::new("KUBE_SCHEDULER", "kube-scheduler")?
            .args([
                format!("--kubeconfig={}", kubeconfig.display()),
                "--leader-elect=false".into(),
                "--secure-port=0".into(),
                "--kube-api-qps=1000".into(),
                "--kube-api-burst=1000".into(),
            ])
            .start(server.directory(), "kube-scheduler")?;
        let client = server.client().await?;
        for index in 0..number {
            add(&client, &format!("played-{index}")).await?;
        }
        let nodes = Api::<Node>::all(client);
        eventually("the nodes are ready", START, async || {
            let ready = nodes.list(&Default::default()).await?.into_iter().filter(is_ready).count();
            Ok(if ready == number { Check::Done(()) } else { Check::NotYet(format!("{ready} are")) })
        })
        .await?;
        Ok(Self { _processes: [kwok, scheduler] })
    }
}

async fn add(client: &Client, name: &str) -> Result<()> {
    let nodes = Api::<Node>::all(client.clone());
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    nodes.create(&PostParams::default(), &Node { metadata, ..Node::default() }).await?;
    // Admission taints a new node until a controller, which does not run here, has seen it.
    let untainted = Patch::Merge(json!({"spec": {"taints": null}}));
    nodes.patch(name, &PatchParams::default(), &untainted).await?;
    Ok(())
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
