//! An AWS that is slow or throttles, in front of the emulator.

use super::{relay::Relay, variable};
use anyhow::Result;
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle, time::sleep};

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Connections are dropped as soon as they are made.
    Cut,
    /// Each answer comes so much later.
    Slow(Duration),
    /// Of ten requests, this many are answered that there were too many.
    Throttled(u64),
}

/// The way to the emulator, with faults on it.
pub struct Faulty {
    /// URL under which pods reach it.
    pub url: String,
    relay: Relay,
    state: Arc<Proxy>,
    task: JoinHandle<()>,
}

struct Proxy {
    target: String,
    client: reqwest::Client,
    fault: watch::Sender<Fault>,
    requests: AtomicU64,
    hit: AtomicU64,
}

impl Faulty {
    /// A way without faults to the emulator of that URL, at the endpoint that the scripts let platforms name.
    ///
    /// # Errors
    /// When a URL is no `http://address:port`, or its address is not this machine's, or something listens there.
    pub async fn open(endpoint: &str) -> Result<Self> {
        let listener = TcpListener::bind((super::gateway::address(endpoint)?, 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let state = Arc::new(Proxy {
            target: endpoint.to_owned(),
            client: reqwest::Client::new(),
            fault: watch::Sender::new(Fault::None),
            requests: AtomicU64::new(0),
            hit: AtomicU64::new(0),
        });
        let router = Router::new().fallback(pass).layer(DefaultBodyLimit::disable());
        let router = router.with_state(Arc::clone(&state));
        let task = tokio::spawn(async move {
            // It ends only with the task.
            drop(axum::serve(listener, router).await);
        });
        let relay = Relay::between(&variable("AWS_FAULTY_ENDPOINT")?, &url).await?;
        Ok(Self { url: relay.url.clone(), relay, state, task })
    }

    /// From now on this is wrong.
    pub fn set(&self, fault: Fault) {
        self.state.fault.send_replace(fault);
        if fault == Fault::Cut { self.relay.shut() } else { self.relay.open() }
    }

    /// Requests that were delayed or refused, of so many that arrived.
    #[must_use]
    pub fn hit(&self) -> (u64, u64) {
        (self.state.hit.load(Ordering::Relaxed), self.state.requests.load(Ordering::Relaxed))
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(
    State(proxy): State<Arc<Proxy>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let number = proxy.requests.fetch_add(1, Ordering::Relaxed);
    let fault = *proxy.fault.borrow();
    match fault {
        Fault::Slow(delay) => {
            proxy.hit.fetch_add(1, Ordering::Relaxed);
            sleep(delay).await;
        }
        Fault::Throttled(of_ten) if number % 10 < of_ten => {
            proxy.hit.fetch_add(1, Ordering::Relaxed);
            return throttled(headers.contains_key("x-amz-target"));
        }
        _ => {}
    }
    let answer = proxy.ask(method, &uri, headers, body).await;
    answer.unwrap_or_else(|error| (StatusCode::BAD_GATEWAY, error.to_string()).into_response())
}

/// As SQS says it, or S3.
fn throttled(is_sqs: bool) -> Response {
    if is_sqs {
        let error = r#"{"__type":"com.amazonaws.sqs#RequestThrottled","message":"Rate exceeded"}"#;
        let kind = [(header::CONTENT_TYPE, "application/x-amz-json-1.0")];
        (StatusCode::TOO_MANY_REQUESTS, kind, error).into_response()
    } else {
        let error = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
        (StatusCode::SERVICE_UNAVAILABLE, [(header::CONTENT_TYPE, "application/xml")], error).into_response()
    }
}

impl Proxy {
    async fn ask(
        &self,
        method: Method,
        uri: &Uri,
        headers: HeaderMap,
        body: Bytes,
    ) -> reqwest::Result<Response> {
        let request =
            self.client.request(method, format!("{}{uri}", self.target)).headers(headers).body(body);
        let answer = request.send().await?;
        let (status, mut headers) = (answer.status(), answer.headers().clone());
        headers.remove(header::TRANSFER_ENCODING);
        Ok((status, headers, answer.bytes().await?).into_response())
    }
}
