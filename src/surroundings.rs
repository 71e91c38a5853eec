//! What a replica acts on and goes by: a cluster, AWS, databases, and the time.

use crate::{apply::sessions::Postgres, aws::Accounts, metrics::Metrics};
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use tokio::time::Instant;

/// What a replica acts on and goes by. Cheap to clone.
#[derive(Clone)]
pub struct Surroundings {
    /// The cluster.
    pub client: Client,
    /// AWS.
    pub accounts: Accounts,
    /// PostgreSQL servers.
    pub postgres: Postgres,
    /// The time.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Metrics,
}

impl Surroundings {
    /// Those of this process.
    #[must_use]
    pub fn of_process(client: Client, metrics: Metrics) -> Self {
        let accounts = Accounts::new(client.clone(), metrics.clone());
        Self { client, accounts, postgres: Postgres::default(), clock: Clock::default(), metrics }
    }
}

/// Tells the time: the system's, or one that goes with tokio's clock, which may be virtual.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    began: Option<(Timestamp, Instant)>,
}

impl Clock {
    /// A clock that shows `epoch` now, and goes with tokio's.
    #[must_use]
    pub fn starting_at(epoch: Timestamp) -> Self {
        Self { began: Some((epoch, Instant::now())) }
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let Some((epoch, began)) = self.began else { return Timestamp::now() };
        let passed = SignedDuration::try_from(began.elapsed()).unwrap_or(SignedDuration::MAX);
        epoch.saturating_add(passed).unwrap_or(Timestamp::MAX)
    }
}
