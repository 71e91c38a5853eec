//! A bucket: what it shall be, and how what was observed differs.

use super::{queue::missing_tags, transcoding::Call};
use crate::observe::aws::s3::Bucket;
use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, CorsRule, Event, ExpirationStatus, FilterRule, FilterRuleName,
    LifecycleRule, LifecycleRuleFilter, NotificationConfigurationFilter, QueueConfiguration, S3KeyFilter,
};
use std::collections::BTreeMap;

/// Id of the one entry of a list (CORS, lifecycle) that is ours. All others are kept.
pub const RULE: &str = "streaming-operator";
/// After so many days the parts of an upload that was never completed are deleted.
const ABORT_AFTER_DAYS: i32 = 7;
/// How long browsers may remember the answer to a preflight, in seconds.
const PREFLIGHT_SECONDS: i32 = 3600;

/// A bucket that the operator makes, as it shall be.
#[derive(Clone, Debug, PartialEq)]
pub struct BucketIntent {
    /// Its name.
    pub name: String,
    /// Whether it keeps old versions.
    pub versioned: bool,
    /// Origins that may upload from a browser.
    pub upload_origins: Vec<String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

impl BucketIntent {
    /// The calls that bring the observed bucket to this.
    #[must_use]
    pub fn calls(&self, observed: Option<&Bucket>) -> Vec<Call> {
        let name = || self.name.clone();
        let absent = Bucket::default();
        let mut calls = Vec::new();
        if observed.is_none() {
            calls.push(Call::CreateBucket { name: name() });
        }
        let bucket = observed.unwrap_or(&absent);
        if !bucket.private {
            calls.push(Call::BlockPublicAccess { bucket: name() });
        }
        if !bucket.owner_enforced {
            calls.push(Call::EnforceOwner { bucket: name() });
        }
        if self.versioned && !bucket.versioned {
            calls.push(Call::EnableVersioning { bucket: name() });
        }
        let lifecycle = abort_uploads();
        if !bucket.lifecycle.contains(&lifecycle) {
            calls.push(Call::PutLifecycleRule { bucket: name(), rule: Box::new(lifecycle) });
        }
        let cors = uploads_from(&self.upload_origins);
        let ours = bucket.cors.iter().find(|rule| rule.id.as_deref() == Some(RULE));
        if ours != cors.as_ref() {
            calls.push(Call::PutCorsRule { bucket: name(), rule: cors });
        }
        let tags = missing_tags(&self.tags, &bucket.tags);
        if !tags.is_empty() {
            calls.push(Call::TagBucket { bucket: name(), tags });
        }
        calls
    }
}

/// Ends uploads in parts that nobody completes.
fn abort_uploads() -> LifecycleRule {
    LifecycleRule::builder()
        .id(RULE)
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix("").build())
        .abort_incomplete_multipart_upload(
            AbortIncompleteMultipartUpload::builder().days_after_initiation(ABORT_AFTER_DAYS).build(),
        )
        .build()
        .expect("the status is set")
}

/// Lets browsers of these origins upload, and read the ETag of each part, without which no upload in parts
/// can be completed.
fn uploads_from(origins: &[String]) -> Option<CorsRule> {
    if origins.is_empty() {
        return None;
    }
    let rule = CorsRule::builder()
        .id(RULE)
        .allowed_methods("PUT")
        .allowed_methods("GET")
        .set_allowed_origins(Some(origins.to_vec()))
        .allowed_headers("*")
        .expose_headers("ETag")
        .max_age_seconds(PREFLIGHT_SECONDS)
        .build();
    Some(rule.expect("methods and origins are set"))
}

/// Id of the entry of a bucket's notifications that is a platform's.
#[must_use]
pub fn notification_id(uid: &str) -> String {
    format!("streaming-operator-{uid}")
}

