//! Calls that change buckets. What holds a list of which one entry is ours is read just before it is written,
//! so that entries of others survive.

use super::Failure;
use crate::{
    aws::{self, Account},
    observe::aws::s3::{self as observed, CorsRule, LifecycleRule, Notification, RULE},
};
use aws_sdk_s3::types::{
    self, AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, BucketLocationConstraint,
    BucketVersioningStatus, CorsConfiguration, CreateBucketConfiguration, Delete, Event, ExpirationStatus,
    FilterRule, FilterRuleName, LifecycleRuleFilter, NotificationConfiguration,
    NotificationConfigurationFilter, ObjectIdentifier, ObjectOwnership, OwnershipControls,
    OwnershipControlsRule, PublicAccessBlockConfiguration, QueueConfiguration, S3KeyFilter, Tag, Tagging,
    VersioningConfiguration,
};
use std::collections::BTreeMap;

/// The region whose name may not stand in a location constraint.
const DEFAULT_REGION: &str = "us-east-1";

pub async fn create(account: &Account, name: &str) -> Result<(), Failure> {
    let location = CreateBucketConfiguration::builder()
        .location_constraint(BucketLocationConstraint::from(account.region.as_str()))
        .build();
    let request = account
        .s3
        .create_bucket()
        .bucket(name)
        .set_create_bucket_configuration((account.region != DEFAULT_REGION).then_some(location));
    match request.send().await {
        Ok(_) => Ok(()),
        Err(error) if aws::code(&error) == Some("BucketAlreadyOwnedByYou") => Ok(()),
        Err(error) => Err(aws::explain(&error).into()),
    }
}

pub async fn block_public_access(account: &Account, bucket: &str) -> Result<(), Failure> {
    let block = PublicAccessBlockConfiguration::builder()
        .block_public_acls(true)
        .ignore_public_acls(true)
        .block_public_policy(true)
        .restrict_public_buckets(true)
        .build();
    let request = account.s3.put_public_access_block().bucket(bucket);
    let result = request.public_access_block_configuration(block).send().await;
    result.map(drop).map_err(|error| aws::explain(&error).into())
}

pub async fn enforce_owner(account: &Account, bucket: &str) -> Result<(), Failure> {
    let rule = OwnershipControlsRule::builder()
        .object_ownership(ObjectOwnership::BucketOwnerEnforced)
        .build()
        .expect("the ownership is set");
    let controls = OwnershipControls::builder().rules(rule).build().expect("there is a rule");
    let request = account.s3.put_bucket_ownership_controls().bucket(bucket).ownership_controls(controls);
    request.send().await.map(drop).map_err(|error| aws::explain(&error).into())
}

pub async fn enable_versioning(account: &Account, bucket: &str) -> Result<(), Failure> {
    let versioning = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    let request = account.s3.put_bucket_versioning().bucket(bucket).versioning_configuration(versioning);
    request.send().await.map(drop).map_err(|error| aws::explain(&error).into())
}

pub async fn put_lifecycle_rule(
    account: &Account,
    bucket: &str,
    rule: &LifecycleRule,
) -> Result<(), Failure> {
    let mut rules = observed::lifecycle_rules(account, bucket).await?;
    rules.retain(|other| other.id.as_deref() != Some(RULE));
    rules.push(lifecycle_rule(rule));
    let configuration =
        BucketLifecycleConfiguration::builder().set_rules(Some(rules)).build().expect("there is a rule");
    let request = account.s3.put_bucket_lifecycle_configuration().bucket(bucket);
    let result = request.lifecycle_configuration(configuration).send().await;
    result.map(drop).map_err(|error| aws::explain(&error).into())
}

pub async fn put_cors_rule(account: &Account, bucket: &str, rule: Option<&CorsRule>) -> Result<(), Failure> {
    let mut rules = observed::cors_rules(account, bucket).await?;
    rules.retain(|other| other.id.as_deref() != Some(RULE));
    rules.extend(rule.map(cors_rule));
    if rules.is_empty() {
        let result = account.s3.delete_bucket_cors().bucket(bucket).send().await;
        return result.map(drop).map_err(|error| aws::explain(&error).into());
    }
    let configuration =
        CorsConfiguration::builder().set_cors_rules(Some(rules)).build().expect("there is a rule");
    let request = account.s3.put_bucket_cors().bucket(bucket).cors_configuration(configuration);
    request.send().await.map(drop).map_err(|error| aws::explain(&error).into())
}

pub async fn tag(account: &Account, bucket: &str, tags: &BTreeMap<String, String>) -> Result<(), Failure> {
    let mut all = observed::tags(account, bucket).await?;
    all.extend(tags.clone());
    let set = all
        .into_iter()
        .map(|(key, value)| Tag::builder().key(key).value(value).build().expect("key and value are set"));
    let tagging =
        Tagging::builder().set_tag_set(Some(set.collect())).build().expect("there is a set of tags");
    let request = account.s3.put_bucket_tagging().bucket(bucket).tagging(tagging);
    request.send().await.map(drop).map_err(|error| aws::explain(&error).into())
}

