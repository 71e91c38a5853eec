//! Passes requests on to the backend and streams its responses back.

use crate::Settings;
use axum::{
    body::Body,
    extract::{ConnectInfo, Request},
    response::Response,
};
use futures::StreamExt;
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode, Uri,
    header::{
        CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
        TRAILER, TRANSFER_ENCODING, UPGRADE,
    },
    uri::PathAndQuery,
};
use http_body_util::{LengthLimitError, Limited};
use hyper_util::{
    client::legacy::{Client, Error as ClientError, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use service_common::{Shutdown, problem::problem};
use std::{error::Error, io, net::SocketAddr, time::Duration};

/// Headers that concern one connection and are not passed on (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Connections to the backend that wait for the next request are closed after this long.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The way to the backend.
pub struct Proxy {
    client: Client<HttpConnector, Limited<Body>>,
    backend: Uri,
    max_request_bytes: usize,
    response_timeout: Duration,
    shutdown: Shutdown,
}

/// Why the backend gave no response.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the request's body is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the request's address can't be passed on: {0}")]
    Address(#[from] http::Error),
    #[error("the backend gave no response in time")]
    Timeout,
    #[error("the backend can't be reached")]
    Unreachable(#[source] ClientError),
}

impl Proxy {
    /// A proxy to the backend of the settings, whose open streams end when `shutdown` says stop.
    #[must_use]
    pub fn new(settings: &Settings, shutdown: Shutdown) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(settings.connect_timeout));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .build(connector);
        Self {
            client,
            backend: settings.backend.clone(),
            max_request_bytes: settings.max_request_bytes,
            response_timeout: settings.response_timeout,
            shutdown,
        }
    }

    /// Passes a request on. What goes wrong is a response as well: 413, 502 or 504.
    pub async fn forward(&self, request: Request) -> Response {
        match self.send(request).await {
            Ok(response) => response,
            Err(failure) => {
                let status = failure.status();
                if status.is_server_error() {
                    tracing::warn!(error = &failure as &dyn Error, "the backend did not answer");
                }
                problem(status, &format!("{}.", capitalised(&failure.to_string())))
            }
        }
    }

    async fn send(&self, request: Request) -> Result<Response, Failure> {
        let too_large = Failure::TooLarge(self.max_request_bytes);
        if content_length(request.headers()).is_some_and(|length| length > self.max_request_bytes as u64) {
            return Err(too_large);
        }
        let request = self.prepare(request)?;
        let response = tokio::time::timeout(self.response_timeout, self.client.request(request))
            .await
            .map_err(|_| Failure::Timeout)?;
        match response {
            Ok(response) => Ok(self.finish(response.map(Body::new))),
            Err(error) if find::<LengthLimitError>(&error).is_some() => Err(too_large),
            Err(error) if find::<io::Error>(&error).is_some_and(|e| e.kind() == io::ErrorKind::TimedOut) => {
                Err(Failure::Timeout)
            }
            Err(error) => Err(Failure::Unreachable(error)),
        }
    }

    fn prepare(&self, request: Request) -> Result<http::Request<Limited<Body>>, Failure> {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer);
        let (parts, body) = request.into_parts();
        let mut uri = Uri::builder().scheme("http");
        if let Some(authority) = self.backend.authority() {
            uri = uri.authority(authority.clone());
        }
        let path = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let mut headers = parts.headers;
        drop_hop_by_hop(&mut headers);
        headers.remove(EXPECT);
        add_forwarded(&mut headers, peer);
        let mut request = http::Request::new(Limited::new(body, self.max_request_bytes));
        *request.method_mut() = parts.method;
        *request.uri_mut() = uri.path_and_query(path).build()?;
        *request.headers_mut() = headers;
        Ok(request)
    }

    fn finish(&self, mut response: Response) -> Response {
        drop_hop_by_hop(response.headers_mut());
        let is_events = response
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
        if !is_events {
            return response;
        }
        // A stream of events never ends by itself, and so would hold up the server's end.
        let shutdown = self.shutdown.clone();
        response.map(|body| {
            let stopping = Box::pin(async move { shutdown.stopping().await });
            Body::from_stream(body.into_data_stream().take_until(stopping))
        })
    }
}

impl Failure {
    fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Address(_) => StatusCode::BAD_REQUEST,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Unreachable(_) => StatusCode::BAD_GATEWAY,
        }
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The first error of type `E` among an error and its causes.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// Removes what concerns one connection only, with what its `Connection` header names.
fn drop_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in HOP_BY_HOP.iter().chain(&named) {
        headers.remove(name);
    }
}

/// Says whom the request is passed on for. What a proxy in front said before stands.
fn add_forwarded(headers: &mut HeaderMap, peer: Option<SocketAddr>) {
    if let Some(host) = headers.remove(HOST) {
        headers.entry(FORWARDED_HOST).or_insert(host);
    }
    headers.entry(FORWARDED_PROTO).or_insert(HeaderValue::from_static("http"));
    if let Some(peer) = peer {
        let before = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
        let list = before.map(str::to_owned).chain([peer.ip().to_string()]).collect::<Vec<_>>().join(", ");
        // What was text before and an address are text for a header.
        if let Ok(value) = HeaderValue::from_str(&list) {
            headers.insert(FORWARDED_FOR, value);
        }
    }
}
