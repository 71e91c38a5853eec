//! Starts the backend; see README.md.

use anyhow::Context;
use backend::{App, migrator, settings::Settings};
use backon::{ExponentialBuilder, Retryable};
use catalog::Catalog;
use service_common::{
    Env, Shutdown, aws,
    http::{Operations, listen_address, serve},
    telemetry,
};
use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> ExitCode {
    let telemetry = match telemetry::init("backend") {
        Ok(telemetry) => telemetry,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let result = run(&Env::process()).await;
    if let Err(error) = &result {
        tracing::error!(error = format!("{error:#}"), "the backend ends");
    }
    telemetry.shutdown().await;
    if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn run(env: &Env) -> anyhow::Result<()> {
    let shutdown = Shutdown::on_signal(env)?;
    let settings = Settings::from_env(env)?;
    let address = listen_address(env)?;
    let catalog = settings.catalog.clone();
    let migrated = Arc::new(AtomicBool::new(false));
    tokio::spawn(migrate(catalog.clone(), migrated.clone()));
    let app = App::new(settings, &aws::sdk_config().await, &shutdown);
    let operations = Operations::default().check("database", move || {
        let (catalog, migrated) = (catalog.clone(), migrated.clone());
        async move {
            if !migrated.load(Ordering::Acquire) {
                return Err("the schema is not migrated yet; the log says what it waits for".to_owned());
            }
            catalog.check().await
        }
    });
    let listener = TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;
    tracing::info!(%address, "serving");
    serve(listener, operations.wrap(app.router(), &shutdown), &shutdown).await?;
    Ok(())
}

/// Migrates as soon as the database can be reached. Several replicas may do so at once: an advisory lock of
/// PostgreSQL lets one go first, and the others find nothing left to do.
async fn migrate(catalog: Catalog, migrated: Arc<AtomicBool>) {
    let delays = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(500))
        .with_max_delay(Duration::from_secs(10))
        .without_max_times();
    let ended = (async || migrator().run(catalog.pool()).await)
        .retry(delays)
        .notify(|error, delay| tracing::warn!(%error, ?delay, "the schema can't be migrated; trying again"))
        .await;
    if ended.is_ok() {
        tracing::info!("the schema is migrated");
        migrated.store(true, Ordering::Release);
    }
}
