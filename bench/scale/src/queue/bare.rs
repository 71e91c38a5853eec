//! The least that could make Jobs of messages: one long poll, a create for each message, and one call that deletes them.

use crate::{fleet, queue::flow, world::World};
use anyhow::{Context, Result};
use aws_sdk_sqs::types::DeleteMessageBatchRequestEntry;
use contract::message::ExplicitMessage;
use futures::future::try_join_all;
use k8s_openapi::api::batch::v1::Job;
use kube::{Api, api::PostParams};
use serde_json::json;
use std::convert::Infallible;
use streaming_operator::api::names::LABEL_IDENTITY;

/// Makes a Job of each message, under the operator's rights.
///
/// # Errors
/// When SQS or the API server refuses; it ends only so.
pub async fn consume(world: &World, queue: &str) -> Result<Infallible> {
    let consumer = Consumer {
        sqs: world.sqs().await,
        queue: queue.to_owned(),
        jobs: Api::namespaced(world.server.operator_client().await?, &fleet::namespace(0, world)),
    };
    loop {
        consumer.receive().await?;
    }
}

struct Consumer {
    sqs: aws_sdk_sqs::Client,
    queue: String,
    jobs: Api<Job>,
}

impl Consumer {
    async fn receive(&self) -> Result<()> {
        let receive = self.sqs.receive_message().queue_url(&self.queue);
        let received = receive.wait_time_seconds(20).max_number_of_messages(10).send().await?;
        let messages = received.messages();
        if messages.is_empty() {
            return Ok(());
        }
        try_join_all(messages.iter().map(|it| self.create(it.body().unwrap_or_default()))).await?;
        let entries = messages.iter().enumerate().map(|(index, message)| {
            let entry = DeleteMessageBatchRequestEntry::builder().id(index.to_string());
            entry.set_receipt_handle(message.receipt_handle.clone()).build()
        });
        let entries = entries.collect::<Result<Vec<_>, _>>()?;
        self.sqs.delete_message_batch().queue_url(&self.queue).set_entries(Some(entries)).send().await?;
        Ok(())
    }

    async fn create(&self, body: &str) -> Result<()> {
        let message: ExplicitMessage = serde_json::from_str(body)?;
        let job = json!({
            "metadata": {"generateName": "bare-", "labels": {LABEL_IDENTITY: message.identity().to_string()}},
            "spec": flow::job_spec(),
        });
        let job = serde_json::from_value(job)?;
        self.jobs.create(&PostParams::default(), &job).await.context("create a Job")?;
        Ok(())
    }
}
