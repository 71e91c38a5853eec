//! A catalogue, buckets and a queue of its own for each test, and events as the operator sends them.

use axum::Router;
use catalog::{Catalog, Storage, Video};
use contract::{
    Identity, JobRecord, JobState, Outcome, OutcomeEvent, Progress, Reason, TerminationMessage, Work,
    event::OutcomeData,
    job::{JOB_RECORD, PROGRESS_FILE, Source, Stage},
};
use http::StatusCode;
use jiff::Timestamp;
use service_common::{aws, testing};
use tokio::net::TcpListener;
use worker::outcomes::{Consumer, HANDLE_TIMEOUT};

pub struct World {
    pub database: String,
    pub catalog: Catalog,
    pub storage: Storage,
    pub s3: aws_sdk_s3::Client,
    pub sqs: aws_sdk_sqs::Client,
    pub queue_url: String,
}

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

impl World {
    pub async fn new() -> Self {
        let database = testing::database().await;
        let catalog = Catalog::connect(&database, 10).unwrap();
        sqlx::migrate!("../backend/migrations").run(catalog.pool()).await.unwrap();
        let cloud = testing::cloud().await;
        let storage = Storage {
            input_bucket: cloud.bucket(true).await,
            input_prefix: String::new(),
            output_bucket: cloud.bucket(false).await,
            output_prefix: "out/".into(),
        };
        Self {
            database,
            catalog,
            storage,
            s3: aws::s3_client(&cloud.sdk),
            sqs: aws::sqs_client(&cloud.sdk),
            queue_url: cloud.queue(1).await,
        }
    }

    pub fn consumer(&self) -> Consumer {
        Consumer {
            catalog: self.catalog.clone(),
            storage: self.storage.clone(),
            s3: self.s3.clone(),
            sqs: self.sqs.clone(),
            queue_url: self.queue_url.clone(),
            max_receives: 2,
            wait_seconds: 1,
            handle_timeout: HANDLE_TIMEOUT,
            metrics: Default::default(),
        }
    }

    /// Puts a source; gives its version and what a Job of it is called.
    pub async fn put_source(&self, key: &str) -> (Source, Identity) {
        let put = self.s3.put_object().bucket(&self.storage.input_bucket).key(key).content_type("video/mp4");
        let put = put.body(b"abc".to_vec().into()).send().await.unwrap();
        let source = Source {
            bucket: self.storage.input_bucket.clone(),
            key: key.into(),
            version_id: Some(put.version_id().unwrap().into()),
        };
        let identity = identity_of(&source);
        (source, identity)
    }

    pub async fn put_output(&self, identity: &Identity, file: &str, content: Vec<u8>) {
        let key = format!("{}{file}", self.storage.output_folder(identity));
        let put = self.s3.put_object().bucket(&self.storage.output_bucket).key(key);
        put.body(content.into()).send().await.unwrap();
    }

    pub async fn put_record(&self, identity: &Identity, source: &Source) {
        self.put_record_of(identity, source, 2).await;
    }

    pub async fn put_record_of(&self, identity: &Identity, source: &Source, attempt: u32) {
        let record = JobRecord {
            identity: identity.clone(),
            attempt,
            state: JobState::Succeeded,
            source: source.clone(),
            duration_seconds: Some(5.3),
            renditions: vec![],
            poster: Some("poster.jpg".into()),
            storyboard: None,
            timings: Default::default(),
            failure: None,
            finished_at: at(9),
        };
        self.put_output(identity, JOB_RECORD, serde_json::to_vec(&record).unwrap()).await;
    }

    pub async fn put_progress(&self, identity: &Identity, attempt: u32, percent: u8) {
        let progress = Progress {
            identity: identity.clone(),
            attempt,
            stage: Stage::Encoding,
            percent,
            updated_at: at(5),
        };
        self.put_output(identity, PROGRESS_FILE, serde_json::to_vec(&progress).unwrap()).await;
    }

    /// A client of an S3 that answers everything with that status.
    pub async fn s3_that_says(&self, status: StatusCode) -> aws_sdk_s3::Client {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let refuse = Router::new().fallback(async move || status);
        tokio::spawn(async move { axum::serve(listener, refuse).await.unwrap() });
        let sdk = testing::cloud().await.sdk.into_builder().endpoint_url(endpoint).build();
        aws::s3_client(&sdk)
    }

    pub async fn outputs(&self) -> usize {
        self.s3.list_objects_v2().bucket(&self.storage.output_bucket).send().await.unwrap().contents().len()
    }

    pub async fn sources(&self) -> usize {
        let list = self.s3.list_object_versions().bucket(&self.storage.input_bucket);
        list.send().await.unwrap().versions().len()
    }

    pub async fn send(&self, body: &str) {
        self.sqs.send_message().queue_url(&self.queue_url).message_body(body).send().await.unwrap();
    }

    /// Messages on the queue, whether somebody holds them or not.
    pub async fn queue_depth(&self) -> u32 {
        use aws_sdk_sqs::types::QueueAttributeName::{
            ApproximateNumberOfMessages as Visible, ApproximateNumberOfMessagesNotVisible as Held,
        };
        let attributes = self.sqs.get_queue_attributes().queue_url(&self.queue_url);
        let attributes = attributes.attribute_names(Visible).attribute_names(Held).send().await.unwrap();
        let attributes = attributes.attributes.unwrap();
        [Visible, Held].iter().map(|name| attributes[name].parse::<u32>().unwrap()).sum()
    }

    pub async fn videos(&self) -> Vec<Video> {
        self.catalog.list(None, None, 200).await.unwrap().videos
    }

    pub async fn only_video(&self) -> Video {
        let mut videos = self.videos().await;
        assert_eq!(videos.len(), 1, "{videos:?}");
        videos.remove(0)
    }
}

pub fn identity_of(source: &Source) -> Identity {
    let (bucket, key) = (source.bucket.clone(), source.key.clone());
    Work::Object { bucket, key, version: source.version_id.clone().unwrap_or_default() }.identity()
}

pub fn event(source: &Source, attempt: u32, outcome: Outcome, time: i64) -> String {
    let failed = !matches!(outcome, Outcome::Running | Outcome::Succeeded);
    let failure = TerminationMessage { reason: Reason::Encoder, message: "ffmpeg ended.".into() };
    let data = OutcomeData {
        outcome,
        attempt,
        source: Some(source.clone()),
        output: None,
        failure: failed.then_some(failure),
        explicit_id: None,
    };
    let event = OutcomeEvent::new("media", "demo", identity_of(source), at(time), data);
    serde_json::to_string(&event).unwrap()
}
