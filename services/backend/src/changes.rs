//! Changes of videos, from any replica or worker, to the clients that listen here.
//!
//! PostgreSQL's `NOTIFY` carries them: it belongs to the transaction that makes the change, and reaches every
//! replica. What is sent while a connection is down is lost, so whenever one begins, the streams of clients
//! are ended: they come back and fetch everything anew.

use crate::api::model;
use backon::{BackoffBuilder, ExponentialBuilder};
use catalog::{Catalog, StoreError};
use service_common::Shutdown;
use std::{sync::Arc, time::Duration};
use tokio::sync::broadcast;
use uuid::Uuid;

/// After how long without a change the connection is asked whether it lives, and how long it may take to answer.
const QUIET: Duration = Duration::from_secs(15);
/// How many changes a slow client may be behind before its stream is ended.
const BACKLOG: usize = 1024;

/// What happened.
#[derive(Clone, Debug)]
pub enum Change {
    /// The video, as JSON.
    Video(Arc<str>),
    /// The video of that id is gone.
    Deleted(Uuid),
    /// Changes may have been missed.
    Missed,
}

/// Where changes are heard.
#[derive(Clone)]
pub struct Changes(broadcast::Sender<Change>);

impl Changes {
    /// Listens in the background until the service stops.
    #[must_use]
    pub fn listen(catalog: Catalog, shutdown: Shutdown) -> Self {
        let changes = Self(broadcast::Sender::new(BACKLOG));
        let sender = changes.0.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = shutdown.stopping() => {}
                () = forward(&catalog, &sender) => {}
            }
        });
        changes
    }

    /// What happens from now on.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Change> {
        self.0.subscribe()
    }
}

async fn forward(catalog: &Catalog, sender: &broadcast::Sender<Change>) {
    let delays = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(Duration::from_secs(10))
        .with_jitter()
        .without_max_times();
    let mut backoff = delays.build();
    loop {
        if let Err(error) = forward_connected(catalog, sender, || backoff = delays.build()).await {
            tracing::warn!(%error, "changes can't be heard; trying again");
        }
        tokio::time::sleep(backoff.next().unwrap_or(Duration::from_secs(10))).await;
    }
}

async fn forward_connected(
    catalog: &Catalog,
    sender: &broadcast::Sender<Change>,
    mut connected: impl FnMut(),
) -> Result<(), StoreError> {
    let mut listener = catalog.listen(QUIET).await?;
    connected();
    send(sender, Change::Missed);
    while let Some(id) = listener.next().await? {
        if sender.receiver_count() == 0 {
            continue;
        }
        match catalog.get(id).await {
            Ok(Some(video)) => send(sender, Change::Video(model::to_json(&video).into())),
            Ok(None) => send(sender, Change::Deleted(id)),
            // It is in no list either.
            Err(error) if error.is_lasting() => tracing::error!(%error, "a change is told to nobody"),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn send(sender: &broadcast::Sender<Change>, change: Change) {
    // An error means that nobody listens, which is fine.
    let _ = sender.send(change);
}
