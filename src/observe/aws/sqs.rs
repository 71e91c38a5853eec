//! Queues as SQS describes them.

use crate::{
    api::QueueDepth,
    aws::{self, Account},
    managed::{
        Settings, Value,
        sqs::{Queue, QueueSetting as S, admission_in},
    },
};
use aws_sdk_sqs::types::QueueAttributeName;
use std::collections::HashMap;

/// Attributes of a queue, under SQS's names.
type Attributes = HashMap<QueueAttributeName, String>;

/// The queue of that name in the account; `None`: there is none.
///
/// # Errors
/// What AWS says, in a sentence.
pub async fn find(account: &Account, name: String) -> Result<Option<Queue>, String> {
    match account.sqs.get_queue_url().queue_name(&name).send().await {
        Ok(output) => match output.queue_url {
            Some(url) => describe(account, &url).await,
            None => Ok(None),
        },
        Err(error) if aws::is_no_queue(&error) => Ok(None),
        Err(error) => Err(format!("looking for queue {name}: {}", aws::explain(&error))),
    }
}

/// The queue at that URL; `None`: there is none.
///
/// # Errors
/// What AWS says, in a sentence.
pub async fn describe(account: &Account, url: &str) -> Result<Option<Queue>, String> {
    let Some(attributes) = attributes(account, url).await? else {
        return Ok(None);
    };
    let tags = match account.sqs.list_queue_tags().queue_url(url).send().await {
        Ok(output) => output.tags.unwrap_or_default().into_iter().collect(),
        Err(error) if aws::is_no_queue(&error) => return Ok(None),
        Err(error) => return Err(format!("reading the tags of {url}: {}", aws::explain(&error))),
    };
    let arn = attributes.get(&QueueAttributeName::QueueArn).ok_or_else(|| format!("{url} has no ARN"))?;
    Ok(Some(Queue {
        url: url.to_owned(),
        arn: arn.clone(),
        fifo: attributes.get(&QueueAttributeName::FifoQueue).is_some_and(|fifo| fifo == "true"),
        settings: settings(&attributes),
        tags,
        depth: depth_of(&attributes),
    }))
}

/// Settings as these attributes say them.
pub fn settings(attributes: &Attributes) -> Settings<S> {
    use QueueAttributeName as A;
    let text = |name: A| attributes.get(&name).map(String::as_str);
    let number = |name: A| text(name)?.parse::<i64>().ok().map(Value::from);
    let redrive: serde_json::Value =
        text(A::RedrivePolicy).and_then(|policy| serde_json::from_str(policy).ok()).unwrap_or_default();
    // SQS answers with a number or a text of one.
    let count = match &redrive["maxReceiveCount"] {
        serde_json::Value::Number(number) => number.as_i64(),
        serde_json::Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let settings = [
        (S::VisibilityTimeout, number(A::VisibilityTimeout)),
        (S::KmsKey, Some(text(A::KmsMasterKeyId).unwrap_or_default().into())),
        (S::SqsManagedEncryption, text(A::SqsManagedSseEnabled).map(|on| (on == "true").into())),
        (S::Retention, number(A::MessageRetentionPeriod)),
        (S::MaximumMessageSize, number(A::MaximumMessageSize)),
        (S::DeadLetterQueue, redrive["deadLetterTargetArn"].as_str().map(Value::from)),
        (S::MaxReceiveCount, count.map(Value::from)),
        (S::S3Admission, Some(admission_in(text(A::Policy)).into())),
    ];
    settings.into_iter().filter_map(|(setting, value)| Some((setting, value?))).collect()
}

/// The policy of a queue; `None`: it has none.
pub async fn policy(account: &Account, url: &str) -> Result<Option<String>, String> {
    let mut attributes = attributes(account, url).await?.unwrap_or_default();
    Ok(attributes.remove(&QueueAttributeName::Policy))
}

/// How many messages are on a queue; `None`: there is no such queue.
///
/// # Errors
/// What AWS says, in a sentence.
pub async fn depth(account: &Account, url: &str) -> Result<Option<QueueDepth>, String> {
    Ok(attributes(account, url).await?.as_ref().map(depth_of))
}

async fn attributes(account: &Account, url: &str) -> Result<Option<Attributes>, String> {
    let request = account.sqs.get_queue_attributes().queue_url(url);
    match request.attribute_names(QueueAttributeName::All).send().await {
        Ok(output) => Ok(Some(output.attributes.unwrap_or_default())),
        Err(error) if aws::is_no_queue(&error) => Ok(None),
        Err(error) => Err(format!("reading the attributes of {url}: {}", aws::explain(&error))),
    }
}

fn depth_of(attributes: &Attributes) -> QueueDepth {
    use QueueAttributeName as A;
    let number = |name: A| attributes.get(&name).and_then(|value| value.parse().ok()).unwrap_or_default();
    QueueDepth {
        visible: number(A::ApproximateNumberOfMessages),
        in_flight: number(A::ApproximateNumberOfMessagesNotVisible),
        delayed: number(A::ApproximateNumberOfMessagesDelayed),
    }
}