/// Announces uploads under a prefix to a queue.
#[must_use]
pub fn notification(id: String, queue_arn: &str, prefix: &str) -> QueueConfiguration {
    let rule = FilterRule::builder().name(FilterRuleName::Prefix).value(prefix).build();
    let filter = NotificationConfigurationFilter::builder()
        .key(S3KeyFilter::builder().filter_rules(rule).build())
        .build();
    QueueConfiguration::builder()
        .id(id)
        .queue_arn(queue_arn)
        .events(Event::S3ObjectCreated)
        .set_filter((!prefix.is_empty()).then_some(filter))
        .build()
        .expect("queue and events are set")
}

/// Whether an entry of a bucket's notifications says the same: AWS writes the name of a filter's rule with
/// another case, and gives back an empty filter for none.
#[must_use]
pub fn is_same_notification(one: &QueueConfiguration, other: &QueueConfiguration) -> bool {
    let filters = |entry: &QueueConfiguration| -> Vec<(String, String)> {
        let rules =
            entry.filter.as_ref().and_then(|it| it.key.as_ref()).and_then(|it| it.filter_rules.as_ref());
        let mut rules: Vec<_> = rules
            .into_iter()
            .flatten()
            .map(|rule| {
                let name = rule.name.as_ref().map(|name| name.as_str().to_lowercase()).unwrap_or_default();
                (name, rule.value.clone().unwrap_or_default())
            })
            .collect();
        rules.sort();
        rules
    };
    one.id == other.id
        && one.queue_arn == other.queue_arn
        && one.events == other.events
        && filters(one) == filters(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intent() -> BucketIntent {
        BucketIntent {
            name: "in".into(),
            versioned: true,
            upload_origins: vec!["https://tv.example.com".into()],
            tags: [("a".to_owned(), "b".to_owned())].into(),
        }
    }

    fn converged() -> Bucket {
        Bucket {
            name: "in".into(),
            versioned: true,
            private: true,
            owner_enforced: true,
            cors: vec![
                CorsRule::builder().id("mine").allowed_methods("GET").allowed_origins("*").build().unwrap(),
                uploads_from(&intent().upload_origins).unwrap(),
            ],
            lifecycle: vec![abort_uploads()],
            tags: [("a".to_owned(), "b".to_owned()), ("mine".to_owned(), "c".to_owned())].into(),
            ..Bucket::default()
        }
    }

    #[test]
    fn a_converged_bucket_needs_no_call() {
        assert_eq!(intent().calls(Some(&converged())), []);
    }

    #[test]
    fn a_new_bucket_is_closed_before_anything_else() {
        let calls = intent().calls(None);
        assert_eq!(calls[0], Call::CreateBucket { name: "in".into() });
        assert_eq!(calls[1], Call::BlockPublicAccess { bucket: "in".into() });
        assert_eq!(calls.len(), 7);
    }

    #[test]
    fn what_was_opened_is_closed_again_and_nothing_else_is_touched() {
        let opened = Bucket { private: false, ..converged() };
        assert_eq!(intent().calls(Some(&opened)), [Call::BlockPublicAccess { bucket: "in".into() }]);
    }

    #[test]
    fn without_origins_our_cors_rule_goes() {
        let calls = BucketIntent { upload_origins: Vec::new(), ..intent() }.calls(Some(&converged()));
        assert_eq!(calls, [Call::PutCorsRule { bucket: "in".into(), rule: None }]);
    }

    #[test]
    fn a_notification_is_the_same_though_aws_writes_it_otherwise() {
        let ours = notification("id".into(), "arn:q", "up/");
        let rule = FilterRule::builder().name(FilterRuleName::from("Prefix")).value("up/").build();
        let key = S3KeyFilter::builder().filter_rules(rule).build();
        let mut theirs = ours.clone();
        theirs.filter = Some(NotificationConfigurationFilter::builder().key(key).build());
        assert!(is_same_notification(&ours, &theirs));
        assert!(!is_same_notification(&ours, &notification("id".into(), "arn:q", "")));
    }
}
