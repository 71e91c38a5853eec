//! A bucket in S3.

use super::{Effect, Setting, Settings, Value, difference};
use crate::{plan::managed::missing_tags, platform::ManagedBucket};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// Id of the one entry of a bucket's CORS and lifecycle rules that is the operator's. All others are kept.
pub const RULE: &str = "streaming-operator";
/// How long browsers may remember the answer to a preflight, in seconds.
const PREFLIGHT_SECONDS: i64 = 3600;
/// Every way in which an object comes to be.
const OBJECT_CREATED: &str = "s3:ObjectCreated:*";
/// Encryption with S3's own keys.
pub const SSE_S3: &str = "AES256";
/// Encryption with a key in KMS.
pub const SSE_KMS: &str = "aws:kms";

/// Settings of a bucket. The order is that of the table in the docs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum BucketSetting {
    /// Whether all four blocks of public access are on.
    PublicAccessBlock,
    /// Whether its owner owns every object, so that access lists do nothing.
    OwnerEnforced,
    /// Whether it keeps old versions.
    Versioning,
    /// S3's word for how new objects are encrypted.
    Encryption,
    /// KMS key that they are encrypted with.
    KmsKey,
    /// Whether a key of the bucket stands between objects and KMS, which saves calls to it.
    BucketKey,
    /// Whether our lifecycle rule is followed.
    LifecycleEnabled,
    /// Keys that it holds for; empty: all.
    LifecyclePrefix,
    /// Whether it has further filters or actions than those named here.
    LifecycleDoesMore,
    /// Days after which the parts of an upload that was never completed are deleted.
    AbortUploads,
    /// Days after which objects move to Standard-IA; 0: never.
    InfrequentAccess,
    /// Days after which objects move to Glacier Instant Retrieval; 0: never.
    Glacier,
    /// Days after which a replaced version is deleted; 0: never.
    ExpireNoncurrent,
    /// Origins whose pages may upload; none: there is no CORS rule of ours.
    UploadOrigins,
    /// HTTP methods that they may use.
    CorsMethods,
    /// Headers that their requests may have.
    CorsAllowedHeaders,
    /// Headers of answers that their scripts may read.
    CorsExposedHeaders,
    /// How long browsers remember the answer to a preflight, in seconds.
    CorsMaxAge,
}

use BucketSetting as S;

/// Settings that S3 takes in one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Aspect {
    /// The public access block.
    PublicAccess,
    /// The ownership of objects.
    Ownership,
    /// Versioning.
    Versioning,
    /// Default encryption.
    Encryption,
    /// Our lifecycle rule.
    Lifecycle,
    /// Our CORS rule.
    Cors,
}

impl fmt::Display for Aspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PublicAccess => "the public access block",
            Self::Ownership => "the owner of objects",
            Self::Versioning => "versioning",
            Self::Encryption => "the encryption",
            Self::Lifecycle => "our lifecycle rule",
            Self::Cors => "our CORS rule",
        })
    }
}

impl BucketSetting {
    /// What it is set with.
    #[must_use]
    pub fn aspect(self) -> Aspect {
        match self {
            S::PublicAccessBlock => Aspect::PublicAccess,
            S::OwnerEnforced => Aspect::Ownership,
            S::Versioning => Aspect::Versioning,
            S::Encryption | S::KmsKey | S::BucketKey => Aspect::Encryption,
            S::LifecycleEnabled
            | S::LifecyclePrefix
            | S::LifecycleDoesMore
            | S::AbortUploads
            | S::InfrequentAccess
            | S::Glacier
            | S::ExpireNoncurrent => Aspect::Lifecycle,
            S::UploadOrigins
            | S::CorsMethods
            | S::CorsAllowedHeaders
            | S::CorsExposedHeaders
            | S::CorsMaxAge => Aspect::Cors,
        }
    }
}

