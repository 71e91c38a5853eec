//! What Kubernetes and Prometheus ask of a replica: `/live`, `/ready` and `/metrics` on one port.

use crate::{metrics::Metrics, observe::cluster::Cluster};
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};
use std::{io, sync::Arc};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Media type of the OpenMetrics text format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves until `stop`.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    metrics: Metrics,
    cluster: Arc<Cluster>,
    stop: CancellationToken,
) -> io::Result<()> {
    let app = Router::new()
        // Answered at all, it says that the runtime turns.
        .route("/live", get(|| async { "live\n" }))
        .route("/ready", get(ready).with_state((cluster, stop.clone())))
        .route("/metrics", get(render).with_state(metrics));
    axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await
}

/// Ready to lead: a candidate is as ready as the leader.
async fn ready(State((cluster, stop)): State<(Arc<Cluster>, CancellationToken)>) -> impl IntoResponse {
    if stop.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
    } else if cluster.is_synced() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "watches have not listed their objects yet\n")
    }
}

async fn render(State(metrics): State<Metrics>) -> impl IntoResponse {
    match metrics.render() {
        Ok(text) => (StatusCode::OK, [(CONTENT_TYPE, OPEN_METRICS)], text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, [(CONTENT_TYPE, "text/plain")], error.to_string()),
    }
}
