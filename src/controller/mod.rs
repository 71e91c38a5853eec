//! The controller: watches, leader election and the loop around the pipeline.
//!
//! Every replica watches; only the leader acts. One that loses the lease ends all that it began, and is a candidate
//! again. Its watches and its process stay: an API server that is away for a while costs no restart.

mod brake;
mod cache;
mod data;
mod database;
pub mod events;
mod finalize;
pub mod lease;
mod pipeline;
mod queue;
pub mod rbac;
pub mod retry;
mod stores;
mod transcoding;
mod worker;

use crate::{
    aws::SIGNED, kinds::PlatformKey, observe::cluster::Cluster, settings::Settings,
    surroundings::Surroundings,
};
use backon::ExponentialBuilder;
use cache::Cache;
use database::Database;
use kube::runtime::watcher::ExponentialBackoff;
use lease::{Candidate, Leadership, Lost, Timing};
use pipeline::{InAws, Pipeline};
use retry::{Policy, Retry};
use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{broadcast, mpsc},
    task::JoinSet,
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};
use transcoding::Transcoding;

/// How long reconciles that run may take to end after a stop. With the release of the lease this bounds a
/// hand-over to 2 s.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Between tries of a watch that was cut: up to 5 s. An API server that was away for long would else be looked at
/// again up to 30 s after its return, by the default of kube, and the operator act on what was before.
fn watch_backoff() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(800))
        .with_max_delay(Duration::from_secs(5))
        .with_jitter()
        .without_max_times()
        .into()
}

/// How this replica takes part.
#[derive(Clone, Debug)]
pub struct Replica {
    /// Its name among the candidates; unique, such as the pod's name.
    pub identity: String,
    /// Namespace of the Lease.
    pub lease_namespace: String,
    /// Name of the Lease.
    pub lease_name: String,
    /// How leadership is timed.
    pub timing: Timing,
    /// How many platforms are reconciled at a time.
    pub concurrency: usize,
}

/// The controller of one replica.
pub struct Controller {
    surroundings: Surroundings,
    settings: Settings,
    replica: Replica,
    cluster: Arc<Cluster>,
}

impl Controller {
    /// A controller that has not begun.
    pub fn new(surroundings: Surroundings, settings: Settings, replica: Replica) -> Self {
        Self { surroundings, settings, replica, cluster: Arc::default() }
    }

    /// What its watches saw.
    pub fn cluster(&self) -> Arc<Cluster> {
        Arc::clone(&self.cluster)
    }

    /// Watches, leads whenever it is elected, and returns after `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut watches = JoinSet::new();
        let started = async {
            stores::spawn(
                &self.surroundings.client,
                &self.settings.watch_namespaces,
                &self.cluster,
                &mut watches,
            )
            .await;
            self.cluster.synced().await;
            info!("all watches have listed their objects");
        };
        tokio::select! {
            () = started => {}
            () = stop.cancelled() => return,
        }
        tokio::select! {
            () = self.take_part(&stop) => {}
            // The process ends and starts afresh: what it sees would be out of date for ever.
            Some(Err(panic)) = watches.join_next() => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    /// Waits to be elected, and leads; again and again, where the lease is lost.
    async fn take_part(&self, stop: &CancellationToken) {
        let Replica { identity, lease_namespace, lease_name, timing, .. } = &self.replica;
        let Surroundings { client, metrics, clock, .. } = &self.surroundings;
        let candidate =
            Candidate::new(client.clone(), lease_namespace, lease_name, identity, *timing, *clock);
        while !stop.is_cancelled() {
            let Some(leadership) = candidate.elected(stop).await else { return };
            metrics.leads(true);
            let ended = self.lead(&candidate, leadership, stop).await;
            metrics.leads(false);
            if let Err(lost) = ended {
                warn!(error = %lost, "is a candidate again");
            }
        }
    }

    async fn lead(
        &self,
        candidate: &Candidate,
        mut leadership: Leadership,
        stop: &CancellationToken,
    ) -> Result<(), Lost> {
        let identity = &self.replica.identity;
        let alone_from = leadership.is_abrupt().then(|| Instant::now() + SIGNED);
        let (trigger, triggers) = mpsc::unbounded_channel();
        let Surroundings { client, metrics, .. } = &self.surroundings;
        let transcoding = Transcoding::new(&self.surroundings, &self.cluster, trigger.clone(), stop);
        let dispatcher = transcoding.dispatcher();
        let pipeline = Arc::new(Pipeline::new(
            self.surroundings.clone(),
            self.cluster(),
            self.settings.clone(),
            identity,
            InAws {
                transcoding,
                database: Database::new(client.clone(), metrics.clone(), trigger.clone(), alone_from),
                cache: Cache::new(client.clone(), metrics.clone(), trigger.clone(), alone_from),
            },
        ));
        let retry = Retry::new(Policy::new(self.settings.resync), RandomState::new().hash_one(identity));
        let concurrency = self.replica.concurrency;
        let reconciles = TaskTracker::new();
        let tracked = reconciles.clone();
        let work = worker::work(triggers, concurrency, retry, metrics, stop, PATIENCE, |key: PlatformKey| {
            let (pipeline, tracked) = (Arc::clone(&pipeline), tracked.clone());
            tracked.track_future(async move { pipeline.reconcile(&key).await })
        });
        let lost = tokio::select! {
            lost = candidate.hold(&mut leadership) => Some(lost),
            () = work => None,
            () = forward(&self.cluster, trigger) => None,
        };
        if let Some(lost) = lost {
            // Dropping the work aborted what ran. Nothing may act past the lease, and nothing of this term may run
            // into the next one.
            reconciles.close();
            reconciles.wait().await;
            dispatcher.abort().await;
            return Err(lost);
        }
        if pipeline.may_hand_over() {
            candidate.release(leadership).await;
        } else {
            info!("the lease lapses: a password that was sent to AWS may still arrive");
        }
        // Another replica may lead by now; what a receive in flight still brings goes back to its queue.
        dispatcher.shutdown().await;
        Ok(())
    }
}

/// Turns changes that the watches announce into triggers; begins with every platform.
async fn forward(cluster: &Cluster, trigger: mpsc::UnboundedSender<PlatformKey>) {
    let mut changes = cluster.changes();
    let everything = || cluster.platforms.platforms().into_iter().try_for_each(|key| trigger.send(key));
    let mut sent = everything();
    while sent.is_ok() {
        sent = match changes.recv().await {
            Ok(platform) => trigger.send(platform),
            Err(broadcast::error::RecvError::Lagged(_)) => everything(),
            Err(broadcast::error::RecvError::Closed) => return,
        };
    }
}
