//! What nobody waits for: uploads that were given up, outcomes whose event was lost, and what deleted videos left
//! behind.

use crate::record;
use catalog::{Catalog, Report, Storage, StoreError};
use contract::Identity;
use jiff::{SignedDuration, Timestamp};

/// How many videos are taken in one round.
const BATCH: u16 = 50;
/// How long a deleted video is remembered: past the 14 days that an event can stand on the queue, after which
/// nothing can make it appear again.
const TOMBSTONE: SignedDuration = SignedDuration::from_hours(15 * 24);
/// After how long without a word of a video its output is looked at. A Job that runs comes further within it.
const SILENCE: SignedDuration = SignedDuration::from_hours(3);

/// What a round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Uploads that were given up.
    pub expired: usize,
    /// Transcodes whose end was read from their output.
    pub found: usize,
    /// Deleted videos whose objects were erased.
    pub erased: usize,
    /// Deleted videos that were forgotten.
    pub forgotten: u64,
}

/// Keeps house once.
///
/// # Errors
/// [`StoreError`]; what S3 refuses is logged, and tried again in the next round.
pub async fn round(
    catalog: &Catalog,
    storage: &Storage,
    s3: &aws_sdk_s3::Client,
    now: Timestamp,
) -> Result<Round, StoreError> {
    let mut done = Round::default();
    for id in catalog.expired_uploads(now, BATCH).await? {
        let Some(mut edit) = catalog.edit(id).await? else { continue };
        let expired = edit.video.upload.as_ref().is_some_and(|upload| upload.expires_at < now);
        if expired && !edit.video.is_deleted() {
            edit.video.delete(now);
            edit.commit(now).await?;
            tracing::info!(video = %id, "the upload was given up: it took too long");
            done.expired += 1;
        }
    }
    for identity in catalog.silent(now - SILENCE, BATCH).await? {
        match find_end(catalog, storage, s3, &identity, now).await {
            Ok(news) => done.found += usize::from(news),
            Err(error) if error.is_lasting() => tracing::error!(%error, "a silent transcode is left alone"),
            Err(error) => return Err(error),
        }
    }
    for tombstone in catalog.to_erase(BATCH).await? {
        match storage.erase(s3, &tombstone).await {
            Ok(()) => {
                catalog.erased(&tombstone, now).await?;
                done.erased += 1;
            }
            Err(error) => {
                tracing::warn!(%error, video = %tombstone.id, "a deleted video can't be erased yet");
            }
        }
    }
    done.forgotten = catalog.forget(now - TOMBSTONE).await?;
    Ok(done)
}

/// Merges what the output of a transcode says of its end. Says whether that was news.
async fn find_end(
    catalog: &Catalog,
    storage: &Storage,
    s3: &aws_sdk_s3::Client,
    identity: &Identity,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let record = match record::read(s3, &storage.output_bucket, &storage.output_folder(identity)).await {
        Ok(Some(record)) if record.identity == *identity => record,
        Ok(_) => return Ok(false),
        Err(error) => {
            tracing::warn!(%error, "a silent transcode can't be looked at yet");
            return Ok(false);
        }
    };
    let Some(mut edit) = catalog.edit_work(identity, None).await? else { return Ok(false) };
    let before = edit.video.clone();
    let attempt = before.transcodes.iter().find(|t| t.identity == *identity).map_or(0, |t| t.attempt);
    edit.video.merge(identity, &before.source, Report::of_record(record, attempt));
    if edit.video == before {
        return Ok(false);
    }
    let video = edit.commit(now).await?;
    tracing::warn!(video = %video.id, %identity, state = %video.state(), "the event of its end was lost");
    Ok(true)
}
