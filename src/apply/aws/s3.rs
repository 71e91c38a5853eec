//! Calls that change buckets. What holds a list of which one entry is ours is read just before it is written,
//! so that entries of others survive.

use super::Failure;
use crate::{
    aws::{self, Account},
    managed::{
        Settings, Value,
        s3::{Aspect, BucketSetting as S, Call, Notification, RULE, SSE_KMS},
    },
    observe::aws::s3 as observed,
};
use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, BucketLocationConstraint,
    BucketVersioningStatus, CorsConfiguration, CorsRule, CreateBucketConfiguration, Delete, Event,
    ExpirationStatus, FilterRule, FilterRuleName, LifecycleRule, LifecycleRuleFilter,
    NoncurrentVersionExpiration, NotificationConfiguration, NotificationConfigurationFilter,
    ObjectIdentifier, ObjectOwnership, OwnershipControls, OwnershipControlsRule,
    PublicAccessBlockConfiguration, QueueConfiguration, S3KeyFilter, ServerSideEncryption,
    ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration, ServerSideEncryptionRule, Tag, Tagging,
    Transition, TransitionStorageClass, VersioningConfiguration,
};
use std::collections::BTreeMap;

/// The region whose name may not stand in a location constraint.
const DEFAULT_REGION: &str = "us-east-1";

pub async fn carry_out(account: &Account, call: &Call) -> Result<(), Failure> {
    match call {
        Call::Create { name } => create(account, name).await,
        Call::Set { bucket, aspect, settings } => match aspect {
            Aspect::PublicAccess => block_public_access(account, bucket).await,
            Aspect::Ownership => enforce_owner(account, bucket).await,
            Aspect::Versioning => enable_versioning(account, bucket).await,
            Aspect::Encryption => encrypt(account, bucket, settings).await,
            Aspect::Lifecycle => put_lifecycle_rule(account, bucket, settings).await,
            Aspect::Cors => put_cors_rule(account, bucket, settings).await,
        },
        Call::Tag { bucket, tags } => tag(account, bucket, tags).await,
        Call::Announce { bucket, entry } => set_notification(account, bucket, &entry.id, Some(entry)).await,
        Call::Silence { bucket, id } => set_notification(account, bucket, id, None).await,
        Call::Delete { bucket, with_contents } => delete(account, bucket, *with_contents).await,
    }
}

