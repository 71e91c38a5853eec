//! Buckets as S3 describes them.

use crate::aws::{self, Account};
use aws_sdk_s3::{
    error::{ProvideErrorMetadata, SdkError},
    types::{BucketVersioningStatus, CorsRule, LifecycleRule, QueueConfiguration},
};
use std::collections::BTreeMap;

/// A bucket.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// Whether it keeps old versions.
    pub versioned: bool,
    /// Whether all four blocks of public access are on.
    pub private: bool,
    /// Whether its owner owns every object, so that access lists do nothing.
    pub owner_enforced: bool,
    /// Its CORS rules.
    pub cors: Vec<CorsRule>,
    /// Its lifecycle rules.
    pub lifecycle: Vec<LifecycleRule>,
    /// The queues that it notifies.
    pub notifications: Vec<QueueConfiguration>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// The bucket of that name; `None`: there is none. Of one that is not `managed`, only what concerns us.
///
/// # Errors
/// What AWS says, in a sentence; and that the name is someone else's.
pub async fn describe(account: &Account, name: &str, managed: bool) -> Result<Option<Bucket>, String> {
    if let Err(error) = account.s3.head_bucket().bucket(name).send().await {
        let status = error.raw_response().map(|response| response.status().as_u16());
        return match status {
            Some(404) => Ok(None),
            Some(403) => Err(format!(
                "bucket {name}: access is denied; it belongs to another account, or the operator's rights don't reach it"
            )),
            Some(301 | 400) => Err(format!("bucket {name} is in another region than {}", account.region)),
            _ => Err(format!("looking for bucket {name}: {}", aws::explain(&error))),
        };
    }
    let mut bucket = Bucket {
        name: name.to_owned(),
        versioned: is_versioned(account, name).await?,
        notifications: notifications(account, name).await?,
        ..Bucket::default()
    };
    if managed {
        bucket.private = is_private(account, name).await?;
        bucket.owner_enforced = is_owner_enforced(account, name).await?;
        bucket.cors = cors(account, name).await?;
        bucket.lifecycle = lifecycle(account, name).await?;
        bucket.tags = tags(account, name).await?;
    }
    Ok(Some(bucket))
}

async fn is_versioned(account: &Account, name: &str) -> Result<bool, String> {
    let output = account.s3.get_bucket_versioning().bucket(name).send().await;
    let output = output.map_err(|error| reading("versioning", name, &error))?;
    Ok(output.status == Some(BucketVersioningStatus::Enabled))
}

/// The queues that a bucket notifies.
pub async fn notifications(account: &Account, name: &str) -> Result<Vec<QueueConfiguration>, String> {
    let output = account.s3.get_bucket_notification_configuration().bucket(name).send().await;
    let output = output.map_err(|error| reading("notifications", name, &error))?;
    Ok(output.queue_configurations.unwrap_or_default())
}

async fn is_private(account: &Account, name: &str) -> Result<bool, String> {
    let output = account.s3.get_public_access_block().bucket(name).send().await;
    let output = or_absent(output, "NoSuchPublicAccessBlockConfiguration", "public access block", name)?;
    Ok(output.and_then(|output| output.public_access_block_configuration).is_some_and(|block| {
        [
            block.block_public_acls,
            block.ignore_public_acls,
            block.block_public_policy,
            block.restrict_public_buckets,
        ]
        .iter()
        .all(|on| *on == Some(true))
    }))
}

async fn is_owner_enforced(account: &Account, name: &str) -> Result<bool, String> {
    let output = account.s3.get_bucket_ownership_controls().bucket(name).send().await;
    let output = or_absent(output, "OwnershipControlsNotFoundError", "ownership", name)?;
    let rules = output.and_then(|output| output.ownership_controls).map(|it| it.rules).unwrap_or_default();
    Ok(rules.iter().any(|rule| rule.object_ownership.as_str() == "BucketOwnerEnforced"))
}

/// The CORS rules of a bucket.
pub async fn cors(account: &Account, name: &str) -> Result<Vec<CorsRule>, String> {
    let output = account.s3.get_bucket_cors().bucket(name).send().await;
    let output = or_absent(output, "NoSuchCORSConfiguration", "CORS rules", name)?;
    Ok(output.and_then(|output| output.cors_rules).unwrap_or_default())
}

/// The lifecycle rules of a bucket.
pub async fn lifecycle(account: &Account, name: &str) -> Result<Vec<LifecycleRule>, String> {
    let output = account.s3.get_bucket_lifecycle_configuration().bucket(name).send().await;
    let output = or_absent(output, "NoSuchLifecycleConfiguration", "lifecycle rules", name)?;
    Ok(output.and_then(|output| output.rules).unwrap_or_default())
}

/// The tags of a bucket.
pub async fn tags(account: &Account, name: &str) -> Result<BTreeMap<String, String>, String> {
    let output = account.s3.get_bucket_tagging().bucket(name).send().await;
    let output = or_absent(output, "NoSuchTagSet", "tags", name)?;
    let tags = output.map(|output| output.tag_set).unwrap_or_default();
    Ok(tags.into_iter().map(|tag| (tag.key, tag.value)).collect())
}

/// What was read, or `None` where AWS says by this code that there is none.
fn or_absent<T, E, R>(
    result: Result<T, SdkError<E, R>>,
    absent: &str,
    what: &str,
    name: &str,
) -> Result<Option<T>, String>
where
    E: ProvideErrorMetadata + std::error::Error,
{
    match result {
        Ok(output) => Ok(Some(output)),
        Err(error) if aws::code(&error) == Some(absent) => Ok(None),
        Err(error) => Err(reading(what, name, &error)),
    }
}

fn reading<E, R>(what: &str, name: &str, error: &SdkError<E, R>) -> String
where
    E: ProvideErrorMetadata + std::error::Error,
{
    format!("reading the {what} of bucket {name}: {}", aws::explain(error))
}
