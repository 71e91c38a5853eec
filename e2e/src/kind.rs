//! The kind cluster of the tests: the operator in it, the AWS emulator beside it.
//!
//! `e2e/up.sh test` brings both up and `e2e/run test …` sets the variables that are read here. Each test has a
//! namespace of its own, named after it, under the restricted Pod Security Standard.

pub mod api;
pub mod audit;
pub mod aws;
pub mod clip;
pub mod gateway;
pub mod helm;
pub mod inventory;
pub mod jobs;
pub mod platform;
pub mod relay;
pub mod spec;

pub use platform::Platform;

use anyhow::{Context, Result, bail, ensure};
use aws::Aws;
use k8s_openapi::{
    ByteString,
    api::{
        coordination::v1::Lease,
        core::v1::{Namespace, Pod, Secret},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, PostParams},
    runtime::{conditions, wait::await_condition},
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, env, future::Future, time::Duration};
use streaming_operator::api::StreamingPlatform;
use tokio::{
    process::Command,
    time::{Instant, sleep, timeout},
};

/// Where the scripts install the operator.
pub const OPERATOR_NAMESPACE: &str = "streaming-operator";
/// Release and Deployment of the operator.
pub const OPERATOR: &str = "streaming-operator";
/// Port of the node that the scripts map to [`Cluster::frontend_url`].
pub const FRONTEND_NODE_PORT: i32 = 30080;
/// Secret with the emulator's credentials, in every test's namespace.
pub const CREDENTIALS: &str = "aws";

/// Exit code of a container whose process was killed by SIGKILL.
const SIGKILLED: i32 = 128 + 9;
/// How often something that can't be watched is looked at.
const POLL: Duration = Duration::from_millis(250);

/// The cluster and what belongs to it.
#[derive(Clone)]
pub struct Cluster {
    /// Kubernetes, as its administrator.
    pub client: Client,
    /// The emulator.
    pub aws: Aws,
    /// Where [`FRONTEND_NODE_PORT`] is reached from here.
    pub frontend_url: String,
}

/// Reads a variable that the scripts set.
///
/// # Errors
/// When it is not set.
pub fn variable(name: &str) -> Result<String> {
    env::var(name)
        .with_context(|| format!("{name} is not set: bring the cluster up by `e2e/up.sh test` and run the tests by `e2e/run test …`"))
}

impl Cluster {
    /// Connects to the cluster that the variables name.
    ///
    /// # Errors
    /// When a variable is missing, or nothing answers.
    pub async fn connect() -> Result<Self> {
        variable("KUBECONFIG")?;
        let client = Client::try_default().await.context("connect to the cluster of KUBECONFIG")?;
        client.apiserver_version().await.context("the cluster does not answer")?;
        Ok(Self {
            client,
            aws: Aws::new(&variable("AWS_ENDPOINT")?, &variable("AWS_REGION")?),
            frontend_url: variable("FRONTEND_URL")?,
        })
    }

    /// A fresh namespace of the test, with the credentials Secret. What an earlier run left is deleted first.
    ///
    /// # Errors
    /// When the leftovers don't go, or the namespace can't be made.
    pub async fn namespace(&self, test: &str) -> Result<String> {
        let name = format!("e2e-{test}");
        self.delete_leftovers(&name).await?;
        let labels = BTreeMap::from([
            ("pod-security.kubernetes.io/enforce".to_owned(), "restricted".to_owned()),
            ("pod-security.kubernetes.io/warn".to_owned(), "restricted".to_owned()),
        ]);
        let namespace = Namespace {
            metadata: ObjectMeta { name: Some(name.clone()), labels: Some(labels), ..Default::default() },
            ..Default::default()
        };
        Api::all(self.client.clone()).create(&PostParams::default(), &namespace).await?;
        let keys = [("accessKeyID", aws::ACCESS_KEY), ("secretAccessKey", aws::SECRET_KEY)];
        let secret = Secret {
            metadata: ObjectMeta { name: Some(CREDENTIALS.into()), ..Default::default() },
            data: Some(keys.map(|(k, v)| (k.to_owned(), ByteString(v.into()))).into()),
            ..Default::default()
        };
        Api::namespaced(self.client.clone(), &name).create(&PostParams::default(), &secret).await?;
        Ok(name)
    }

    /// Deletes a namespace with all that is in it, and waits until it is gone. Platforms go first: settling
    /// them needs their credentials Secret.
    ///
    /// # Errors
    /// When it is not gone in time, which is mostly a platform whose finalizer stays.
    pub async fn delete_namespace(&self, name: &str) -> Result<()> {
        for platform in self.delete_platforms(name).await? {
            Box::pin(platform.gone(Duration::from_secs(120))).await?;
        }
        self.delete_empty_namespace(name).await
    }

    /// Deletes what an interrupted run left. Its platforms may wait for an AWS that ended with that run: they
    /// are let go, and what they have there stays.
    async fn delete_leftovers(&self, name: &str) -> Result<()> {
        for platform in self.delete_platforms(name).await? {
            if Box::pin(platform.gone(Duration::from_secs(30))).await.is_err() {
                platform.let_go().await?;
            }
        }
        self.delete_empty_namespace(name).await
    }

