//! Health, readiness and metrics endpoints, metrics and spans of requests, and a server that drains.

use crate::{Env, EnvError, Shutdown, telemetry};
use axum::{
    Json, Router,
    extract::{MatchedPath, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use futures::future::BoxFuture;
use http::{Method, StatusCode, header::CONTENT_TYPE};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};
use serde_json::{Map, Value, json};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    time::{Instant, timeout},
};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;

/// How long one readiness check may take. Kubernetes' own default timeout of a probe is 1 s.
const CHECK_TIMEOUT: Duration = Duration::from_millis(900);
/// Upper bounds of the request duration's buckets, in seconds.
const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

type Check = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// What a service shows of itself: named readiness checks, and a registry of metrics.
#[derive(Default)]
pub struct Operations {
    checks: Vec<(&'static str, Check)>,
    registry: Registry,
}

#[derive(Clone)]
struct Shown {
    checks: Arc<[(&'static str, Check)]>,
    registry: Arc<Registry>,
    shutdown: Shutdown,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    path: String,
    status: u16,
}

type RequestDurations = Family<RequestLabels, Histogram, fn() -> Histogram>;

impl Operations {
    /// Adds a check without which the service is not ready. Its error says what to do.
    #[must_use]
    pub fn check<F>(mut self, name: &'static str, check: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.checks.push((name, Arc::new(move || Box::pin(check()))));
        self
    }

    /// Where a service registers metrics of its own.
    pub fn registry(&mut self) -> &mut Registry {
        &mut self.registry
    }

    /// Wraps the routes of a service: `/health`, `/ready` and `/metrics` beside them; a span, a duration and
    /// protection from panics around each of its requests.
    pub fn wrap(mut self, app: Router, shutdown: &Shutdown) -> Router {
        let durations = RequestDurations::new_with_constructor(|| Histogram::new(BUCKETS));
        self.registry.register_with_unit(
            "http_request_duration",
            "Time to the head of the response, by matched path",
            Unit::Seconds,
            durations.clone(),
        );
        let shown = Shown {
            checks: self.checks.into(),
            registry: Arc::new(self.registry),
            shutdown: shutdown.clone(),
        };
        let own = Router::new()
            .route("/health", get(async || "ok"))
            .route("/ready", get(ready))
            .route("/metrics", get(metrics))
            .with_state(shown);
        app.layer(CatchPanicLayer::new()).layer(middleware::from_fn_with_state(durations, observe)).merge(own)
    }
}

async fn ready(State(shown): State<Shown>) -> Response {
    if shown.shutdown.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"ready": false, "draining": true})))
            .into_response();
    }
    let results = futures::future::join_all(shown.checks.iter().map(async |(name, check)| {
        let result =
            timeout(CHECK_TIMEOUT, check()).await.unwrap_or_else(|_| Err("no answer in time".into()));
        (*name, result)
    }))
    .await;
    let ready = results.iter().all(|(_, result)| result.is_ok());
    let checks: Map<String, Value> = results
        .into_iter()
        .map(|(name, result)| (name.to_owned(), result.err().unwrap_or_else(|| "ok".into()).into()))
        .collect();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({"ready": ready, "checks": checks}))).into_response()
}

async fn metrics(State(shown): State<Shown>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &shown.registry) {
        Ok(()) => ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
            .into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn observe(State(durations): State<RequestDurations>, request: Request, next: Next) -> Response {
    let method = known_method(request.method());
    let path = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!(
        "request",
        otel.name = format!("{method} {path}"),
        otel.kind = "server",
        method,
        path = request.uri().path(),
        trace_id = tracing::field::Empty,
        status = tracing::field::Empty,
    );
    telemetry::join_trace(&span, request.headers());
    let start = Instant::now();
    let response = next.run(request).instrument(span.clone()).await;
    let elapsed = start.elapsed();
    let status = response.status().as_u16();
    span.record("status", status);
    durations.get_or_create(&RequestLabels { method, path, status }).observe(elapsed.as_secs_f64());
    span.in_scope(|| tracing::debug!(elapsed_ms = elapsed.as_millis(), "answered"));
    response
}

/// Methods are a label, so a client's own invention must not become one.
fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "OTHER",
    }
}