impl Setting for BucketSetting {
    const ALL: &'static [Self] = &[
        S::PublicAccessBlock,
        S::OwnerEnforced,
        S::Versioning,
        S::Encryption,
        S::KmsKey,
        S::BucketKey,
        S::LifecycleEnabled,
        S::LifecyclePrefix,
        S::LifecycleDoesMore,
        S::AbortUploads,
        S::InfrequentAccess,
        S::Glacier,
        S::ExpireNoncurrent,
        S::UploadOrigins,
        S::CorsMethods,
        S::CorsAllowedHeaders,
        S::CorsExposedHeaders,
        S::CorsMaxAge,
    ];

    fn field(self) -> &'static str {
        match self {
            S::PublicAccessBlock => "public access block",
            S::OwnerEnforced => "owner of objects",
            S::Versioning => "versioning",
            S::Encryption => "encryption",
            S::KmsKey => "encryption.kmsKeyID",
            S::BucketKey => "bucket key",
            S::LifecycleEnabled => "lifecycle rule",
            S::LifecyclePrefix => "keys of the lifecycle rule",
            S::LifecycleDoesMore => "further lifecycle filters and actions",
            S::AbortUploads => "lifecycle.abortUploadsAfterDays",
            S::InfrequentAccess => "lifecycle.infrequentAccessAfterDays",
            S::Glacier => "lifecycle.glacierAfterDays",
            S::ExpireNoncurrent => "lifecycle.expireNoncurrentAfterDays",
            S::UploadOrigins => "allowedOrigins",
            S::CorsMethods => "methods of the CORS rule",
            S::CorsAllowedHeaders => "request headers of the CORS rule",
            S::CorsExposedHeaders => "answer headers of the CORS rule",
            S::CorsMaxAge => "age of the CORS rule",
        }
    }

    fn effect(self, _: Option<&Value>, _: &Value) -> Effect {
        match self.aspect() {
            Aspect::PublicAccess
            | Aspect::Ownership
            | Aspect::Versioning
            | Aspect::Encryption
            | Aspect::Lifecycle
            | Aspect::Cors => Effect::Online,
        }
    }

    fn is_met(self, wanted: &Value, seen: &Value) -> bool {
        match self {
            // A key that was given by its id may be shown by its ARN.
            S::KmsKey => wanted == seen || seen.text().ends_with(&format!("key/{}", wanted.text())),
            _ => wanted == seen,
        }
    }
}

/// A bucket as S3 describes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// Its settings; of one that the operator did not make, only whether it keeps old versions.
    pub settings: Settings<BucketSetting>,
    /// The queues that it notifies.
    pub notifications: Vec<Notification>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

impl Bucket {
    /// Whether it keeps old versions.
    #[must_use]
    pub fn is_versioned(&self) -> bool {
        self.settings.get(&S::Versioning).is_some_and(Value::flag)
    }
}

/// A queue that a bucket tells of its objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// What a bucket shall be that the operator makes. Its CORS rule lets browsers of the origins upload, and read
/// the `ETag` of each part, without which no upload in parts can be completed.
#[must_use]
pub fn desired(bucket: &ManagedBucket, versioned: bool, upload_origins: &[String]) -> Settings<S> {
    let lifecycle = &bucket.lifecycle;
    let days = |days: Option<u32>| Value::Number(days.unwrap_or_default().into());
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<BTreeSet<_>>();
    let origins: BTreeSet<String> = upload_origins.iter().cloned().collect();
    let mut wanted = Settings::from([
        (S::PublicAccessBlock, true.into()),
        (S::OwnerEnforced, true.into()),
        (S::Encryption, SSE_S3.into()),
        (S::LifecycleEnabled, true.into()),
        (S::LifecyclePrefix, "".into()),
        (S::LifecycleDoesMore, false.into()),
        (S::AbortUploads, days(Some(lifecycle.abort_uploads_after_days))),
        (S::InfrequentAccess, days(lifecycle.infrequent_access_after_days)),
        (S::Glacier, days(lifecycle.glacier_after_days)),
        (S::ExpireNoncurrent, days(lifecycle.expire_noncurrent_after_days)),
    ]);
    if versioned {
        wanted.insert(S::Versioning, true.into());
    }
    if let Some(key) = &bucket.kms_key_id {
        wanted.extend([
            (S::Encryption, SSE_KMS.into()),
            (S::KmsKey, key.clone().into()),
            (S::BucketKey, true.into()),
        ]);
    }
    if !origins.is_empty() {
        wanted.extend([
            (S::CorsMethods, names(&["GET", "PUT"]).into()),
            (S::CorsAllowedHeaders, names(&["*"]).into()),
            (S::CorsExposedHeaders, names(&["ETag"]).into()),
            (S::CorsMaxAge, PREFLIGHT_SECONDS.into()),
        ]);
    }
    wanted.insert(S::UploadOrigins, origins.into());
    wanted
}

