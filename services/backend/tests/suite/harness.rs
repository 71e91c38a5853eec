//! A backend that serves on a port of its own, with its own database, buckets and queue, and hands to look
//! behind it.

use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use backend::{App, cache::Cache, migrate, settings::Settings};
use catalog::{Catalog, Report, Upload, Video, video::About};
use contract::{
    Identity, JobRecord, JobState, Outcome, Reason, TerminationMessage, Work,
    event::OutcomeData,
    job::{RenditionRecord, Source},
};
use http::{Method, StatusCode};
use jiff::Timestamp;
use reqwest::Response;
use serde_json::{Value, json};
use service_common::{
    Env, Shutdown, aws,
    http::Operations,
    testing::{self, Cloud},
};
use std::time::Duration;
use tokio::net::TcpListener;
use uuid::Uuid;

pub const TOKEN: &str = "the-token";
pub const DEADLINE: Duration = Duration::from_secs(10);

pub struct Backend {
    pub url: String,
    pub catalog: Catalog,
    pub cache: Option<Cache>,
    pub shutdown: Shutdown,
    pub http: reqwest::Client,
    s3: aws_sdk_s3::Client,
    sqs: aws_sdk_sqs::Client,
    places: Places,
}

#[derive(Clone)]
struct Places {
    database: String,
    input: String,
    output: String,
    queue: String,
}

impl Backend {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// One that these variables are given, too.
    pub async fn start_with(more: &[(&str, &str)]) -> Self {
        let cloud = testing::cloud().await;
        let places = Places {
            database: testing::database().await,
            input: cloud.bucket(true).await,
            output: cloud.bucket(false).await,
            queue: cloud.queue(30).await,
        };
        let backend = Self::serve(&cloud, places, more).await;
        migrate(&backend.catalog).await.unwrap();
        backend
    }

    /// Another one with the same places, but for what these variables say.
    pub async fn replica(&self, more: &[(&str, &str)]) -> Self {
        Self::serve(&testing::cloud().await, self.places.clone(), more).await
    }

    async fn serve(cloud: &Cloud, places: Places, more: &[(&str, &str)]) -> Self {
        let given = [
            ("DATABASE_URL", places.database.as_str()),
            ("DATABASE_MAX_CONNECTIONS", "5"),
            ("INPUT_BUCKET", &places.input),
            ("INPUT_PREFIX", "raw/"),
            ("OUTPUT_BUCKET", &places.output),
            ("OUTPUT_PREFIX", "out/"),
            ("TRANSCODING_QUEUE_URL", &places.queue),
            ("API_TOKEN", TOKEN),
        ];
        let env = Env::of(given.into_iter().chain(more.iter().copied()));
        let settings = Settings::from_env(&env).unwrap();
        let (catalog, cache) = (settings.catalog.clone(), settings.cache.clone());
        let shutdown = Shutdown::new(Duration::ZERO, Duration::from_secs(5));
        let app = App::new(settings, &cloud.sdk, &shutdown);
        let router = Operations::default().wrap(app.router(), &shutdown);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let ending = shutdown.clone();
        tokio::spawn(async move { service_common::http::serve(listener, router, &ending).await });
        let (s3, sqs) = (aws::s3_client(&cloud.sdk), aws::sqs_client(&cloud.sdk));
        Self { url, catalog, cache, shutdown, http: reqwest::Client::new(), s3, sqs, places }
    }

    pub async fn call(&self, method: Method, path: &str, token: Option<&str>) -> (StatusCode, Value) {
        let mut request = self.http.request(method, format!("{}{path}", self.url));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        answer(request.send().await.unwrap()).await
    }

