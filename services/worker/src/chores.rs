//! What one replica does for all: it holds a lock in PostgreSQL, which ends with its connection.

use crate::{housekeeping, progress::Follower};
use catalog::{Catalog, Storage, store::Lock};
use jiff::Timestamp;
use service_common::Shutdown;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// Number of the lock, any that nobody else uses in this database.
const LOCK: i64 = 0x7374_7265_616d;
/// How often a replica without the lock tries to get it.
const RETRY: Duration = Duration::from_secs(5);

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
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn while_held(&self, mut lock: Lock) {
        tracing::info!("this replica does the chores");
        let follower = Follower::new(self.catalog.clone(), self.storage.clone(), self.s3.clone());
        let mut progress = interval(self.progress_interval);
        let mut housekeeping = interval(self.housekeeping_interval);
        progress.set_missed_tick_behavior(MissedTickBehavior::Delay);
        housekeeping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while lock.is_held().await {
            let result = tokio::select! {
                _ = progress.tick() => follower.round(Timestamp::now()).await.map(drop),
                _ = housekeeping.tick() => {
                    housekeeping::round(&self.catalog, &self.storage, &self.s3, Timestamp::now()).await.map(drop)
                }
            };
            if let Err(error) = result {
                tracing::warn!(%error, "a chore failed; it is done again in its next round");
            }
        }
        tracing::warn!("the connection that held the chores' lock is lost");
    }
}
