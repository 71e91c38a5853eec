//! AWS: the simulation's fake, one for each account, over the wire, with what changes it on record.

use anyhow::{Context, Result};
use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    middleware::{self, Next},
    response::Response,
};
use http::{HeaderMap, Method, header};
use jiff::Timestamp;
use simulation::{
    aws::{self, Cloud},
    clock::Clock,
};
use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::net::TcpListener;

/// Region of everything.
pub const REGION: &str = "eu-central-1";
/// More than any call's body here has.
const MOST: usize = 1 << 20;

/// One account, behind an endpoint of its own.
#[derive(Clone)]
pub struct Account {
    /// Its endpoint.
    pub url: String,
    cloud: Cloud,
    changes: Arc<Mutex<Vec<Change>>>,
}

/// A call that changes something, as it came over the wire.
#[derive(Clone, Debug)]
pub struct Change {
    method: Method,
    target: String,
    headers: HeaderMap,
    body: axum::body::Bytes,
}

impl Account {
    /// Any is taken.
    pub const SECRET_KEY: &str = "secret";

    /// The access key by which a call is one of the account of that number.
    pub fn access_key(number: usize) -> String {
        format!("{:012}", number + 1)
    }

    /// Serves so many.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn several(number: usize) -> Result<Vec<Self>> {
        let mut accounts = Vec::new();
        for _ in 0..number {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            let url = format!("http://{}", listener.local_addr()?);
            let cloud = Cloud::new(Clock::starting_at(Timestamp::now()));
            let account = Self { url, cloud: cloud.clone(), changes: Arc::default() };
            let noting = middleware::from_fn_with_state(Arc::clone(&account.changes), note);
            let router = aws::router(cloud).layer(noting);
            // It ends with the process.
            tokio::spawn(async move { drop(axum::serve(listener, router).await) });
            accounts.push(account);
        }
        Ok(accounts)
    }

    /// Its calls so far, by what an IAM policy calls them.
    pub fn calls(&self) -> BTreeMap<String, usize> {
        let mut calls = BTreeMap::new();
        for call in self.cloud.calls() {
            *calls.entry(call.action).or_default() += 1;
        }
        calls
    }

    /// What changed it so far, in order.
    pub fn changes(&self) -> Vec<Change> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Change {
    /// Whether the call names this.
    pub fn names(&self, name: &str) -> bool {
        self.target.contains(name) || self.body.windows(name.len()).any(|part| part == name.as_bytes())
    }

    /// Makes the call again, to another account.
    ///
    /// # Errors
    /// When there is no answer, or a refusal.
    pub async fn repeat(&self, http: &reqwest::Client, account: &str) -> Result<()> {
        let mut headers = self.headers.clone();
        headers.remove(header::HOST);
        let url = format!("{account}{}", self.target);
        let request = http.request(self.method.clone(), url).headers(headers).body(self.body.clone());
        let response = request.send().await?;
        response.error_for_status().with_context(|| format!("{} {}", self.method, self.target))?;
        Ok(())
    }
}

/// Notes the call if it changes something, and passes it on.
async fn note(State(changes): State<Arc<Mutex<Vec<Change>>>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    // A body that can't be read is none; the fake then refuses the call.
    let body = to_bytes(body, MOST).await.unwrap_or_default();
    let operation = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
    let reads = match operation.and_then(|target| target.rsplit('.').next()) {
        Some(operation) => {
            ["Get", "List", "Receive"].iter().any(|beginning| operation.starts_with(beginning))
        }
        None => matches!(parts.method, Method::GET | Method::HEAD),
    };
    if !reads {
        let change = Change {
            method: parts.method.clone(),
            target: parts.uri.path_and_query().map_or_else(String::new, ToString::to_string),
            headers: parts.headers.clone(),
            body: body.clone(),
        };
        changes.lock().unwrap_or_else(PoisonError::into_inner).push(change);
    }
    next.run(Request::from_parts(parts, Body::from(body))).await
}
