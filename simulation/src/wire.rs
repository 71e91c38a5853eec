//! The way of one process's requests to cluster and cloud: there they are counted, and there they are lost, with the
//! process or from its sight.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{oneshot, watch};

/// The way of one process's requests. Cheap to clone: clones are the same one.
#[derive(Clone, Default)]
pub struct Wire(Arc<Inner>);

#[derive(Default)]
struct Inner {
    break_at: Option<Break>,
    /// What was sent so far.
    sent: Mutex<Vec<String>>,
    is_cut: watch::Sender<bool>,
    hangs: watch::Sender<bool>,
    is_delivering: watch::Sender<bool>,
}

/// Where a process loses its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Break {
    /// At which of its requests, from 0.
    pub at: usize,
    /// What becomes of that one.
    pub fate: Fate,
}

/// What becomes of the request at which a process loses its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is not performed, and no later one is.
    Lost,
    /// It is performed, nobody hears the answer, and no later one is.
    Performed,
    /// It hangs, as all later ones do, until [`Wire::deliver`]: then it arrives, whoever has sent it.
    Late,
}

impl Wire {
    /// One that breaks.
    #[must_use]
    pub fn breaking(at: Option<Break>) -> Self {
        Self(Arc::new(Inner { break_at: at, ..Inner::default() }))
    }

    /// What was sent so far, oldest first.
    #[must_use]
    pub fn sent(&self) -> Vec<String> {
        self.log().clone()
    }

    /// Waits until nothing gets through any more.
    pub async fn cut(&self) {
        // An error would say that this wire is gone.
        let _ = self.0.is_cut.subscribe().wait_for(|is_cut| *is_cut).await;
    }

    /// Waits until nothing is answered any more: it is cut, or requests hang.
    pub async fn silent(&self) {
        let mut hangs = self.0.hangs.subscribe();
        tokio::select! {
            () = self.cut() => {}
            // An error would say that this wire is gone.
            _ = hangs.wait_for(|hangs| *hangs) => {}
        }
    }

    /// Requests that hang arrive now.
    pub fn deliver(&self) {
        self.0.is_delivering.send_replace(true);
    }

    /// Carries a request there and its answer back; none: the connection is cut.
    pub async fn carry<T: Send + 'static>(
        &self,
        name: impl fmt::Display,
        request: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let number = {
            let mut sent = self.log();
            sent.push(name.to_string());
            sent.len() - 1
        };
        if *self.0.is_cut.borrow() {
            return None;
        }
        match self.0.break_at {
            Some(Break { at, fate: Fate::Late }) if number >= at => self.late(request).await,
            Some(Break { at, fate }) if number == at => {
                if fate == Fate::Performed {
                    drop(request.await);
                }
                self.0.is_cut.send_replace(true);
                None
            }
            _ => Some(request.await).filter(|_| !*self.0.is_cut.borrow()),
        }
    }

    /// Carries a conversation: requests of which each follows from the answer to the one before. None: the connection
    /// is cut, and nothing came of it unless it was performed to its end. One that hangs is never finished by itself.
    pub async fn converse<T: Send + 'static>(
        &self,
        name: impl fmt::Display,
        talk: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let is_late = self.0.break_at.is_some_and(|it| it.fate == Fate::Late && self.log().len() >= it.at);
        if is_late {
            self.0.hangs.send_replace(true);
            self.log().push(name.to_string());
            return std::future::pending().await;
        }
        self.carry(name, talk).await
    }

    /// The request goes on by itself, even when its sender is no more.
    async fn late<T: Send + 'static>(&self, request: impl Future<Output = T> + Send + 'static) -> Option<T> {
        self.0.hangs.send_replace(true);
        let mut delivering = self.0.is_delivering.subscribe();
        let (answer, answered) = oneshot::channel();
        tokio::spawn(async move {
            if delivering.wait_for(|it| *it).await.is_ok() {
                // The sender may be no more.
                drop(answer.send(request.await));
            }
        });
        answered.await.ok()
    }

    fn log(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("break_at", &self.0.break_at).finish_non_exhaustive()
    }
}
