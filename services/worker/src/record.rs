//! What an output says of itself: its `job.json`.

use catalog::storage::{self, StorageError, TOO_LARGE};
use contract::{JobRecord, job::JOB_RECORD};

/// Largest `job.json` that is read, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// Reads the record below a prefix, which ends in `/`. `None` where there is none, or none that can be
/// understood.
///
/// # Errors
/// [`StorageError`] where S3 can't be read.
pub async fn read(
    s3: &aws_sdk_s3::Client,
    bucket: &str,
    prefix: &str,
) -> Result<Option<JobRecord>, StorageError> {
    let key = format!("{prefix}{JOB_RECORD}");
    let bytes = match storage::read_small(s3, bucket, &key, MAX_BYTES).await {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(None),
        Err(error) if error.code() == Some(TOO_LARGE) => {
            tracing::warn!(%error, "the record of an output can't be read");
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let record = serde_json::from_slice(&bytes);
    Ok(record
        .inspect_err(
            |error| tracing::warn!(%error, bucket, key, "the record of an output can't be understood"),
        )
        .ok())
}
