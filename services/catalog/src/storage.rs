//! Where sources and outputs are in S3, and how the objects of a deleted video are erased.

use crate::Video;
use aws_sdk_s3::{
    Client,
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
    operation::get_object::GetObjectError,
    primitives::ByteStream,
    types::{Delete, ObjectIdentifier},
};
use contract::Identity;
use service_common::{Env, EnvError};
use uuid::Uuid;

/// S3's own code for an object that is larger than it may be.
pub const TOO_LARGE: &str = "EntityTooLarge";

/// The buckets and prefixes that the platform's operator tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Bucket of the sources.
    pub input_bucket: String,
    /// Empty, or ends in `/`.
    pub input_prefix: String,
    /// Bucket of the outputs.
    pub output_bucket: String,
    /// Empty, or ends in `/`.
    pub output_prefix: String,
}

/// S3 did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {cause}")]
pub struct StorageError {
    what: String,
    cause: String,
    code: Option<String>,
}

impl StorageError {
    /// Wraps an error of the SDK, saying what was tried on which object.
    pub fn new<E, R>(what: impl Into<String>, error: &SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug + 'static,
    {
        Self {
            what: what.into(),
            cause: DisplayErrorContext(error).to_string(),
            code: error.code().map(Into::into),
        }
    }

    /// Wraps an error that kept a call from being made.
    pub fn without_call(what: impl Into<String>, error: impl std::fmt::Display) -> Self {
        Self { what: what.into(), cause: error.to_string(), code: None }
    }

    /// S3's own code of the error, such as `NoSuchUpload`.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }
}

impl Storage {
    /// Reads `INPUT_BUCKET`, `INPUT_PREFIX`, `OUTPUT_BUCKET` and `OUTPUT_PREFIX`.
    ///
    /// # Errors
    /// [`EnvError`] for a bucket that is missing, or a prefix that does not end in `/`.
    pub fn from_env(env: &Env) -> Result<Self, EnvError> {
        Ok(Self {
            input_bucket: env.required("INPUT_BUCKET")?,
            input_prefix: prefix(env, "INPUT_PREFIX")?,
            output_bucket: env.required("OUTPUT_BUCKET")?,
            output_prefix: prefix(env, "OUTPUT_PREFIX")?,
        })
    }

    /// The key of an upload; the video's id makes it unlike any other.
    #[must_use]
    pub fn upload_key(&self, video: Uuid, file_name: &str) -> String {
        format!("{}{video}/{}", self.input_prefix, safe_name(file_name))
    }

    /// The folder of an output, ending in `/`.
    #[must_use]
    pub fn output_folder(&self, identity: &Identity) -> String {
        format!("{}{identity}/", self.output_prefix)
    }

