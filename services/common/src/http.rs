//! Health, readiness and metrics endpoints, metrics and spans of requests, and a server that drains.

use crate::{Shutdown, problem::problem, telemetry};
use axum::{
    Json, Router,
    extract::{MatchedPath, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use futures::future::BoxFuture;
use http::{
    HeaderValue, Method, StatusCode,
    header::{CONNECTION, CONTENT_TYPE},
};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use serde_json::{Map, Value, json};
use std::{any::Any, io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    time::{Instant, timeout},
};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;

/// How long one readiness check may take. Kubernetes' own default timeout of a probe is 1 s.
const CHECK_TIMEOUT: Duration = Duration::from_millis(800);
/// Upper bounds of the request duration's buckets, in seconds.
const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

type Check = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// What a service shows of itself: named checks, and a registry of metrics.
#[derive(Default)]
pub struct Operations {
    checks: Vec<Named>,
    registry: Registry,
}

struct Named {
    name: &'static str,
    /// Whether the service is ready only when it passes.
    decides: bool,
    check: Check,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CheckLabels {
    check: &'static str,
}

#[derive(Clone)]
struct Shown {
    checks: Arc<[Named]>,
    passed: Family<CheckLabels, Gauge>,
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
    pub fn check<F>(self, name: &'static str, check: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.with(name, true, check)
    }

    /// Adds a check that `/ready` and `/metrics` show, and that does not decide: without what it looks at the
    /// service still does some of its work, and no replica would do better.
    #[must_use]
    pub fn watch<F>(self, name: &'static str, check: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.with(name, false, check)
    }

    fn with<F>(
        mut self,
        name: &'static str,
        decides: bool,
        check: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.checks.push(Named { name, decides, check: Arc::new(move || Box::pin(check())) });
        self
    }

    /// Where a service registers metrics of its own.
    pub fn registry(&mut self) -> &mut Registry {
        &mut self.registry
    }

    /// Wraps the routes of a service: `/health`, `/ready` and `/metrics` beside them; a span, a duration and
    /// protection from panics around each of its requests.
    pub fn wrap(self, app: Router, shutdown: &Shutdown) -> Router {
        let (app, metrics) = self.wrap_apart(app, shutdown);
        app.merge(metrics)
    }

    /// As [`Operations::wrap`], with `/metrics` as a router of its own: for a service whose port is open to
    /// the world.
    pub fn wrap_apart(mut self, app: Router, shutdown: &Shutdown) -> (Router, Router) {
        let durations = RequestDurations::new_with_constructor(|| Histogram::new(BUCKETS));
        self.registry.register_with_unit(
            "http_request_duration",
            "Time to the head of the response, by matched path",
            Unit::Seconds,
            durations.clone(),
        );
        let passed = Family::<CheckLabels, Gauge>::default();
        self.registry.register(
            "readiness_check",
            "1 where the check of that name passed when /ready was last asked for, else 0",
            passed.clone(),
        );
        let shown = Shown { checks: self.checks.into(), passed, shutdown: shutdown.clone() };
        let own =
            Router::new().route("/health", get(async || "ok")).route("/ready", get(ready)).with_state(shown);
        let metrics = Router::new().route("/metrics", get(metrics)).with_state(Arc::new(self.registry));
        let app = app.layer(CatchPanicLayer::custom(panicked));
        let app = app.layer(middleware::from_fn_with_state(durations, observe));
        (app.layer(middleware::from_fn_with_state(shutdown.clone(), release)).merge(own), metrics)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "what the layer calls it with")]
fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
    tracing::error!(panic = text, "a request's handler panicked");
    problem(StatusCode::INTERNAL_SERVER_ERROR, "The request met an error of this service. Its log says more.")
}

async fn ready(State(shown): State<Shown>) -> Response {
    if shown.shutdown.is_draining() {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"ready": false, "draining": true})))
            .into_response();
    }
    let results = futures::future::join_all(shown.checks.iter().map(async |named| {
        let result = timeout(CHECK_TIMEOUT, (named.check)()).await;
        let result = result.unwrap_or_else(|_| Err("no answer in time".into()));
        shown.passed.get_or_create(&CheckLabels { check: named.name }).set(result.is_ok().into());
        (named, result)
    }))
    .await;
    let ready = results.iter().all(|(named, result)| result.is_ok() || !named.decides);
    let checks: Map<String, Value> = results
        .into_iter()
        .map(|(named, result)| (named.name.to_owned(), result.err().unwrap_or_else(|| "ok".into()).into()))
        .collect();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({"ready": ready, "checks": checks}))).into_response()
}

async fn metrics(State(registry): State<Arc<Registry>>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &registry) {
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

/// While the service drains, each answer ends its connection: the client's next one leads to another replica. One that
/// is kept would be closed when the service stops, maybe just as a request comes on it, which then has no answer.
async fn release(State(shutdown): State<Shutdown>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if shutdown.is_draining() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
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
    async fn answers_end_their_connections_while_the_service_drains() {
        let shutdown = idle();
        let app = Operations::default().wrap(Router::new().route("/", get(async || "hello")), &shutdown);
        let connection = async || {
            let answer = app.clone().oneshot(Request::get("/").body(Body::empty()).unwrap()).await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            answer.headers().get(CONNECTION).cloned()
        };
        assert_eq!(connection().await, None);
        shutdown.begin().await;
        assert_eq!(connection().await.unwrap(), "close");
    }

    #[tokio::test]
    async fn what_is_only_watched_is_shown_and_does_not_decide() {
        let operations = Operations::default()
            .check("schema", async || Ok(()))
            .watch("database", async || Err("connection refused".to_owned()));
        let (app, metrics) = operations.wrap_apart(Router::new(), &idle());
        let (status, body) = fetch(&app, "/ready").await;
        assert_eq!(status, StatusCode::OK);
        let body: Value = serde_json::from_str(&body).unwrap();
        let checks = json!({"schema": "ok", "database": "connection refused"});
        assert_eq!(body, json!({"ready": true, "checks": checks}));
        assert_eq!(fetch(&app, "/metrics").await.0, StatusCode::NOT_FOUND);
        let (_, text) = fetch(&metrics, "/metrics").await;
        assert!(text.contains(r#"readiness_check{check="database"} 0"#), "{text}");
        assert!(text.contains(r#"readiness_check{check="schema"} 1"#), "{text}");
    }

    #[tokio::test]
    async fn requests_are_counted_by_matched_path_and_a_panic_is_an_answer() {
        let app = Router::new()
            .route("/videos/{id}", get(async || "one"))
            .route("/panic", get(async || -> &'static str { panic!("a handler's fault") }));
        let app = Operations::default().wrap(app, &idle());
        fetch(&app, "/videos/1").await;
        fetch(&app, "/videos/2").await;
        let (status, body) = fetch(&app, "/panic").await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["status"], 500, "{body}");
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
