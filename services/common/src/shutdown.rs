//! How a service ends: stop being ready, serve what still arrives, then finish what is under way.
//!
//! Kubernetes sends SIGTERM and removes the pod from its Service at the same time, so requests arrive for a
//! moment after the signal. *Draining* is that moment: the pod says that it is not ready and goes on serving.
//! *Stopping* comes after it: no new work is taken, and open streams end.

use crate::{Env, EnvError};
use std::{io, time::Duration};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The two stages of the end, to be cloned into whatever must know of them.
#[derive(Clone, Debug)]
pub struct Shutdown {
    draining: CancellationToken,
    stopping: CancellationToken,
    delay: Duration,
    timeout: Duration,
}

impl Shutdown {
    /// An end that nothing but [`Shutdown::begin`] starts: draining for `delay`, then stopping, for which
    /// `timeout` is given at most.
    #[must_use]
    pub fn new(delay: Duration, timeout: Duration) -> Self {
        Self { draining: CancellationToken::new(), stopping: CancellationToken::new(), delay, timeout }
    }

    /// An end that SIGTERM or SIGINT starts, with the times of `SHUTDOWN_DELAY` (default 5 s) and
    /// `SHUTDOWN_TIMEOUT` (default 20 s), which together fit in the 30 s that Kubernetes grants.
    ///
    /// # Errors
    /// [`EnvError`] for a variable that is no duration.
    ///
    /// # Panics
    /// Outside a tokio runtime, or where the system has no signals.
    pub fn on_signal(env: &Env) -> Result<Self, EnvError> {
        let shutdown = Self::new(
            env.duration_or("SHUTDOWN_DELAY", Duration::from_secs(5))?,
            env.duration_or("SHUTDOWN_TIMEOUT", Duration::from_secs(20))?,
        );
        let ending = shutdown.clone();
        tokio::spawn(async move {
            let name = first_signal().await.expect("a process may listen for its signals");
            tracing::info!(signal = name, "draining");
            ending.begin().await;
        });
        Ok(shutdown)
    }

    /// Starts draining; returns when stopping has begun.
    pub async fn begin(&self) {
        self.draining.cancel();
        tokio::time::sleep(self.delay).await;
        self.stopping.cancel();
    }

    /// Whether the service must no longer be ready.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Resolves when no new background work may be taken.
    pub async fn draining(&self) {
        self.draining.cancelled().await;
    }

    /// Resolves when connections and streams must end.
    pub async fn stopping(&self) {
        self.stopping.cancelled().await;
    }

    /// How long work under way may take after stopping began.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.timeout
    }
}

async fn first_signal() -> io::Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}
