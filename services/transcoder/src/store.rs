//! Objects in S3, or in directories that stand for buckets (tests, and people who try a ladder).

use crate::Failure;
use aws_sdk_s3::{
    Client,
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
    primitives::ByteStream,
};
use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use contract::job::{Source, content_type};
use std::{
    io,
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

/// How long writes are tried again: about five minutes, beside the few seconds of the SDK itself.
const PATIENCE: ExponentialBuilder = ExponentialBuilder::new()
    .with_jitter()
    .with_min_delay(Duration::from_secs(1))
    .with_max_delay(Duration::from_secs(30))
    .without_max_times()
    .with_total_delay(Some(Duration::from_secs(300)));

/// Where objects are.
#[derive(Clone, Debug)]
pub enum Store {
    /// Each bucket is a directory: its name is the path.
    Directory,
    /// S3 or what speaks its protocol.
    S3(Client),
}

/// What a store says about an object without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Size in bytes.
    pub size: u64,
    /// The entity tag, where there is one: guards ranged reads against a change in between.
    pub etag: Option<String>,
}

/// What is written into an object.
#[derive(Clone, Debug)]
pub enum Content {
    /// Bytes in memory.
    Bytes(Bytes),
    /// A file on the scratch disk.
    File(PathBuf),
}

impl Store {
    /// Looks at an object. `None` where it, or that version of it, does not exist.
    ///
    /// # Errors
    /// `STORAGE` where the store can't be asked.
    pub async fn head(&self, source: &Source) -> Result<Option<ObjectInfo>, Failure> {
        match self {
            Self::Directory => match tokio::fs::metadata(local_path(&source.bucket, &source.key)).await {
                Ok(data) if data.is_file() => Ok(Some(ObjectInfo { size: data.len(), etag: None })),
                Ok(_) => Ok(None),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(Failure::storage(describe("reading", &source.bucket, &source.key), error)),
            },
            Self::S3(client) => {
                let answer = client
                    .head_object()
                    .bucket(&source.bucket)
                    .key(&source.key)
                    .set_version_id(source.version_id.clone())
                    .send()
                    .await;
                match answer {
                    Ok(head) => Ok(Some(ObjectInfo {
                        size: u64::try_from(head.content_length().unwrap_or_default()).unwrap_or_default(),
                        etag: head.e_tag().map(str::to_owned),
                    })),
                    Err(error) if is_missing(&error) => Ok(None),
                    Err(error) if status(&error) == Some(400) && source.version_id.is_some() => {
                        refused(client, source).await.map(|()| None)
                    }
                    Err(error) => Err(s3_failure("reading", &source.bucket, &source.key, &error)),
                }
            }
        }
    }

    /// Reads a range of an object, which must still be the one that `head` saw.
    ///
    /// # Errors
    /// `STORAGE` where it can't be read whole.
    pub async fn range(
        &self,
        source: &Source,
        etag: Option<&str>,
        range: Range<u64>,
    ) -> Result<Bytes, Failure> {
        let Self::S3(client) = self else {
            return read_local_range(source, range).await;
        };
        let answer = client
            .get_object()
            .bucket(&source.bucket)
            .key(&source.key)
            .set_version_id(source.version_id.clone())
            .set_if_match(etag.map(str::to_owned))
            .range(format!("bytes={}-{}", range.start, range.end - 1))
            .send()
            .await
            .map_err(|error| s3_failure("reading", &source.bucket, &source.key, &error))?;
        let what = || describe("reading", &source.bucket, &source.key);
        let bytes =
            answer.body.collect().await.map_err(|error| Failure::storage(what(), error))?.into_bytes();
        if bytes.len() as u64 != range.end - range.start {
            return Err(Failure::storage(what(), "the answer is shorter than what was asked for"));
        }
        Ok(bytes)
    }

    /// Reads a small object whole. `None` where it does not exist.
    ///
    /// # Errors
    /// `STORAGE` where the store can't be asked.
    pub async fn get(&self, bucket: &str, key: &str) -> Result<Option<Bytes>, Failure> {
        match self {
            Self::Directory => match tokio::fs::read(local_path(bucket, key)).await {
                Ok(bytes) => Ok(Some(bytes.into())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(Failure::storage(describe("reading", bucket, key), error)),
            },
            Self::S3(client) => match client.get_object().bucket(bucket).key(key).send().await {
                Ok(answer) => {
                    let body = answer.body.collect().await;
                    let bytes =
                        body.map_err(|error| Failure::storage(describe("reading", bucket, key), error))?;
                    Ok(Some(bytes.into_bytes()))
                }
                Err(error) if is_missing(&error) => Ok(None),
                Err(error) => Err(s3_failure("reading", bucket, key, &error)),
            },
        }
    }

    /// Writes an object, whole or not at all, with the content type that its name asks for. Patient with S3, as
    /// hours of encoding may depend on it.
    ///
    /// # Errors
    /// `STORAGE` where it can't be written; a disk failure where the file can't be read.
    pub async fn put(&self, bucket: &str, key: &str, content: Content) -> Result<(), Failure> {
        let Self::S3(client) = self else {
            return write_local(&local_path(bucket, key), content).await;
        };
        let mut pauses = PATIENCE.build();
        loop {
            let written = client
                .put_object()
                .bucket(bucket)
                .key(key)
                .content_type(content_type(key))
                .cache_control(cache_control(key))
                .body(body(&content).await?)
                .send()
                .await;
            let Err(error) = written else { return Ok(()) };
            let failure = s3_failure("writing", bucket, key, &error);
            let Some(pause) = pauses.next().filter(|_| may_pass(&error)) else { return Err(failure) };
            tracing::warn!(%failure, ?pause, "trying again");
            tokio::time::sleep(pause).await;
        }
    }
}

async fn body(content: &Content) -> Result<ByteStream, Failure> {
    match content {
        Content::Bytes(bytes) => Ok(ByteStream::from(bytes.clone())),
        Content::File(path) => ByteStream::from_path(path)
            .await
            .map_err(|error| Failure::disk(format!("reading {}", path.display()), &io::Error::other(error))),
    }
}

/// A place in a store below which one output lives.
#[derive(Clone, Debug)]
pub struct Folder {
    /// The store.
    pub store: Store,
    /// Name of the bucket.
    pub bucket: String,
    /// "" or a prefix that ends in "/".
    pub prefix: String,
}

impl Folder {
    /// Reads an object below this folder. `None` where it does not exist.
    ///
    /// # Errors
    /// Those of [`Store::get`].
    pub async fn get(&self, path: &str) -> Result<Option<Bytes>, Failure> {
        self.store.get(&self.bucket, &format!("{}{path}", self.prefix)).await
    }

