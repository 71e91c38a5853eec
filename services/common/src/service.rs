//! How the `main` of a service begins and ends.

use crate::{Env, Shutdown, telemetry};
use anyhow::Context;
use std::{net::SocketAddr, process::ExitCode};
use tokio::net::TcpListener;

/// What every service is given at its start.
pub struct Start {
    /// Its settings.
    pub env: Env,
    /// Its end, when Kubernetes asks for it.
    pub shutdown: Shutdown,
    /// Where it serves: all interfaces, at `PORT` (default 8080).
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
    let listener = listen(&env, "PORT", 8080).await?;
    Ok(Start { env, shutdown, listener })
}

/// Listens on all interfaces, at the port that the variable names.
///
/// # Errors
/// Where it is no port number, or the port is taken.
pub async fn listen(env: &Env, variable: &str, default: u16) -> anyhow::Result<TcpListener> {
    let address = SocketAddr::from(([0, 0, 0, 0], env.parse_or(variable, default)?));
    let listener = TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("listening on {address}, as {variable} says"))?;
    tracing::info!(%address, variable, "listening");
    Ok(listener)
}
