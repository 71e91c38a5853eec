//! A platform under test.

use super::Cluster;
use anyhow::{Context, Result, anyhow};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
    runtime::{conditions, wait::await_condition},
};
use serde_json::{Value, json};
use std::time::Duration;
use streaming_operator::api::{
    ConditionReason, ConditionType, StreamingPlatform, StreamingPlatformStatus, TranscodingStatus,
};
use tokio::time::timeout;

/// A platform of a test's namespace.
#[derive(Clone)]
pub struct Platform {
    /// The cluster that it is in.
    pub cluster: Cluster,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    api: Api<StreamingPlatform>,
}

/// URLs and names that status tells, all of them there.
#[derive(Clone, Debug)]
pub struct Transcoding {
    /// The queue.
    pub queue: String,
    /// The dead-letter queue.
    pub dead_letters: String,
    /// The queue of outcomes.
    pub events: String,
    /// Where uploads arrive.
    pub input: String,
    /// Where outputs go.
    pub output: String,
}

impl Platform {
    pub(super) fn new(cluster: Cluster, namespace: &str, name: &str) -> Self {
        let api = Api::namespaced(cluster.client.clone(), namespace);
        Self { cluster, namespace: namespace.into(), name: name.into(), api }
    }

    /// An API for other kinds of objects in the platform's namespace.
    #[must_use]
    pub fn objects<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.cluster.client.clone(), &self.namespace)
    }

    /// Applies the spec as a user does: what an earlier call had and this one has not is taken away.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn apply(&self, spec: &Value) -> Result<()> {
        let object = json!({
            "apiVersion": "streamingplatform.dev/v1alpha1",
            "kind": "StreamingPlatform",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": spec,
        });
        let params = PatchParams::apply("e2e").force();
        self.api.patch(&self.name, &params, &Patch::Apply(&object)).await.context("apply the platform")?;
        Ok(())
    }

    /// Sets an annotation of the platform.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn annotate(&self, annotation: &str, value: &str) -> Result<()> {
        let patch = Patch::Merge(json!({"metadata": {"annotations": {annotation: value}}}));
        self.api.patch(&self.name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// The platform as it is now.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn get(&self) -> Result<StreamingPlatform> {
        Ok(self.api.get(&self.name).await?)
    }

    /// Watches the platform until it is as wanted.
    ///
    /// # Errors
    /// When the deadline passes; the error shows the status.
    pub async fn wait(
        &self,
        what: &str,
        deadline: Duration,
        wanted: impl Fn(&StreamingPlatform) -> bool,
    ) -> Result<StreamingPlatform> {
        let condition = |platform: Option<&StreamingPlatform>| platform.is_some_and(&wanted);
        let waited =
            timeout(deadline, Box::pin(await_condition(self.api.clone(), &self.name, condition))).await;
        if let Ok(found) = waited {
            return found?.context("the platform is gone");
        }
        let status = self.get().await?.status;
        let status = serde_json::to_string_pretty(&status)?;
        Err(anyhow!("after {} s still not: {what}; status: {status}", deadline.as_secs()))
    }

    /// Waits until the platform serves what its spec of now says.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn ready(&self, deadline: Duration) -> Result<StreamingPlatform> {
        self.wait("Ready", deadline, |platform| {
            observed(platform)
                && condition(platform, ConditionType::Ready).is_some_and(|(status, _, _)| status)
        })
        .await
    }

    /// Queues and buckets, once status names all of them.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn transcoding(&self, deadline: Duration) -> Result<Transcoding> {
        let platform = self
            .wait("queues and buckets are made and uploads are heard of", deadline, |platform| {
                names(platform).is_some()
                    && condition(platform, ConditionType::TranscodingReady).is_some_and(|(ready, _, _)| ready)
            })
            .await?;
        names(&platform).context("status names queues and buckets")
    }

    /// Deletes the platform; does not wait.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn delete(&self) -> Result<()> {
        self.api.delete(&self.name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Waits until the platform is gone.
    ///
    /// # Errors
    /// When it is still there at the deadline; the error shows the status.
    pub async fn gone(&self, deadline: Duration) -> Result<()> {
        let uid = match self.api.get_opt(&self.name).await? {
            Some(platform) => platform.uid().context("a platform has a uid")?,
            None => return Ok(()),
        };
        let deleted = conditions::is_deleted(&uid);
        let waited =
            timeout(deadline, Box::pin(await_condition(self.api.clone(), &self.name, deleted))).await;
        if let Ok(result) = waited {
            result?;
            return Ok(());
        }
        let status = serde_json::to_string_pretty(&self.get().await?.status)?;
        Err(anyhow!("the platform is still there after {} s; status: {status}", deadline.as_secs()))
    }

    /// Takes all finalizers away: what the platform has in AWS stays there.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn let_go(&self) -> Result<()> {
        let patch = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        match self.api.patch(&self.name, &PatchParams::default(), &patch).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// A value of a Secret in the platform's namespace.
    ///
    /// # Errors
    /// When the Secret or the key is missing.
    pub async fn secret(&self, name: &str, key: &str) -> Result<String> {
        let secret = self.objects::<Secret>().get(name).await?;
        let value = secret.data.unwrap_or_default().remove(key);
        let value = value.with_context(|| format!("Secret {name} has no key {key}"))?;
        Ok(String::from_utf8(value.0)?)
    }
}

/// Whether status speaks of the spec of now.
#[must_use]
pub fn observed(platform: &StreamingPlatform) -> bool {
    let status = platform.status.as_ref();
    status.is_some_and(|s| s.observed_generation == platform.metadata.generation)
}

/// A condition: whether it is true, its reason and its message.
#[must_use]
pub fn condition(platform: &StreamingPlatform, kind: ConditionType) -> Option<(bool, &str, &str)> {
    let all = &platform.status.as_ref()?.conditions;
    let found = all.iter().find(|c| c.type_ == kind.as_str())?;
    Some((found.status == "True", &found.reason, &found.message))
}

/// Whether any condition has the reason.
#[must_use]
pub fn has_reason(platform: &StreamingPlatform, reason: ConditionReason) -> bool {
    let conditions = platform.status.iter().flat_map(|s| &s.conditions);
    conditions.into_iter().any(|c| c.reason == reason.to_string())
}

/// The part of status that speaks of transcoding; empty where there is none.
#[must_use]
pub fn transcoding(platform: &StreamingPlatform) -> TranscodingStatus {
    platform
        .status
        .clone()
        .and_then(|StreamingPlatformStatus { transcoding, .. }| transcoding)
        .unwrap_or_default()
}

fn names(platform: &StreamingPlatform) -> Option<Transcoding> {
    let status = transcoding(platform);
    Some(Transcoding {
        queue: status.queue_url?,
        dead_letters: status.dead_letter_queue_url?,
        events: status.events_queue_url?,
        input: status.input_bucket?,
        output: status.output_bucket?,
    })
}
