//! S3 through the real SDK.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use aws_sdk_s3::{
    Client,
    error::ProvideErrorMetadata,
    primitives::ByteStream,
    types::{
        BucketVersioningStatus, CorsConfiguration, CorsRule, Delete, Event, FilterRule, FilterRuleName,
        NotificationConfiguration, NotificationConfigurationFilter, ObjectIdentifier, QueueConfiguration,
        S3KeyFilter, VersioningConfiguration,
    },
};
use simulation::{
    aws::{Call, Cloud},
    clock::Clock,
};

const REGION: &str = "eu-central-1";

async fn scene() -> (Cloud, Client) {
    let cloud = Cloud::new(Clock::starting_at("2026-07-01T12:00:00Z".parse().unwrap()));
    let s3 = Client::new(&cloud.sdk_config(REGION));
    s3.create_bucket().bucket("in").send().await.unwrap();
    (cloud, s3)
}

async fn enable_versioning(s3: &Client) {
    let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    s3.put_bucket_versioning().bucket("in").versioning_configuration(enabled).send().await.unwrap();
}

async fn put(s3: &Client, key: &str, content: &'static [u8]) {
    s3.put_object().bucket("in").key(key).body(ByteStream::from_static(content)).send().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_bucket_is_made_once_and_goes_only_when_it_is_empty() {
    let (_, s3) = scene().await;
    let again = s3.create_bucket().bucket("in").send().await.unwrap_err();
    assert_eq!(again.code(), Some("BucketAlreadyOwnedByYou"));
    put(&s3, "a b/ä.mp4", b"one").await;
    let got = s3.get_object().bucket("in").key("a b/ä.mp4").send().await.unwrap();
    assert_eq!(got.body.collect().await.unwrap().to_vec(), b"one");
    assert_eq!(s3.delete_bucket().bucket("in").send().await.unwrap_err().code(), Some("BucketNotEmpty"));
    s3.delete_object().bucket("in").key("a b/ä.mp4").send().await.unwrap();
    s3.delete_bucket().bucket("in").send().await.unwrap();
    assert!(
        s3.head_bucket().bucket("in").send().await.unwrap_err().as_service_error().unwrap().is_not_found()
    );
}

#[tokio::test(start_paused = true)]
async fn settings_are_given_back_as_they_were_set() {
    let (cloud, s3) = scene().await;
    assert_eq!(
        s3.get_bucket_cors().bucket("in").send().await.unwrap_err().code(),
        Some("NoSuchCORSConfiguration")
    );
    let rule =
        CorsRule::builder().id("ours").allowed_methods("PUT").allowed_origins("https://tv").build().unwrap();
    let cors = CorsConfiguration::builder().cors_rules(rule.clone()).build().unwrap();
    s3.put_bucket_cors().bucket("in").cors_configuration(cors).send().await.unwrap();
    assert_eq!(s3.get_bucket_cors().bucket("in").send().await.unwrap().cors_rules(), [rule]);
    s3.delete_bucket_cors().bucket("in").send().await.unwrap();
    s3.get_bucket_cors().bucket("in").send().await.unwrap_err();
    let versioning = s3.get_bucket_versioning().bucket("in").send().await.unwrap();
    assert_eq!(versioning.status, None);
    enable_versioning(&s3).await;
    let versioning = s3.get_bucket_versioning().bucket("in").send().await.unwrap();
    assert_eq!(versioning.status, Some(BucketVersioningStatus::Enabled));
    let actions: Vec<String> = cloud.calls().into_iter().map(|Call { action, .. }| action).collect();
    assert_eq!(
        actions[1..5],
        ["s3:GetBucketCors", "s3:PutBucketCors", "s3:GetBucketCors", "s3:DeleteBucketCors"]
    );
}

#[tokio::test(start_paused = true)]
async fn versions_stay_until_each_of_them_is_deleted() {
    let (_, s3) = scene().await;
    enable_versioning(&s3).await;
    put(&s3, "clip", b"one").await;
    put(&s3, "clip", b"two").await;
    s3.delete_object().bucket("in").key("clip").send().await.unwrap();
    s3.get_object().bucket("in").key("clip").send().await.unwrap_err();
    let listed = s3.list_object_versions().bucket("in").send().await.unwrap();
    assert_eq!((listed.versions().len(), listed.delete_markers().len()), (2, 1));
    let first = listed.versions().last().unwrap().version_id().unwrap();
    let got = s3.get_object().bucket("in").key("clip").version_id(first).send().await.unwrap();
    assert_eq!(got.body.collect().await.unwrap().to_vec(), b"one");
    let ids = listed
        .versions()
        .iter()
        .map(|it| it.version_id())
        .chain(listed.delete_markers().iter().map(|it| it.version_id()));
    let all = ids.map(|id| {
        ObjectIdentifier::builder().key("clip").set_version_id(id.map(Into::into)).build().unwrap()
    });
    let batch = Delete::builder().set_objects(Some(all.collect())).build().unwrap();
    s3.delete_objects().bucket("in").delete(batch).send().await.unwrap();
    s3.delete_bucket().bucket("in").send().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn new_objects_are_told_to_the_queue_that_asks_for_them() {
    let (cloud, s3) = scene().await;
    let sqs = aws_sdk_sqs::Client::new(&cloud.sdk_config(REGION));
    let queue = sqs.create_queue().queue_name("work").send().await.unwrap().queue_url.unwrap();
    let prefix = FilterRule::builder().name(FilterRuleName::Prefix).value("up/").build();
    let filter =
        NotificationConfigurationFilter::builder().key(S3KeyFilter::builder().filter_rules(prefix).build());
    let entry = QueueConfiguration::builder()
        .id("ours")
        .queue_arn("arn:aws:sqs:eu-central-1:111122223333:work")
        .events(Event::S3ObjectCreated)
        .filter(filter.build())
        .build()
        .unwrap();
    let notifications = NotificationConfiguration::builder().queue_configurations(entry).build();
    let request = s3.put_bucket_notification_configuration().bucket("in");
    request.notification_configuration(notifications).send().await.unwrap();
    enable_versioning(&s3).await;
    put(&s3, "other/clip.mp4", b"one").await;
    put(&s3, "up/a clip+ä.mp4", b"two").await;
    let received = sqs.receive_message().queue_url(&queue).max_number_of_messages(10).send().await.unwrap();
    let bodies: Vec<_> = received.messages().iter().map(|message| message.body().unwrap()).collect();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    assert!(bodies[0].contains(r#""key":"up/a+clip%2B%C3%A4.mp4""#), "{}", bodies[0]);
    assert!(bodies[0].contains(r#""versionId":"v2""#), "{}", bodies[0]);
}