/// The address to listen on: all interfaces, at `PORT` (default 8080).
///
/// # Errors
/// [`EnvError`] where `PORT` is no port number.
pub fn listen_address(env: &Env) -> Result<SocketAddr, EnvError> {
    Ok(SocketAddr::from(([0, 0, 0, 0], env.parse_or("PORT", 8080)?)))
}

/// Serves until `shutdown` says stop, then lets requests under way finish within its timeout.
///
/// # Errors
/// Where the listener fails.
pub async fn serve(listener: TcpListener, app: Router, shutdown: &Shutdown) -> io::Result<()> {
    let stopping = shutdown.clone();
    let deadline = shutdown.clone();
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, app).with_graceful_shutdown(async move { stopping.stopping().await });
    tokio::select! {
        ended = server.into_future() => ended,
        () = async {
            deadline.stopping().await;
            tokio::time::sleep(deadline.timeout()).await;
        } => {
            tracing::warn!("requests were cut off: they took longer than SHUTDOWN_TIMEOUT");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    async fn fetch(app: &Router, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    fn idle() -> Shutdown {
        Shutdown::new(Duration::ZERO, Duration::from_secs(5))
    }

    #[tokio::test]
    async fn readiness_names_the_check_that_fails_and_ends_with_draining() {
        let shutdown = idle();
        let operations = Operations::default()
            .check("database", async || Ok(()))
            .check("queue", async || Err("no such queue".to_owned()));
        let app = operations.wrap(Router::new(), &shutdown);
        let (status, body) = fetch(&app, "/ready").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["checks"], json!({"database": "ok", "queue": "no such queue"}));

        let app = Operations::default().wrap(Router::new(), &shutdown);
        assert_eq!(fetch(&app, "/ready").await.0, StatusCode::OK);
        shutdown.begin().await;
        assert_eq!(fetch(&app, "/ready").await.0, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(fetch(&app, "/health").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn requests_are_counted_by_matched_path_and_a_panic_is_an_answer() {
        let app = Router::new()
            .route("/videos/{id}", get(async || "one"))
            .route("/panic", get(async || -> &'static str { panic!("a handler's fault") }));
        let app = Operations::default().wrap(app, &idle());
        fetch(&app, "/videos/1").await;
        fetch(&app, "/videos/2").await;
        assert_eq!(fetch(&app, "/panic").await.0, StatusCode::INTERNAL_SERVER_ERROR);
        let (_, text) = fetch(&app, "/metrics").await;
        assert!(
            text.contains(
                r#"http_request_duration_seconds_count{method="GET",path="/videos/{id}",status="200"} 2"#
            ),
            "{text}"
        );
        assert!(text.contains(r#"path="/panic",status="500""#), "{text}");
    }

    #[tokio::test]
    async fn a_request_under_way_finishes_after_stopping_began() {
        let (entered, mut has_entered) = tokio::sync::mpsc::channel::<()>(1);
        let release = Arc::new(tokio::sync::Notify::new());
        let held = release.clone();
        let app = Router::new().route(
            "/slow",
            get(move || async move {
                entered.send(()).await.unwrap();
                held.notified().await;
                "done"
            }),
        );
        let shutdown = idle();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let ending = shutdown.clone();
        let server = tokio::spawn(async move { serve(listener, app, &ending).await });
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(
            &mut stream,
            b"GET /slow HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        )
        .await
        .unwrap();
        has_entered.recv().await.unwrap();
        shutdown.begin().await;
        release.notify_one();
        let mut answer = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer).await.unwrap();
        assert!(answer.ends_with("done"), "{answer}");
        server.await.unwrap().unwrap();
    }
}
