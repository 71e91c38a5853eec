//! What the worker is told by environment variables; README.md lists them.

use catalog::{Catalog, Storage};
use service_common::{Env, EnvError};
use std::time::Duration;

/// Progress is written at most this often, so asking more often is in vain.
const MIN_PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// All settings, with what they open.
pub struct Settings {
    /// The catalogue in `DATABASE_URL`.
    pub catalog: Catalog,
    /// Buckets and prefixes.
    pub storage: Storage,
    /// Queue of outcomes.
    pub events_queue_url: String,
    /// How often a message that can't be understood is received before it is given up.
    pub max_receives: u32,
    /// How often progress is asked for.
    pub progress_interval: Duration,
    /// How often house is kept.
    pub housekeeping_interval: Duration,
}

impl Settings {
    /// Reads the settings.
    ///
    /// # Errors
    /// [`EnvError`], naming the first variable that is missing or wrong.
    pub fn from_env(env: &Env) -> Result<Self, EnvError> {
        let progress_interval = env.duration_or("PROGRESS_INTERVAL", MIN_PROGRESS_INTERVAL)?;
        if progress_interval < MIN_PROGRESS_INTERVAL {
            return Err(EnvError::invalid("PROGRESS_INTERVAL", "must be at least 2s"));
        }
        Ok(Self {
            catalog: Catalog::from_env(env)?,
            storage: Storage::from_env(env)?,
            events_queue_url: env.required("EVENTS_QUEUE_URL")?,
            max_receives: env.parse_or("EVENTS_MAX_RECEIVES", 5)?,
            progress_interval,
            housekeeping_interval: env.duration_or("HOUSEKEEPING_INTERVAL", Duration::from_secs(30))?,
        })
    }
}