    /// Erases what a deleted video has in S3: an open upload, its version of the source, its outputs.
    /// Doing it again does no harm. Sources outside the input bucket and prefix are someone else's, and stay.
    ///
    /// # Errors
    /// [`StorageError`] for the first call that failed; what was not reached is left for another try.
    pub async fn erase(&self, s3: &Client, video: &Video) -> Result<(), StorageError> {
        let source = &video.source;
        if source.bucket == self.input_bucket && source.key.starts_with(&self.input_prefix) {
            if let Some(upload) = &video.upload {
                abort_upload(s3, &source.bucket, &source.key, &upload.id).await?;
            }
            match &source.version_id {
                Some(version) => delete_version(s3, &source.bucket, &source.key, version).await?,
                None => delete_key(s3, &source.bucket, &source.key).await?,
            }
        }
        for transcode in &video.transcodes {
            delete_folder(s3, &self.output_bucket, &self.output_folder(&transcode.identity)).await?;
        }
        Ok(())
    }
}

fn prefix(env: &Env, name: &str) -> Result<String, EnvError> {
    let prefix = env.optional(name).unwrap_or_default();
    if prefix.is_empty() || prefix.ends_with('/') {
        return Ok(prefix);
    }
    Err(EnvError::invalid(name, "a prefix must be empty or end in /"))
}

/// A file name as part of a key: letters, digits, dots, dashes and underscores, so that no tool between the
/// browser and the transcoder has to quote it.
fn safe_name(file_name: &str) -> String {
    let safe: String = file_name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' })
        .collect();
    let safe = safe.trim_start_matches('.');
    if safe.is_empty() { "source".to_owned() } else { safe.to_owned() }
}

/// Aborts a multipart upload, so that its parts cost nothing any more. One that is gone is fine.
///
/// # Errors
/// [`StorageError`] where S3 refuses.
pub async fn abort_upload(s3: &Client, bucket: &str, key: &str, upload_id: &str) -> Result<(), StorageError> {
    let aborted = s3.abort_multipart_upload().bucket(bucket).key(key).upload_id(upload_id).send().await;
    match aborted {
        Err(error) if error.code() != Some("NoSuchUpload") => {
            Err(StorageError::new(format!("aborting the upload of s3://{bucket}/{key}"), &error))
        }
        _ => Ok(()),
    }
}

async fn delete_version(s3: &Client, bucket: &str, key: &str, version: &str) -> Result<(), StorageError> {
    let deleted = s3.delete_object().bucket(bucket).key(key).version_id(version).send().await;
    match deleted {
        Err(error) if !matches!(error.code(), Some("NoSuchVersion" | "NoSuchKey")) => {
            Err(StorageError::new(format!("deleting version {version} of s3://{bucket}/{key}"), &error))
        }
        _ => Ok(()),
    }
}

/// Deletes every version of one key.
async fn delete_key(s3: &Client, bucket: &str, key: &str) -> Result<(), StorageError> {
    let what = || format!("deleting s3://{bucket}/{key}");
    let listed = s3.list_object_versions().bucket(bucket).prefix(key).send().await;
    let listed = listed.map_err(|e| StorageError::new(what(), &e))?;
    let versions = listed.versions().iter().map(|v| (v.key(), v.version_id()));
    let markers = listed.delete_markers().iter().map(|m| (m.key(), m.version_id()));
    for (found, version) in versions.chain(markers) {
        if found == Some(key) {
            delete_version(s3, bucket, key, version.unwrap_or("null")).await?;
        }
    }
    Ok(())
}

async fn delete_folder(s3: &Client, bucket: &str, folder: &str) -> Result<(), StorageError> {
    let what = || format!("deleting s3://{bucket}/{folder}");
    let mut pages = s3.list_objects_v2().bucket(bucket).prefix(folder).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| StorageError::new(what(), &e))?;
        let objects: Vec<ObjectIdentifier> = page
            .contents()
            .iter()
            .filter_map(|object| ObjectIdentifier::builder().key(object.key()?).build().ok())
            .collect();
        if objects.is_empty() {
            continue;
        }
        let Ok(batch) = Delete::builder().set_objects(Some(objects)).quiet(true).build() else { continue };
        let deleted = s3.delete_objects().bucket(bucket).delete(batch).send().await;
        let deleted = deleted.map_err(|e| StorageError::new(what(), &e))?;
        if let Some(refused) = deleted.errors().first() {
            return Err(StorageError {
                what: what(),
                cause: refused.message().unwrap_or("refused without a message").to_owned(),
                code: refused.code().map(Into::into),
            });
        }
    }
    Ok(())
}

/// Reads a small object whole. `None` where it does not exist.
///
/// # Errors
/// [`StorageError`] where S3 can't be read, and with the code [`TOO_LARGE`] where the object is larger than
/// `limit` bytes.
pub async fn read_small(
    s3: &Client,
    bucket: &str,
    key: &str,
    limit: usize,
) -> Result<Option<Vec<u8>>, StorageError> {
    let what = || format!("reading s3://{bucket}/{key}");
    let object = match s3.get_object().bucket(bucket).key(key).send().await {
        Ok(object) => object,
        Err(error) if matches!(error.as_service_error(), Some(GetObjectError::NoSuchKey(_))) => {
            return Ok(None);
        }
        Err(error) => return Err(StorageError::new(what(), &error)),
    };
    small_body(object.body, limit, what).await.map(Some)
}

/// Reads a body whole that is to be small; of another nothing beyond the limit.
///
/// # Errors
/// As [`read_small`].
pub async fn small_body(
    mut body: ByteStream,
    limit: usize,
    what: impl Fn() -> String,
) -> Result<Vec<u8>, StorageError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.try_next().await.map_err(|e| StorageError::without_call(what(), e))? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > limit {
            let cause = format!("it is larger than {limit} bytes");
            return Err(StorageError { what: what(), cause, code: Some(TOO_LARGE.to_owned()) });
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_hold_no_character_that_needs_quoting() {
        assert_eq!(safe_name("Mein Film (1)/ü.mp4"), "Mein_Film__1___.mp4");
        assert_eq!(safe_name("../../etc/passwd"), "_.._etc_passwd");
        assert_eq!(safe_name("..."), "source");
    }

    #[test]
    fn a_prefix_ends_in_a_slash_or_is_empty() {
        let env = |prefix: &str| {
            Env::of([("INPUT_BUCKET", "in"), ("OUTPUT_BUCKET", "out"), ("INPUT_PREFIX", prefix)])
        };
        assert_eq!(Storage::from_env(&env("")).unwrap().input_prefix, "");
        assert_eq!(Storage::from_env(&env("raw/")).unwrap().input_prefix, "raw/");
        let error = Storage::from_env(&env("raw")).unwrap_err().to_string();
        assert!(error.contains("INPUT_PREFIX"), "{error}");
    }
}
