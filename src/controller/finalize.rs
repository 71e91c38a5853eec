//! Deletion: what lives outside the cluster is settled before a platform goes.
//!
//! Objects in the cluster go by their owner references. The finalizer is only on platforms that have, or had,
//! something outside: put there before the first of it is made, taken away after the last of it is settled.

use super::{
    pipeline::Pipeline,
    retry::Outcome,
    transcoding::{End, waiting},
    worker::Done,
};
use crate::{
    api::{StreamingPlatform, names},
    apply::cluster::Applied,
    kinds::PlatformKey,
    status::View,
    validate::{Invalid, refusals, resolve_outside},
};
use kube::{
    Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tracing::{info, warn};

impl Pipeline {
    /// Brings the deletion of a platform a step further.
    pub(super) async fn finalize(&self, key: &PlatformKey, resource: &StreamingPlatform) -> Done {
        if !has_finalizer(resource) {
            // Garbage collection does the rest.
            return Outcome::Deleted.into();
        }
        // None: something failed.
        let (waiting, look_after) = match Box::pin(self.settle(key, resource)).await {
            End::Done => match self.set_finalizer(key, resource, false).await {
                Ok(()) => {
                    info!("settled; the platform goes");
                    return Outcome::Deleted.into();
                }
                Err(error) => {
                    (waiting("Kubernetes", format!("the finalizer can't be taken away: {error}")), None)
                }
            },
            End::Waiting { waiting, look_after } => (waiting, Some(look_after)),
            End::HeldUp(waiting) => (waiting, None),
        };
        let view = View::Deleting { waiting: &waiting, held_up: look_after.is_none() };
        self.publish(key, resource, view, &Applied::default()).await;
        if look_after.is_none() {
            warn!(on = waiting.on, message = waiting.message, "the deletion is held up");
            return Outcome::Failed.into();
        }
        Done { refresh: look_after, ..Outcome::Waiting.into() }
    }

    /// Settles what lives outside of the cluster.
    async fn settle(&self, key: &PlatformKey, resource: &StreamingPlatform) -> End {
        let mut observed = match self.observe(key, resource).await {
            Ok(observed) => observed,
            Err(error) => return End::HeldUp(waiting("Kubernetes", error.to_string())),
        };
        let platform = match resolve_outside(resource, &observed, &self.settings) {
            Ok(platform) => platform,
            Err(findings) => return End::HeldUp(waiting("the spec", told(&findings))),
        };
        let refusals = refusals(&platform, &self.settings);
        if !refusals.is_empty() {
            return self.transcoding.abandon(key, &platform, &told(&refusals));
        }
        let account = self.transcoding.account(resource, &platform, &observed).await;
        // First what writes to database and cache, then these. They take long; what has ended is not asked again.
        if !self.transcoding.has_ended(key, resource) {
            self.transcoding.observe(key, resource, &platform, &account, &mut observed).await;
            let deleted_at = resource.meta().deletion_timestamp.as_ref().map(|at| at.0).unwrap_or_default();
            let usable = account.as_ref().ok().and_then(Option::as_ref);
            match self.transcoding.end(key, &platform, &observed, usable, deleted_at).await {
                End::Done => self.transcoding.ended(key, resource),
                not_yet => return not_yet,
            }
        }
        // Both at once: the cache does not wait for the database's final snapshot.
        let (database, cache) = tokio::join!(
            self.database.end(key, resource, &platform, &account),
            self.cache.end(key, resource, &platform, &account),
        );
        match database {
            End::Done => cache,
            not_yet => not_yet,
        }
    }

    /// Puts our finalizer on the platform, or takes it away; those of others stay. The resource version makes
    /// it fail on a platform that changed meanwhile, or that is gone and was made again.
    pub(super) async fn set_finalizer(
        &self,
        key: &PlatformKey,
        resource: &StreamingPlatform,
        present: bool,
    ) -> Result<(), kube::Error> {
        let mut finalizers = resource.finalizers().to_vec();
        finalizers.retain(|finalizer| finalizer != names::FINALIZER);
        if present {
            finalizers.push(names::FINALIZER.to_owned());
        }
        let patch = json!({
            "metadata": {"resourceVersion": resource.resource_version(), "finalizers": finalizers},
        });
        self.metrics.wrote("patch", "StreamingPlatform");
        let params =
            PatchParams { field_manager: Some(names::FIELD_MANAGER.into()), ..PatchParams::default() };
        match self.api(key).patch(&key.name, &params, &Patch::Merge(&patch)).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn told(findings: &[Invalid]) -> String {
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Whether our finalizer is on the platform.
pub(super) fn has_finalizer(resource: &StreamingPlatform) -> bool {
    resource.finalizers().iter().any(|finalizer| finalizer == names::FINALIZER)
}
