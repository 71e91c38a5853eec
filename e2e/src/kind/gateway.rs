//! One endpoint for all of AWS, which pods reach: databases and caches are fakecloud's, all else the cluster's
//! emulator's.

use anyhow::{Context, Result};
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use tokio::{net::TcpListener, task::JoinHandle};

/// Services that fakecloud serves, as signatures name them.
const MANAGED: [&str; 2] = ["/rds/aws4_request", "/elasticache/aws4_request"];
/// What fakecloud says of its servers.
const LOOPBACK: &str = "<Address>127.0.0.1</Address>";

/// Passes requests on. It is closed when this is dropped.
pub struct Gateway {
    /// URL under which pods and tests reach it.
    pub url: String,
    /// The address of this machine that it listens on.
    pub address: String,
    task: JoinHandle<()>,
}

#[derive(Clone)]
struct Targets {
    managed: String,
    other: String,
    address: String,
    client: reqwest::Client,
}

/// The address of this machine that the emulator of that URL listens on.
///
/// # Errors
/// When the URL is no `http://address:port`.
pub fn address(endpoint: &str) -> Result<&str> {
    let host = endpoint.strip_prefix("http://").and_then(|rest| rest.rsplit_once(':'));
    Ok(host.with_context(|| format!("{endpoint} is no http://address:port"))?.0)
}

impl Gateway {
    /// Opens one on the address of the emulator at `other`; `managed` is fakecloud's endpoint, whose servers listen on
    /// that address, too.
    ///
    /// # Errors
    /// When the emulator's URL is none, or its address is not this machine's.
    pub async fn open(managed: &str, other: &str) -> Result<Self> {
        let address = address(other)?.to_owned();
        let listener = TcpListener::bind((address.as_str(), 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let targets = Targets {
            managed: managed.to_owned(),
            other: other.to_owned(),
            address: format!("<Address>{address}</Address>"),
            client: reqwest::Client::new(),
        };
        let router = Router::new().fallback(pass).layer(DefaultBodyLimit::disable()).with_state(targets);
        let task = tokio::spawn(async move {
            // It ends only with the task.
            drop(axum::serve(listener, router).await);
        });
        Ok(Self { url, address, task })
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(
    State(targets): State<Targets>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let signature = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let managed = signature.is_some_and(|text| MANAGED.iter().any(|service| text.contains(service)));
    let answer = targets.ask(managed, method, &uri, headers, body).await;
    answer.unwrap_or_else(|error| (StatusCode::BAD_GATEWAY, error.to_string()).into_response())
}

impl Targets {
    async fn ask(
        &self,
        managed: bool,
        method: Method,
        uri: &Uri,
        headers: HeaderMap,
        body: Bytes,
    ) -> reqwest::Result<Response> {
        let target = if managed { &self.managed } else { &self.other };
        // With the host that the caller named: URLs are signed with it.
        let request = self.client.request(method, format!("{target}{uri}")).headers(headers).body(body);
        let answer = request.send().await?;
        let (status, mut headers) = (answer.status(), answer.headers().clone());
        headers.remove(header::TRANSFER_ENCODING);
        let mut body = answer.bytes().await?;
        if managed {
            headers.remove(header::CONTENT_LENGTH);
            body = String::from_utf8_lossy(&body).replace(LOOPBACK, &self.address).into();
        }
        Ok((status, headers, body).into_response())
    }
}
