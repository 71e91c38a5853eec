//! The wire between an operator and an AWS emulator: it notes each call, and does to some what AWS does on a bad
//! day.
//!
//! It understands the query protocol, which RDS speaks: what a call is called stands in its body.

use anyhow::Result;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures::stream;
use std::{
    collections::{HashMap, VecDeque},
    io,
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{net::TcpListener, task::JoinHandle};

/// What happens to a call.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// It is made, and its answer is cut off.
    AnswerCut,
    /// It is not made: AWS refuses it with this error code.
    Refused(&'static str),
    /// It is not made: the answer is the one that the same call got last, as a description is that lags behind.
    Stale,
}

/// A way to an emulator. It is closed when this is dropped.
pub struct Wire {
    /// URL under which an operator reaches the emulator.
    pub url: String,
    line: Line,
    task: JoinHandle<()>,
}

#[derive(Clone)]
struct Line {
    target: String,
    client: reqwest::Client,
    record: Arc<Mutex<Record>>,
}

#[derive(Default)]
struct Record {
    calls: Vec<String>,
    faults: HashMap<String, VecDeque<Fault>>,
    answers: HashMap<String, Answer>,
}

#[derive(Clone)]
struct Answer {
    status: StatusCode,
    body: Bytes,
}

impl Wire {
    /// Opens one to the emulator of that URL.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn to(endpoint: &str) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let line =
            Line { target: endpoint.to_owned(), client: reqwest::Client::new(), record: Arc::default() };
        let router = Router::new().fallback(pass).with_state(line.clone());
        let task = tokio::spawn(async move {
            // It ends only with the task.
            drop(axum::serve(listener, router).await);
        });
        Ok(Self { url, line, task })
    }

    /// Lets `fault` happen to the next calls of that name, so many times, after those that were asked for before.
    pub fn fault(&self, call: &str, fault: Fault, times: usize) {
        let mut record = self.line.record();
        record.faults.entry(call.to_owned()).or_default().extend(std::iter::repeat_n(fault, times));
    }

    /// Whether everything that was asked for has happened.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.line.record().faults.values().all(VecDeque::is_empty)
    }

    /// The calls so far, in their order; one that was tried again counts again.
    #[must_use]
    pub fn calls(&self) -> Vec<String> {
        self.line.record().calls.clone()
    }

    /// Those of them that change something.
    #[must_use]
    pub fn changes(&self) -> Vec<String> {
        let mut calls = self.calls();
        calls.retain(|call| !call.starts_with("Describe"));
        calls
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Line {
    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(&self, headers: HeaderMap, body: Bytes) -> reqwest::Result<Answer> {
        let answer = self.client.post(&self.target).headers(headers).body(body).send().await?;
        Ok(Answer { status: answer.status(), body: answer.bytes().await? })
    }
}

async fn pass(State(line): State<Line>, mut headers: HeaderMap, body: Bytes) -> Response {
    let call = name(&body);
    let fault = {
        let mut record = line.record();
        record.calls.push(call.clone());
        record.faults.get_mut(&call).and_then(VecDeque::pop_front)
    };
    match fault {
        Some(Fault::Refused(code)) => return refusal(code).into_response(),
        Some(Fault::Stale) => {
            let last = line.record().answers.get(&call).cloned();
            return last.unwrap_or_else(|| refusal("InternalFailure")).into_response();
        }
        Some(Fault::AnswerCut) | None => {}
    }
    headers.remove(header::HOST);
    let answer = match line.ask(headers, body).await {
        Ok(answer) => answer,
        Err(error) => return (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    };
    if fault.is_some() {
        let cut = stream::once(async { Err::<Bytes, _>(io::Error::from(io::ErrorKind::ConnectionReset)) });
        return (answer.status, Body::from_stream(cut)).into_response();
    }
    line.record().answers.insert(call, answer.clone());
    answer.into_response()
}

/// `Action` of a call's form.
fn name(body: &[u8]) -> String {
    let form = String::from_utf8_lossy(body);
    form.split('&').find_map(|pair| pair.strip_prefix("Action=")).unwrap_or_default().to_owned()
}

fn refusal(code: &str) -> Answer {
    let body = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>made up</Message></Error>\
         <RequestId>1</RequestId></ErrorResponse>"
    );
    Answer { status: StatusCode::BAD_REQUEST, body: body.into() }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        (self.status, [(header::CONTENT_TYPE, "text/xml")], self.body).into_response()
    }
}
