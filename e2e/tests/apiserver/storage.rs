//! Queues and buckets as managed resources: their settings, whose they are, and their end.

use super::{
    DEADLINE, condition,
    transcoding::{Scene, spec},
};
use anyhow::{Context, Result};
use aws_sdk_s3::types::{
    BucketLifecycleConfiguration, ExpirationStatus, LifecycleExpiration, LifecycleRule, LifecycleRuleFilter,
    ServerSideEncryption, TransitionStorageClass,
};
use e2e::kind::{Check, eventually};
use serde_json::json;
use streaming_operator::api::{ConditionType, StreamingPlatform};

/// How our rule moves objects by age; none: there is no rule of ours.
fn moves(rules: &[LifecycleRule]) -> Option<Vec<(i32, TransitionStorageClass)>> {
    let ours = rules.iter().find(|rule| rule.id() == Some("streaming-operator"))?;
    let moves = ours.transitions().iter();
    Some(moves.filter_map(|it| Some((it.days?, it.storage_class.clone()?))).collect())
}

#[tokio::test]
async fn a_bucket_gets_its_lifecycle_and_key_and_keeps_the_rules_of_others() -> Result<()> {
    let key = "arn:aws:kms:eu-central-1:000000000000:key/6f0c3a52-7c0e-4a52-9a52-0c1f6f5b2f11";
    let scene = Scene::start("lifecycle", |spec| {
        let output = &mut spec["transcoding"]["output"];
        output["lifecycle"] = json!({"infrequentAccessAfterDays": 30, "glacierAfterDays": 90});
        output["encryption"] = json!({"kmsKeyID": key});
    })
    .await?;
    let s3 = &scene.emulator.aws.s3;
    let output = scene.status.output_bucket.as_deref().context("an output bucket")?;
    let rules = async || -> Result<Vec<LifecycleRule>> {
        let found = s3.get_bucket_lifecycle_configuration().bucket(output).send().await?;
        Ok(found.rules.unwrap_or_default())
    };
    let both = vec![(30, TransitionStorageClass::StandardIa), (90, TransitionStorageClass::GlacierIr)];
    assert_eq!(moves(&rules().await?), Some(both.clone()));
    let encryption = s3.get_bucket_encryption().bucket(output).send().await?;
    let encryption = encryption.server_side_encryption_configuration.context("an encryption")?;
    let rule = encryption.rules.first().context("a rule")?;
    let by_default = rule.apply_server_side_encryption_by_default().context("a default")?;
    assert_eq!(by_default.sse_algorithm, ServerSideEncryption::AwsKms);
    assert_eq!(by_default.kms_master_key_id(), Some(key));
    assert_eq!(rule.bucket_key_enabled, Some(true));

    // Someone puts a rule of their own in the place of ours.
    let theirs = LifecycleRule::builder()
        .id("theirs")
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix("logs/").build())
        .expiration(LifecycleExpiration::builder().days(9).build())
        .build()?;
    let configuration = BucketLifecycleConfiguration::builder().rules(theirs).build()?;
    let put = s3.put_bucket_lifecycle_configuration().bucket(output);
    put.lifecycle_configuration(configuration).send().await?;
    s3.delete_bucket_encryption().bucket(output).send().await?;
    let mut spec = spec(scene.emulator);
    spec["transcoding"]["output"]["lifecycle"] = json!({"infrequentAccessAfterDays": 30});
    scene.test.apply("tv", spec).await?;
    eventually("our rule is there as the spec says, and theirs", DEADLINE, async || {
        let rules = rules().await?;
        let there = rules.len() == 2 && rules.iter().any(|rule| rule.id() == Some("theirs"));
        let done = there && moves(&rules).as_deref() == both.get(..1);
        Ok(if done { Check::Done(()) } else { Check::NotYet(format!("{rules:?}")) })
    })
    .await?;
    eventually("new objects are encrypted with S3's own key", DEADLINE, async || {
        let found = s3.get_bucket_encryption().bucket(output).send().await;
        let text = format!("{found:?}");
        let done = found.is_ok() && text.contains("Aes256") && !text.contains(key);
        Ok(if done { Check::Done(()) } else { Check::NotYet(text) })
    })
    .await?;
    scene.test.operator.stop().await
}

#[tokio::test]
async fn a_queue_that_bears_another_platforms_tags_is_left_alone() -> Result<()> {
    let scene = Scene::start("foreign", |_| {}).await?;
    let sqs = &scene.emulator.aws.sqs;
    let tag = sqs.tag_queue().queue_url(scene.queue());
    tag.tags("streamingplatform.dev/uid", "another").send().await?;
    let set = sqs.set_queue_attributes().queue_url(scene.queue());
    set.attributes("VisibilityTimeout".into(), "77").send().await?;
    let mut spec = spec(scene.emulator);
    spec["transcoding"]["maxAttempts"] = json!(3);
    scene.test.apply("tv", spec).await?;
    let status = scene
        .test
        .status("tv", "it is told", |status| {
            condition(status, ConditionType::TranscodingReady).1 == "NotOwned"
        })
        .await?;
    let (_, _, message) = condition(&status, ConditionType::TranscodingReady);
    assert!(message.contains("belongs to platform"), "{message}");
    scene.emulator.aws.put(scene.input(), "a.mp4", "video").await?;
    scene.test.delete::<StreamingPlatform>("tv").await?;
    scene.test.gone::<StreamingPlatform>("tv").await?;
    assert!(scene.emulator.aws.has_queue(scene.queue()).await?);
    assert!(!scene.emulator.aws.has_bucket(scene.input()).await?, "that one was ours");
    let tags = sqs.list_queue_tags().queue_url(scene.queue()).send().await?.tags.unwrap_or_default();
    assert_eq!(tags.get("streamingplatform.dev/uid").map(String::as_str), Some("another"));
    let attributes = sqs.get_queue_attributes().queue_url(scene.queue());
    let attributes = attributes.attribute_names("VisibilityTimeout".into()).send().await?.attributes;
    assert_eq!(attributes.unwrap_or_default().values().collect::<Vec<_>>(), ["77"]);
    assert!(scene.jobs().await?.is_empty());
    scene.test.operator.stop().await
}

#[tokio::test]
async fn a_bucket_that_goes_only_if_empty_holds_the_deletion_up_and_says_so() -> Result<()> {
    let scene = Scene::start("ifempty", |spec| {
        for part in ["input", "output"] {
            spec["transcoding"][part] = json!({"deletionPolicy": "DeleteIfEmpty"});
        }
    })
    .await?;
    let aws = &scene.emulator.aws;
    let output = scene.status.output_bucket.clone().context("an output bucket")?;
    aws.s3.put_object().bucket(&output).key("film/job.json").body(b"{}".to_vec().into()).send().await?;
    scene.test.delete::<StreamingPlatform>("tv").await?;
    let status = scene
        .test
        .status("tv", "it says which bucket is not empty", |status| {
            status.waiting.iter().any(|it| it.on == "AWS" && it.message.contains("is not empty"))
        })
        .await?;
    let (_, reason, message) = condition(&status, ConditionType::Ready);
    assert_eq!(reason, "Deleting");
    assert!(message.contains(&output) && message.contains("DeleteWithContents"), "{message}");
    assert_eq!(aws.list(&output, "").await?.len(), 1, "nothing in it was deleted");

    aws.s3.delete_object().bucket(&output).key("film/job.json").send().await?;
    scene.test.gone::<StreamingPlatform>("tv").await?;
    assert!(!aws.has_bucket(&output).await? && !aws.has_bucket(scene.input()).await?);
    scene.test.operator.stop().await
}
