//! How far running Jobs have come, by their `progress.json`.

use aws_sdk_s3::error::DisplayErrorContext;
use catalog::{Catalog, Storage, StoreError, storage::small_body};
use contract::{Identity, Progress, job::PROGRESS_FILE};
use futures::StreamExt;
use http::StatusCode;
use jiff::Timestamp;
use std::{collections::HashMap, sync::Mutex};

/// How many Jobs are asked after in one round, newest first.
const MAX_JOBS: u16 = 200;
/// How many of them at once.
const AT_ONCE: usize = 8;
/// Largest `progress.json` that is read, in bytes.
const MAX_BYTES: usize = 64 << 10;

/// Follows the progress of running Jobs.
pub struct Follower {
    catalog: Catalog,
    storage: Storage,
    s3: aws_sdk_s3::Client,
    /// The tag of each file as it was last read, so that an unchanged one is not sent again.
    seen: Mutex<HashMap<Identity, String>>,
}

impl Follower {
    /// Follows what the catalogue says to be running.
    #[must_use]
    pub fn new(catalog: Catalog, storage: Storage, s3: aws_sdk_s3::Client) -> Self {
        Self { catalog, storage, s3, seen: Mutex::default() }
    }

    /// Asks once after every running Job. Says how many videos came further.
    ///
    /// # Errors
    /// [`StoreError`]; a file that can't be read is logged, and asked for again in the next round.
    pub async fn round(&self, now: Timestamp) -> Result<usize, StoreError> {
        let running = self.catalog.running(MAX_JOBS).await?;
        if let Ok(mut seen) = self.seen.lock() {
            seen.retain(|identity, _| running.contains(identity));
        }
        let rounds = futures::stream::iter(running.iter().map(|identity| self.follow(identity, now)));
        let further: Vec<Result<bool, StoreError>> = rounds.buffer_unordered(AT_ONCE).collect().await;
        let further: Vec<bool> = further.into_iter().collect::<Result<_, _>>()?;
        Ok(further.into_iter().filter(|came_further| *came_further).count())
    }

    async fn follow(&self, identity: &Identity, now: Timestamp) -> Result<bool, StoreError> {
        let Some(progress) = self.read(identity).await else { return Ok(false) };
        let Some(mut edit) = self.catalog.edit_work(identity, None).await? else { return Ok(false) };
        let transcode = edit.video.transcodes.iter_mut().find(|t| t.identity == *identity);
        let further = transcode.is_some_and(|t| t.advance(progress.attempt, progress.percent));
        if further {
            edit.commit(now).await?;
        }
        Ok(further)
    }

    /// The file, if it is there, changed since it was last read, and is of this work.
    async fn read(&self, identity: &Identity) -> Option<Progress> {
        let key = format!("{}{PROGRESS_FILE}", self.storage.output_folder(identity));
        let known = self.seen.lock().ok()?.get(identity).cloned();
        let get = self.s3.get_object().bucket(&self.storage.output_bucket).key(&key);
        let object = match get.set_if_none_match(known).send().await {
            Ok(object) => object,
            Err(error) => {
                let status = error.raw_response().map(|raw| raw.status().as_u16());
                let expected = [StatusCode::NOT_FOUND, StatusCode::NOT_MODIFIED];
                if !expected.iter().any(|code| status == Some(code.as_u16())) {
                    tracing::warn!(key, error = %DisplayErrorContext(&error), "progress can't be read");
                }
                return None;
            }
        };
        let tag = object.e_tag().map(str::to_owned);
        let bytes = small_body(object.body, MAX_BYTES, || format!("reading {key}")).await;
        let bytes = bytes.inspect_err(|error| tracing::warn!(%error, "progress can't be read")).ok()?;
        let progress: Result<Progress, _> = serde_json::from_slice(&bytes);
        let progress =
            progress.inspect_err(|error| tracing::warn!(key, %error, "progress can't be understood"));
        let progress = progress.ok()?;
        if let Some(tag) = tag {
            self.seen.lock().ok()?.insert(identity.clone(), tag);
        }
        (progress.identity == *identity).then_some(progress)
    }
}
