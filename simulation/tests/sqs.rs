//! SQS through the real SDK.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use aws_sdk_sqs::{
    Client,
    error::ProvideErrorMetadata,
    types::{
        ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, Message, QueueAttributeName,
    },
};
use simulation::{
    aws::{ACCOUNT, Cloud, Place},
    clock::Clock,
};
use std::time::Duration;
use tokio::time::{Instant, advance};

const REGION: &str = "eu-central-1";

struct Scene {
    cloud: Cloud,
    sqs: Client,
    url: String,
}

async fn scene(attributes: &[(QueueAttributeName, &str)]) -> Scene {
    let cloud = Cloud::new(Clock::starting_at("2026-07-01T12:00:00Z".parse().unwrap()));
    let sqs = Client::new(&cloud.sdk_config(REGION));
    let mut request = sqs.create_queue().queue_name("work");
    for (name, value) in attributes {
        request = request.attributes(name.clone(), *value);
    }
    let url = request.send().await.unwrap().queue_url.unwrap();
    Scene { cloud, sqs, url }
}

impl Scene {
    async fn send(&self, body: &str) {
        self.sqs.send_message().queue_url(&self.url).message_body(body).send().await.unwrap();
    }

    async fn receive(&self, wait: i32) -> Vec<Message> {
        let request = self.sqs.receive_message().queue_url(&self.url).max_number_of_messages(10);
        request
            .wait_time_seconds(wait)
            .visibility_timeout(60)
            .send()
            .await
            .unwrap()
            .messages
            .unwrap_or_default()
    }

    async fn delete(&self, message: &Message) {
        let handle = message.receipt_handle.as_ref().unwrap();
        self.sqs.delete_message().queue_url(&self.url).receipt_handle(handle).send().await.unwrap();
    }

    /// Extends a message, and returns the code of the refusal.
    async fn extend(&self, message: &Message, seconds: i32) -> Option<String> {
        let handle = message.receipt_handle.as_ref().unwrap();
        let request = self.sqs.change_message_visibility().queue_url(&self.url).receipt_handle(handle);
        let answer = request.visibility_timeout(seconds).send().await;
        answer.err().map(|error| error.code().unwrap_or_default().to_owned())
    }
}

