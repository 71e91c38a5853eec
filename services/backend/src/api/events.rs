//! Live changes, as server-sent events.

use crate::{App, changes::Change};
use axum::{
    extract::State,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::{StreamExt, stream};
use http::{HeaderName, HeaderValue};
use serde_json::json;
use std::{convert::Infallible, time::Duration};

/// How often a silent stream shows that it lives.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// After which time a client comes back when its stream ended.
const RETRY: Duration = Duration::from_secs(1);

/// Streams each change: `event: video` with the video, `event: deleted` with its id.
///
/// The stream ends when changes may have been missed, and when the service stops. A client that comes back
/// fetches the list anew.
#[utoipa::path(get, path = "/api/events", tag = "events", responses(
    (status = 200, content_type = "text/event-stream", body = String, description = "Events, until the stream ends"),
))]
pub async fn stream(State(app): State<App>) -> Response {
    let changes = app.changes.subscribe();
    let shutdown = app.shutdown.clone();
    let begin = Event::default().retry(RETRY).comment("connected");
    let events = stream::unfold((changes, shutdown), async |(mut changes, shutdown)| {
        let change = tokio::select! {
            change = changes.recv() => change.ok()?,
            () = shutdown.stopping() => return None,
        };
        Some((to_event(&change)?, (changes, shutdown)))
    });
    let events = stream::iter([begin]).chain(events).map(Ok::<_, Infallible>);
    let unbuffered = (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    let sse = Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT));
    ([unbuffered], sse).into_response()
}

fn to_event(change: &Change) -> Option<Event> {
    match change {
        Change::Video(json) => Some(Event::default().event("video").data(json.as_ref())),
        Change::Deleted(id) => Some(Event::default().event("deleted").data(json!({"id": id}).to_string())),
        Change::Missed => None,
    }
}
