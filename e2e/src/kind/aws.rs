//! The AWS emulator, as the tests use it: buckets and queues.

use super::{Check, eventually};
use anyhow::{Context, Result, ensure};
use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::{config::Credentials, primitives::ByteStream};
use aws_sdk_sqs::types::{
    DeleteMessageBatchRequestEntry, Message, MessageSystemAttributeName, QueueAttributeName,
};
use contract::{Identity, JobRecord, Work, job::JOB_RECORD};
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Access key: the emulator takes any.
pub const ACCESS_KEY: &str = "test";
/// Secret key: the emulator takes any for calls, and for presigned URLs the one that it was started with, this one (as in
/// `e2e/lib/environment.sh`). Long enough for the canary to seek it.
pub const SECRET_KEY: &str = "key-of-the-emulator-and-of-nothing-else";

/// Clients of the emulator.
#[derive(Clone)]
pub struct Aws {
    /// Its one URL, for pods and tests alike.
    pub endpoint: String,
    /// Its region.
    pub region: String,
    /// Buckets.
    pub s3: aws_sdk_s3::Client,
    /// Queues.
    pub sqs: aws_sdk_sqs::Client,
}

/// A version of an object that was put.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Uploaded {
    /// Its bucket.
    pub bucket: String,
    /// Its key.
    pub key: String,
    /// Its version.
    pub version: String,
}

impl Uploaded {
    /// Identity of the work that its event asks for.
    #[must_use]
    pub fn identity(&self) -> Identity {
        let (bucket, key, version) = (self.bucket.clone(), self.key.clone(), self.version.clone());
        Work::Object { bucket, key, version }.identity()
    }

    /// The message that S3 sends for it.
    #[must_use]
    pub fn event(&self) -> String {
        json!({"Records": [{
            "eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
            "s3": {
                "s3SchemaVersion": "1.0",
                "bucket": {"name": self.bucket},
                "object": {"key": self.key, "versionId": self.version, "sequencer": "0055AED6DCD90281E5"},
            },
        }]})
        .to_string()
    }
}

/// Messages on a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// To be received.
    pub visible: i64,
    /// Received and not deleted.
    pub in_flight: i64,
    /// To be received later.
    pub delayed: i64,
}