    /// Writes an object below this folder.
    ///
    /// # Errors
    /// Those of [`Store::put`].
    pub async fn put(&self, path: &str, content: Content) -> Result<(), Failure> {
        self.store.put(&self.bucket, &format!("{}{path}", self.prefix), content).await
    }
}

/// The two JSON files may be written again by a later attempt; all else never changes once it is referenced.
fn cache_control(path: &str) -> &'static str {
    if path.ends_with(".json") { "no-cache" } else { "public, max-age=31536000, immutable" }
}

fn local_path(bucket: &str, key: &str) -> PathBuf {
    Path::new(bucket).join(key)
}

async fn read_local_range(source: &Source, range: Range<u64>) -> Result<Bytes, Failure> {
    use tokio::io::{AsyncReadExt, AsyncSeekExt};
    let read = async {
        let mut file = tokio::fs::File::open(local_path(&source.bucket, &source.key)).await?;
        file.seek(io::SeekFrom::Start(range.start)).await?;
        let mut bytes = Vec::new();
        file.take(range.end - range.start).read_to_end(&mut bytes).await?;
        io::Result::Ok(bytes)
    };
    match read.await {
        Ok(bytes) => Ok(bytes.into()),
        Err(error) => Err(Failure::storage(describe("reading", &source.bucket, &source.key), error)),
    }
}

/// Writes beside the target and renames, so that no reader sees half a file.
async fn write_local(path: &Path, content: Content) -> Result<(), Failure> {
    let write = async {
        if let Some(parent) = path.parent() {
            tokio::fs::create_dir_all(parent).await?;
        }
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        match content {
            Content::Bytes(bytes) => tokio::fs::write(&partial, bytes).await?,
            Content::File(file) => {
                tokio::fs::copy(&file, &partial).await?;
            }
        }
        tokio::fs::rename(&partial, path).await
    };
    write.await.map_err(|error: io::Error| Failure::disk(format!("writing {}", path.display()), &error))
}

/// Why S3 answers 400 to a look at a version, which has no body to say so: `Ok` where it is the name of no
/// version. Expired credentials get the same answer.
async fn refused(client: &Client, source: &Source) -> Result<(), Failure> {
    let answer = client
        .get_object()
        .bucket(&source.bucket)
        .key(&source.key)
        .set_version_id(source.version_id.clone())
        .range("bytes=0-0")
        .send()
        .await;
    match answer {
        Err(error) if error.code() == Some("InvalidArgument") => Ok(()),
        Err(error) => Err(s3_failure("reading", &source.bucket, &source.key, &error)),
        Ok(_) => {
            Err(Failure::storage(describe("reading", &source.bucket, &source.key), "S3 answered 400 to HEAD"))
        }
    }
}

fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

/// Whether a write may go better later: S3 did not answer, or not as it should.
fn may_pass<E>(error: &SdkError<E>) -> bool {
    match status(error) {
        Some(status) => matches!(status, 408 | 429 | 500..),
        None => !matches!(error, SdkError::ConstructionFailure(_)),
    }
}

/// S3 answers 404 for what is missing, and 405 for a version that is a delete marker.
fn is_missing<E>(error: &SdkError<E>) -> bool {
    matches!(status(error), Some(404 | 405))
}

/// What S3 answered, in its own words where it has some.
fn s3_failure<E>(doing: &str, bucket: &str, key: &str, error: &SdkError<E>) -> Failure
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    let what = describe(doing, bucket, key);
    if status(error) == Some(403) {
        return Failure::storage(what, "access is denied. Check what the Job's credentials may do");
    }
    match (error.code(), error.message()) {
        (Some(code), Some(message)) => Failure::storage(what, format!("{code}: {message}")),
        _ => Failure::storage(what, DisplayErrorContext(error)),
    }
}

fn describe(doing: &str, bucket: &str, key: &str) -> String {
    format!("{doing} s3://{bucket}/{key}")
}
