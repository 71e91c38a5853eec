//! Queues as SQS describes them.

use crate::{
    api::QueueDepth,
    aws::{self, Account},
};
use aws_sdk_sqs::types::QueueAttributeName;
use std::collections::{BTreeMap, HashMap};

/// A queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Queue {
    /// Its URL.
    pub url: String,
    /// Its ARN.
    pub arn: String,
    /// Its settings, under SQS's names.
    pub attributes: BTreeMap<String, String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// How many messages are on it.
    pub depth: QueueDepth,
}

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
    let Some(mut attributes) = attributes(account, url).await? else {
        return Ok(None);
    };
    let tags = match account.sqs.list_queue_tags().queue_url(url).send().await {
        Ok(output) => output.tags.unwrap_or_default().into_iter().collect(),
        Err(error) if aws::is_no_queue(&error) => return Ok(None),
        Err(error) => return Err(format!("reading the tags of {url}: {}", aws::explain(&error))),
    };
    let depth = depth_of(&attributes);
    attributes.retain(|name, _| !name.starts_with("Approximate") && !name.ends_with("Timestamp"));
    let arn = attributes.remove("QueueArn").ok_or_else(|| format!("{url} has no ARN"))?;
    Ok(Some(Queue { url: url.to_owned(), arn, attributes, tags, depth }))
}

/// How many messages are on a queue; `None`: there is no such queue.
///
/// # Errors
/// What AWS says, in a sentence.
pub async fn depth(account: &Account, url: &str) -> Result<Option<QueueDepth>, String> {
    Ok(attributes(account, url).await?.as_ref().map(depth_of))
}

async fn attributes(account: &Account, url: &str) -> Result<Option<BTreeMap<String, String>>, String> {
    let request = account.sqs.get_queue_attributes().queue_url(url);
    match request.attribute_names(QueueAttributeName::All).send().await {
        Ok(output) => {
            let attributes: HashMap<_, _> = output.attributes.unwrap_or_default();
            Ok(Some(attributes.into_iter().map(|(name, value)| (name.as_str().to_owned(), value)).collect()))
        }
        Err(error) if aws::is_no_queue(&error) => Ok(None),
        Err(error) => Err(format!("reading the attributes of {url}: {}", aws::explain(&error))),
    }
}

fn depth_of(attributes: &BTreeMap<String, String>) -> QueueDepth {
    let number = |name: &str| attributes.get(name).and_then(|value| value.parse().ok()).unwrap_or_default();
    QueueDepth {
        visible: number("ApproximateNumberOfMessages"),
        in_flight: number("ApproximateNumberOfMessagesNotVisible"),
        delayed: number("ApproximateNumberOfMessagesDelayed"),
    }
}
