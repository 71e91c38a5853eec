//! The whole server against an upstream of a few routes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use axum::{
    Json, Router,
    body::{Body, to_bytes},
    extract::{Path, Request},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use frontend::{Assets, Settings};
use futures::{StreamExt, stream};
use http::{HeaderMap, Method, StatusCode, header};
use rstest::rstest;
use serde_json::{Value, json};
use service_common::Shutdown;
use std::{convert::Infallible, fs, net::SocketAddr, time::Duration};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tower::ServiceExt;

const PATIENCE: Duration = Duration::from_secs(10);

struct Server {
    app: Router,
    shutdown: Shutdown,
    _web: TempDir,
}

/// A build of the application: two files with hashes in their names, one without.
fn web() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("assets")).unwrap();
    fs::write(folder.path().join("index.html"), "<!doctype html><title>app</title>").unwrap();
    fs::write(folder.path().join("favicon.svg"), "<svg/>").unwrap();
    fs::write(folder.path().join("assets/app-1a2b.js"), "let a = 1;\n".repeat(200)).unwrap();
    folder
}

fn server(backend: &str) -> Server {
    let web = web();
    let settings = Settings {
        backend: backend.parse().unwrap(),
        web_root: web.path().to_owned(),
        upload_origins: vec!["http://s3.example:4566".into()],
        max_request_bytes: 1000,
        connect_timeout: Duration::from_secs(2),
        response_timeout: Duration::from_millis(500),
    };
    let shutdown = Shutdown::new(Duration::ZERO, Duration::from_secs(5));
    let app = frontend::app(&settings, Assets::load(web.path()).unwrap(), &shutdown);
    Server { app, shutdown, _web: web }
}

async fn listen(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}

/// Tells what it was asked.
async fn echo(request: Request) -> Json<Value> {
    let (parts, body) = request.into_parts();
    let headers: HeaderMap = parts.headers;
    let named = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let body = to_bytes(body, usize::MAX).await.unwrap();
    Json(json!({
        "method": parts.method.as_str(),
        "uri": parts.uri.to_string(),
        "host": named("host"),
        "forwardedFor": named("x-forwarded-for"),
        "forwardedHost": named("x-forwarded-host"),
        "forwardedProto": named("x-forwarded-proto"),
        "secret": named("x-hop"),
        "te": named("te"),
        "authorization": named("authorization"),
        "body": String::from_utf8_lossy(&body),
    }))
}

/// An object of ten bytes, with ranges and conditions.
async fn object(Path(_): Path<String>, headers: HeaderMap) -> Response {
    if headers.get(header::IF_NONE_MATCH).is_some_and(|value| value == "\"v1\"") {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, "\"v1\"")]).into_response();
    }
    let partial = headers.get(header::RANGE).is_some_and(|value| value == "bytes=2-4");
    let all = [(header::ETAG, "\"v1\""), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
    if partial {
        return (StatusCode::PARTIAL_CONTENT, all, [(header::CONTENT_RANGE, "bytes 2-4/10")], "234")
            .into_response();
    }
    (all, "0123456789").into_response()
}

async fn upstream() -> Server {
    let events = get(async || {
        let first = stream::iter([Ok::<_, Infallible>("event: video\ndata: {}\n\n")]);
        ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(first.chain(stream::pending())))
    });
    let never = get(async || std::future::pending::<()>().await);
    let app = Router::new()
        .route("/api/echo", get(echo).post(echo))
        .route("/api/events", events)
        .route("/api/never", never)
        .route(
            "/api/refuse",
            post(async || (StatusCode::CONFLICT, [(header::CONNECTION, "x-inner"), (header::SERVER, "up")])),
        )
        .route("/media/{*path}", get(object));
    server(&format!("http://{}", listen(app).await))
}

async fn ask(server: &Server, request: http::request::Builder, body: Body) -> Response {
    let answer = server.app.clone().oneshot(request.body(body).unwrap());
    tokio::time::timeout(PATIENCE, answer).await.unwrap().unwrap()
}

async fn fetch(server: &Server, path: &str) -> Response {
    ask(server, Request::get(path), Body::empty()).await
}

