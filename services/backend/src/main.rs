//! Starts the backend; see README.md.

use backend::{App, migrate, settings::Settings};
use backon::{ExponentialBuilder, Retryable};
use catalog::Catalog;
use service_common::{
    aws,
    http::{Operations, serve},
    service::{self, Start},
};
use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

#[tokio::main]
async fn main() -> ExitCode {
    service::run("backend", run).await
}

async fn run(Start { env, shutdown, listener }: Start) -> anyhow::Result<()> {
    let settings = Settings::from_env(&env)?;
    let (catalog, cache) = (settings.catalog.clone(), settings.cache.clone());
    let migrated = Arc::new(AtomicBool::new(false));
    tokio::spawn(until_migrated(catalog.clone(), migrated.clone()));
    let app = App::new(settings, &aws::sdk_config().await, &shutdown);
    // A database or cache that fails later takes no replica out of service: media play without them, and the API says
    // 503 without the first.
    let mut operations = Operations::default()
        .check("schema", move || {
            let migrated = migrated.load(Ordering::Acquire);
            let waiting = "the schema is not migrated yet; the log says what it waits for";
            async move { if migrated { Ok(()) } else { Err(waiting.to_owned()) } }
        })
        .watch("database", move || {
            let catalog = catalog.clone();
            async move { catalog.check().await }
        });
    if let Some(cache) = cache {
        cache.register(operations.registry());
        operations = operations.watch("cache", move || {
            let cache = cache.clone();
            async move { cache.check().await }
        });
    }
    serve(listener, operations.wrap(app.router(), &shutdown), &shutdown).await?;
    Ok(())
}

/// Migrates as soon as the database can be reached. Several replicas may do so at once: an advisory lock of
/// PostgreSQL lets one go first, and the others find nothing left to do.
async fn until_migrated(catalog: Catalog, migrated: Arc<AtomicBool>) {
    let delays = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(500))
        .with_max_delay(Duration::from_secs(10))
        .without_max_times();
    let ended = (async || migrate(&catalog).await)
        .retry(delays)
        .notify(|error, delay| tracing::warn!(%error, ?delay, "the schema can't be migrated; trying again"))
        .await;
    if ended.is_ok() {
        tracing::info!("the schema is migrated");
        migrated.store(true, Ordering::Release);
    }
}