async fn create(account: &Account, name: &str) -> Result<(), Failure> {
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

async fn block_public_access(account: &Account, bucket: &str) -> Result<(), Failure> {
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

async fn enforce_owner(account: &Account, bucket: &str) -> Result<(), Failure> {
    let rule = OwnershipControlsRule::builder()
        .object_ownership(ObjectOwnership::BucketOwnerEnforced)
        .build()
        .expect("the ownership is set");
    let controls = OwnershipControls::builder().rules(rule).build().expect("there is a rule");
    let request = account.s3.put_bucket_ownership_controls().bucket(bucket).ownership_controls(controls);
    request.send().await.map(drop).map_err(|error| aws::explain(&error).into())
}

async fn enable_versioning(account: &Account, bucket: &str) -> Result<(), Failure> {
    let versioning = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    let request = account.s3.put_bucket_versioning().bucket(bucket).versioning_configuration(versioning);
    request.send().await.map(drop).map_err(|error| aws::explain(&error).into())
}

/// Sets how new objects are encrypted. What else the rule says, such as what it refuses, stays.
async fn encrypt(account: &Account, bucket: &str, settings: &Settings<S>) -> Result<(), Failure> {
    let present = observed::encryption_rules(account, bucket).await?;
    let refused = present.into_iter().next().and_then(|rule| rule.blocked_encryption_types);
    let mut rule = encryption_rule(settings);
    rule.blocked_encryption_types = refused;
    let configuration =
        ServerSideEncryptionConfiguration::builder().rules(rule).build().expect("there is a rule");
    let request = account.s3.put_bucket_encryption().bucket(bucket);
    let result = request.server_side_encryption_configuration(configuration).send().await;
    result.map(drop).map_err(|error| aws::explain(&error).into())
}

async fn put_lifecycle_rule(account: &Account, bucket: &str, settings: &Settings<S>) -> Result<(), Failure> {
    let present = observed::lifecycle(account, bucket).await?;
    // What holds for all rules is someone else's choice.
    let least = present.as_ref().and_then(|it| it.transition_default_minimum_object_size.clone());
    let mut rules = present.and_then(|it| it.rules).unwrap_or_default();
    rules.retain(|other| !observed::is_ours(other.id.as_deref()));
    rules.push(lifecycle_rule(settings));
    let configuration =
        BucketLifecycleConfiguration::builder().set_rules(Some(rules)).build().expect("there is a rule");
    let request = account.s3.put_bucket_lifecycle_configuration().bucket(bucket);
    let request = request.set_transition_default_minimum_object_size(least);
    let result = request.lifecycle_configuration(configuration).send().await;
    result.map(drop).map_err(|error| aws::explain(&error).into())
}

/// Puts our rule, or takes it away where it names no origin.
async fn put_cors_rule(account: &Account, bucket: &str, settings: &Settings<S>) -> Result<(), Failure> {
    let mut rules = observed::cors_rules(account, bucket).await?;
    rules.retain(|other| !observed::is_ours(other.id.as_deref()));
    rules.extend(cors_rule(settings));
    if rules.is_empty() {
        let result = account.s3.delete_bucket_cors().bucket(bucket).send().await;
        return result.map(drop).map_err(|error| aws::explain(&error).into());
    }
    let configuration =
        CorsConfiguration::builder().set_cors_rules(Some(rules)).build().expect("there is a rule");
    let request = account.s3.put_bucket_cors().bucket(bucket).cors_configuration(configuration);
    request.send().await.map(drop).map_err(|error| aws::explain(&error).into())
}

async fn tag(account: &Account, bucket: &str, tags: &BTreeMap<String, String>) -> Result<(), Failure> {
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
async fn set_notification(
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

fn encryption_rule(settings: &Settings<S>) -> ServerSideEncryptionRule {
    let algorithm = settings.get(&S::Encryption).map(Value::text).unwrap_or_default();
    let by_default = ServerSideEncryptionByDefault::builder()
        .sse_algorithm(ServerSideEncryption::from(algorithm))
        .set_kms_master_key_id(settings.get(&S::KmsKey).map(|key| key.text().to_owned()))
        .build()
        .expect("the algorithm is set");
    ServerSideEncryptionRule::builder()
        .apply_server_side_encryption_by_default(by_default)
        .set_bucket_key_enabled((algorithm == SSE_KMS).then_some(true))
        .build()
}

fn lifecycle_rule(settings: &Settings<S>) -> LifecycleRule {
    let days = |setting| {
        let days = settings.get(&setting).map(Value::number).and_then(|days| i32::try_from(days).ok());
        days.filter(|days| *days > 0)
    };
    let moves = [
        (S::InfrequentAccess, TransitionStorageClass::StandardIa),
        (S::Glacier, TransitionStorageClass::GlacierIr),
    ];
    let moves: Vec<_> = moves
        .into_iter()
        .filter_map(|(setting, class)| {
            Some(Transition::builder().days(days(setting)?).storage_class(class).build())
        })
        .collect();
    let abort = days(S::AbortUploads)
        .map(|days| AbortIncompleteMultipartUpload::builder().days_after_initiation(days).build());
    let expire = days(S::ExpireNoncurrent)
        .map(|days| NoncurrentVersionExpiration::builder().noncurrent_days(days).build());
    LifecycleRule::builder()
        .id(RULE)
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix("").build())
        .set_transitions((!moves.is_empty()).then_some(moves))
        .set_noncurrent_version_expiration(expire)
        .set_abort_incomplete_multipart_upload(abort)
        .build()
        .expect("the status is set")
}

fn cors_rule(settings: &Settings<S>) -> Option<CorsRule> {
    let names = |setting| {
        let names = settings.get(&setting).map(Value::names).unwrap_or_default();
        (!names.is_empty()).then(|| names.into_iter().collect::<Vec<_>>())
    };
    let origins = names(S::UploadOrigins)?;
    let age = settings.get(&S::CorsMaxAge).map(Value::number).and_then(|age| i32::try_from(age).ok());
    let rule = CorsRule::builder()
        .id(RULE)
        .set_allowed_origins(Some(origins))
        .set_allowed_methods(names(S::CorsMethods))
        .set_allowed_headers(names(S::CorsAllowedHeaders))
        .set_expose_headers(names(S::CorsExposedHeaders))
        .set_max_age_seconds(age);
    Some(rule.build().expect("methods and origins are set"))
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

/// Deletes a bucket; one that is gone is deleted. With its contents, all versions of all objects in it go
/// first, within bounds: what is left after so many pages is deleted the next time.
async fn delete(account: &Account, bucket: &str, with_contents: bool) -> Result<(), Failure> {
    const PAGES: usize = 20;
    if !with_contents {
        return delete_empty(account, bucket).await;
    }
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
            return delete_empty(account, bucket).await;
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

/// S3 itself refuses where something is in it, so that nothing can come between the look and the deed.
async fn delete_empty(account: &Account, bucket: &str) -> Result<(), Failure> {
    match account.s3.delete_bucket().bucket(bucket).send().await {
        Ok(_) => Ok(()),
        Err(error) if aws::code(&error) == Some("NoSuchBucket") => Ok(()),
        Err(error) if aws::code(&error) == Some("BucketNotEmpty") => Err(
            "it is not empty: empty it of objects and old versions, or set its deletionPolicy to Retain or DeleteWithContents"
                .to_owned()
                .into(),
        ),
        Err(error) => Err(aws::explain(&error).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        managed::s3::desired,
        platform::{Lifecycle, ManagedBucket},
    };

    fn of(aspect: Aspect, wanted: &Settings<S>) -> Settings<S> {
        let ours = wanted.iter().filter(|(setting, _)| setting.aspect() == aspect);
        ours.map(|(setting, value)| (*setting, value.clone())).collect()
    }

    #[test]
    fn what_is_set_is_what_is_seen_then() {
        let days = Lifecycle {
            infrequent_access_after_days: Some(30),
            glacier_after_days: Some(90),
            expire_noncurrent_after_days: Some(7),
            ..Lifecycle::default()
        };
        let with_all = ManagedBucket {
            lifecycle: days,
            kms_key_id: Some("arn:aws:kms:eu-west-1:1:key/1".into()),
            ..ManagedBucket::default()
        };
        for (bucket, origins) in
            [(with_all, vec!["https://tv.example.com".into()]), (ManagedBucket::default(), Vec::new())]
        {
            let wanted = desired(&bucket, true, &origins);
            let encryption = of(Aspect::Encryption, &wanted);
            assert_eq!(observed::encryption_settings(encryption_rule(&encryption)), encryption);
            let lifecycle = of(Aspect::Lifecycle, &wanted);
            assert_eq!(observed::lifecycle_settings(lifecycle_rule(&lifecycle)), lifecycle);
            let cors = of(Aspect::Cors, &wanted);
            assert_eq!(observed::cors_settings(cors_rule(&cors)), cors);
        }
    }

    #[test]
    fn what_someone_added_to_our_lifecycle_rule_is_seen() {
        let wanted = desired(&ManagedBucket::default(), true, &[]);
        let mut rule = lifecycle_rule(&wanted);
        let deep = Transition::builder().days(1).storage_class(TransitionStorageClass::DeepArchive).build();
        rule.transitions = Some(vec![deep]);
        assert_eq!(observed::lifecycle_settings(rule)[&S::LifecycleDoesMore], true.into());
    }
}