/// The calls that bring the observed bucket to what it shall be. A new one is closed before anything else.
#[must_use]
pub fn calls(
    name: &str,
    wanted: &Settings<S>,
    tags: &BTreeMap<String, String>,
    observed: Option<&Bucket>,
) -> Vec<Call> {
    let bucket = || name.to_owned();
    let new = Bucket { settings: [(S::UploadOrigins, BTreeSet::new().into())].into(), ..Bucket::default() };
    let seen = observed.unwrap_or(&new);
    let differing: BTreeSet<Aspect> = difference(wanted, &seen.settings, &Settings::new())
        .iter()
        .map(|change| change.setting.aspect())
        .collect();
    let of = |aspect| -> Settings<S> {
        let ours = wanted.iter().filter(|(setting, _)| setting.aspect() == aspect);
        ours.map(|(setting, value)| (*setting, value.clone())).collect()
    };
    let mut calls = Vec::new();
    if observed.is_none() {
        calls.push(Call::Create { name: bucket() });
    }
    calls.extend(differing.into_iter().map(|aspect| Call::Set {
        bucket: bucket(),
        aspect,
        settings: of(aspect),
    }));
    let missing = missing_tags(tags, &seen.tags);
    if !missing.is_empty() {
        calls.push(Call::Tag { bucket: bucket(), tags: missing });
    }
    calls
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

/// One call to S3.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// Make a bucket.
    Create {
        /// Its name.
        name: String,
    },
    /// Change a bucket. Rules of others are kept.
    Set {
        /// The bucket.
        bucket: String,
        /// What of it.
        aspect: Aspect,
        /// All settings of that.
        settings: Settings<BucketSetting>,
    },
    /// Add tags.
    Tag {
        /// The bucket.
        bucket: String,
        /// Only those that differ.
        tags: BTreeMap<String, String>,
    },
    /// Put our notification beside those of others.
    Announce {
        /// The bucket.
        bucket: String,
        /// The entry.
        entry: Notification,
    },
    /// Take our notification away.
    Silence {
        /// The bucket.
        bucket: String,
        /// Id of the entry.
        id: String,
    },
    /// Delete a bucket.
    Delete {
        /// The bucket.
        bucket: String,
        /// Whether all objects and versions in it go, too; else S3 refuses to delete one that is not empty.
        with_contents: bool,
    },
}

