//! From S3 to S3, against an AWS emulator.

use crate::material::{Workshop, never, small};
use aws_sdk_s3::{Client, config::Credentials, primitives::ByteStream};
use contract::{JobState, Reason, job::Output, job::Source};
use service_common::testing::cloud;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
};
use transcoder::{
    check,
    job::Job,
    progress::Reporter,
    source::{Scratch, fetch},
    store::{Content, Folder, Store},
};

/// Stores an object and says which version it is.
async fn put(client: &Client, bucket: &str, key: &str, body: Vec<u8>) -> Source {
    let stored =
        client.put_object().bucket(bucket).key(key).body(ByteStream::from(body)).send().await.unwrap();
    Source {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        version_id: stored.version_id().map(str::to_owned),
    }
}

/// The same job, but with source and output in S3.
fn in_s3(mut job: Job, client: &Client, source: Source, bucket: &str) -> Job {
    let prefix = format!("videos/{}/", job.request.identity);
    let store = Store::S3(client.clone());
    job.request.source = source;
    job.request.output = Output { bucket: bucket.to_owned(), prefix: prefix.clone() };
    job.output = Folder { store: store.clone(), bucket: bucket.to_owned(), prefix };
    job.source = store;
    job
}

/// An S3 at an address, asked once for each thing.
async fn store_at(url: &str) -> Store {
    let config = aws_config::defaults(aws_config::BehaviorVersion::latest())
        .endpoint_url(url)
        .region(aws_config::Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "tests"))
        .retry_config(aws_config::retry::RetryConfig::disabled())
        .load()
        .await;
    Store::S3(service_common::aws::s3_client(&config))
}

/// An S3 that gives these answers (status and error code), one to each request, and then is gone.
async fn s3_that_answers(answers: &'static [(u16, &'static str)]) -> Store {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        for (status, code) in answers {
            let mut stream = BufReader::new(listener.accept().await.unwrap().0);
            let (mut length, mut method) = (0, String::new());
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).await.unwrap();
                if line.trim().is_empty() {
                    break;
                }
                if method.is_empty() {
                    method.clone_from(&line);
                }
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
            }
            stream.read_exact(&mut vec![0; length]).await.unwrap();
            let body = format!("<Error><Code>{code}</Code><Message>as scripted</Message></Error>");
            let body = if code.is_empty() || method.starts_with("HEAD") { String::new() } else { body };
            let head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}", body.len());
            stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await.unwrap();
        }
    });
    store_at(&url).await
}

#[tokio::test]
async fn a_write_is_tried_again_while_s3_is_in_trouble() {
    let store = s3_that_answers(&[(503, "SlowDown"), (200, "")]).await;
    store.put("out", "a.m4s", Content::Bytes("segment".into())).await.unwrap();
}

#[tokio::test]
async fn a_write_that_is_forbidden_is_not_tried_again() {
    let store = s3_that_answers(&[(403, "AccessDenied"), (200, "")]).await;
    let failure = store.put("out", "a.m4s", Content::Bytes("segment".into())).await.unwrap_err();
    assert_eq!(failure.reason, Reason::Storage);
}

#[tokio::test]
async fn a_version_that_is_no_version_is_told_apart_from_credentials_that_expired() {
    let version_id = Some("no version".to_owned());
    let source = Source { bucket: "in".into(), key: "a.mp4".into(), version_id };
    let store = s3_that_answers(&[(400, ""), (400, "InvalidArgument")]).await;
    assert_eq!(store.head(&source).await.unwrap(), None);
    let store = s3_that_answers(&[(400, ""), (400, "ExpiredToken")]).await;
    let failure = store.head(&source).await.unwrap_err();
    assert!(failure.message.contains("ExpiredToken"), "{failure}");
}

#[tokio::test]
async fn the_version_that_is_asked_for_becomes_a_ladder() {
    let cloud = cloud().await;
    let client = service_common::aws::s3_client(&cloud.sdk);
    let (input, output) = (cloud.bucket(true).await, cloud.bucket(false).await);
    let shop = Workshop::new();
    let clip =
        shop.make("clip.mp4", "-f lavfi -i testsrc2=s=320x180:r=25:d=3 -c:v libx264 -preset ultrafast");
    // A key as people make them.
    let key = "uploads/Ferien & Söhne #1+2.mp4";
    let good = put(&client, &input, key, std::fs::read(clip).unwrap()).await;
    let text = put(&client, &input, key, b"no video".to_vec()).await;

    let job = in_s3(shop.job("good", small(), 1), &client, good, &output);
    let record = job.run(never()).await.unwrap();
    assert_eq!(record.state, JobState::Succeeded);
    let report = check::check(&job.output).await.unwrap();
    assert!(report.findings.is_empty(), "{report}");
    let playlist = format!("{}master.m3u8", job.output.prefix);
    let head = client.head_object().bucket(&output).key(playlist).send().await.unwrap();
    assert_eq!(head.content_type(), Some("application/vnd.apple.mpegurl"));

    let failure = in_s3(shop.job("text", small(), 1), &client, text, &output).run(never()).await.unwrap_err();
    assert_eq!(failure.reason, Reason::NotMedia);
}

#[tokio::test]
async fn a_source_of_several_parts_arrives_whole() {
    let cloud = cloud().await;
    let client = service_common::aws::s3_client(&cloud.sdk);
    let input = cloud.bucket(false).await;
    let body: Vec<u8> = (0..20_000_001_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let source = put(&client, &input, "large.mp4", body.clone()).await;
    let scratch = tempfile::TempDir::new().unwrap();
    let scratch = Scratch { path: scratch.path(), room: None };
    let path = fetch(&Store::S3(client), &source, &scratch, &Reporter::default()).await.unwrap();
    assert!(std::fs::read(path).unwrap() == body, "the file is not what was stored");
}

#[tokio::test]
async fn a_missing_source_is_told_apart_from_a_store_that_does_not_answer() {
    let cloud = cloud().await;
    let client = service_common::aws::s3_client(&cloud.sdk);
    let input = cloud.bucket(false).await;
    let source = Source { bucket: input, key: "nowhere.mp4".into(), version_id: None };
    let scratch = tempfile::TempDir::new().unwrap();
    let scratch = Scratch { path: scratch.path(), room: None };
    let fetched = fetch(&Store::S3(client), &source, &scratch, &Reporter::default()).await;
    assert_eq!(fetched.unwrap_err().reason, Reason::SourceNotFound);

    // Nothing listens on the discard port.
    let store = store_at("http://127.0.0.1:9").await;
    let failure = fetch(&store, &source, &scratch, &Reporter::default()).await.unwrap_err();
    assert_eq!(failure.reason, Reason::Storage);
    assert!(!failure.is_permanent());
}
