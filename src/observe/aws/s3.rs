//! Buckets as S3 describes them.

use crate::{
    aws::{self, Account},
    managed::{
        Settings, Value,
        s3::{Bucket, BucketSetting as S, Notification, RULE},
    },
};
use aws_sdk_s3::{
    error::{ProvideErrorMetadata, SdkError},
    operation::get_bucket_lifecycle_configuration::GetBucketLifecycleConfigurationOutput as Lifecycle,
    types::{
        self, BucketVersioningStatus, ExpirationStatus, FilterRule, FilterRuleName, QueueConfiguration,
        TransitionStorageClass,
    },
};
use std::collections::{BTreeMap, BTreeSet};

/// Whether an entry of a bucket's rules is the operator's.
pub fn is_ours(id: Option<&str>) -> bool {
    id == Some(RULE)
}

/// Our CORS rule as settings.
pub fn cors_settings(rule: Option<types::CorsRule>) -> Settings<S> {
    let Some(rule) = rule else { return [(S::UploadOrigins, BTreeSet::new().into())].into() };
    let names = |names: Vec<String>| Value::Names(names.into_iter().collect());
    let mut settings = Settings::from([
        (S::UploadOrigins, names(rule.allowed_origins)),
        (S::CorsMethods, names(rule.allowed_methods)),
        (S::CorsAllowedHeaders, names(rule.allowed_headers.unwrap_or_default())),
        (S::CorsExposedHeaders, names(rule.expose_headers.unwrap_or_default())),
    ]);
    settings.extend(rule.max_age_seconds.map(|seconds| (S::CorsMaxAge, i64::from(seconds).into())));
    settings
}

/// Our lifecycle rule as settings.
pub fn lifecycle_settings(rule: types::LifecycleRule) -> Settings<S> {
    let filter = rule.filter.unwrap_or_else(|| types::LifecycleRuleFilter::builder().build());
    let mut does_more = rule.expiration.is_some()
        || filter.tag.is_some()
        || filter.and.is_some()
        || filter.object_size_greater_than.is_some()
        || filter.object_size_less_than.is_some()
        || !rule.noncurrent_version_transitions.unwrap_or_default().is_empty();
    let number = |days: Option<i32>| Value::Number(days.unwrap_or_default().into());
    let (mut infrequent_access, mut glacier) = (None, None);
    for transition in rule.transitions.unwrap_or_default() {
        match transition.storage_class {
            Some(TransitionStorageClass::StandardIa) => infrequent_access = transition.days,
            Some(TransitionStorageClass::GlacierIr) => glacier = transition.days,
            _ => does_more = true,
        }
        does_more |= transition.date.is_some();
    }
    let noncurrent = rule.noncurrent_version_expiration;
    does_more |= noncurrent.as_ref().is_some_and(|it| it.newer_noncurrent_versions.is_some());
    let abort = rule.abort_incomplete_multipart_upload;
    [
        (S::LifecycleEnabled, (rule.status == ExpirationStatus::Enabled).into()),
        (S::LifecyclePrefix, filter.prefix.unwrap_or_default().into()),
        (S::LifecycleDoesMore, does_more.into()),
        (S::AbortUploads, number(abort.and_then(|it| it.days_after_initiation))),
        (S::InfrequentAccess, number(infrequent_access)),
        (S::Glacier, number(glacier)),
        (S::ExpireNoncurrent, number(noncurrent.and_then(|it| it.noncurrent_days))),
    ]
    .into()
}

/// A bucket's default encryption as settings.
pub fn encryption_settings(rule: types::ServerSideEncryptionRule) -> Settings<S> {
    let by_default = rule.apply_server_side_encryption_by_default;
    let settings = [
        (S::Encryption, by_default.as_ref().map(|it| it.sse_algorithm.as_str().into())),
        (S::KmsKey, by_default.and_then(|it| it.kms_master_key_id).map(Value::from)),
        (S::BucketKey, rule.bucket_key_enabled.map(Value::from)),
    ];
    settings.into_iter().filter_map(|(setting, value)| Some((setting, value?))).collect()
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
    let mut settings = Settings::from([(S::Versioning, is_versioned(account, name).await?.into())]);
    let mut bucket_tags = BTreeMap::new();
    if managed {
        settings.insert(S::PublicAccessBlock, is_private(account, name).await?.into());
        settings.insert(S::OwnerEnforced, is_owner_enforced(account, name).await?.into());
        let rules = encryption_rules(account, name).await?;
        settings.extend(rules.into_iter().next().map(encryption_settings).unwrap_or_default());
        let rules = lifecycle(account, name).await?.and_then(|it| it.rules).unwrap_or_default();
        let ours = rules.into_iter().find(|rule| is_ours(rule.id.as_deref()));
        settings.extend(ours.map(lifecycle_settings).unwrap_or_default());
        let rules = cors_rules(account, name).await?;
        settings.extend(cors_settings(rules.into_iter().find(|rule| is_ours(rule.id.as_deref()))));
        bucket_tags = tags(account, name).await?;
    }
    let notifications = notifications(account, name).await?;
    Ok(Some(Bucket { name: name.to_owned(), settings, notifications, tags: bucket_tags }))
}

async fn is_versioned(account: &Account, name: &str) -> Result<bool, String> {
    let output = account.s3.get_bucket_versioning().bucket(name).send().await;
    let output = output.map_err(|error| reading("versioning", name, &error))?;
    Ok(output.status == Some(BucketVersioningStatus::Enabled))
}

/// Whom a bucket tells of what happens to its objects.
pub async fn notifications(account: &Account, name: &str) -> Result<Vec<Notification>, String> {
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

/// The lifecycle rules of a bucket, everyone's, and what holds for all of them; `None`: there are none.
pub async fn lifecycle(account: &Account, name: &str) -> Result<Option<Lifecycle>, String> {
    let output = account.s3.get_bucket_lifecycle_configuration().bucket(name).send().await;
    or_absent(output, "NoSuchLifecycleConfiguration", "lifecycle rules", name)
}

/// The default encryption of a bucket, which is one rule at most.
pub async fn encryption_rules(
    account: &Account,
    name: &str,
) -> Result<Vec<types::ServerSideEncryptionRule>, String> {
    let output = account.s3.get_bucket_encryption().bucket(name).send().await;
    let output = or_absent(output, "ServerSideEncryptionConfigurationNotFoundError", "encryption", name)?;
    let configuration = output.and_then(|output| output.server_side_encryption_configuration);
    Ok(configuration.map(|it| it.rules).unwrap_or_default())
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