async fn text(response: Response) -> String {
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn value(response: Response) -> Value {
    serde_json::from_str(&text(response).await).unwrap()
}

fn head<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_request_is_passed_on_with_its_query_body_and_token_but_without_hop_by_hop_headers() {
    let server = upstream().await;
    let request = Request::post("/api/echo?limit=2&state=Ready")
        .header("host", "tv.example.com")
        .header("authorization", "Bearer t")
        .header("connection", "keep-alive, X-Hop")
        .header("x-hop", "secret")
        .header("te", "trailers")
        .header("x-forwarded-for", "203.0.113.7")
        .header("x-forwarded-proto", "https");
    let mut request = request.body(Body::from("hello")).unwrap();
    let peer = SocketAddr::from(([10, 0, 0, 9], 4711));
    request.extensions_mut().insert(axum::extract::ConnectInfo(peer));
    let seen = value(server.app.clone().oneshot(request).await.unwrap()).await;
    assert_eq!(seen["method"], "POST");
    assert_eq!(seen["uri"], "/api/echo?limit=2&state=Ready");
    assert_eq!(seen["body"], "hello");
    assert_eq!(seen["authorization"], "Bearer t");
    assert_eq!(seen["forwardedFor"], "203.0.113.7, 10.0.0.9");
    assert_eq!(seen["forwardedHost"], "tv.example.com");
    assert_eq!(seen["forwardedProto"], "https");
    assert_eq!((&seen["secret"], &seen["te"]), (&Value::Null, &Value::Null));
    assert!(seen["host"].as_str().unwrap().starts_with("127.0.0.1:"), "{seen}");
}

#[tokio::test]
async fn ranges_conditions_and_cache_headers_go_both_ways() {
    let server = upstream().await;
    let partial =
        ask(&server, Request::get("/media/x/seg.m4s").header("range", "bytes=2-4"), Body::empty()).await;
    assert_eq!(partial.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(head(&partial, "content-range"), "bytes 2-4/10");
    assert_eq!(head(&partial, "content-length"), "3");
    assert_eq!(head(&partial, "cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(text(partial).await, "234");

    let request = Request::get("/media/x/seg.m4s").header("if-none-match", "\"v1\"");
    assert_eq!(ask(&server, request, Body::empty()).await.status(), StatusCode::NOT_MODIFIED);

    let request = Request::builder().method(Method::HEAD).uri("/media/x/seg.m4s");
    let only_head = ask(&server, request, Body::empty()).await;
    assert_eq!(head(&only_head, "content-length"), "10");
    assert_eq!(text(only_head).await, "");
}

#[tokio::test]
async fn events_arrive_while_the_stream_is_open_and_it_ends_with_the_server() {
    let server = upstream().await;
    let response = fetch(&server, "/api/events").await;
    assert_eq!(head(&response, "content-type"), "text/event-stream");
    let mut body = response.into_body().into_data_stream();
    let first = tokio::time::timeout(PATIENCE, body.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(first, "event: video\ndata: {}\n\n");
    server.shutdown.begin().await;
    assert!(tokio::time::timeout(PATIENCE, body.next()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_refusal_of_the_backend_stays_what_it_is() {
    let server = upstream().await;
    let response = ask(&server, Request::post("/api/refuse"), Body::from("{}")).await;
    assert_eq!(response.status(), StatusCode::CONFLICT);
    assert_eq!(head(&response, "server"), "up");
    assert_eq!(head(&response, "connection"), "");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_taken_for_whole() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nbegin").await.unwrap();
    });
    let response = fetch(&server(&format!("http://{address}")), "/media/x/seg.m4s").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(to_bytes(response.into_body(), usize::MAX).await.is_err());
}

#[rstest]
#[case::declared(Body::from(vec![b'x'; 1001]))]
#[case::streamed(Body::from_stream(stream::iter(vec![Ok::<_, Infallible>("x".repeat(600)); 2])))]
#[tokio::test]
async fn a_body_over_the_limit_is_refused(#[case] body: Body) {
    let server = upstream().await;
    let response = ask(&server, Request::post("/api/echo"), body).await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(head(&response, "content-type"), "application/problem+json");
}

#[tokio::test]
async fn a_body_within_the_limit_passes() {
    let server = upstream().await;
    let response = ask(&server, Request::post("/api/echo"), Body::from("x".repeat(1000))).await;
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_backend_that_is_silent_or_gone_is_a_problem_that_says_so() {
    let server_up = upstream().await;
    let silent = fetch(&server_up, "/api/never").await;
    assert_eq!(silent.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(value(silent).await["detail"], "The backend gave no response in time.");

    // A port that was free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let gone = fetch(&server(&format!("http://{free}")), "/api/videos").await;
    assert_eq!(gone.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(head(&gone, "content-type"), "application/problem+json");
    assert_eq!(value(gone).await["status"], 502);
}

#[rstest]
#[case("/")]
#[case("/upload")]
#[case("/videos/0198a")]
#[tokio::test]
async fn pages_of_the_application_are_its_index(#[case] path: &str) {
    let response = fetch(&server("http://127.0.0.1:9"), path).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(head(&response, "content-type"), "text/html; charset=utf-8");
    assert_eq!(head(&response, "cache-control"), "no-cache");
    let policy = head(&response, "content-security-policy");
    assert!(policy.contains("connect-src 'self' http://s3.example:4566;"), "{policy}");
    assert_eq!(head(&response, "x-content-type-options"), "nosniff");
    assert!(text(response).await.contains("<title>app"));
}

#[rstest]
#[case("/assets/app-old.js")]
#[case("/robots.txt")]
#[case("/../Cargo.toml")]
#[case("/assets/..%2findex.html")]
#[tokio::test]
async fn files_that_are_not_there_are_not_the_index(#[case] path: &str) {
    let response = fetch(&server("http://127.0.0.1:9"), path).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(head(&response, "cache-control"), "no-store");
}

#[tokio::test]
async fn hashed_files_are_kept_for_a_year_and_compressed_for_those_who_ask() {
    let server = server("http://127.0.0.1:9");
    let plain = fetch(&server, "/assets/app-1a2b.js").await;
    assert_eq!(head(&plain, "cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(head(&plain, "vary"), "accept-encoding");
    assert_eq!(head(&plain, "content-encoding"), "");
    let etag = head(&plain, "etag").to_owned();
    let length = text(plain).await.len();

    let request = Request::get("/assets/app-1a2b.js").header("accept-encoding", "br, gzip");
    let small = ask(&server, request, Body::empty()).await;
    assert_eq!(head(&small, "content-encoding"), "gzip");
    assert!(to_bytes(small.into_body(), usize::MAX).await.unwrap().len() < length);

    let again =
        ask(&server, Request::get("/assets/app-1a2b.js").header("if-none-match", etag), Body::empty()).await;
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn the_application_can_only_be_read() {
    let response = ask(&server("http://127.0.0.1:9"), Request::post("/"), Body::empty()).await;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
}
