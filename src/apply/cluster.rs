//! Carries out what a plan says about Kubernetes.
//!
//! Server-side apply with one field manager, by force: a field that is ours and drifted comes back, fields of
//! others survive.

use crate::{
    api::names,
    kinds::{Kind, ObjectKey, PlatformKey},
    metrics::Metrics,
    observe::Observed,
    plan::{Desired, GeneratedSecret, HandOver, Plan},
};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Secret};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, DynamicObject, ObjectMeta, Patch, PatchParams, PostParams, Preconditions},
};
use rand::distr::{Alphanumeric, SampleString};
use serde_json::json;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tracing::{info, instrument, warn};

/// Length of a generated value.
const RANDOM_LENGTH: usize = 32;

/// What a plan did to the cluster. Only [`apply`] makes one; a status can't be computed without.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// Objects that were made or changed.
    changed: Vec<ObjectKey>,
    /// Objects that were deleted.
    pruned: Vec<ObjectKey>,
    /// Objects that the API server refuses as they are: quota, admission, schema, rights.
    refused: BTreeMap<ObjectKey, String>,
    /// Objects whose request failed for a reason that passes.
    failed: BTreeMap<ObjectKey, String>,
}

impl Applied {
    /// Objects that were made or changed.
    pub fn changed(&self) -> &[ObjectKey] {
        &self.changed
    }

    /// Objects that were deleted.
    pub fn pruned(&self) -> &[ObjectKey] {
        &self.pruned
    }

    /// What the API server said to objects that it refuses.
    pub fn refused(&self) -> &BTreeMap<ObjectKey, String> {
        &self.refused
    }

    /// Why requests failed that are tried again.
    pub fn failed(&self) -> &BTreeMap<ObjectKey, String> {
        &self.failed
    }

    /// Whether anything was made, changed or deleted.
    pub fn changed_anything(&self) -> bool {
        !self.changed.is_empty() || !self.pruned.is_empty()
    }

    /// Of two passes: what both did, and what the second one could not do.
    #[must_use]
    pub fn after(self, mut earlier: Self) -> Self {
        for (all, new) in [(&mut earlier.changed, self.changed), (&mut earlier.pruned, self.pruned)] {
            for key in new {
                if !all.contains(&key) {
                    all.push(key);
                }
            }
        }
        Self { refused: self.refused, failed: self.failed, ..earlier }
    }

    fn note(&mut self, key: ObjectKey, result: Result<(), kube::Error>) {
        match result.map_err(Refusal::from) {
            Ok(()) => self.changed.push(key),
            Err(Refusal::Refused(message)) => {
                warn!(object = %key, message, "the API server refuses an object");
                self.refused.insert(key, message);
            }
            Err(Refusal::Failed(message)) => {
                warn!(object = %key, message, "an object could not be applied");
                self.failed.insert(key, message);
            }
        }
    }
}

/// An error by what helps: a change of the object or its surroundings, or time.
enum Refusal {
    Refused(String),
    Failed(String),
}

impl From<kube::Error> for Refusal {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if matches!(status.code, 400 | 403 | 405 | 413 | 422) => {
                Self::Refused(status.message)
            }
            kube::Error::Api(status) => Self::Failed(status.message),
            other => Self::Failed(other.to_string()),
        }
    }
}

/// Applies plans.
#[derive(Clone)]
pub struct Applier {
    client: Client,
    metrics: Metrics,
    /// Objects that differ from what is desired and which applying it did not change.
    unmoved: Arc<Mutex<HashMap<(PlatformKey, ObjectKey), Unmoved>>>,
}

/// An object as it was when applying what is desired did not change it: the API server writes a value its own
/// way, or an admission webhook changes it back. Applying the same again would do the same.
#[derive(Clone, Debug)]
struct Unmoved {
    resource_version: Option<String>,
    desired: DynamicObject,
    since: Instant,
}

/// How long that is believed: a webhook may have gone meanwhile.
const UNMOVED: Duration = Duration::from_secs(600);

impl Unmoved {
    fn still_holds(&self, resource_version: Option<&str>, desired: &DynamicObject) -> bool {
        self.since.elapsed() < UNMOVED
            && self.resource_version.as_deref() == resource_version
            && self.desired == *desired
    }
}

impl Applier {
    /// An applier that counts its writes.
    pub fn new(client: Client, metrics: Metrics) -> Self {
        Self { client, metrics, unmoved: Arc::default() }
    }

    /// Carries `plan` out for the platform of that key and UID.
    #[instrument(skip_all)]
    pub async fn apply(
        &self,
        platform: &PlatformKey,
        uid: &str,
        plan: &Plan,
        observed: &Observed,
    ) -> Applied {
        let Plan {
            generate,
            hand_over,
            apply,
            prune,
            waiting: _,
            transcoding: _,
            database: _,
            cache: _,
            summary: _,
        } = plan;
        let mut applied = Applied::default();
        for secret in generate {
            let key = ObjectKey::new(Kind::Secret, &secret.name);
            match self.generate(platform, secret).await {
                // Someone was faster, or our watch is late: what is there stays.
                Err(kube::Error::Api(status)) if status.is_already_exists() => {}
                result => applied.note(key, result),
            }
        }
        for step in hand_over {
            let key = ObjectKey::new(Kind::Deployment, &step.deployment);
            let result = self.hand_over(platform, step).await;
            applied.note(key, result);
        }
        for desired in apply {
            match self.desired(platform, desired, observed).await {
                Ok(false) => {}
                result => applied.note(desired.key.clone(), result.map(drop)),
            }
        }
        for key in prune {
            self.prune(platform, uid, key, observed, &mut applied).await;
        }
        if applied.changed_anything() {
            let (changed, pruned) = (names_of(applied.changed()), names_of(applied.pruned()));
            info!(changed, pruned, "applied");
        }
        applied
    }

