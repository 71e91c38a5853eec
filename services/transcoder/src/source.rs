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
    io,
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

/// The scratch directory of a job, and how much it may hold.
#[derive(Clone, Copy, Debug)]
pub struct Scratch<'a> {
    /// The directory.
    pub path: &'a Path,
    /// How many bytes it may hold, where that is less than what its disk has free: the limit of a volume that
    /// lives on the node's own disk can't be seen from inside.
    pub room: Option<u64>,
}

impl Scratch<'_> {
    /// Whether so many bytes more will fit.
    ///
    /// # Errors
    /// `DISK_FULL` where they don't.
    pub fn require(&self, needed: u64) -> Result<(), Failure> {
        let (free, held) = rustix::fs::statvfs(self.path)
            .map_err(io::Error::from)
            .and_then(|stats| Ok((stats.f_bavail * stats.f_frsize, held(self.path)?)))
            .map_err(|error| Failure::disk("asking for free space", &error))?;
        let free = self.room.map_or(free, |room| free.min(room.saturating_sub(held)));
        if free >= needed {
            return Ok(());
        }
        let mebi = |bytes: u64| bytes.div_ceil(1 << 20);
        Err(Failure::disk_full(format!("{} MiB are needed, {} MiB are free", mebi(needed), free >> 20)))
    }
}

/// How many bytes the files of a directory hold.
fn held(directory: &Path) -> io::Result<u64> {
    std::fs::read_dir(directory)?.map(|entry| Ok(entry?.metadata()?.len())).sum()
}

/// Downloads a source into `scratch` and says where it is.
///
/// In a directory store the source stays where it is.
///
/// # Errors
/// `SOURCE_NOT_FOUND`, `NOT_MEDIA` for an empty object, `DISK_FULL`, `STORAGE`.
pub async fn fetch(
    store: &Store,
    source: &Source,
    scratch: &Scratch<'_>,
    reporter: &Reporter,
) -> Result<PathBuf, Failure> {
    let info = store.head(source).await?.ok_or_else(|| missing(source))?;
    if info.size == 0 {
        return Err(Failure::new(Reason::NotMedia, "The file is empty (0 bytes). Upload it again."));
    }
    if matches!(store, Store::Directory) {
        return Ok(Path::new(&source.bucket).join(&source.key));
    }
    // A tenth to spare for segments that wait to be stored.
    scratch.require(info.size + info.size / 10)?;
    let path = scratch.path.join("source");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_larger_than_the_disk_or_its_share_of_it_is_refused() {
        let root = Scratch { path: Path::new("/"), room: None };
        assert_eq!(root.require(u64::MAX / 2).unwrap_err().reason, Reason::DiskFull);
        root.require(1).unwrap();
        let directory = tempfile::TempDir::new().unwrap();
        std::fs::write(directory.path().join("source"), [0; 600]).unwrap();
        let scratch = Scratch { path: directory.path(), room: Some(1000) };
        scratch.require(400).unwrap();
        assert_eq!(scratch.require(401).unwrap_err().reason, Reason::DiskFull);
    }
}
