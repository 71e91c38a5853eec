//! Calls that change queues.

use super::Failure;
use crate::{
    aws::{self, Account},
    managed::{
        Settings, Value,
        sqs::{Call, QueueSetting as S, policy_with},
    },
    observe::aws::sqs as observed,
};
use aws_sdk_sqs::types::QueueAttributeName;
use std::collections::{BTreeMap, HashMap};

pub async fn carry_out(account: &Account, call: &Call) -> Result<(), Failure> {
    match call {
        Call::Create { name, settings, tags } => create(account, name, settings, tags).await,
        Call::Set { url, settings } => set(account, url, settings).await,
        Call::Tag { url, tags } => tag(account, url, tags).await,
        Call::Delete { url } => delete(account, url).await,
    }
}

/// Makes a queue. One with the same name and settings is there already: AWS says so and that is well.
async fn create(
    account: &Account,
    name: &str,
    settings: &Settings<S>,
    tags: &BTreeMap<String, String>,
) -> Result<(), Failure> {
    let attributes = attributes(settings, None);
    let request = account.sqs.create_queue().queue_name(name).set_attributes(Some(attributes));
    let request = tags.iter().fold(request, |request, (key, value)| request.tags(key, value));
    match request.send().await {
        Ok(_) => Ok(()),
        Err(error) => {
            let waiting = aws::code(&error).is_some_and(|code| code.ends_with("QueueDeletedRecently"));
            Err(Failure { message: aws::explain(&error), waiting })
        }
    }
}

/// Sets settings. The policy is read just before it is written, so that statements of others survive.
async fn set(account: &Account, url: &str, settings: &Settings<S>) -> Result<(), Failure> {
    let policy = match settings.get(&S::S3Admission) {
        Some(_) => observed::policy(account, url).await?,
        None => None,
    };
    let attributes = attributes(settings, policy.as_deref());
    let request = account.sqs.set_queue_attributes().queue_url(url).set_attributes(Some(attributes));
    request.send().await.map(drop).map_err(|error| aws::explain(&error).into())
}

async fn tag(account: &Account, url: &str, tags: &BTreeMap<String, String>) -> Result<(), Failure> {
    let request = account.sqs.tag_queue().queue_url(url);
    let request = tags.iter().fold(request, |request, (key, value)| request.tags(key, value));
    request.send().await.map(drop).map_err(|error| aws::explain(&error).into())
}

/// Deletes a queue; one that is gone is deleted.
async fn delete(account: &Account, url: &str) -> Result<(), Failure> {
    match account.sqs.delete_queue().queue_url(url).send().await {
        Ok(_) => Ok(()),
        Err(error) if aws::is_no_queue(&error) => Ok(()),
        Err(error) => Err(aws::explain(&error).into()),
    }
}

/// Settings under SQS's names. Our statement goes into the policy that is `present`.
fn attributes(settings: &Settings<S>, present: Option<&str>) -> HashMap<QueueAttributeName, String> {
    use QueueAttributeName as A;
    let mut attributes: HashMap<A, String> = HashMap::new();
    for (setting, value) in settings {
        let (name, text) = match setting {
            S::VisibilityTimeout => (A::VisibilityTimeout, value.to_string()),
            S::KmsKey => (A::KmsMasterKeyId, value.to_string()),
            S::SqsManagedEncryption => (A::SqsManagedSseEnabled, value.to_string()),
            S::Retention => (A::MessageRetentionPeriod, value.to_string()),
            S::MaximumMessageSize => (A::MaximumMessageSize, value.to_string()),
            S::DeadLetterQueue => (A::RedrivePolicy, redrive(settings)),
            // It goes with the dead-letter queue.
            S::MaxReceiveCount => continue,
            S::S3Admission => (A::Policy, policy_with(present, value.text())),
        };
        attributes.insert(name, text);
    }
    attributes
}

fn redrive(settings: &Settings<S>) -> String {
    let target = settings.get(&S::DeadLetterQueue).map(Value::text);
    let count = settings.get(&S::MaxReceiveCount).map(Value::number);
    serde_json::json!({"deadLetterTargetArn": target, "maxReceiveCount": count}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_what_is_seen_then() {
        let statement = r#"{"Effect":"Allow","Sid":"StreamingOperatorS3"}"#;
        let settings = Settings::from([
            (S::VisibilityTimeout, 30.into()),
            (S::KmsKey, "alias/media".into()),
            (S::SqsManagedEncryption, false.into()),
            (S::Retention, 60.into()),
            (S::MaximumMessageSize, 1024.into()),
            (S::DeadLetterQueue, "arn:d".into()),
            (S::MaxReceiveCount, 3.into()),
            (S::S3Admission, statement.into()),
        ]);
        let attributes = attributes(&settings, Some(r#"{"Statement": {"Sid": "theirs"}}"#));
        assert!(attributes[&QueueAttributeName::Policy].contains("theirs"));
        assert_eq!(observed::settings(&attributes), settings);
    }
}
