//! Starts the worker; see README.md.

use axum::Router;
use catalog::Catalog;
use service_common::{
    aws,
    http::{Operations, serve},
    service::{self, Start},
};
use std::{process::ExitCode, time::Duration};
use tokio::sync::watch;
use worker::{
    chores::Chores,
    outcomes::{Consumer, HANDLE_TIMEOUT, Metrics, WAIT_SECONDS},
    settings::Settings,
};

/// How often the schema is looked at before it is new enough.
const SCHEMA_POLL: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> ExitCode {
    service::run("worker", run).await
}

async fn run(Start { env, shutdown, listener }: Start) -> anyhow::Result<()> {
    let settings = Settings::from_env(&env)?;
    let sdk = aws::sdk_config().await;
    let (reachable, reached) = watch::channel(Err("nothing was received from the queue yet".to_owned()));
    let metrics = Metrics::default();
    let catalog = settings.catalog.clone();
    let mut operations = Operations::default()
        .check("database", move || {
            let catalog = catalog.clone();
            async move { catalog.check().await }
        })
        .check("queue", move || {
            let reached = reached.borrow().clone();
            async move { reached }
        });
    metrics.register(operations.registry());
    let chores = Chores {
        catalog: settings.catalog.clone(),
        storage: settings.storage.clone(),
        s3: aws::s3_client(&sdk),
        progress_interval: settings.progress_interval,
        housekeeping_interval: settings.housekeeping_interval,
    };
    let consumer = Consumer {
        catalog: settings.catalog.clone(),
        storage: settings.storage,
        s3: aws::s3_client(&sdk),
        sqs: aws::sqs_client(&sdk),
        queue_url: settings.events_queue_url,
        max_receives: settings.max_receives,
        wait_seconds: WAIT_SECONDS,
        handle_timeout: HANDLE_TIMEOUT,
        metrics,
    };
    let work = async {
        tokio::select! {
            () = shutdown.draining() => return,
            () = until_migrated(&settings.catalog) => {}
        }
        tokio::join!(consumer.run(&shutdown, &reachable), chores.run(&shutdown));
    };
    let (served, ()) =
        tokio::join!(serve(listener, operations.wrap(Router::new(), &shutdown), &shutdown), work);
    served?;
    Ok(())
}

async fn until_migrated(catalog: &Catalog) {
    let mut told = String::new();
    while let Err(reason) = catalog.check().await {
        if reason != told {
            tracing::info!(reason, "not ready");
            told = reason;
        }
        tokio::time::sleep(SCHEMA_POLL).await;
    }
}
