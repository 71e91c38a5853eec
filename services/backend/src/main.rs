//! Starts the backend; see README.md.

use backend::{App, migrator, settings::Settings};
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
