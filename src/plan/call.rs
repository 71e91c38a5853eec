//! A call to AWS, as data.

use crate::managed::{elasticache, rds, s3, sqs};
use std::fmt;

/// One call to AWS.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// To ElastiCache.
    ElastiCache(elasticache::Call),
    /// To RDS.
    Rds(rds::Call),
    /// To S3.
    S3(s3::Call),
    /// To SQS.
    Sqs(sqs::Call),
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ElastiCache(call) => call.fmt(f),
            Self::Rds(call) => call.fmt(f),
            Self::S3(call) => call.fmt(f),
            Self::Sqs(call) => call.fmt(f),
        }
    }
}