    async fn delete_platforms(&self, namespace: &str) -> Result<Vec<Platform>> {
        let platforms: Api<StreamingPlatform> = Api::namespaced(self.client.clone(), namespace);
        let found = platforms.list_metadata(&ListParams::default()).await?;
        let found: Vec<_> = found.iter().map(|it| self.platform(namespace, &it.name_any())).collect();
        for platform in &found {
            platform.delete().await?;
        }
        Ok(found)
    }

    async fn delete_empty_namespace(&self, name: &str) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let Some(namespace) = namespaces.get_opt(name).await? else { return Ok(()) };
        let uid = namespace.uid().context("a namespace has a uid")?;
        namespaces.delete(name, &DeleteParams::default()).await?;
        let gone = await_condition(namespaces, name, conditions::is_deleted(&uid));
        timeout(Duration::from_secs(120), gone)
            .await
            .with_context(|| format!("namespace {name} is still there; what in it has a finalizer?"))??;
        Ok(())
    }

    /// A platform of the namespace.
    #[must_use]
    pub fn platform(&self, namespace: &str, name: &str) -> Platform {
        Platform::new(self.clone(), namespace, name)
    }

    /// `spec.aws` for the emulator.
    #[must_use]
    pub fn aws_spec(&self) -> Value {
        json!({
            "region": self.aws.region,
            "endpointURL": self.aws.endpoint,
            "credentialsSecretRef": {"name": CREDENTIALS},
        })
    }

    /// The operator's pod that leads, once it is one of those that are not ending.
    ///
    /// # Errors
    /// When none leads in time.
    pub async fn leader(&self) -> Result<Pod> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), OPERATOR_NAMESPACE);
        eventually("a pod of the operator leads", Duration::from_secs(60), async || {
            let holders = self.lease_holders().await?;
            let leader = pods.list(&ListParams::default()).await?.into_iter().find(|pod| {
                pod.metadata.deletion_timestamp.is_none()
                    && holders.iter().any(|holder| holder.starts_with(&pod.name_any()))
            });
            Ok(leader.map_or(Check::NotYet(format!("holders: {holders:?}")), Check::Done))
        })
        .await
    }

    /// Deletes the pod that leads, which ends in order and hands over.
    ///
    /// # Errors
    /// When none leads, or it can't be deleted.
    pub async fn stop_leader(&self) -> Result<()> {
        let leader = self.leader().await?.name_any();
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), OPERATOR_NAMESPACE);
        pods.delete(&leader, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Kills the process that leads with SIGKILL, in its node, and waits until the kubelet has seen it die.
    ///
    /// # Errors
    /// When none leads, the process can't be killed, or it could still release its lease.
    pub async fn crash_leader(&self) -> Result<()> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), OPERATOR_NAMESPACE);
        let leader = self.leader().await?;
        let (name, killed) = (leader.name_any(), container(&leader)?);
        let node = leader.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).context("no node")?;
        let kill = ["ctr", "--namespace", "k8s.io", "tasks", "kill", "--signal", "SIGKILL", &killed];
        let output = Command::new("docker").args(["exec", node]).args(kill).output().await;
        let output = output.context("start docker")?;
        ensure!(output.status.success(), "kill {name}: {}", String::from_utf8_lossy(&output.stderr));
        let holders = self.lease_holders().await?;
        ensure!(
            holders.iter().any(|holder| holder.starts_with(&name)),
            "{name} released its lease: {holders:?}"
        );
        let code = eventually("the kubelet sees the crash", Duration::from_secs(30), async || {
            let status = pods.get(&name).await?.status.and_then(|s| s.container_statuses).unwrap_or_default();
            let ends = status.iter().flat_map(|c| [&c.state, &c.last_state]).flatten();
            let ends: Vec<_> = ends.filter_map(|state| state.terminated.as_ref()).collect();
            let end =
                ends.iter().find(|end| end.container_id.as_deref().is_some_and(|id| id.ends_with(&killed)));
            Ok(end.map_or_else(|| Check::NotYet(format!("{status:?}")), |end| Check::Done(end.exit_code)))
        })
        .await?;
        ensure!(code == SIGKILLED, "{name} ended by itself with {code}");
        Ok(())
    }

    async fn lease_holders(&self) -> Result<Vec<String>> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), OPERATOR_NAMESPACE);
        let leases = leases.list(&ListParams::default()).await?;
        Ok(leases.into_iter().filter_map(|lease| lease.spec?.holder_identity).collect())
    }
}

/// Id of the pod's one container, as containerd knows it.
fn container(pod: &Pod) -> Result<String> {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref());
    let id = statuses.and_then(|all| all.first()?.container_id.as_deref());
    let id =
        id.and_then(|id| id.strip_prefix("containerd://")).context("the pod has no running container")?;
    Ok(id.to_owned())
}

/// What a look at something showed.
pub enum Check<T> {
    /// It is so.
    Done(T),
    /// Not yet; what was seen instead.
    NotYet(String),
}

/// Looks again and again until it is done. For what can't be watched.
///
/// # Errors
/// When the deadline passes, with what was seen last; a failed look counts as not yet.
pub async fn eventually<T, F>(what: &str, deadline: Duration, mut look: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<Check<T>>>,
{
    let end = Instant::now() + deadline;
    loop {
        let seen = match look().await {
            Ok(Check::Done(value)) => return Ok(value),
            Ok(Check::NotYet(seen)) => seen,
            Err(error) => format!("{error:#}"),
        };
        if Instant::now() >= end {
            bail!("after {} s still not: {what}; seen: {seen}", deadline.as_secs());
        }
        sleep(POLL).await;
    }
}