    pub async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.call(Method::GET, path, None).await
    }

    pub async fn get_authorized(&self, path: &str) -> (StatusCode, Value) {
        self.call(Method::GET, path, Some(TOKEN)).await
    }

    pub async fn delete(&self, path: &str) -> (StatusCode, Value) {
        self.call(Method::DELETE, path, Some(TOKEN)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        let request = self.http.post(format!("{}{path}", self.url)).bearer_auth(TOKEN).json(&body);
        answer(request.send().await.unwrap()).await
    }

    /// PUTs to a presigned URL as a browser does; gives the ETag.
    pub async fn put_part(&self, part: &Value, content: &[u8]) -> String {
        let put = self.http.put(part["url"].as_str().unwrap()).body(content.to_vec()).send().await.unwrap();
        assert_eq!(put.status(), StatusCode::OK);
        put.headers()["etag"].to_str().unwrap().to_owned()
    }

    pub async fn upload_without_completing(&self, content: &[u8]) -> (Uuid, String) {
        let new = json!({"fileName": "clip.mp4", "size": content.len(), "contentType": "video/mp4"});
        let (status, begun) = self.post("/api/uploads", new).await;
        assert_eq!(status, StatusCode::CREATED, "{begun}");
        let etag = self.put_part(&begun["parts"][0], content).await;
        (begun["videoId"].as_str().unwrap().parse().unwrap(), etag)
    }

    pub async fn upload(&self, content: &[u8]) -> Uuid {
        let (id, etag) = self.upload_without_completing(content).await;
        let parts = json!({"parts": [{"partNumber": 1, "etag": etag}]});
        let (status, video) = self.post(&format!("/api/uploads/{id}/complete"), parts).await;
        assert_eq!(status, StatusCode::OK, "{video}");
        id
    }

    pub async fn video(&self, id: Uuid) -> Video {
        self.catalog.get(id).await.unwrap().unwrap()
    }

    pub async fn open_upload(&self, id: Uuid) -> (Upload, Source) {
        let video = self.video(id).await;
        (video.upload.unwrap(), video.source)
    }

    pub async fn complete_in_s3(&self, source: &Source, upload: &Upload, etag: &str) {
        let part = CompletedPart::builder().part_number(1).e_tag(etag).build();
        let parts = CompletedMultipartUpload::builder().parts(part).build();
        let complete = self.s3.complete_multipart_upload().bucket(&source.bucket).key(&source.key);
        complete.upload_id(&upload.id).multipart_upload(parts).send().await.unwrap();
    }

    pub async fn abort_in_s3(&self, id: Uuid) {
        let (upload, source) = self.open_upload(id).await;
        let abort = self.s3.abort_multipart_upload().bucket(source.bucket).key(source.key);
        abort.upload_id(upload.id).send().await.unwrap();
    }

    pub async fn is_erased(&self, id: Uuid) -> bool {
        self.catalog.edit(id).await.unwrap().unwrap().video.erased_at.is_some()
    }

    /// Gives a video's transcode an outcome that only a later schema has, and tells who listens.
    pub async fn write_as_a_newer_release(&self, id: Uuid) {
        self.report(id, None, Outcome::Running).await;
        for statement in [
            "ALTER TABLE transcodes DROP CONSTRAINT transcodes_outcome_check".to_owned(),
            format!("UPDATE transcodes SET outcome = 'Paused' WHERE video_id = '{id}'"),
            format!("SELECT pg_notify('videos', '{id}')"),
        ] {
            sqlx::query(sqlx::AssertSqlSafe(statement)).execute(self.catalog.pool()).await.unwrap();
        }
    }

    pub async fn open_uploads_in_s3(&self) -> usize {
        self.s3.list_multipart_uploads().bucket(&self.places.input).send().await.unwrap().uploads().len()
    }

    pub async fn source_bytes(&self, key: &str) -> Vec<u8> {
        let object = self.s3.get_object().bucket(&self.places.input).key(key).send().await.unwrap();
        object.body.collect().await.unwrap().to_vec()
    }

    pub async fn put_output(&self, identity: &Identity, path: &str, content: &'static str) {
        let key = format!("out/{identity}/{path}");
        let put = self.s3.put_object().bucket(&self.places.output).key(key);
        put.body(content.as_bytes().to_vec().into()).send().await.unwrap();
    }

    /// Every version of every source, and every output.
    pub async fn objects(&self) -> Vec<String> {
        let outputs = self.s3.list_objects_v2().bucket(&self.places.output).send().await.unwrap();
        let mut keys: Vec<_> = outputs.contents().iter().map(|o| o.key().unwrap().to_owned()).collect();
        let sources = self.s3.list_object_versions().bucket(&self.places.input).send().await.unwrap();
        keys.extend(sources.versions().iter().map(|v| v.key().unwrap().to_owned()));
        keys.sort();
        keys
    }

    /// Waits for what is done after an answer.
    pub async fn until(&self, what: &str, reached: impl AsyncFn() -> bool) {
        testing::until(what, DEADLINE, reached).await;
    }

    pub async fn other_bucket(&self) -> String {
        testing::cloud().await.bucket(false).await
    }

    /// Adds a video whose source someone else put there.
    pub async fn found(&self, source: Source) -> Uuid {
        let put = self.s3.put_object().bucket(&source.bucket).key(&source.key);
        put.body(b"abc".to_vec().into()).send().await.unwrap();
        let about = About::from_key(&source.key, 3, "video/mp4".into());
        let video = Video::found(Uuid::now_v7(), about, source, Timestamp::now());
        assert!(self.catalog.insert(&video).await.unwrap());
        video.id
    }

    pub async fn exists(&self, source: &Source) -> bool {
        self.s3.head_object().bucket(&source.bucket).key(&source.key).send().await.is_ok()
    }

    /// The message that stands on the transcoding queue.
    pub async fn transcoding_message(&self) -> String {
        let receive = self.sqs.receive_message().queue_url(&self.places.queue).wait_time_seconds(5);
        let received = receive.send().await.unwrap();
        received.messages()[0].body().unwrap().to_owned()
    }

    /// Records an outcome as the worker would, of the given work or of the upload's own.
    pub async fn report(&self, id: Uuid, identity: Option<Identity>, outcome: Outcome) -> Identity {
        let mut edit = self.catalog.edit(id).await.unwrap().unwrap();
        let source = edit.video.source.clone();
        let upload = Work::Object {
            bucket: source.bucket.clone(),
            key: source.key.clone(),
            version: source.version_id.clone().unwrap_or_default(),
        };
        let identity = identity.unwrap_or_else(|| upload.identity());
        let failure = TerminationMessage { reason: Reason::NotMedia, message: "The file is text.".into() };
        let failure = (outcome == Outcome::DeadLettered).then_some(failure);
        let data =
            OutcomeData { outcome, attempt: 1, source: None, output: None, failure, explicit_id: None };
        let record = (outcome == Outcome::Succeeded).then(|| record(&identity, &source));
        edit.video.merge(&identity, &source, Report::new(&data, record, Timestamp::now()));
        edit.commit(Timestamp::now()).await.unwrap();
        identity
    }
}

fn record(identity: &Identity, source: &Source) -> JobRecord {
    let rendition = |name: &str, width, height| RenditionRecord {
        name: name.into(),
        width,
        height,
        bandwidth: 2_600_000,
        average_bandwidth: 2_400_000,
        codecs: "avc1.64001f".into(),
        segments: 1,
    };
    JobRecord {
        identity: identity.clone(),
        attempt: 1,
        state: JobState::Succeeded,
        source: source.clone(),
        duration_seconds: Some(5.3),
        renditions: vec![rendition("720p", 1280, 720), rendition("audio", 0, 0)],
        poster: Some("poster.jpg".into()),
        storyboard: None,
        timings: Default::default(),
        failure: None,
        finished_at: Timestamp::now(),
    }
}

async fn answer(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let content_type = response.headers().get("content-type").map(|v| v.to_str().unwrap().to_owned());
    match content_type.as_deref() {
        // It never ends by itself.
        Some("text/event-stream") => (status, Value::Null),
        Some("application/json" | "application/problem+json") => (status, response.json().await.unwrap()),
        _ => (status, Value::String(response.text().await.unwrap())),
    }
}
