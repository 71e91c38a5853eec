//! Brings the source to the scratch disk.

use crate::{Failure, progress::Reporter, store::Store};
use backon::{ExponentialBuilder, Retryable};
use contract::{
    Reason,
    job::{Source, Stage},
};
use futures::{StreamExt, TryStreamExt};
use std::{
    fs::File,
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Bytes of one ranged read.
const PART: u64 = 8 << 20;
/// How many reads run at the same time.
const PARALLEL_READS: usize = 4;
/// How often a part is tried before the job gives up; the next attempt of the Job starts anew.
const TRIES: usize = 5;

/// Downloads a source into `scratch` and says where it is.
///
/// In a directory store the source stays where it is.
///
/// # Errors
/// `SOURCE_NOT_FOUND`, `NOT_MEDIA` for an empty object, `DISK_FULL`, `STORAGE`.
pub async fn fetch(
    store: &Store,
    source: &Source,
    scratch: &Path,
    reporter: &Reporter,
) -> Result<PathBuf, Failure> {
    let info = store.head(source).await?.ok_or_else(|| missing(source))?;
    if info.size == 0 {
        return Err(Failure::new(Reason::NotMedia, "The file is empty (0 bytes). Upload it again."));
    }
    if matches!(store, Store::Directory) {
        return Ok(Path::new(&source.bucket).join(&source.key));
    }
    require_space(scratch, info.size)?;
    let path = scratch.join("source");
    let file = File::create(&path).and_then(|file| file.set_len(info.size).map(|()| file));
    let file = Arc::new(file.map_err(|error| Failure::disk("making the source's file", &error))?);
    let etag = info.etag.as_deref();
    let parts = (0..info.size).step_by(PART as usize).map(|start| start..(start + PART).min(info.size));
    let mut stored = futures::stream::iter(parts)
        .map(|range| fetch_part(store, source, etag, range, Arc::clone(&file)))
        .buffer_unordered(PARALLEL_READS);
    let mut done = 0;
    while let Some(length) = stored.try_next().await? {
        done += length;
        reporter.report(Stage::Downloading, done as f64 / info.size as f64);
    }
    drop(stored);
    Ok(path)
}

/// Reads one part, again where that fails, and writes it where it belongs. Answers its length.
async fn fetch_part(
    store: &Store,
    source: &Source,
    etag: Option<&str>,
    range: Range<u64>,
    file: Arc<File>,
) -> Result<u64, Failure> {
    let read = || store.range(source, etag, range.clone());
    let patience = ExponentialBuilder::default().with_jitter().with_max_times(TRIES - 1);
    let bytes = read.retry(patience).await?;
    let write = move || file.write_all_at(&bytes, range.start).map(|()| bytes.len() as u64);
    tokio::task::spawn_blocking(write)
        .await
        .map_err(|error| Failure::storage("writing the source", error))?
        .map_err(|error| Failure::disk("writing the source", &error))
}

fn missing(source: &Source) -> Failure {
    let version = source.version_id.as_ref().map(|id| format!(", version {id},")).unwrap_or_default();
    Failure::new(
        Reason::SourceNotFound,
        format!(
            "The source s3://{}/{}{version} does not exist. It was deleted, or the message names the wrong one.",
            source.bucket, source.key
        ),
    )
}

/// The source must fit with a tenth to spare for segments that wait to be stored.
fn require_space(scratch: &Path, size: u64) -> Result<(), Failure> {
    let free = rustix::fs::statvfs(scratch)
        .map(|stats| stats.f_bavail * stats.f_frsize)
        .map_err(|error| Failure::disk("asking for free space", &error.into()))?;
    let needed = size + size / 10;
    if free >= needed {
        return Ok(());
    }
    let mebi = |bytes: u64| bytes >> 20;
    Err(Failure::disk_full(format!("{} MiB are needed, {} MiB are free", mebi(needed), mebi(free))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_larger_than_the_disk_is_refused_before_it_is_read() {
        let failure = require_space(Path::new("/"), u64::MAX / 2).unwrap_err();
        assert_eq!(failure.reason, Reason::DiskFull);
        require_space(Path::new("/"), 1).unwrap();
    }
}
