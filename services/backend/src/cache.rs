//! Which outputs are whole, kept for all replicas in the cache that `CACHE_URL` names.
//!
//! An output that is whole stays so, so nothing in the cache can be out of date; and PostgreSQL knows it as well, so
//! nothing is lost with the cache. While that is away, or slow, the service goes on without it.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};
use redis::{
    Client, Cmd, FromRedisValue,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use service_common::{Env, EnvError};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, timeout};

/// How long an answer, or a connection, may take: PostgreSQL is quicker than that.
const PATIENCE: Duration = Duration::from_millis(500);
/// For how long the cache is not asked after it failed.
const PAUSE: Duration = Duration::from_secs(5);
/// How long an output is remembered, in seconds, so that the cache does not fill with what nobody watches.
const REMEMBERED_SECONDS: u64 = 24 * 3600;

/// The platform's cache. Cheap to clone.
#[derive(Clone)]
pub struct Cache {
    connection: ConnectionManager,
    /// When it last failed, until it answers again.
    failed: Arc<Mutex<Option<Instant>>>,
    lookups: Family<LookupLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LookupLabels {
    /// `hit`, `miss`, or `unavailable` where it was not asked or did not answer.
    result: &'static str,
}

impl Cache {
    /// The cache of `CACHE_URL`; none where that is not set. Call it inside the tokio runtime; it connects when it is
    /// first asked.
    ///
    /// # Errors
    /// [`EnvError`] naming `CACHE_URL`, without its value, where it is no such URL.
    pub fn from_env(env: &Env) -> Result<Option<Self>, EnvError> {
        let invalid =
            || EnvError::invalid("CACHE_URL", "expected redis://[user:password@]host:port/0 or rediss://");
        let Some(url) = env.optional("CACHE_URL") else { return Ok(None) };
        let client = Client::open(url).map_err(|_| invalid())?;
        Self::new(client).map(Some).map_err(|_| invalid())
    }

    /// The cache of a client.
    ///
    /// # Errors
    /// Where the client can't be used.
    pub fn new(client: Client) -> redis::RedisResult<Self> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE))
            .set_number_of_retries(0);
        let connection = ConnectionManager::new_lazy_with_config(client, config)?;
        Ok(Self { connection, failed: Arc::default(), lookups: Family::default() })
    }

    /// Shows in `/metrics` how often it was asked.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "cache_lookups",
            "Questions to the cache whether an output is whole, by result",
            self.lookups.clone(),
        );
    }

    /// Whether the output in that folder is known to be whole. Not while the cache is away.
    pub async fn is_whole(&self, folder: &str) -> bool {
        let answer = if self.is_paused() { None } else { self.ask(&Cmd::exists(key(folder))).await.ok() };
        let result = match answer {
            Some(true) => "hit",
            Some(false) => "miss",
            None => "unavailable",
        };
        self.lookups.get_or_create(&LookupLabels { result }).inc();
        answer == Some(true)
    }

    /// Remembers that the output in that folder is whole, if the cache is there.
    pub async fn remember_whole(&self, folder: &str) {
        if !self.is_paused() {
            // What it did not take, PostgreSQL is asked for; `ask` has told the failure.
            let _: Result<(), _> = self.ask(&Cmd::set_ex(key(folder), 1, REMEMBERED_SECONDS)).await;
        }
    }

    /// Whether the cache answers.
    ///
    /// # Errors
    /// What it said instead.
    pub async fn check(&self) -> Result<(), String> {
        self.ask(&redis::cmd("PING")).await
    }

    fn is_paused(&self) -> bool {
        self.failed().is_some_and(|since| since.elapsed() < PAUSE)
    }

    fn failed(&self) -> MutexGuard<'_, Option<Instant>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, String> {
        let mut connection = self.connection.clone();
        let answer = match timeout(PATIENCE, command.query_async(&mut connection)).await {
            Ok(answer) => answer.map_err(|error| error.to_string()),
            Err(_) => Err("no answer in time".to_owned()),
        };
        match &answer {
            Ok(_) => {
                if self.failed().take().is_some() {
                    tracing::info!("the cache answers again");
                }
            }
            Err(error) => {
                if self.failed().replace(Instant::now()).is_none() {
                    tracing::warn!(error, "the cache can't be used; the service goes on without it");
                }
            }
        }
        answer
    }
}

fn key(folder: &str) -> String {
    format!("whole:{folder}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_url_of_something_else_is_refused_without_being_told() {
        for url in ["postgres://u:hunter2@h/d", "hunter2"] {
            let refused = Cache::from_env(&Env::of([("CACHE_URL", url)])).err().unwrap().to_string();
            assert!(refused.contains("CACHE_URL") && !refused.contains("hunter2"), "{refused}");
        }
        for url in ["redis://h:6379/0", "rediss://u:p%2F@h:6379/0"] {
            assert!(Cache::from_env(&Env::of([("CACHE_URL", url)])).unwrap().is_some(), "{url}");
        }
        assert!(Cache::from_env(&Env::of([("PORT", "1")])).unwrap().is_none());
    }
}
