//! Live events: changes made by anyone reach every client, and streams end when they must.

use crate::harness::{Backend, DEADLINE, TOKEN};
use catalog::Catalog;
use contract::Outcome;
use http::{Method, StatusCode};
use reqwest::Response;
use serde_json::Value;
use service_common::testing;
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, UnixStream},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

struct Stream {
    response: Response,
    text: String,
}

impl Stream {
    async fn open(backend: &Backend) -> Self {
        let response = backend.http.get(format!("{}/api/events", backend.url)).send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut stream = Self { response, text: String::new() };
        assert!(stream.next().await.unwrap().contains(": connected"));
        stream
    }

    /// The next event as it stands on the wire; `None` at the end of the stream.
    async fn next(&mut self) -> Option<String> {
        tokio::time::timeout(DEADLINE, async {
            loop {
                if let Some((event, rest)) = self.text.split_once("\n\n") {
                    let event = event.to_owned();
                    self.text = rest.to_owned();
                    return Some(event);
                }
                let chunk = self.response.chunk().await.unwrap()?;
                self.text.push_str(std::str::from_utf8(&chunk).unwrap());
            }
        })
        .await
        .expect("an event in time")
    }

    /// The next event of that video: its name and its data.
    async fn next_of(&mut self, id: Uuid) -> (String, Value) {
        loop {
            let event = self.next().await.expect("the stream goes on");
            let (name, data) = event.split_once('\n').expect("an event has a name and data");
            let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            if data["id"] == id.to_string() {
                return (name.strip_prefix("event: ").unwrap().to_owned(), data);
            }
        }
    }
}

/// A backend that hears of changes already.
async fn start() -> Backend {
    let backend = Backend::start().await;
    loop {
        // The first stream ends when the connection to PostgreSQL begins; a later one stays.
        let mut stream = Stream::open(&backend).await;
        backend.upload(b"abc").await;
        if stream.next().await.is_some() {
            return backend;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_reach_every_client() {
    let backend = start().await;
    let mut streams = [Stream::open(&backend).await, Stream::open(&backend).await];
    let id = backend.upload(b"abc").await;
    backend.report(id, None, Outcome::Running).await;
    backend.report(id, None, Outcome::Succeeded).await;
    for stream in &mut streams {
        loop {
            let (name, video) = stream.next_of(id).await;
            assert_eq!(name, "video");
            if video["state"] == "Ready" {
                assert_eq!(video, backend.get(&format!("/api/videos/{id}")).await.1);
                break;
            }
        }
    }
    let (status, _) = backend.call(Method::DELETE, &format!("/api/videos/{id}"), Some(TOKEN)).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    for stream in &mut streams {
        // What is said of it until then is what was so before.
        while stream.next_of(id).await.0 != "deleted" {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_end_when_changes_may_have_been_missed() {
    let backend = start().await;
    let mut stream = Stream::open(&backend).await;
    sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()")
        .execute(backend.catalog.pool())
        .await
        .unwrap();
    while stream.next().await.is_some() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_video_that_this_release_can_not_read_ends_no_stream() {
    let backend = start().await;
    let mut stream = Stream::open(&backend).await;
    let odd = backend.upload(b"abc").await;
    backend.write_as_a_newer_release(odd).await;
    let next = backend.upload(b"def").await;
    assert_eq!(stream.next_of(next).await.0, "video");
}

/// Passes connections on to PostgreSQL's socket until they freeze: then they stay open, and nothing moves.
async fn freezable(socket: String) -> (SocketAddr, CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let frozen = CancellationToken::new();
    let freeze = frozen.clone();
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut server = UnixStream::connect(format!("{socket}/.s.PGSQL.5432")).await.unwrap();
            let frozen = frozen.clone();
            tokio::spawn(async move {
                tokio::select! {
                    _ = copy_bidirectional(&mut client, &mut server) => {}
                    () = frozen.cancelled() => std::future::pending().await,
                }
            });
        }
    });
    (address, freeze)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_went_silent_is_given_up() {
    const QUIET: Duration = Duration::from_millis(500);
    let url = testing::database().await;
    let (name, socket) = url.split_once("localhost/").unwrap().1.split_once("?host=").unwrap();
    let (address, freeze) = freezable(socket.to_owned()).await;
    let direct = Catalog::connect(&url, 1).unwrap();
    let distant = Catalog::connect(&format!("postgres://postgres@{address}/{name}"), 1).unwrap();
    let mut listener = distant.listen(QUIET).await.unwrap();
    assert!(tokio::time::timeout(QUIET * 3, listener.next()).await.is_err(), "silence alone is no failure");
    let id = Uuid::now_v7();
    let notify = sqlx::query("SELECT pg_notify('videos', $1)").bind(id.to_string());
    notify.execute(direct.pool()).await.unwrap();
    let heard = tokio::time::timeout(DEADLINE, listener.next()).await.unwrap();
    assert_eq!(heard.unwrap(), Some(id));
    freeze.cancel();
    assert!(tokio::time::timeout(DEADLINE, listener.next()).await.unwrap().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_end_when_the_service_stops() {
    let backend = start().await;
    let mut stream = Stream::open(&backend).await;
    backend.shutdown.begin().await;
    while stream.next().await.is_some() {}
}