/// Puts the entry of that id in, or takes it away, and keeps all others.
pub async fn set_notification(
    account: &Account,
    bucket: &str,
    id: &str,
    entry: Option<&Notification>,
) -> Result<(), Failure> {
    let present = account.s3.get_bucket_notification_configuration().bucket(bucket).send().await;
    let present = present.map_err(|error| aws::explain(&error))?;
    let mut queues = present.queue_configurations.unwrap_or_default();
    queues.retain(|other| other.id.as_deref() != Some(id));
    queues.extend(entry.map(queue_configuration));
    let configuration = NotificationConfiguration::builder()
        .set_queue_configurations(Some(queues))
        .set_topic_configurations(present.topic_configurations)
        .set_lambda_function_configurations(present.lambda_function_configurations)
        .set_event_bridge_configuration(present.event_bridge_configuration)
        .build();
    let request = account.s3.put_bucket_notification_configuration().bucket(bucket);
    let result = request.notification_configuration(configuration).send().await;
    result.map(drop).map_err(|error| aws::explain(&error).into())
}

fn lifecycle_rule(rule: &LifecycleRule) -> types::LifecycleRule {
    let LifecycleRule { enabled, prefix, abort_uploads_after_days: days, does_more: _ } = rule;
    let status = if *enabled { ExpirationStatus::Enabled } else { ExpirationStatus::Disabled };
    let abort =
        days.map(|days| AbortIncompleteMultipartUpload::builder().days_after_initiation(days).build());
    types::LifecycleRule::builder()
        .id(RULE)
        .status(status)
        .filter(LifecycleRuleFilter::builder().prefix(prefix).build())
        .set_abort_incomplete_multipart_upload(abort)
        .build()
        .expect("the status is set")
}

fn cors_rule(rule: &CorsRule) -> types::CorsRule {
    let CorsRule { methods, origins, allowed_headers, exposed_headers, max_age_seconds } = rule.clone();
    types::CorsRule::builder()
        .id(RULE)
        .set_allowed_methods(Some(methods))
        .set_allowed_origins(Some(origins))
        .set_allowed_headers(Some(allowed_headers))
        .set_expose_headers(Some(exposed_headers))
        .set_max_age_seconds(max_age_seconds)
        .build()
        .expect("methods and origins are set")
}

fn queue_configuration(entry: &Notification) -> QueueConfiguration {
    let Notification { id, queue_arn, events, prefix, suffix } = entry;
    let rules: Vec<_> = [(FilterRuleName::Prefix, prefix), (FilterRuleName::Suffix, suffix)]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| FilterRule::builder().name(name).value(value).build())
        .collect();
    let filter = (!rules.is_empty()).then(|| {
        let key = S3KeyFilter::builder().set_filter_rules(Some(rules)).build();
        NotificationConfigurationFilter::builder().key(key).build()
    });
    QueueConfiguration::builder()
        .id(id)
        .queue_arn(queue_arn)
        .set_events(Some(events.iter().map(|event| Event::from(event.as_str())).collect()))
        .set_filter(filter)
        .build()
        .expect("queue and events are set")
}

/// Deletes a bucket with all versions of all objects in it; one that is gone is deleted. Bounded: what is
/// left after so many pages is deleted the next time.
pub async fn delete(account: &Account, bucket: &str) -> Result<(), Failure> {
    const PAGES: usize = 20;
    for _ in 0..PAGES {
        let page = match account.s3.list_object_versions().bucket(bucket).send().await {
            Ok(page) => page,
            Err(error) if aws::code(&error) == Some("NoSuchBucket") => return Ok(()),
            Err(error) => return Err(aws::explain(&error).into()),
        };
        let versions = page.versions.unwrap_or_default().into_iter().map(|it| (it.key, it.version_id));
        let markers = page.delete_markers.unwrap_or_default().into_iter().map(|it| (it.key, it.version_id));
        let objects: Vec<_> = versions
            .chain(markers)
            .filter_map(|(key, version)| {
                ObjectIdentifier::builder().key(key?).set_version_id(version).build().ok()
            })
            .collect();
        if objects.is_empty() {
            return match account.s3.delete_bucket().bucket(bucket).send().await {
                Ok(_) => Ok(()),
                Err(error) if aws::code(&error) == Some("NoSuchBucket") => Ok(()),
                Err(error) => Err(aws::explain(&error).into()),
            };
        }
        let batch = Delete::builder().set_objects(Some(objects)).quiet(true).build();
        let batch = batch.expect("there are objects");
        let output = account.s3.delete_objects().bucket(bucket).delete(batch).send().await;
        let output = output.map_err(|error| aws::explain(&error))?;
        if let Some(error) = output.errors.unwrap_or_default().first() {
            let (key, message) = (error.key.as_deref(), error.message.as_deref());
            return Err(format!("{}: {}", key.unwrap_or("?"), message.unwrap_or("refused")).into());
        }
    }
    Err(Failure { message: "many objects are left; the deletion goes on".to_owned(), waiting: true })
}
