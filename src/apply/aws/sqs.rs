//! Calls that change queues.

use super::Failure;
use crate::aws::{self, Account};
use aws_sdk_sqs::types::QueueAttributeName;
use std::collections::{BTreeMap, HashMap};

/// Makes a queue. One with the same name and settings is there already: AWS says so and that is well.
pub async fn create(
    account: &Account,
    name: &str,
    attributes: &BTreeMap<String, String>,
    tags: &BTreeMap<String, String>,
) -> Result<(), Failure> {
    let request = account.sqs.create_queue().queue_name(name).set_attributes(Some(named(attributes)));
    let request = tags.iter().fold(request, |request, (key, value)| request.tags(key, value));
    match request.send().await {
        Ok(_) => Ok(()),
        Err(error) => {
            let waiting = aws::code(&error).is_some_and(|code| code.ends_with("QueueDeletedRecently"));
            Err(Failure { message: aws::explain(&error), waiting })
        }
    }
}

pub async fn set_attributes(
    account: &Account,
    url: &str,
    attributes: &BTreeMap<String, String>,
) -> Result<(), Failure> {
    let request = account.sqs.set_queue_attributes().queue_url(url).set_attributes(Some(named(attributes)));
    request.send().await.map(drop).map_err(|error| aws::explain(&error).into())
}

pub async fn tag(account: &Account, url: &str, tags: &BTreeMap<String, String>) -> Result<(), Failure> {
    let request = account.sqs.tag_queue().queue_url(url);
    let request = tags.iter().fold(request, |request, (key, value)| request.tags(key, value));
    request.send().await.map(drop).map_err(|error| aws::explain(&error).into())
}

/// Deletes a queue; one that is gone is deleted.
pub async fn delete(account: &Account, url: &str) -> Result<(), Failure> {
    match account.sqs.delete_queue().queue_url(url).send().await {
        Ok(_) => Ok(()),
        Err(error) if aws::is_no_queue(&error) => Ok(()),
        Err(error) => Err(aws::explain(&error).into()),
    }
}

fn named(attributes: &BTreeMap<String, String>) -> HashMap<QueueAttributeName, String> {
    attributes.iter().map(|(name, value)| (QueueAttributeName::from(name.as_str()), value.clone())).collect()
}
