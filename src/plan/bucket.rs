//! A bucket: what it shall be, and how what was observed differs.

use super::{call::Call, queue::missing_tags};
use crate::observe::aws::s3::{Bucket, CorsRule, LifecycleRule, Notification};
use std::collections::BTreeMap;

/// After so many days the parts of an upload that was never completed are deleted.
const ABORT_AFTER_DAYS: i32 = 7;
/// How long browsers may remember the answer to a preflight, in seconds.
const PREFLIGHT_SECONDS: i32 = 3600;
/// Every way in which an object comes to be.
const OBJECT_CREATED: &str = "s3:ObjectCreated:*";

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
        if bucket.lifecycle.as_ref() != Some(&lifecycle) {
            calls.push(Call::PutLifecycleRule { bucket: name(), rule: lifecycle });
        }
        let cors = uploads_from(&self.upload_origins);
        if bucket.cors != cors {
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
    LifecycleRule {
        enabled: true,
        abort_uploads_after_days: Some(ABORT_AFTER_DAYS),
        ..LifecycleRule::default()
    }
}

/// Lets browsers of these origins upload, and read the ETag of each part, without which no upload in parts
/// can be completed.
fn uploads_from(origins: &[String]) -> Option<CorsRule> {
    (!origins.is_empty()).then(|| CorsRule {
        methods: vec!["PUT".to_owned(), "GET".to_owned()],
        origins: origins.to_vec(),
        allowed_headers: vec!["*".to_owned()],
        exposed_headers: vec!["ETag".to_owned()],
        max_age_seconds: Some(PREFLIGHT_SECONDS),
    })
}

/// Id of the entry of a bucket's notifications that is a platform's.
#[must_use]
pub fn notification_id(uid: &str) -> String {
    format!("streaming-operator-{uid}")
}

/// Announces uploads under a prefix to a queue.
#[must_use]
pub fn notification(id: String, queue_arn: &str, prefix: &str) -> Notification {
    Notification {
        id,
        queue_arn: queue_arn.to_owned(),
        events: vec![OBJECT_CREATED.to_owned()],
        prefix: prefix.to_owned(),
        suffix: String::new(),
    }
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
            cors: uploads_from(&intent().upload_origins),
            lifecycle: Some(abort_uploads()),
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
    fn a_rule_of_ours_that_someone_changed_is_set_again() {
        let mut changed = converged();
        changed.cors.as_mut().unwrap().exposed_headers.clear();
        changed.lifecycle.as_mut().unwrap().does_more = true;
        let calls = intent().calls(Some(&changed));
        assert!(matches!(calls[..], [Call::PutLifecycleRule { .. }, Call::PutCorsRule { .. }]), "{calls:?}");
    }
}
