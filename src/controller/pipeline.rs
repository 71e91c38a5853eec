//! One platform, once: observe → validate → plan → apply, again while that changes AWS, → status.

use super::{
    cache::Cache,
    database::Database,
    events::{self, Events},
    finalize::has_finalizer,
    retry::Outcome,
    transcoding::{self, Transcoding},
    worker::Done,
};
use crate::{
    api::{CacheProvider, RestoreDrillStatus, StreamingPlatform, StreamingPlatformStatus, names},
    apply::{
        self,
        cluster::{Applied, Applier},
        sessions::Postgres,
    },
    aws,
    kinds::{PlatformKey, is_newer},
    metrics::{Load, Metrics},
    observe::{
        Observed,
        cluster::Cluster,
        references::{ReadError, References},
    },
    packed::Packed,
    plan::{self, Plan},
    settings::Settings,
    status::{self, View},
    surroundings::{Clock, Surroundings},
    validate,
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;
use tracing::{debug, instrument, warn};

/// Longest that one reconcile may take. A call that hangs must not hold its place for ever.
const LIMIT: Duration = Duration::from_secs(60);

/// Most passes of one reconcile: a platform is made in three.
const PASSES: u32 = 4;

/// No further pass begins after this. Where AWS is slow, or throttles, the status tells how far it is.
const PASSING: Duration = Duration::from_secs(10);

/// Longest that telling of such a one may take.
const TELLING: Duration = Duration::from_secs(10);

/// What a reconcile needs for the parts of a platform in AWS.
pub struct InAws {
    pub(super) transcoding: Transcoding,
    pub(super) database: Database,
    pub(super) cache: Cache,
}

/// Everything that a reconcile needs, shared by all.
pub struct Pipeline {
    pub(super) client: Client,
    pub(super) cluster: Arc<Cluster>,
    pub(super) references: References,
    pub(super) applier: Applier,
    pub(super) events: Events,
    pub(super) settings: Settings,
    pub(super) metrics: Metrics,
    clock: Clock,
    postgres: Postgres,
    pub(super) transcoding: Transcoding,
    pub(super) database: Database,
    pub(super) cache: Cache,
    memory: Mutex<HashMap<PlatformKey, Memory>>,
}

/// How a pass ended.
enum Passed {
    /// There is nothing to do, or nothing that can be done now.
    Done(Done),
    /// AWS was changed. What all passes applied so far.
    Again(Applied),
}

/// What is remembered of a platform between two reconciles. A new leader does well without.
#[derive(Clone, Debug, Default)]
struct Memory {
    /// The status that was last written, and the resource version that the platform has since.
    written: Option<(Option<String>, Packed<StreamingPlatformStatus>)>,
    load: Load,
}

impl Pipeline {
    /// A pipeline that reads from `cluster` and writes with `client`.
    pub fn new(
        surroundings: Surroundings,
        cluster: Arc<Cluster>,
        settings: Settings,
        identity: &str,
        aws: InAws,
    ) -> Self {
        let Surroundings { client, accounts: _, postgres, clock, metrics } = surroundings;
        let InAws { transcoding, database, cache } = aws;
        Self {
            references: References::new(client.clone(), Arc::clone(&cluster)),
            applier: Applier::new(client.clone(), metrics.clone()),
            events: Events::new(client.clone(), identity),
            client,
            cluster,
            settings,
            metrics,
            clock,
            postgres,
            transcoding,
            database,
            cache,
            memory: Mutex::default(),
        }
    }

    /// Whether another leader may act at once when this one has ended. Else it has to take the lead over by itself, as
    /// from one that died, and waits with what must not be overtaken.
    pub fn may_hand_over(&self) -> bool {
        let has_cache = |it: &StreamingPlatform| {
            it.spec.cache.as_ref().is_some_and(|cache| cache.provider == CacheProvider::Aws)
        };
        let platforms = self.cluster.platforms.platforms();
        let cached = platforms.iter().any(|key| self.cluster.platform(key).is_some_and(|it| has_cache(&it)));
        !self.cache.password_may_arrive() && (self.cache.is_alone() || !cached)
    }

    /// Brings one platform a step further.
    pub async fn reconcile(&self, key: &PlatformKey) -> Done {
        let Some(resource) = self.cluster.platform(key) else {
            self.forget(key);
            return Outcome::Deleted.into();
        };
        let pass = aws::on_behalf_of(key.clone(), async {
            if resource.meta().deletion_timestamp.is_some() {
                Box::pin(self.finalize(key, &resource)).await
            } else {
                Box::pin(self.passes(key, &resource)).await
            }
        });
        if let Ok(done) = tokio::time::timeout(LIMIT, pass).await {
            return done;
        }
        warn!(limit = ?LIMIT, "a reconcile took too long and was given up");
        let view = View::Unread("a call was not answered within 60 s");
        let nothing = Applied::default();
        let told = self.publish(key, &resource, view, &nothing);
        if tokio::time::timeout(TELLING, told).await.is_err() {
            warn!(limit = ?TELLING, "the status could not be written in time either");
        }
        Outcome::Failed.into()
    }

    /// Passes, one after the other as long as each changes AWS: no watch tells of that, and what comes next needs it.
    /// One status and one event tell of all of them.
    async fn passes(&self, key: &PlatformKey, resource: &StreamingPlatform) -> Done {
        let began = Instant::now();
        let (mut applied, mut passes) = (Applied::default(), 0);
        loop {
            passes += 1;
            let may_follow = passes < PASSES && began.elapsed() < PASSING;
            match Box::pin(self.pass(key, resource, applied, may_follow)).await {
                Passed::Done(done) => return done,
                Passed::Again(so_far) => applied = so_far,
            }
        }
    }

    /// One pass, after those that `earlier` tells of. Where another one `may_follow` and shall, it tells nobody.
    async fn pass(
        &self,
        key: &PlatformKey,
        resource: &StreamingPlatform,
        earlier: Applied,
        may_follow: bool,
    ) -> Passed {
        let mut observed = match self.observe(key, resource).await {
            Ok(observed) => observed,
            Err(error) => {
                warn!(%error, "can't observe the platform");
                let error = error.to_string();
                self.publish(key, resource, View::Unread(&error), &earlier).await;
                return Passed::Done(Outcome::Failed.into());
            }
        };
        let platform = match validate::validate(resource, &observed, &self.settings) {
            Ok(platform) => platform,
            Err(findings) => {
                let told = self.publish(key, resource, View::Invalid(&findings), &earlier).await;
                return Passed::Done(if told { Outcome::Invalid } else { Outcome::Failed }.into());
            }
        };
        // Before anything is made in AWS, so that none is forgotten when the platform goes; and before anything is
        // read there, as the change is a reason to look again.
        if platform.calls_aws() && !has_finalizer(resource) {
            if let Err(error) = self.set_finalizer(key, resource, true).await {
                warn!(%error, "can't put the finalizer on the platform");
                return Passed::Done(Outcome::Failed.into());
            }
            return Passed::Done(Outcome::Applied.into());
        }
        let account = self.transcoding.account(resource, &platform, &observed).await;
        self.transcoding.observe(key, resource, &platform, &account, &mut observed).await;
        observed.database = self.database.observe(key, resource, &platform, &account).await;
        observed.cache = self.cache.observe(key, resource, &platform, &account).await;
        self.note_load(key, transcoding::load(&observed));
        let plan = plan::plan(&platform, &observed, self.clock.now());
        let uid = resource.uid().unwrap_or_default();
        let applied = self.applier.apply(key, &uid, &plan, &observed).await.after(earlier);
        let account = account.ok().flatten();
        let mut aws = apply::aws::Outcome {
            transcoding: self.transcoding.apply(key, &platform, &plan, account.as_ref()).await,
            database: self.database.apply(key, &plan.database, account.as_ref()).await,
            cache: self.cache.apply(key, &plan.cache, account.as_ref()).await,
            drill: Box::pin(self.database.drill(
                key,
                &platform,
                &plan.database,
                &self.postgres,
                account.as_ref(),
            ))
            .await,
        };
        let postgres = &self.postgres;
        let login =
            self.database.log_in(key, resource, &platform, &plan.database, postgres, account.as_ref());
        match Box::pin(login).await {
            Ok(written) => aws.database.changed += usize::from(written),
            Err(message) => {
                warn!(message, "no login");
                aws.database.failures.push(apply::aws::Failure { message, waiting: false });
            }
        }
        let seen = observed.cache.as_ref();
        let login = self.cache.log_in(key, resource, &platform, &plan.cache, seen, account.as_ref());
        match Box::pin(login).await {
            Ok(changed) => aws.cache.changed += usize::from(changed),
            Err(failure) => {
                warn!(message = failure.message, "no login");
                aws.cache.failures.push(failure);
            }
        }
        let mut outcome = outcome(&observed, &plan, &applied, &aws);
        if may_follow && aws.changed() > 0 && outcome != Outcome::Failed && self.is_current(key, resource) {
            return Passed::Again(applied);
        }
        let view = View::Planned {
            platform: &platform,
            observed: &observed,
            plan: &plan,
            applied: &applied,
            aws: &aws,
        };
        if !self.publish(key, resource, view, &applied).await {
            outcome = Outcome::Failed;
        }
        let refresh = if aws.changed() > 0 {
            Some(Duration::ZERO)
        } else {
            let database = observed.database.as_ref().map(|_| self.database.refresh(key));
            let cache = observed.cache.as_ref().map(|_| self.cache.refresh(key));
            let transcoding = observed.transcoding.as_ref().map(|it| it.refresh_after);
            transcoding.into_iter().chain(database).chain(cache).min()
        };
        Passed::Done(Done { outcome, refresh, changed: applied.changed_anything() })
    }

    /// Whether the platform was neither edited nor deleted meanwhile.
    fn is_current(&self, key: &PlatformKey, resource: &StreamingPlatform) -> bool {
        self.cluster.platform(key).is_some_and(|now| {
            let (now, then) = (now.meta(), resource.meta());
            now.uid == then.uid
                && now.generation == then.generation
                && now.deletion_timestamp == then.deletion_timestamp
        })
    }

    #[instrument(skip_all)]
    pub(super) async fn observe(
        &self,
        key: &PlatformKey,
        resource: &StreamingPlatform,
    ) -> Result<Observed, ReadError> {
        let references = self.references.of(&key.namespace, plan::references(resource)).await?;
        Ok(Observed { references, ..self.cluster.observe(key) })
    }

    /// Writes the status if it changed, and tells what happened. False if it could not be written.
    #[instrument(skip_all, name = "status")]
    pub(super) async fn publish(
        &self,
        key: &PlatformKey,
        resource: &StreamingPlatform,
        view: View<'_>,
        applied: &Applied,
    ) -> bool {
        let (version, before) = self.present_status(key, resource);
        let after = status::status(resource, &before, view, self.clock.now());
        let mut notices = events::of_changes(applied);
        self.metrics.restore_drill(key, drill(&after));
        let mut written = true;
        if status::differs(&after, &before) {
            match self.write_status(key, version, &after).await {
                Ok(version) => {
                    notices.extend(events::of_transitions(&before, &after));
                    self.memory().entry(key.clone()).or_default().written =
                        Some((version, Packed::new(&after)));
                }
                // It went while we looked at it: the watch tells of it.
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                // It changed, or another one of its name is there. The watch tells of that, but not of all changes.
                Err(kube::Error::Api(status)) if status.is_conflict() => {
                    debug!("the platform changed while it was looked at");
                    written = resource.meta().deletion_timestamp.is_some() || !self.is_current(key, resource);
                }
                Err(error) => {
                    warn!(%error, "can't write the status");
                    written = false;
                }
            }
        }
        self.events.publish(key, resource, notices).await;
        written
    }

    /// The status as it is now, and its resource version: what the watch showed, or what was written since.
    fn present_status(
        &self,
        key: &PlatformKey,
        resource: &StreamingPlatform,
    ) -> (Option<String>, StreamingPlatformStatus) {
        let seen = resource.resource_version();
        match self.memory().get(key).and_then(|memory| memory.written.clone()) {
            Some((version, status)) if is_newer(version.as_deref(), seen.as_deref()) => {
                (version, status.unpack())
            }
            _ => (seen, resource.status.clone().unwrap_or_default()),
        }
    }

    /// Server-side apply with a manager of its own: what is no longer said disappears by itself, which a
    /// merge patch would have to spell out, and conditions of others survive, which it would replace. Only that version is
    /// changed: a platform may be gone, and another one of its name be there, for as long as a watch lags. Returns the version
    /// that is there afterwards.
    async fn write_status(
        &self,
        key: &PlatformKey,
        version: Option<String>,
        status: &StreamingPlatformStatus,
    ) -> Result<Option<String>, kube::Error> {
        let patch = json!({
            "apiVersion": StreamingPlatform::api_version(&()),
            "kind": StreamingPlatform::kind(&()),
            "metadata": {"name": key.name, "resourceVersion": version},
            "status": status,
        });
        debug!("the status changed");
        self.metrics.wrote("apply", "StreamingPlatform/status");
        let params = PatchParams::apply(names::STATUS_MANAGER).force();
        let written = self.api(key).patch_status(&key.name, &params, &Patch::Apply(&patch)).await?;
        Ok(written.resource_version())
    }

    pub(super) fn api(&self, key: &PlatformKey) -> Api<StreamingPlatform> {
        Api::namespaced(self.client.clone(), &key.namespace)
    }

    fn note_load(&self, key: &PlatformKey, load: Load) {
        let before = std::mem::replace(&mut self.memory().entry(key.clone()).or_default().load, load);
        self.metrics.load(before, load);
    }

    fn forget(&self, key: &PlatformKey) {
        self.transcoding.forget(key);
        self.database.forget(key);
        self.cache.forget(key);
        self.applier.forget(key);
        self.events.forget(key);
        self.metrics.restore_drill(key, None);
        if let Some(memory) = self.memory().remove(key) {
            self.metrics.load(memory.load, Load::default());
        }
    }

    fn memory(&self) -> MutexGuard<'_, HashMap<PlatformKey, Memory>> {
        // Entries are replaced as a whole, so that a panic elsewhere leaves nothing half done.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn drill(status: &StreamingPlatformStatus) -> Option<&RestoreDrillStatus> {
    status.database.as_ref()?.restore_drill.as_ref()
}

/// How a pass ended that came to its end.
fn outcome(observed: &Observed, plan: &Plan, applied: &Applied, aws: &apply::aws::Outcome) -> Outcome {
    let cluster_failed = !applied.failed().is_empty() || !applied.refused().is_empty();
    let aws_failed = aws.failures().any(|failure| !failure.waiting)
        || observed.transcoding.as_ref().is_some_and(|it| it.failure.is_some())
        || observed.database.as_ref().is_some_and(|it| it.failure.is_some())
        || observed.cache.as_ref().is_some_and(|it| it.failure.is_some());
    if cluster_failed || aws_failed {
        Outcome::Failed
    } else if !plan.waiting.is_empty() {
        Outcome::Waiting
    } else if applied.changed_anything() || aws.changed() > 0 {
        Outcome::Applied
    } else {
        Outcome::Converged
    }
}