impl Call {
    /// Name of the bucket.
    #[must_use]
    pub fn bucket(&self) -> &str {
        match self {
            Self::Create { name } => name,
            Self::Set { bucket, .. }
            | Self::Tag { bucket, .. }
            | Self::Announce { bucket, .. }
            | Self::Silence { bucket, .. }
            | Self::Delete { bucket, .. } => bucket,
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create { name } => write!(f, "make bucket {name}"),
            Self::Set { bucket, aspect, .. } => write!(f, "set {aspect} of bucket {bucket}"),
            Self::Tag { bucket, .. } => write!(f, "tag bucket {bucket}"),
            Self::Announce { bucket, .. } => write!(f, "announce uploads to bucket {bucket}"),
            Self::Silence { bucket, .. } => write!(f, "no longer announce uploads to bucket {bucket}"),
            Self::Delete { bucket, with_contents: true } => {
                write!(f, "delete bucket {bucket} with all that is in it")
            }
            Self::Delete { bucket, with_contents: false } => write!(f, "delete bucket {bucket}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::Lifecycle;
    use proptest::prelude::*;

    fn managed() -> ManagedBucket {
        ManagedBucket {
            lifecycle: Lifecycle {
                infrequent_access_after_days: Some(30),
                glacier_after_days: Some(90),
                ..Lifecycle::default()
            },
            ..ManagedBucket::default()
        }
    }

    fn wanted() -> Settings<S> {
        desired(&managed(), true, &["https://tv.example.com".into()])
    }

    fn tags() -> BTreeMap<String, String> {
        [("team".to_owned(), "media".to_owned())].into()
    }

    fn made(settings: Settings<S>) -> Bucket {
        let mut tags = tags();
        tags.insert("theirs".into(), "1".into());
        Bucket { name: "in".into(), settings, tags, ..Bucket::default() }
    }

    fn changed(wanted: &Settings<S>, seen: &Bucket) -> Vec<Call> {
        calls("in", wanted, &tags(), Some(seen))
    }

    #[test]
    fn a_new_bucket_is_closed_before_anything_else() {
        let calls = calls("in", &wanted(), &tags(), None);
        assert!(matches!(calls[1], Call::Set { aspect: Aspect::PublicAccess, .. }));
        insta::assert_debug_snapshot!(calls);
    }

    #[test]
    fn a_new_bucket_without_origins_needs_no_call_for_them() {
        let calls = calls("out", &desired(&ManagedBucket::default(), false, &[]), &tags(), None);
        let aspects: Vec<_> = calls
            .iter()
            .filter_map(|call| match call {
                Call::Set { aspect, .. } => Some(*aspect),
                _ => None,
            })
            .collect();
        let expected = [Aspect::PublicAccess, Aspect::Ownership, Aspect::Encryption, Aspect::Lifecycle];
        assert_eq!(aspects, expected);
    }

    #[test]
    fn each_setting_that_drifted_is_set_with_its_aspect_and_no_other() {
        for (setting, value) in wanted() {
            let mut drifted = made(wanted());
            drifted.settings.insert(
                setting,
                match value {
                    Value::Text(_) => "other".into(),
                    Value::Number(number) => (number + 1).into(),
                    Value::Flag(flag) => (!flag).into(),
                    Value::Names(_) => BTreeSet::new().into(),
                },
            );
            let calls = changed(&wanted(), &drifted);
            let [Call::Set { aspect, settings, .. }] = &calls[..] else { panic!("{setting:?}: {calls:?}") };
            assert_eq!(*aspect, setting.aspect());
            let all = wanted().into_iter().filter(|(it, _)| it.aspect() == *aspect).collect();
            assert_eq!(*settings, all, "S3 replaces all of an aspect");
        }
    }

    #[test]
    fn without_origins_our_cors_rule_goes() {
        let calls = changed(&desired(&managed(), true, &[]), &made(wanted()));
        let settings = [(S::UploadOrigins, BTreeSet::new().into())].into();
        assert_eq!(calls, [Call::Set { bucket: "in".into(), aspect: Aspect::Cors, settings }]);
    }

    #[test]
    fn a_key_that_was_given_by_its_id_may_be_shown_by_its_arn() {
        let seen = Value::from("arn:aws:kms:eu-west-1:123456789012:key/1234");
        assert!(S::KmsKey.is_met(&"1234".into(), &seen));
        assert!(!S::KmsKey.is_met(&"234".into(), &seen));
    }

    proptest! {
        #[test]
        fn nothing_is_left_to_do_after_what_was_planned(
            versioned in any::<bool>(),
            origins in proptest::collection::vec("[a-c]", 0..3),
            key in proptest::option::of("[a-c]"),
            days in proptest::collection::vec(proptest::option::of(30_u32..40), 6),
            from_nothing in any::<bool>(),
        ) {
            let bucket = |days: &[Option<u32>], kms_key_id: Option<String>| ManagedBucket {
                kms_key_id,
                lifecycle: Lifecycle {
                    infrequent_access_after_days: days[0],
                    glacier_after_days: days[1],
                    expire_noncurrent_after_days: days[2],
                    ..Lifecycle::default()
                },
                ..ManagedBucket::default()
            };
            let before = desired(&bucket(&days[..3], None), versioned, &["https://x".to_owned()]);
            let wanted = desired(&bucket(&days[3..], key), versioned, &origins);
            let before = (!from_nothing).then(|| made(before));
            let mut after = before.clone().unwrap_or_default();
            for call in calls("in", &wanted, &tags(), before.as_ref()) {
                match call {
                    Call::Create { .. } => {
                        after.settings.insert(S::UploadOrigins, BTreeSet::new().into());
                    }
                    Call::Set { aspect, settings, .. } => {
                        after.settings.retain(|setting, _| setting.aspect() != aspect);
                        after.settings.extend(settings);
                    }
                    Call::Tag { tags, .. } => after.tags.extend(tags),
                    other => panic!("{other}"),
                }
            }
            prop_assert_eq!(changed(&wanted, &after), []);
        }
    }
}
