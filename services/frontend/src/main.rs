//! Starts the frontend; see README.md.

use frontend::{Assets, Settings};
use service_common::{
    http::{Operations, serve},
    service::{self, Start},
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
    let app = Operations::default().wrap(frontend::app(&settings, assets, &shutdown), &shutdown);
    serve(listener, app, &shutdown).await?;
    Ok(())
}
