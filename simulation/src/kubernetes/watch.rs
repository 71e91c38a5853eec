//! Watches: what happened since a version, and what happens from then on.

use super::{
    Cluster,
    request::Request,
    serve::{Answer, shown},
    status::Refusal,
    store::Change,
};
use bytes::Bytes;
use futures::{Stream, stream};
use http_body::Frame;
use http_body_util::StreamBody;
use jiff::SignedDuration;
use serde_json::{Value, json};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::sync::watch as signal;

/// The answer to a watch. It ends when watches are broken.
pub(super) fn stream(cluster: Cluster, request: Request, since: u64, bookmarks: bool) -> Answer {
    let news = cluster.news.subscribe();
    let breaks = cluster.way().breaks;
    let watch = Watch { cluster, request, since, bookmarks, news, breaks, again: None };
    Answer::new(StreamBody::new(watch.frames()))
}

struct Watch {
    cluster: Cluster,
    request: Request,
    since: u64,
    bookmarks: bool,
    news: signal::Receiver<(u64, u64)>,
    breaks: u64,
    /// What is told a second time.
    again: Option<Value>,
}

impl Watch {
    fn frames(self) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> + Send {
        stream::unfold(self, |mut watch| async move {
            let event = watch.next().await?;
            Some((Ok(Frame::data(Bytes::from(format!("{event}\n")))), watch))
        })
    }

    /// The next event; none: the watch is over.
    async fn next(&mut self) -> Option<Value> {
        loop {
            let breaks_anywhere = self.news.borrow_and_update().1;
            let (breaks, lag, stutters) = {
                let way = self.cluster.way();
                (way.breaks, way.lag, way.stutters)
            };
            if breaks != self.breaks {
                return None;
            }
            if let Some(event) = self.again.take() {
                return Some(event);
            }
            let (next, compacted, revision) = {
                let inner = self.cluster.inner();
                let next = inner.store.since(self.since).next().cloned();
                (next, inner.store.compacted(), inner.store.revision())
            };
            if compacted > self.since {
                return Some(json!({"type": "ERROR", "object": Refusal::expired().written()}));
            }
            let Some(change) = next else {
                self.news.changed().await.ok()?;
                continue;
            };
            let due = change.at.saturating_add(SignedDuration::try_from(lag).ok()?).ok()?;
            let wait = Duration::try_from(due.duration_since(self.cluster.clock.now())).unwrap_or_default();
            if !wait.is_zero() {
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    broken = self.news.wait_for(|(_, now)| *now != breaks_anywhere) => drop(broken.ok()?),
                }
                continue;
            }
            self.since = change.revision;
            if let Some(event) = self.event(&change) {
                self.again = stutters.then(|| event.clone());
                return Some(event);
            }
            if self.bookmarks && self.since == revision {
                return Some(self.bookmark());
            }
        }
    }

    /// What a change is to those who select some objects.
    fn event(&self, change: &Change) -> Option<Value> {
        let selected = |object: &Option<Arc<Value>>| {
            object.as_ref().filter(|object| self.request.selects(&change.key, object)).cloned()
        };
        let (kind, object) = match (selected(&change.before), selected(&change.after)) {
            (None, Some(after)) => ("ADDED", after),
            (Some(_), Some(after)) => ("MODIFIED", after),
            (Some(before), None) => ("DELETED", before),
            (None, None) => return None,
        };
        let mut object = Value::clone(&object);
        object["metadata"]["resourceVersion"] = json!(change.revision.to_string());
        Some(json!({"type": kind, "object": shown(&self.request, object)}))
    }

    fn bookmark(&self) -> Value {
        let object = json!({
            "apiVersion": self.request.resource.api_version(), "kind": self.request.resource.kind,
            "metadata": {"resourceVersion": self.since.to_string()},
        });
        json!({"type": "BOOKMARK", "object": object})
    }
}