#[tokio::test(start_paused = true)]
async fn a_superseded_handle_deletes_nothing() {
    let scene = scene(&[]).await;
    scene.send("one").await;
    let first = scene.receive(0).await.remove(0);
    assert!(scene.receive(0).await.is_empty(), "it is in flight");
    advance(Duration::from_secs(61)).await;
    let second = scene.receive(0).await.remove(0);
    assert_eq!(first.message_id, second.message_id);
    scene.delete(&first).await;
    advance(Duration::from_secs(61)).await;
    let third = scene.receive(0).await.remove(0);
    scene.delete(&third).await;
    advance(Duration::from_secs(61)).await;
    assert!(scene.receive(0).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lapsed_handle_extends_nothing_and_deletes_only_where_it_may() {
    for may in [false, true] {
        let scene = scene(&[]).await;
        let place = Place { account: ACCOUNT.to_owned(), region: REGION.to_owned() };
        scene.cloud.with(&place, |region, _| region.sqs.lapsed_handles_delete = may);
        scene.send("one").await;
        let message = scene.receive(0).await.remove(0);
        advance(Duration::from_secs(61)).await;
        assert_eq!(
            scene.extend(&message, 60).await.as_deref(),
            Some("AWS.SimpleQueueService.MessageNotInflight")
        );
        scene.delete(&message).await;
        assert_eq!(scene.receive(0).await.is_empty(), may);
    }
}

#[tokio::test(start_paused = true)]
async fn twelve_hours_after_its_receipt_a_message_is_visible_again() {
    let scene = scene(&[]).await;
    scene.send("one").await;
    let message = scene.receive(0).await.remove(0);
    assert_eq!(scene.extend(&message, 12 * 3600).await, None);
    advance(Duration::from_secs(11 * 3600)).await;
    assert_eq!(scene.extend(&message, 2 * 3600).await.as_deref(), Some("InvalidParameterValue"));
    advance(Duration::from_secs(3600)).await;
    assert_eq!(scene.receive(0).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_ends_with_the_first_message_or_with_its_time() {
    let scene = scene(&[]).await;
    let started = Instant::now();
    assert!(scene.receive(20).await.is_empty());
    assert_eq!(started.elapsed().as_secs(), 20);
    let started = Instant::now();
    let send = async {
        tokio::time::sleep(Duration::from_secs(7)).await;
        scene.send("one").await;
    };
    let (received, ()) = tokio::join!(scene.receive(20), send);
    assert_eq!((received.len(), started.elapsed().as_secs()), (1, 7));
    // One that lapses comes back within the poll.
    let started = Instant::now();
    tokio::time::sleep(Duration::from_secs(50)).await;
    assert_eq!((scene.receive(20).await.len(), started.elapsed().as_secs()), (1, 60));
}

#[tokio::test(start_paused = true)]
async fn a_queue_is_made_once_and_its_name_rests_after_it() {
    let scene = scene(&[(QueueAttributeName::VisibilityTimeout, "60")]).await;
    let make = |timeout: &'static str| {
        let request = scene.sqs.create_queue().queue_name("work");
        request.attributes(QueueAttributeName::VisibilityTimeout, timeout).send()
    };
    assert_eq!(make("60").await.unwrap().queue_url.as_deref(), Some(scene.url.as_str()));
    assert_eq!(make("61").await.unwrap_err().code(), Some("QueueAlreadyExists"));
    scene.sqs.delete_queue().queue_url(&scene.url).send().await.unwrap();
    assert_eq!(make("61").await.unwrap_err().code(), Some("AWS.SimpleQueueService.QueueDeletedRecently"));
    let gone = scene.sqs.get_queue_url().queue_name("work").send().await.unwrap_err();
    assert!(gone.as_service_error().unwrap().is_queue_does_not_exist());
    advance(Duration::from_secs(60)).await;
    make("61").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_received_too_often_goes_to_the_dead_letter_queue() {
    let scene = scene(&[]).await;
    let dead = scene.sqs.create_queue().queue_name("dead").send().await.unwrap().queue_url.unwrap();
    let attributes = scene.sqs.get_queue_attributes().queue_url(&dead);
    let attributes =
        attributes.attribute_names(QueueAttributeName::All).send().await.unwrap().attributes.unwrap();
    let policy = format!(
        r#"{{"deadLetterTargetArn": "{}", "maxReceiveCount": 2}}"#,
        attributes[&QueueAttributeName::QueueArn]
    );
    let request = scene.sqs.set_queue_attributes().queue_url(&scene.url);
    request.attributes(QueueAttributeName::RedrivePolicy, policy).send().await.unwrap();
    scene.send("one").await;
    for _ in 0..2 {
        assert_eq!(scene.receive(0).await.len(), 1);
        advance(Duration::from_secs(61)).await;
    }
    assert!(scene.receive(0).await.is_empty());
    let there = scene.sqs.receive_message().queue_url(&dead).send().await.unwrap().messages.unwrap();
    assert_eq!(there[0].body.as_deref(), Some("one"));
}

#[tokio::test(start_paused = true)]
async fn each_entry_of_a_batch_is_answered_for_itself() {
    let scene = scene(&[]).await;
    scene.send("one").await;
    let message = scene.receive(0).await.remove(0);
    let extend = |id: &str, handle: &str| {
        let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(id).receipt_handle(handle);
        entry.visibility_timeout(60).build().unwrap()
    };
    let request = scene.sqs.change_message_visibility_batch().queue_url(&scene.url);
    let request = request.entries(extend("0", message.receipt_handle.as_ref().unwrap()));
    let answer =
        request.entries(extend("1", "gone#1")).entries(extend("2", "nonsense")).send().await.unwrap();
    let failed: Vec<_> = answer.failed.iter().map(|it| (it.id.as_str(), it.code.as_str())).collect();
    assert_eq!(failed, [("1", "InvalidParameterValue"), ("2", "ReceiptHandleIsInvalid")]);
    assert_eq!(answer.successful.len(), 1);
    let entry = DeleteMessageBatchRequestEntry::builder().id("0");
    let entry = entry.receipt_handle(message.receipt_handle.as_ref().unwrap()).build().unwrap();
    let answer = scene.sqs.delete_message_batch().queue_url(&scene.url).entries(entry).send().await.unwrap();
    assert!(answer.failed.is_empty());
}