impl Aws {
    /// Clients for the endpoint.
    #[must_use]
    pub fn new(endpoint: &str, region: &str) -> Self {
        let region_setting = Region::new(region.to_owned());
        let credentials = Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "e2e");
        let s3 = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(region_setting.clone())
            .endpoint_url(endpoint)
            .force_path_style(true)
            .credentials_provider(credentials.clone())
            .build();
        let sqs = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(region_setting)
            .endpoint_url(endpoint)
            .credentials_provider(credentials)
            .build();
        Self {
            endpoint: endpoint.to_owned(),
            region: region.to_owned(),
            s3: aws_sdk_s3::Client::from_conf(s3),
            sqs: aws_sdk_sqs::Client::from_conf(sqs),
        }
    }

    /// Puts an object; the bucket has to be versioned.
    ///
    /// # Errors
    /// When it can't be put, or has no version.
    pub async fn put(&self, bucket: &str, key: &str, body: impl Into<Vec<u8>>) -> Result<Uploaded> {
        let body = ByteStream::from(body.into());
        let put = self.s3.put_object().bucket(bucket).key(key).body(body).send().await;
        let put = put.with_context(|| format!("put {key} into {bucket}"))?;
        let version = put.version_id.with_context(|| format!("bucket {bucket} is not versioned"))?;
        Ok(Uploaded { bucket: bucket.into(), key: key.into(), version })
    }

    /// Keys and sizes below a prefix.
    ///
    /// # Errors
    /// When the bucket can't be listed.
    pub async fn list(&self, bucket: &str, prefix: &str) -> Result<BTreeMap<String, i64>> {
        let mut pages = self.s3.list_objects_v2().bucket(bucket).prefix(prefix).into_paginator().send();
        let mut found = BTreeMap::new();
        while let Some(page) = pages.next().await {
            for object in page?.contents.unwrap_or_default() {
                found.insert(object.key.unwrap_or_default(), object.size.unwrap_or_default());
            }
        }
        Ok(found)
    }

    /// Whether the bucket is there.
    ///
    /// # Errors
    /// When S3 does not say.
    pub async fn has_bucket(&self, bucket: &str) -> Result<bool> {
        let listed = self.s3.list_buckets().send().await?;
        Ok(listed.buckets().iter().any(|b| b.name() == Some(bucket)))
    }

    /// `job.json` of a work, once it is there.
    ///
    /// # Errors
    /// When it is not there in time.
    pub async fn job_record(
        &self,
        bucket: &str,
        identity: &Identity,
        deadline: Duration,
    ) -> Result<JobRecord> {
        let key = format!("{identity}/{JOB_RECORD}");
        eventually(&format!("{key} is in {bucket}"), deadline, async || {
            let object = self.s3.get_object().bucket(bucket).key(&key).send().await;
            let body = object.context("no such object")?.body.collect().await?.into_bytes();
            Ok(Check::Done(serde_json::from_slice(&body)?))
        })
        .await
    }

    /// Sends a message.
    ///
    /// # Errors
    /// When SQS refuses it.
    pub async fn send(&self, queue: &str, body: &str) -> Result<()> {
        self.sqs.send_message().queue_url(queue).message_body(body).send().await?;
        Ok(())
    }

    /// How many messages the queue holds.
    ///
    /// # Errors
    /// When SQS does not say.
    pub async fn depth(&self, queue: &str) -> Result<Depth> {
        use QueueAttributeName as Name;
        let names = [
            Name::ApproximateNumberOfMessages,
            Name::ApproximateNumberOfMessagesNotVisible,
            Name::ApproximateNumberOfMessagesDelayed,
        ];
        let request = self.sqs.get_queue_attributes().queue_url(queue);
        let answer = request.set_attribute_names(Some(names.to_vec())).send().await?;
        let [visible, in_flight, delayed] = names.map(|name| {
            let value = answer.attributes().and_then(|all| all.get(&name));
            value.and_then(|v| v.parse().ok()).unwrap_or_default()
        });
        Ok(Depth { visible, in_flight, delayed })
    }

    /// Waits until the queue holds nothing at all.
    ///
    /// # Errors
    /// When it still does at the deadline.
    pub async fn wait_until_empty(&self, queue: &str, deadline: Duration) -> Result<()> {
        eventually(&format!("{queue} is empty"), deadline, async || {
            let depth = self.depth(queue).await?;
            Ok(if depth == Depth::default() { Check::Done(()) } else { Check::NotYet(format!("{depth:?}")) })
        })
        .await
    }

    /// Whether the queue is there.
    ///
    /// # Errors
    /// When SQS does not say.
    pub async fn has_queue(&self, url: &str) -> Result<bool> {
        match self.depth(url).await {
            Ok(_) => Ok(true),
            Err(error)
                if ["NonExistentQueue", "QueueDoesNotExist"]
                    .iter()
                    .any(|it| format!("{error:?}").contains(it)) =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Queues and buckets whose names begin with the prefix, by their names.
    ///
    /// # Errors
    /// When they can't be listed.
    pub async fn names(&self, prefix: &str) -> Result<BTreeSet<String>> {
        let queues = self.sqs.list_queues().queue_name_prefix(prefix).send().await?;
        let queues = queues.queue_urls().iter().filter_map(|url| url.rsplit('/').next()).map(str::to_owned);
        let buckets = self.s3.list_buckets().send().await?;
        let buckets = buckets.buckets().iter().filter_map(|bucket| bucket.name.clone());
        Ok(queues.chain(buckets.filter(|name| name.starts_with(prefix))).collect())
    }

    /// Takes all messages off a queue, and gives back their bodies.
    ///
    /// # Errors
    /// When SQS refuses.
    pub async fn drain(&self, queue: &str) -> Result<Vec<String>> {
        let mut bodies = Vec::new();
        loop {
            let received =
                self.sqs.receive_message().queue_url(queue).max_number_of_messages(10).send().await?;
            let messages = received.messages.unwrap_or_default();
            if messages.is_empty() {
                return Ok(bodies);
            }
            let mut delete = self.sqs.delete_message_batch().queue_url(queue);
            for (index, message) in messages.into_iter().enumerate() {
                let handle = message.receipt_handle.context("a message has a handle")?;
                let entry = DeleteMessageBatchRequestEntry::builder().id(index.to_string());
                delete = delete.entries(entry.receipt_handle(handle).build()?);
                bodies.push(message.body.unwrap_or_default());
            }
            delete.send().await?;
        }
    }

    /// Receives `count` messages with their attributes and leaves them hidden for a while.
    ///
    /// # Errors
    /// When fewer are there in time.
    pub async fn receive(&self, queue: &str, count: usize, deadline: Duration) -> Result<Vec<Message>> {
        let mut messages = BTreeMap::new();
        let end = tokio::time::Instant::now() + deadline;
        while messages.len() < count {
            ensure!(
                tokio::time::Instant::now() < end,
                "{} of {count} messages are on {queue} after {} s",
                messages.len(),
                deadline.as_secs()
            );
            let received = self
                .sqs
                .receive_message()
                .queue_url(queue)
                .max_number_of_messages(10)
                .wait_time_seconds(2)
                .visibility_timeout(300)
                .message_attribute_names("All")
                .message_system_attribute_names(MessageSystemAttributeName::All)
                .send()
                .await?;
            for message in received.messages.unwrap_or_default() {
                messages.insert(message.message_id.clone().unwrap_or_default(), message);
            }
        }
        Ok(messages.into_values().collect())
    }
}

/// A message attribute as text.
#[must_use]
pub fn attribute<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    message.message_attributes.as_ref()?.get(name)?.string_value()
}
