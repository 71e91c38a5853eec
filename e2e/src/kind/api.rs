//! The backend's API as a browser uses it, through the frontend.

use super::{Check, eventually};
use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::task::JoinHandle;

/// The API of one platform.
#[derive(Clone)]
pub struct Api {
    base: String,
    token: String,
    http: reqwest::Client,
}

/// A video, as far as the tests look.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Video {
    /// Its id.
    pub id: String,
    /// The name of its file.
    pub file_name: String,
    /// Uploading, Queued, Transcoding, Ready, Failed or Cancelled.
    pub state: String,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// Where it is played from.
    pub playback: Option<Playback>,
}

/// Why a video failed.
#[derive(Clone, Debug, Deserialize)]
pub struct Failure {
    /// The cause, as a constant.
    pub reason: String,
    /// One sentence.
    pub message: String,
}

/// Paths of an output.
#[derive(Clone, Debug, Deserialize)]
pub struct Playback {
    /// The multivariant playlist.
    pub hls: String,
    /// The DASH manifest.
    pub dash: String,
}

/// A server-sent event.
#[derive(Clone, Debug)]
pub struct ServerEvent {
    /// Its name.
    pub name: String,
    /// Its data.
    pub data: Value,
}

/// Server-sent events, gathered while the test goes on.
pub struct Events {
    seen: Arc<Mutex<Vec<ServerEvent>>>,
    task: JoinHandle<()>,
}

impl Api {
    /// The API below a URL, with the token that uploads need.
    #[must_use]
    pub fn new(base: &str, token: &str) -> Self {
        Self { base: base.into(), token: token.into(), http: reqwest::Client::new() }
    }

    /// A request without the token.
    pub fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    /// A request with the token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.anonymous(method, path).bearer_auth(&self.token)
    }

    /// Uploads a file as a browser does: asks for URLs, puts the parts to S3, completes. Returns the id.
    ///
    /// # Errors
    /// When a call is refused.
    pub async fn upload(&self, name: &str, kind: &str, body: &[u8]) -> Result<String> {
        let ask = json!({"fileName": name, "size": body.len(), "contentType": kind, "title": name});
        let upload = answer(self.request(Method::POST, "/api/uploads").json(&ask)).await?;
        let id = text(&upload, "videoId")?;
        let part_size = usize::try_from(upload["partSize"].as_u64().context("partSize")?)?;
        let mut parts = Vec::new();
        for part in upload["parts"].as_array().context("parts")? {
            let number = part["partNumber"].as_u64().context("partNumber")?;
            let start = (usize::try_from(number)? - 1) * part_size;
            let chunk = body[start..body.len().min(start + part_size)].to_vec();
            let put = self.http.put(text(part, "url")?).body(chunk).send().await?.error_for_status()?;
            let etag = put.headers().get("etag").context("S3 answers with an ETag")?.to_str()?;
            parts.push(json!({"partNumber": number, "etag": etag}));
        }
        let path = format!("/api/uploads/{id}/complete");
        answer(self.request(Method::POST, &path).json(&json!({"parts": parts}))).await?;
        Ok(id)
    }

    /// All videos.
    ///
    /// # Errors
    /// When the backend does not answer.
    pub async fn videos(&self) -> Result<Vec<Video>> {
        let list = answer(self.anonymous(Method::GET, "/api/videos?limit=100")).await?;
        Ok(serde_json::from_value(list["items"].clone())?)
    }

    /// Waits until the video whose file or id is so called is as wanted.
    ///
    /// # Errors
    /// When the deadline passes.
    pub async fn wait(&self, video: &str, state: &str, deadline: Duration) -> Result<Video> {
        eventually(&format!("video {video} is {state}"), deadline, async || {
            let videos = self.videos().await?;
            let found = videos.into_iter().find(|v| v.id == video || v.file_name == video);
            Ok(match found {
                Some(video) if video.state == state => Check::Done(video),
                other => Check::NotYet(format!("{other:?}")),
            })
        })
        .await
    }

    /// A file of an output; `path` begins with `/media/`.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn media(&self, path: &str, headers: &[(&str, &str)]) -> Result<Response> {
        let mut request = self.anonymous(Method::GET, path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Ok(request.send().await?)
    }

    /// Begins to gather server-sent events.
    ///
    /// # Errors
    /// When the stream can't be opened.
    pub async fn events(&self) -> Result<Events> {
        let response = self.anonymous(Method::GET, "/api/events").send().await?.error_for_status()?;
        let kind = response.headers().get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default();
        ensure!(kind.starts_with("text/event-stream"), "/api/events is {kind}");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            let mut chunks = response.bytes_stream();
            let mut pending = String::new();
            while let Some(Ok(chunk)) = chunks.next().await {
                pending.push_str(&String::from_utf8_lossy(&chunk));
                while let Some(end) = pending.find("\n\n") {
                    let block: String = pending.drain(..end + 2).collect();
                    into.lock().unwrap_or_else(PoisonError::into_inner).extend(parse(&block));
                }
            }
        });
        Ok(Events { seen, task })
    }
}

impl Events {
    /// Waits until one of the events is as wanted.
    ///
    /// # Errors
    /// When the deadline passes.
    pub async fn wait(
        &self,
        what: &str,
        deadline: Duration,
        wanted: impl Fn(&ServerEvent) -> bool,
    ) -> Result<ServerEvent> {
        eventually(&format!("an event: {what}"), deadline, async || {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let found = seen.iter().find(|event| wanted(event)).cloned();
            Ok(found.map_or_else(|| Check::NotYet(format!("{} events", seen.len())), Check::Done))
        })
        .await
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn parse(block: &str) -> Option<ServerEvent> {
    let field = |name: &str| {
        let lines = block.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        lines.map(str::trim_start).collect::<Vec<_>>().join("\n")
    };
    Some(ServerEvent { name: field("event"), data: serde_json::from_str(&field("data")).ok()? })
}

/// Sends the request and reads JSON; an error shows the server's own words.
///
/// # Errors
/// When the status is no success, or the body no JSON.
pub async fn answer(request: RequestBuilder) -> Result<Value> {
    let response = request.send().await?;
    let (status, url) = (response.status(), response.url().clone());
    let body = response.text().await?;
    ensure!(status.is_success(), "{url}: {status}: {body}");
    if status == StatusCode::NO_CONTENT {
        return Ok(Value::Null);
    }
    serde_json::from_str(&body).with_context(|| format!("{url}: no JSON: {body}"))
}

fn text(value: &Value, field: &str) -> Result<String> {
    Ok(value[field].as_str().with_context(|| format!("{field} is missing in {value}"))?.to_owned())
}
