//! The Kubernetes API as the operator uses it: objects with versions and owners of fields, server-side apply,
//! conflicts, watches that lag or break.
//!
//! It knows no schema: defaults and validation are the real API server's, and tested on one.

pub mod controllers;
pub mod fields;
pub mod request;
pub mod resource;
mod serve;
pub mod status;
pub mod store;
#[cfg(test)]
mod tests;
mod watch;

use crate::{clock::Clock, wire::Wire};
use jiff::Timestamp;
use kube::{Client, client::Body};
use request::Request;
use status::Refusal;
use std::{
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use store::Store;
use tokio::sync::watch as signal;

/// A cluster. Cheap to clone: clones are the same one.
#[derive(Clone)]
pub struct Cluster {
    clock: Clock,
    inner: Arc<Mutex<Inner>>,
    /// The latest version, and how often watches were broken.
    news: Arc<signal::Sender<(u64, u64)>>,
}

#[derive(Default)]
struct Inner {
    store: Store,
    calls: Vec<Call>,
    fault: Option<Fault>,
    lag: Duration,
    breaks: u64,
}

/// Decides what befalls a request.
type Fault = Box<dyn FnMut(&Request) -> Option<Effect> + Send>;

/// What happens to a request instead of, or besides, what should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It is not performed; this is answered.
    Answer(Refusal),
    /// The connection is cut before it is performed.
    CutRequest,
    /// It is performed, and the connection is cut before the reply.
    CutReply,
}

/// A request that arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// When.
    pub at: Timestamp,
    /// What was asked for.
    pub request: Request,
    /// What was answered: the HTTP status; none: the connection was cut.
    pub status: Option<u16>,
}

impl Cluster {
    /// An empty cluster.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock, inner: Arc::default(), news: Arc::new(signal::Sender::default()) }
    }

    /// Another cluster that is as this one is now; nothing is asked of it yet, and nothing befalls its requests.
    #[must_use]
    pub fn copy(&self, clock: Clock) -> Self {
        let copy = Self::new(clock);
        copy.inner().store = self.inner().store.clone();
        copy
    }

    /// A client of it.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client_on(&Wire::default())
    }

    /// A client whose requests go over a wire.
    #[must_use]
    pub fn client_on(&self, wire: &Wire) -> Client {
        let (cluster, wire) = (self.clone(), wire.clone());
        let send = move |request: http::Request<Body>| {
            let (cluster, wire) = (cluster.clone(), wire.clone());
            async move {
                let name = format!("{} {}", request.method(), request.uri().path());
                wire.carry(name, cluster.serve(request)).await.unwrap_or_else(|| Err(cut()))
            }
        };
        Client::new(tower::service_fn(send), "default")
    }

    /// Looks at the objects, or changes them behind everyone's back.
    pub fn with<T>(&self, act: impl FnOnce(&mut Store, Timestamp) -> T) -> T {
        let now = self.clock.now();
        let mut inner = self.inner();
        let done = act(&mut inner.store, now);
        self.tell(&inner);
        done
    }

    /// All requests so far, oldest first.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.inner().calls.clone()
    }

    /// Decides from now on what befalls each request.
    pub fn set_fault(&self, fault: impl FnMut(&Request) -> Option<Effect> + Send + 'static) {
        self.inner().fault = Some(Box::new(fault));
    }

    /// Requests are answered as they should be again.
    pub fn clear_fault(&self) {
        self.inner().fault = None;
    }

    /// How long after it happened a watch tells something.
    pub fn set_watch_lag(&self, lag: Duration) {
        self.inner().lag = lag;
    }

    /// Ends every watch; what happened may be forgotten, too, so that clients list again.
    pub fn break_watches(&self, forget: bool) {
        let mut inner = self.inner();
        inner.breaks += 1;
        if forget {
            inner.store.compact();
        }
        self.tell(&inner);
    }

    fn tell(&self, inner: &Inner) {
        let new = (inner.store.revision(), inner.breaks);
        self.news.send_if_modified(|old| std::mem::replace(old, new) != new);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A panic of a test's closure leaves the store as it was between two writes.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a client sees of a connection that was cut.
fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "the connection was cut")
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("store", &self.inner().store).finish_non_exhaustive()
    }
}
