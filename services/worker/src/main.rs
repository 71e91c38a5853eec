//! Starts the worker; see README.md.

use anyhow::Context;
use axum::Router;
use catalog::Catalog;
use service_common::{
    Env, Shutdown, aws,
    http::{Operations, listen_address, serve},
    telemetry,
};
use std::{process::ExitCode, time::Duration};
use tokio::{net::TcpListener, sync::watch};
use worker::{
    chores::Chores,
    outcomes::{Consumer, Metrics, WAIT_SECONDS},
    settings::Settings,
};

/// How often the schema is looked at before it is new enough.
const SCHEMA_POLL: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> ExitCode {
    let telemetry = match telemetry::init("worker") {
        Ok(telemetry) => telemetry,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let result = run(&Env::process()).await;
    if let Err(error) = &result {
        tracing::error!(error = format!("{error:#}"), "the worker ends");
    }
    telemetry.shutdown().await;
    if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn run(env: &Env) -> anyhow::Result<()> {
    let shutdown = Shutdown::on_signal(env)?;
    let settings = Settings::from_env(env)?;
    let address = listen_address(env)?;
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
        metrics,
    };
    let listener = TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;
    tracing::info!(%address, "working");
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
