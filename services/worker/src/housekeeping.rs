//! What nobody waits for: uploads that were given up, and what deleted videos left behind.

use catalog::{Catalog, Storage, StoreError};
use jiff::{SignedDuration, Timestamp};

/// How many videos are taken in one round.
const BATCH: u16 = 50;
/// How long a deleted video is remembered: past the 14 days that an event can stand on the queue, after which
/// nothing can make it appear again.
const TOMBSTONE: SignedDuration = SignedDuration::from_hours(15 * 24);

/// What a round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Uploads that were given up.
    pub expired: usize,
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
