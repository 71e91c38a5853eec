//! Buckets as S3 describes them.

use crate::aws::{self, Account};
use aws_sdk_s3::{
    error::{ProvideErrorMetadata, SdkError},
    types::{
        self, BucketVersioningStatus, ExpirationStatus, FilterRule, FilterRuleName, LifecycleRuleFilter,
        QueueConfiguration,
    },
};
use std::collections::BTreeMap;

/// Id of the one entry of a bucket's CORS and lifecycle rules that is the operator's. All others are kept.
pub const RULE: &str = "streaming-operator";

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
    /// The operator's CORS rule.
    pub cors: Option<CorsRule>,
    /// The operator's lifecycle rule.
    pub lifecycle: Option<LifecycleRule>,
    /// The queues that it notifies.
    pub notifications: Vec<Notification>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// What a page of another origin may do with a bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CorsRule {
    /// HTTP methods.
    pub methods: Vec<String>,
    /// The pages' origins.
    pub origins: Vec<String>,
    /// Headers that requests may have.
    pub allowed_headers: Vec<String>,
    /// Headers of answers that scripts may read.
    pub exposed_headers: Vec<String>,
    /// How long browsers may remember the answer to a preflight, in seconds.
    pub max_age_seconds: Option<i32>,
}

/// What becomes of things in a bucket by age.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LifecycleRule {
    /// Whether it is followed.
    pub enabled: bool,
    /// Keys that it holds for.
    pub prefix: String,
    /// After so many days the parts of an upload that was never completed are deleted.
    pub abort_uploads_after_days: Option<i32>,
    /// Whether it has further filters, or deletes or moves objects too.
    pub does_more: bool,
}

/// A queue that a bucket tells of its objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The entry's id.
    pub id: String,
    /// The queue.
    pub queue_arn: String,
    /// Kinds of events.
    pub events: Vec<String>,
    /// Keys that it is told of: their beginning,
    pub prefix: String,
    /// and their end.
    pub suffix: String,
}

impl From<types::CorsRule> for CorsRule {
    fn from(rule: types::CorsRule) -> Self {
        Self {
            methods: rule.allowed_methods,
            origins: rule.allowed_origins,
            allowed_headers: rule.allowed_headers.unwrap_or_default(),
            exposed_headers: rule.expose_headers.unwrap_or_default(),
            max_age_seconds: rule.max_age_seconds,
        }
    }
}

impl From<types::LifecycleRule> for LifecycleRule {
    fn from(rule: types::LifecycleRule) -> Self {
        let filter = rule.filter.unwrap_or_else(|| LifecycleRuleFilter::builder().build());
        let narrower = filter.tag.is_some()
            || filter.and.is_some()
            || filter.object_size_greater_than.is_some()
            || filter.object_size_less_than.is_some();
        let changes_objects = rule.expiration.is_some()
            || rule.noncurrent_version_expiration.is_some()
            || !rule.transitions.unwrap_or_default().is_empty()
            || !rule.noncurrent_version_transitions.unwrap_or_default().is_empty();
        Self {
            enabled: rule.status == ExpirationStatus::Enabled,
            prefix: filter.prefix.unwrap_or_default(),
            abort_uploads_after_days: rule
                .abort_incomplete_multipart_upload
                .and_then(|abort| abort.days_after_initiation),
            does_more: narrower || changes_objects,
        }
    }
}

impl From<QueueConfiguration> for Notification {
    /// AWS writes the name of a filter's rule with another case than it is given, and gives back an empty
    /// filter for none.
    fn from(entry: QueueConfiguration) -> Self {
        let rules: Vec<FilterRule> =
            entry.filter.and_then(|it| it.key).and_then(|it| it.filter_rules).unwrap_or_default();
        let value = |wanted: FilterRuleName| {
            let is_wanted = |rule: &&FilterRule| {
                rule.name.as_ref().is_some_and(|name| name.as_str().eq_ignore_ascii_case(wanted.as_str()))
            };
            rules.iter().find(is_wanted).and_then(|rule| rule.value.clone()).unwrap_or_default()
        };
        Self {
            prefix: value(FilterRuleName::Prefix),
            suffix: value(FilterRuleName::Suffix),
            id: entry.id.unwrap_or_default(),
            queue_arn: entry.queue_arn,
            events: entry.events.iter().map(|event| event.as_str().to_owned()).collect(),
        }
    }
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
        let ours = |id: &Option<String>| id.as_deref() == Some(RULE);
        bucket.cors =
            cors_rules(account, name).await?.into_iter().find(|rule| ours(&rule.id)).map(Into::into);
        bucket.lifecycle =
            lifecycle_rules(account, name).await?.into_iter().find(|rule| ours(&rule.id)).map(Into::into);
        bucket.tags = tags(account, name).await?;
    }
    Ok(Some(bucket))
}

async fn is_versioned(account: &Account, name: &str) -> Result<bool, String> {
    let output = account.s3.get_bucket_versioning().bucket(name).send().await;
    let output = output.map_err(|error| reading("versioning", name, &error))?;
    Ok(output.status == Some(BucketVersioningStatus::Enabled))
}

async fn notifications(account: &Account, name: &str) -> Result<Vec<Notification>, String> {
    let output = account.s3.get_bucket_notification_configuration().bucket(name).send().await;
    let output = output.map_err(|error| reading("notifications", name, &error))?;
    Ok(output.queue_configurations.unwrap_or_default().into_iter().map(Into::into).collect())
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

/// The CORS rules of a bucket, everyone's.
pub async fn cors_rules(account: &Account, name: &str) -> Result<Vec<types::CorsRule>, String> {
    let output = account.s3.get_bucket_cors().bucket(name).send().await;
    let output = or_absent(output, "NoSuchCORSConfiguration", "CORS rules", name)?;
    Ok(output.and_then(|output| output.cors_rules).unwrap_or_default())
}

/// The lifecycle rules of a bucket, everyone's.
pub async fn lifecycle_rules(account: &Account, name: &str) -> Result<Vec<types::LifecycleRule>, String> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_s3::types::{Event, NotificationConfigurationFilter, S3KeyFilter};

    fn entry(rule: FilterRule) -> Notification {
        let key = S3KeyFilter::builder().filter_rules(rule).build();
        let entry = QueueConfiguration::builder().id("id").queue_arn("arn:q").events(Event::S3ObjectCreated);
        entry.filter(NotificationConfigurationFilter::builder().key(key).build()).build().unwrap().into()
    }

    #[test]
    fn a_filter_is_read_whatever_the_case_of_its_name() {
        let given = entry(FilterRule::builder().name(FilterRuleName::Prefix).value("up/").build());
        let read = entry(FilterRule::builder().name(FilterRuleName::from("Prefix")).value("up/").build());
        assert_eq!(given, read);
        assert_eq!((read.prefix.as_str(), read.suffix.as_str()), ("up/", ""));
    }
}
