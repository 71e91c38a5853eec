//! The operator against a real API server: what it makes, keeps, hands over, tells and leaves alone.

mod cluster;
mod database;
mod leader;
mod lifecycle;
mod outage;
mod ownership;
mod secrets;
mod storage;
mod telling;
mod tenants;
mod transcoding;

use anyhow::{Context, Result};
use e2e::{
    apiserver::{ApiServer, Kubelet, Operator},
    kind::{Check, eventually},
};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{apps::v1::Deployment, core::v1::Secret},
};
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::{fmt::Debug, time::Duration};
use streaming_operator::api::{ConditionType, StreamingPlatform, StreamingPlatformStatus};

/// How long anything may take. Far above what it does, as machines may be busy.
const DEADLINE: Duration = Duration::from_secs(120);

/// A namespace with an operator and a stand-in for a kubelet.
struct Test {
    client: Client,
    namespace: String,
    operator: Operator,
    _kubelet: Kubelet,
}

impl Test {
    async fn start(name: &str) -> Result<Self> {
        let server = ApiServer::shared().await;
        let (client, namespace) = (server.client().await?, server.namespace(name).await?);
        Ok(Self {
            operator: Operator::start(server, &namespace).await?,
            _kubelet: Kubelet::start(client.clone(), &namespace),
            client,
            namespace,
        })
    }

    fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Creates or changes a platform.
    async fn apply(&self, name: &str, spec: Value) -> Result<()> {
        let platform = json!({
            "apiVersion": "streamingplatform.dev/v1alpha1",
            "kind": "StreamingPlatform",
            "metadata": {"name": name},
            "spec": spec,
        });
        let params = PatchParams::apply("user").force();
        self.api::<StreamingPlatform>().patch(name, &params, &Patch::Apply(&platform)).await?;
        Ok(())
    }

    /// Merges `patch` into an object, as another field manager.
    async fn merge<K>(&self, name: &str, patch: Value) -> Result<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let params = PatchParams { field_manager: Some("someone-else".into()), ..PatchParams::default() };
        Ok(self.api::<K>().patch(name, &params, &Patch::Merge(&patch)).await?)
    }

    async fn secret(&self, name: &str, data: Value) -> Result<()> {
        let secret: Secret = serde_json::from_value(json!({"metadata": {"name": name}, "stringData": data}))?;
        self.api::<Secret>().create(&PostParams::default(), &secret).await?;
        Ok(())
    }

    async fn delete<K>(&self, name: &str) -> Result<()>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        self.api::<K>().delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Waits until an object is as `is` says, which tells otherwise what it sees.
    async fn until<K, T>(&self, name: &str, what: &str, is: impl Fn(K) -> Result<T, String>) -> Result<T>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let api = self.api::<K>();
        eventually(what, DEADLINE, async || {
            let object = api.get(name).await?;
            Ok(is(object).map_or_else(Check::NotYet, Check::Done))
        })
        .await
    }

    /// Waits until an object is gone.
    async fn gone<K>(&self, name: &str) -> Result<()>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let api = self.api::<K>();
        eventually(&format!("{name} is gone"), DEADLINE, async || {
            Ok(match api.get_opt(name).await? {
                None => Check::Done(()),
                Some(_) => Check::NotYet("it is there".into()),
            })
        })
        .await
    }

    /// Waits until the status of the present spec is as `is` says.
    async fn status(
        &self,
        platform: &str,
        what: &str,
        is: impl Fn(&StreamingPlatformStatus) -> bool,
    ) -> Result<StreamingPlatformStatus> {
        self.until::<StreamingPlatform, _>(platform, what, |platform| {
            let status = platform.status.unwrap_or_default();
            let current = status.observed_generation == platform.metadata.generation;
            if current && is(&status) { Ok(status) } else { Err(format!("{status:?}")) }
        })
        .await
    }

    async fn ready(&self, platform: &str) -> Result<StreamingPlatformStatus> {
        self.status(platform, "the platform is ready and at rest", |status| {
            condition(status, ConditionType::Ready).0 == "True"
                && condition(status, ConditionType::Reconciling).0 == "False"
        })
        .await
    }

    async fn deployment(&self, name: &str) -> Result<Deployment> {
        Ok(self.api::<Deployment>().get(name).await?)
    }

    /// How many reconciles found nothing to do so far.
    fn converged(&self) -> Result<u64> {
        let text = self.operator.metrics.render()?;
        let line = "streaming_operator_reconciles_total{outcome=\"Converged\"} ";
        let value = text.lines().find_map(|text| text.strip_prefix(line)).unwrap_or("0");
        value.parse().context("a counter")
    }

    /// Waits until another reconcile found nothing to do since there were `before`.
    async fn converges(&self, before: u64) -> Result<()> {
        eventually("a reconcile finds nothing to do", DEADLINE, async || {
            let now = self.converged()?;
            Ok(if now > before { Check::Done(()) } else { Check::NotYet(format!("{now} so far")) })
        })
        .await
    }
}

/// Status, reason and message of a condition; empty where there is none.
fn condition(status: &StreamingPlatformStatus, kind: ConditionType) -> (&str, &str, &str) {
    let found = status.conditions.iter().find(|condition| condition.type_ == kind.as_str());
    found.map_or(("", "", ""), |found| (&found.status, &found.reason, &found.message))
}

/// A platform of components only, with a fixed number of replicas.
fn components() -> Value {
    json!({
        "frontend": {"image": "test/app:1", "replicas": 1},
        "backend": {"image": "test/app:1", "replicas": 1},
        "worker": {"image": "test/app:1", "replicas": 1},
    })
}