    async fn generate(&self, platform: &PlatformKey, secret: &GeneratedSecret) -> Result<(), kube::Error> {
        let GeneratedSecret { name, labels, template } = secret;
        let random = Alphanumeric.sample_string(&mut rand::rng(), RANDOM_LENGTH);
        let values = template.iter().map(|(key, value)| (key.clone(), value.replace("{random}", &random)));
        let object = Secret {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                labels: Some(labels.clone()),
                ..ObjectMeta::default()
            },
            string_data: Some(values.collect()),
            ..Secret::default()
        };
        self.metrics.wrote("create", Kind::Secret.to_string());
        let params = PostParams { field_manager: Some(names::FIELD_MANAGER.into()), ..PostParams::default() };
        let api = Api::<Secret>::namespaced(self.client.clone(), &platform.namespace);
        api.create(&params, &object).await.map(drop)
    }

    async fn hand_over(&self, platform: &PlatformKey, step: &HandOver) -> Result<(), kube::Error> {
        let HandOver { deployment, uid, replicas } = step;
        let patch = json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": deployment, "uid": uid},
            "spec": {"replicas": replicas},
        });
        self.metrics.wrote("apply", Kind::Deployment.to_string());
        let params = PatchParams::apply(names::HAND_OVER_MANAGER).force();
        let api = Api::<Deployment>::namespaced(self.client.clone(), &platform.namespace);
        api.patch(deployment, &params, &Patch::Apply(&patch)).await.map(drop)
    }

    /// Makes an object as desired. False: it is as it was.
    async fn desired(
        &self,
        platform: &PlatformKey,
        desired: &Desired,
        observed: &Observed,
    ) -> Result<bool, kube::Error> {
        let Desired { key, object } = desired;
        let before = observed.objects.get(key).and_then(|object| object.resource_version());
        let place = (platform.clone(), key.clone());
        if self.unmoved().get(&place).is_some_and(|unmoved| unmoved.still_holds(before.as_deref(), object)) {
            return Ok(false);
        }
        self.metrics.wrote("apply", key.kind.to_string());
        // Strict: a mistyped field of a podTemplate is refused and told instead of being dropped.
        let params = PatchParams::apply(names::FIELD_MANAGER).force().validation_strict();
        let after = self.api(platform, key.kind).patch(&key.name, &params, &Patch::Apply(object)).await?;
        let moved = after.resource_version() != before;
        if moved {
            self.unmoved().remove(&place);
        } else {
            info!(object = %key, "differs from what is desired, and applying it changes nothing; left as it is");
            let unmoved =
                Unmoved { resource_version: before, desired: object.clone(), since: Instant::now() };
            self.unmoved().insert(place, unmoved);
        }
        Ok(moved)
    }

    /// Deletes an object that was observed, if it is still the same and the platform's own.
    async fn prune(
        &self,
        platform: &PlatformKey,
        uid: &str,
        key: &ObjectKey,
        observed: &Observed,
        applied: &mut Applied,
    ) {
        let Some(object) = observed.objects.get(key).filter(|object| is_owned(object, uid)) else {
            warn!(object = %key, "not deleted: it is not the platform's own");
            return;
        };
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: object.uid(),
                resource_version: object.resource_version(),
            }),
            ..DeleteParams::background()
        };
        self.metrics.wrote("delete", key.kind.to_string());
        match self.api(platform, key.kind).delete(&key.name, &params).await {
            Ok(_) => applied.pruned.push(key.clone()),
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            // It changed since it was observed; the next reconcile looks again.
            Err(kube::Error::Api(status)) if status.is_conflict() => {
                applied.failed.insert(key.clone(), status.message);
            }
            Err(error) => applied.note(key.clone(), Err(error)),
        }
    }

    /// Forgets a platform that is gone.
    pub fn forget(&self, platform: &PlatformKey) {
        self.unmoved().retain(|(of, _), _| of != platform);
    }

    fn unmoved(&self) -> MutexGuard<'_, HashMap<(PlatformKey, ObjectKey), Unmoved>> {
        // Entries are replaced as a whole, so that a panic elsewhere leaves nothing half done.
        self.unmoved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn api(&self, platform: &PlatformKey, kind: Kind) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &platform.namespace, &kind.api_resource())
    }
}

fn is_owned(object: &DynamicObject, uid: &str) -> bool {
    object.owner_references().iter().any(|owner| owner.uid == uid)
}

/// Keys, for a log or an event.
pub fn names_of(keys: &[ObjectKey]) -> String {
    keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
