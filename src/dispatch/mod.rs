//! dispatch: the queue consumer, from message to Job and from Job to settlement.
//!
//! `decide` and what it calls are pure: from Jobs, memory and the time to steps. `consumer` reads and acts.
//!
//! # Flow
//! The pipeline calls [`Dispatcher::configure`] after each apply; a task for each platform long-polls its
//! queue and keeps its Jobs. What the status shall tell is a [`Report`]; a change of it triggers a reconcile.
//!
//! # Guarantees
//! All state is on Jobs and queues. A leader that dies anywhere leaves nothing that its successor needs.
//!
//! # Caveats
//! Only the leader may have a dispatcher; dropping it ends all tasks at once, wherever they are.

pub mod attempt;
pub mod attempts;
pub mod backoff;
pub mod breaker;
mod consumer;
pub mod decide;
pub mod inbound;
pub mod jobs;
pub mod memory;
pub mod message;
pub mod outcome;
pub mod policy;
pub mod report;
pub mod settle;
pub mod sqs;
pub mod step;
pub mod view;

#[cfg(test)]
mod tests;

pub use policy::Policy;
pub use report::Report;

use crate::{
    aws::Account, kinds::PlatformKey, observe::cluster::Cluster, packed::Packed, surroundings::Surroundings,
};
use consumer::Consumer;
use k8s_openapi::api::batch::v1::Job;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// What a platform's consumer works by.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The rules.
    pub policy: Policy,
    /// URL of the dead-letter queue.
    pub dead_letter_url: String,
    /// URL of the queue that outcomes go to.
    pub events_url: String,
    /// The Job without name, identity, attempt and request.
    pub prototype: Packed<Job>,
    /// The ladder of messages that name none.
    pub profile: contract::Profile,
    /// Clients.
    pub account: Account,
    /// UID of the platform: one that is made again under the same name is another one.
    pub uid: String,
}

/// Runs a consumer for each platform that has a queue.
pub struct Dispatcher {
    surroundings: Surroundings,
    cluster: Arc<Cluster>,
    changed: mpsc::UnboundedSender<PlatformKey>,
    running: Mutex<HashMap<PlatformKey, Running>>,
    tasks: Mutex<JoinSet<()>>,
    stop: CancellationToken,
}

/// A consumer that runs.
struct Running {
    config: watch::Sender<Arc<Config>>,
    report: watch::Receiver<Option<Report>>,
    stop: CancellationToken,
}

impl Dispatcher {
    /// A dispatcher without platforms. `changed` gets the key of each platform whose report changed. With
    /// `stop` all consumers stop; [`Self::shutdown`] waits for what that leaves.
    #[must_use]
    pub fn new(
        surroundings: Surroundings,
        cluster: Arc<Cluster>,
        changed: mpsc::UnboundedSender<PlatformKey>,
        stop: &CancellationToken,
    ) -> Self {
        Self {
            surroundings,
            cluster,
            changed,
            running: Mutex::default(),
            tasks: Mutex::default(),
            stop: stop.child_token(),
        }
    }

    /// Starts, changes or (with `None`) ends the consumer of a platform. What it is configured with already
    /// changes nothing.
    pub fn configure(&self, key: &PlatformKey, config: Option<Config>) {
        let mut running = lock(&self.running);
        let Some(config) = config else {
            if let Some(consumer) = running.remove(key) {
                consumer.stop.cancel();
            }
            return;
        };
        if let Some(consumer) = running.get(key) {
            let same_platform = consumer.config.borrow().uid == config.uid;
            if same_platform && !consumer.config.is_closed() {
                consumer.config.send_if_modified(|current| {
                    let news = **current != config;
                    if news {
                        *current = Arc::new(config);
                    }
                    news
                });
                return;
            }
            consumer.stop.cancel();
        }
        running.insert(key.clone(), self.start(key, config));
    }

    /// What the consumer of a platform tells. `None` where there is none, or it has not looked yet.
    #[must_use]
    pub fn report(&self, key: &PlatformKey) -> Option<Report> {
        lock(&self.running).get(key).and_then(|consumer| consumer.report.borrow().clone())
    }

    /// Stops receiving. A receive in flight may end, which takes as long as a long poll does, and what it
    /// brings goes back to its queue. Jobs stay. Another replica may lead meanwhile.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        let mut tasks = std::mem::take(&mut *lock(&self.tasks));
        while tasks.join_next().await.is_some() {}
    }

    /// Ends all consumers where they are, and waits until none runs. What a receive in flight brings is visible again
    /// after its timeout.
    pub async fn abort(&self) {
        self.stop.cancel();
        let mut tasks = std::mem::take(&mut *lock(&self.tasks));
        tasks.shutdown().await;
    }

    fn start(&self, key: &PlatformKey, config: Config) -> Running {
        let stop = self.stop.child_token();
        let (report, reports) = watch::channel(None);
        let Surroundings { client, metrics, clock, .. } = &self.surroundings;
        let jobs = jobs::Jobs::new(client.clone(), &key.namespace, metrics.clone());
        let (config, configs) = watch::channel(Arc::new(config));
        let (changed, owner) = (self.changed.clone(), key.clone());
        let consumer = Consumer {
            key: key.clone(),
            cluster: Arc::clone(&self.cluster),
            clock: *clock,
            jobs,
            config: configs,
            publish: Box::new(move |news| {
                report.send_replace(Some(news));
                // An error says that the controller is ending.
                drop(changed.send(owner.clone()));
            }),
            stop: stop.clone(),
        };
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(consumer.run());
        Running { config, report: reports, stop }
    }
}

// A panic while one of these locks is held leaves whole entries behind: reading on is safe.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
