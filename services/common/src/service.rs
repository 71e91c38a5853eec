//! How the `main` of a service begins and ends.

use crate::{Env, Shutdown, http::listen_address, telemetry};
use anyhow::Context;
use std::process::ExitCode;
use tokio::net::TcpListener;

/// What every service is given at its start.
pub struct Start {
    /// Its settings.
    pub env: Env,
    /// Its end, when Kubernetes asks for it.
    pub shutdown: Shutdown,
    /// Where it serves.
    pub listener: TcpListener,
}

/// Runs the service of that name: starts telemetry and listens, and logs why it ended if it did so early.
/// Spans that are still held are sent before it returns.
pub async fn run(name: &'static str, service: impl AsyncFnOnce(Start) -> anyhow::Result<()>) -> ExitCode {
    let telemetry = match telemetry::init(name) {
        Ok(telemetry) => telemetry,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = async { service(start().await?).await }.await;
    if let Err(error) = &ended {
        tracing::error!(error = format!("{error:#}"), "the service ends");
    }
    telemetry.shutdown().await;
    if ended.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn start() -> anyhow::Result<Start> {
    let env = Env::process();
    let shutdown = Shutdown::on_signal(&env)?;
    let address = listen_address(&env)?;
    let listener = TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;
    tracing::info!(%address, "listening");
    Ok(Start { env, shutdown, listener })
}
