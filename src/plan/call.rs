//! A call to AWS, as data.

use crate::{
    managed::{elasticache, rds},
    observe::aws::s3::{CorsRule, LifecycleRule, Notification},
};
use std::collections::BTreeMap;

/// One call to AWS.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// Something in RDS.
    Rds(rds::Call),
    /// Something in ElastiCache.
    ElastiCache(elasticache::Call),
    /// Make a queue.
    CreateQueue {
        /// Its name.
        name: String,
        /// Settings.
        attributes: BTreeMap<String, String>,
        /// Tags.
        tags: BTreeMap<String, String>,
    },
    /// Change settings of a queue.
    SetQueueAttributes {
        /// Its URL.
        url: String,
        /// Only those that differ.
        attributes: BTreeMap<String, String>,
    },
    /// Add tags to a queue.
    TagQueue {
        /// Its URL.
        url: String,
        /// Only those that differ.
        tags: BTreeMap<String, String>,
    },
    /// Delete a queue with all its messages.
    DeleteQueue {
        /// Its URL.
        url: String,
    },
    /// Make a bucket.
    CreateBucket {
        /// Its name.
        name: String,
    },
    /// Turn all four blocks of public access on.
    BlockPublicAccess {
        /// The bucket.
        bucket: String,
    },
    /// Make its owner own every object.
    EnforceOwner {
        /// The bucket.
        bucket: String,
    },
    /// Keep old versions.
    EnableVersioning {
        /// The bucket.
        bucket: String,
    },
    /// Put our lifecycle rule beside those of others.
    PutLifecycleRule {
        /// The bucket.
        bucket: String,
        /// The rule.
        rule: LifecycleRule,
    },
    /// Put our CORS rule beside those of others, or take it away.
    PutCorsRule {
        /// The bucket.
        bucket: String,
        /// The rule; none: take it away.
        rule: Option<CorsRule>,
    },
    /// Add tags to a bucket.
    TagBucket {
        /// The bucket.
        bucket: String,
        /// Only those that differ.
        tags: BTreeMap<String, String>,
    },
    /// Put our notification beside those of others.
    PutNotification {
        /// The bucket.
        bucket: String,
        /// The entry.
        entry: Notification,
    },
    /// Take our notification away.
    RemoveNotification {
        /// The bucket.
        bucket: String,
        /// Id of the entry.
        id: String,
    },
    /// Delete a bucket with all objects and versions in it.
    DeleteBucket {
        /// The bucket.
        bucket: String,
    },
}
