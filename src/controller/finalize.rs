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
    validate::{Invalid, refusals, resolve},
};
use kube::{
    Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;
use std::time::Duration;
use tracing::{info, warn};

/// While something goes on in AWS or with Jobs, look again after this.
const POLL: Duration = Duration::from_secs(2);

impl Pipeline {
    /// Brings the deletion of a platform a step further.
    pub(super) async fn finalize(&self, key: &PlatformKey, resource: &StreamingPlatform) -> Done {
        if !has_finalizer(resource) {
            // Garbage collection does the rest.
            return Outcome::Deleted.into();
        }
        let (waiting, held_up) = match Box::pin(self.settle(key, resource)).await {
            End::Done => match self.set_finalizer(key, resource, false).await {
                Ok(()) => {
                    info!("settled; the platform goes");
                    return Outcome::Deleted.into();
                }
                Err(error) => {
                    (waiting("Kubernetes", format!("the finalizer can't be taken away: {error}")), true)
                }
            },
            End::Waiting(waiting) => (waiting, false),
            End::HeldUp(waiting) => (waiting, true),
        };
        self.publish(key, resource, View::Deleting { waiting: &waiting, held_up }, &Applied::default()).await;
        if held_up {
            warn!(on = waiting.on, message = waiting.message, "the deletion is held up");
            return Outcome::Failed.into();
        }
        Done { outcome: Outcome::Waiting, refresh: Some(POLL) }
    }

    /// Settles what lives outside of the cluster.
    async fn settle(&self, key: &PlatformKey, resource: &StreamingPlatform) -> End {
        let mut observed = match self.observe(key, resource).await {
            Ok(observed) => observed,
            Err(error) => return End::HeldUp(waiting("Kubernetes", error.to_string())),
        };
        let platform = match resolve(resource, &observed, &self.settings) {
            Ok(platform) => platform,
            Err(findings) => return End::HeldUp(waiting("the spec", told(&findings))),
        };
        let refusals = refusals(&platform, &self.settings);
        if !refusals.is_empty() {
            return self.transcoding.abandon(key, &platform, &told(&refusals));
        }
        let account = self.transcoding.account(resource, &platform, &observed).await;
        self.transcoding.observe(key, resource, &platform, &account, &mut observed).await;
        let deleted_at = resource.meta().deletion_timestamp.as_ref().map(|at| at.0).unwrap_or_default();
        let usable = account.as_ref().ok().and_then(Option::as_ref);
        // First what writes to database and cache, then these.
        match self.transcoding.end(key, &platform, &observed, usable, deleted_at).await {
            End::Done => {}
            not_yet => return not_yet,
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
