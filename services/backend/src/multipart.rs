//! Multipart uploads straight from the browser to S3, by presigned URLs.

use aws_sdk_s3::{
    Client,
    config::RequestChecksumCalculation,
    error::ProvideErrorMetadata,
    presigning::PresigningConfig,
    types::{CompletedMultipartUpload, CompletedPart},
};
use catalog::storage::StorageError;
use contract::job::Source;
use std::{ops::RangeInclusive, time::Duration};

const MIB: u64 = 1 << 20;
/// Parts are no smaller than this, though S3 admits 5 MiB: fewer requests.
const MIN_PART_BYTES: u64 = 8 * MIB;
/// An upload is cut in at most this many parts, so that its list of URLs stays small. S3 admits 10,000.
const MAX_PARTS: u64 = 2000;

/// A part that S3 holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldPart {
    /// From 1.
    pub number: u16,
    /// S3's tag of its content, in quotes.
    pub etag: String,
    /// Bytes.
    pub size: u64,
}

/// A part that the client says it has uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentPart {
    /// From 1.
    pub number: u16,
    /// The `ETag` header of S3's answer.
    pub etag: String,
}

/// What S3 says to completing an upload.
#[derive(Debug)]
pub enum Completion {
    /// The object is there, with this version where the bucket has versions.
    Done(Option<String>),
    /// S3 does not have the parts that were named, or can't join them; its own words.
    BadParts(String),
    /// S3 knows no such upload, nor an object of its key.
    Gone,
}

/// Multipart uploads of one account.
///
/// They are made without the SDK's checksums: an upload that begins with one demands it of every part, and
/// browsers send none.
pub struct Multipart {
    s3: Client,
}

impl Multipart {
    /// Uploads with that client's credentials and endpoint.
    #[must_use]
    pub fn new(s3: Client) -> Self {
        let plain = s3.config().to_builder();
        let plain = plain.request_checksum_calculation(RequestChecksumCalculation::WhenRequired);
        Self { s3: Client::from_conf(plain.build()) }
    }

    /// Begins an upload; gives its id.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn begin(&self, bucket: &str, key: &str, content_type: &str) -> Result<String, StorageError> {
        let begun = self.s3.create_multipart_upload().bucket(bucket).key(key).content_type(content_type);
        let begun = begun.send().await;
        let begun = begun
            .map_err(|e| StorageError::new(format!("beginning an upload to s3://{bucket}/{key}"), &e))?;
        Ok(begun.upload_id().unwrap_or_default().to_owned())
    }

    /// A URL to which one part can be PUT.
    ///
    /// # Errors
    /// [`StorageError`] where there are no credentials.
    pub async fn presign(
        &self,
        source: &Source,
        upload_id: &str,
        number: u16,
        valid: Duration,
    ) -> Result<String, StorageError> {
        let config = PresigningConfig::expires_in(valid.max(Duration::from_secs(1)))
            .map_err(|e| StorageError::without_call("presigning a part", e))?;
        let part = self.s3.upload_part().bucket(&source.bucket).key(&source.key).upload_id(upload_id);
        let signed = part.part_number(i32::from(number)).presigned(config).await;
        let signed = signed.map_err(|e| StorageError::new("presigning a part", &e))?;
        Ok(signed.uri().to_owned())
    }

    /// The parts that S3 holds. `None` where it knows no such upload.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn held(
        &self,
        source: &Source,
        upload_id: &str,
    ) -> Result<Option<Vec<HeldPart>>, StorageError> {
        let what = || format!("listing the parts of s3://{}/{}", source.bucket, source.key);
        let list = self.s3.list_parts().bucket(&source.bucket).key(&source.key).upload_id(upload_id);
        let mut pages = list.into_paginator().send();
        let mut held = Vec::new();
        while let Some(page) = pages.next().await {
            let page = match page {
                Ok(page) => page,
                Err(error) if error.code() == Some("NoSuchUpload") => return Ok(None),
                Err(error) => return Err(StorageError::new(what(), &error)),
            };
            held.extend(page.parts().iter().filter_map(|part| {
                Some(HeldPart {
                    number: u16::try_from(part.part_number()?).ok()?,
                    etag: part.e_tag()?.to_owned(),
                    size: u64::try_from(part.size()?).ok()?,
                })
            }));
        }
        Ok(Some(held))
    }

    /// Joins the parts to the object. Doing it again is harmless.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn complete(
        &self,
        source: &Source,
        upload_id: &str,
        parts: &[SentPart],
    ) -> Result<Completion, StorageError> {
        let Source { bucket, key, .. } = source;
        let parts = parts.iter().map(|part| {
            CompletedPart::builder().part_number(i32::from(part.number)).e_tag(&part.etag).build()
        });
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.collect())).build();
        let complete = self.s3.complete_multipart_upload().bucket(bucket).key(key);
        match complete.upload_id(upload_id).multipart_upload(parts).send().await {
            Ok(done) => match done.version_id() {
                Some(version) => Ok(Completion::Done(Some(version.to_owned()))),
                None => self.find(source).await,
            },
            Err(error) => match error.code() {
                Some("NoSuchUpload") => self.find(source).await,
                Some("InvalidPart" | "InvalidPartOrder" | "EntityTooSmall") => {
                    Ok(Completion::BadParts(error.message().unwrap_or("a part is not valid").to_owned()))
                }
                _ => Err(StorageError::new(format!("completing s3://{bucket}/{key}"), &error)),
            },
        }
    }

    /// Whether the object of an upload is there already, completed by a request whose answer was lost.
    ///
    /// # Errors
    /// [`StorageError`].
    pub async fn find(&self, source: &Source) -> Result<Completion, StorageError> {
        let Source { bucket, key, .. } = source;
        match self.s3.head_object().bucket(bucket).key(key).send().await {
            Ok(object) => {
                // "null" is the version of objects in a bucket without versions.
                let version = object.version_id().filter(|version| *version != "null");
                Ok(Completion::Done(version.map(Into::into)))
            }
            Err(error) if error.as_service_error().is_some_and(|e| e.is_not_found()) => Ok(Completion::Gone),
            Err(error) => Err(StorageError::new(format!("looking for s3://{bucket}/{key}"), &error)),
        }
    }
}

/// Bytes of each part, but the last, of a source of that size: whole MiB, as few parts as sensible.
#[must_use]
pub fn part_size(size: u64) -> u64 {
    size.div_ceil(MAX_PARTS).next_multiple_of(MIB).max(MIN_PART_BYTES)
}

/// The numbers of the parts of a source. An empty source is one empty part.
#[must_use]
pub fn part_numbers(size: u64, part_size: u64) -> RangeInclusive<u16> {
    let count = size.div_ceil(part_size.max(1)).max(1);
    1..=u16::try_from(count).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_few_and_large_enough_for_s3_at_every_size() {
        for size in [0, 1, 8 * MIB, 8 * MIB + 1, 8000 * MIB, 20 << 30, 5 << 40] {
            let part = part_size(size);
            let count = u64::from(*part_numbers(size, part).end());
            assert!((1..=MAX_PARTS).contains(&count), "{size}: {count}");
            assert!((5 * MIB..=5 << 30).contains(&part), "{size}: {part}");
            assert!(part * count >= size && part * (count - 1) <= size, "{size}");
        }
    }
}
