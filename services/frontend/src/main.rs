//! frontend service; see README.md.

use anyhow::Context;
use frontend::{Assets, Settings};
use service_common::{
    Env, Shutdown,
    http::{Operations, listen_address, serve},
    telemetry,
};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let env = Env::process();
    let telemetry = telemetry::init("frontend")?;
    let settings = Settings::from_env(&env)?;
    let shutdown = Shutdown::on_signal(&env)?;
    let assets = Assets::load(&settings.web_root)?;
    let address = listen_address(&env)?;
    let listener = TcpListener::bind(address).await.with_context(|| format!("can't listen on {address}"))?;
    tracing::info!(%address, backend = %settings.backend, files = assets.count(), "serving");
    let app = Operations::default().wrap(frontend::app(&settings, assets, &shutdown), &shutdown);
    serve(listener, app, &shutdown).await?;
    telemetry.shutdown().await;
    Ok(())
}
