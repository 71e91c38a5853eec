//! What one replica does for all: it holds a lock in PostgreSQL, which ends with its connection.

use crate::{housekeeping, progress::Follower};
use catalog::{Catalog, Storage, StoreError, store::Lock};
use jiff::Timestamp;
use service_common::Shutdown;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval, sleep};

/// Number of the lock, any that nobody else uses in this database.
const LOCK: i64 = 0x7374_7265_616d;
/// How often a replica without the lock tries to get it.
const RETRY: Duration = Duration::from_secs(5);
/// How often the replica that holds it makes sure of that.
const LOCK_CHECK: Duration = Duration::from_secs(2);

/// The chores of the replica that holds the lock.
pub struct Chores {
    /// The catalogue.
    pub catalog: Catalog,
    /// Buckets and prefixes.
    pub storage: Storage,
    /// For progress and erasing.
    pub s3: aws_sdk_s3::Client,
    /// How often progress is asked for.
    pub progress_interval: Duration,
    /// How often house is kept.
    pub housekeeping_interval: Duration,
}

impl Chores {
    /// Does the chores whenever this replica holds the lock, until draining begins.
    pub async fn run(&self, shutdown: &Shutdown) {
        tokio::select! {
            () = shutdown.draining() => {}
            () = self.forever() => {}
        }
    }

    async fn forever(&self) {
        loop {
            match self.catalog.try_lock(LOCK).await {
                Ok(Some(lock)) => self.while_held(lock).await,
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "the chores can't be taken on; trying again"),
            }
            sleep(RETRY).await;
        }
    }

    /// Each chore goes round by itself, so that a long one holds up no other.
    async fn while_held(&self, mut lock: Lock) {
        tracing::info!("this replica does the chores");
        let follower = Follower::new(self.catalog.clone(), self.storage.clone(), self.s3.clone());
        let held = async {
            while lock.is_held().await {
                sleep(LOCK_CHECK).await;
            }
        };
        let progress = again(self.progress_interval, async || follower.round(Timestamp::now()).await);
        let house = Box::pin(again(self.housekeeping_interval, async || {
            housekeeping::round(&self.catalog, &self.storage, &self.s3, Timestamp::now()).await
        }));
        tokio::select! {
            () = held => tracing::warn!("the connection that held the chores' lock is lost"),
            () = progress => {}
            () = house => {}
        }
    }
}

/// Does a chore now and after each interval.
async fn again<T>(every: Duration, round: impl AsyncFn() -> Result<T, StoreError>) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = round().await {
            tracing::warn!(%error, "a chore failed; it is done again in its next round");
        }
    }
}
