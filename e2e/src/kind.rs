//! The kind cluster of the tests: the operator in it, the AWS emulator beside it.
//!
//! `e2e/up.sh test` brings both up and `e2e/run test …` sets the variables that are read here. Each test has a
//! namespace of its own, named after it, under the restricted Pod Security Standard.

pub mod api;
pub mod audit;
pub mod aws;
pub mod clip;
pub mod faulty;
pub mod flow;
pub mod gateway;
pub mod helm;
pub mod image;
pub mod inventory;
pub mod jobs;
pub mod kwok;
pub mod node;
pub mod platform;
pub mod record;
pub mod relay;
pub mod replicas;
pub mod spec;

pub use platform::Platform;

use anyhow::{Context, Result, bail};
use aws::Aws;
use k8s_openapi::{
    ByteString,
    api::core::v1::{Namespace, Secret},
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
use tokio::time::{Instant, sleep, timeout};

/// Where the scripts install the operator.
pub const OPERATOR_NAMESPACE: &str = "streaming-operator";
/// Release and Deployment of the operator.
pub const OPERATOR: &str = "streaming-operator";
/// Port of the node that the scripts map to [`Cluster::frontend_url`].
pub const FRONTEND_NODE_PORT: i32 = 30080;
/// Secret with the emulator's credentials, in every test's namespace.
pub const CREDENTIALS: &str = "aws";

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
        self.delete_namespace_within(name, Duration::from_secs(120)).await
    }

    /// Likewise, where it may take longer: thousands of objects do.
    ///
    /// # Errors
    /// When it is not gone in time.
    pub async fn delete_namespace_within(&self, name: &str, deadline: Duration) -> Result<()> {
        for platform in self.delete_platforms(name).await? {
            Box::pin(platform.gone(deadline)).await?;
        }
        self.delete_empty_namespace(name, deadline).await
    }

    /// Deletes what an interrupted run left. Its platforms may wait for an AWS that ended with that run: they
    /// are let go, and what they have there stays.
    async fn delete_leftovers(&self, name: &str) -> Result<()> {
        for platform in self.delete_platforms(name).await? {
            if Box::pin(platform.gone(Duration::from_secs(30))).await.is_err() {
                platform.let_go().await?;
            }
        }
        self.delete_empty_namespace(name, Duration::from_secs(300)).await
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

    async fn delete_empty_namespace(&self, name: &str, deadline: Duration) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let Some(namespace) = namespaces.get_opt(name).await? else { return Ok(()) };
        let uid = namespace.uid().context("a namespace has a uid")?;
        namespaces.delete(name, &DeleteParams::default()).await?;
        let gone = await_condition(namespaces, name, conditions::is_deleted(&uid));
        timeout(deadline, gone)
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
