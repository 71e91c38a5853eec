//! Starts the frontend; see README.md.

use frontend::{Assets, Settings};
use service_common::{
    http::{Operations, serve},
    service::{self, Start, listen},
};
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    service::run("frontend", run).await
}

async fn run(Start { env, shutdown, listener }: Start) -> anyhow::Result<()> {
    let settings = Settings::from_env(&env)?;
    let assets = Assets::load(&settings.web_root)?;
    tracing::info!(backend = %settings.backend, files = assets.count(), "serving");
    // The world reaches the port of the application, and metrics are none of its business.
    let metrics_listener = listen(&env, "METRICS_PORT", 9090).await?;
    let app = frontend::app(&settings, assets, &shutdown);
    let (app, metrics) = Operations::default().wrap_apart(app, &shutdown);
    tokio::try_join!(serve(listener, app, &shutdown), serve(metrics_listener, metrics, &shutdown))?;
    Ok(())
}
