//! Carries calls to AWS out. Each may be repeated; one that fails stops none of the others.

mod s3;
mod sqs;

use crate::{aws::Account, plan::call::Call};
use std::fmt;
use tracing::info;

/// What came of the calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// How many changed something.
    pub changed: usize,
    /// What failed, each with what was tried.
    pub failures: Vec<Failure>,
}

/// A call that failed. It is tried again with the next reconcile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What was tried and what AWS says.
    pub message: String,
    /// Whether it is only a matter of time: SQS makes no queue within 60 s of the deletion of one of that name.
    pub waiting: bool,
}

/// Carries calls out, one after the other.
pub async fn apply(account: &Account, calls: &[Call]) -> Applied {
    let mut applied = Applied::default();
    for call in calls {
        match carry_out(account, call).await {
            Ok(()) => {
                info!(%call, "changed AWS");
                applied.changed += 1;
            }
            Err(failure) => {
                let message = format!("{call}: {}", failure.message);
                applied.failures.push(Failure { message, ..failure });
            }
        }
    }
    applied
}

async fn carry_out(account: &Account, call: &Call) -> Result<(), Failure> {
    match call {
        Call::CreateQueue { name, attributes, tags } => sqs::create(account, name, attributes, tags).await,
        Call::SetQueueAttributes { url, attributes } => sqs::set_attributes(account, url, attributes).await,
        Call::TagQueue { url, tags } => sqs::tag(account, url, tags).await,
        Call::DeleteQueue { url } => sqs::delete(account, url).await,
        Call::CreateBucket { name } => s3::create(account, name).await,
        Call::BlockPublicAccess { bucket } => s3::block_public_access(account, bucket).await,
        Call::EnforceOwner { bucket } => s3::enforce_owner(account, bucket).await,
        Call::EnableVersioning { bucket } => s3::enable_versioning(account, bucket).await,
        Call::PutLifecycleRule { bucket, rule } => s3::put_lifecycle_rule(account, bucket, rule).await,
        Call::PutCorsRule { bucket, rule } => s3::put_cors_rule(account, bucket, rule.as_ref()).await,
        Call::TagBucket { bucket, tags } => s3::tag(account, bucket, tags).await,
        Call::PutNotification { bucket, entry } => {
            s3::set_notification(account, bucket, &entry.id, Some(entry)).await
        }
        Call::RemoveNotification { bucket, id } => s3::set_notification(account, bucket, id, None).await,
        Call::DeleteBucket { bucket } => s3::delete(account, bucket).await,
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self { message, waiting: false }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateQueue { name, .. } => write!(f, "make queue {name}"),
            Self::SetQueueAttributes { url, attributes } => {
                let names: Vec<_> = attributes.keys().map(String::as_str).collect();
                write!(f, "set {} of queue {url}", names.join(", "))
            }
            Self::TagQueue { url, .. } => write!(f, "tag queue {url}"),
            Self::DeleteQueue { url } => write!(f, "delete queue {url}"),
            Self::CreateBucket { name } => write!(f, "make bucket {name}"),
            Self::BlockPublicAccess { bucket } => write!(f, "block public access to bucket {bucket}"),
            Self::EnforceOwner { bucket } => write!(f, "enforce the owner of bucket {bucket}"),
            Self::EnableVersioning { bucket } => write!(f, "turn on versioning of bucket {bucket}"),
            Self::PutLifecycleRule { bucket, .. } => write!(f, "set our lifecycle rule of bucket {bucket}"),
            Self::PutCorsRule { bucket, .. } => write!(f, "set our CORS rule of bucket {bucket}"),
            Self::TagBucket { bucket, .. } => write!(f, "tag bucket {bucket}"),
            Self::PutNotification { bucket, .. } => write!(f, "announce uploads to bucket {bucket}"),
            Self::RemoveNotification { bucket, .. } => {
                write!(f, "no longer announce uploads to bucket {bucket}")
            }
            Self::DeleteBucket { bucket } => write!(f, "delete bucket {bucket}"),
        }
    }
}
