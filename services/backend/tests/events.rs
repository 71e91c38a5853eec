//! Live events: changes made by anyone reach every client, and streams end when they must.

mod harness;

use contract::Outcome;
use harness::{Backend, TOKEN};
use http::{Method, StatusCode};
use reqwest::Response;
use serde_json::Value;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(10);

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

    async fn next_of(&mut self, name: &str) -> Value {
        let event = self.next().await.expect("the stream goes on");
        let data = event.strip_prefix(&format!("event: {name}\ndata: ")).unwrap_or_else(|| panic!("{event}"));
        serde_json::from_str(data).unwrap()
    }
}

/// A backend that hears of changes already.
async fn start() -> Backend {
    let backend = Backend::start().await;
    loop {
        // The first stream ends when the connection to PostgreSQL begins; a later one stays.
        let mut stream = Stream::open(&backend).await;
        let id = backend.upload(b"abc").await;
        if stream.next().await.is_some() {
            backend.delete(&format!("/api/videos/{id}")).await;
            return backend;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_reach_every_client_in_their_order() {
    let backend = start().await;
    let mut streams = [Stream::open(&backend).await, Stream::open(&backend).await];
    let id = backend.upload(b"abc").await;
    backend.report(id, None, Outcome::Running).await;
    backend.report(id, None, Outcome::Succeeded).await;
    for stream in &mut streams {
        let mut last = Value::Null;
        while last["state"] != "Ready" {
            last = stream.next_of("video").await;
            assert_eq!(last["id"], id.to_string());
        }
        assert_eq!(last, backend.get(&format!("/api/videos/{id}")).await.1);
    }
    let (status, _) = backend.call(Method::DELETE, &format!("/api/videos/{id}"), Some(TOKEN)).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    for stream in &mut streams {
        assert_eq!(stream.next_of("deleted").await["id"], id.to_string());
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
    assert_eq!(stream.next().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_end_when_the_service_stops() {
    let backend = start().await;
    let mut stream = Stream::open(&backend).await;
    backend.shutdown.begin().await;
    assert_eq!(stream.next().await, None);
}
