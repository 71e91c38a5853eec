//! What stands on the queues, and what a pod says when it ends.

use contract::{
    JobRecord, Outcome, OutcomeEvent, Progress, TerminationMessage, Work, event::OutcomeData, job::Source,
    message::API_VERSION,
};
use fuzz::{cases, mutation::broken, text::damaged};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use proptest::prelude::*;
use serde_json::{Value, json};
use streaming_operator::dispatch::{
    attempt::Attempt,
    message::{MAX_BODY, Misunderstood, Parsed, Request, parse},
};

/// Longest refusal, in bytes: it becomes an attribute of a message and a part of an event, whose sum SQS bounds.
const MAX_REFUSAL: usize = 4 * 1024 + 200;

fn record() -> Value {
    json!({
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "ap-south-1",
        "eventTime": "2026-11-21T03:00:00.000Z", "eventName": "ObjectCreated:CompleteMultipartUpload",
        "userIdentity": {"principalId": "AWS:A"}, "requestParameters": {"sourceIPAddress": "192.0.2.1"},
        "s3": {
            "s3SchemaVersion": "1.0", "configurationId": "uploads",
            "bucket": {"name": "in", "arn": "arn:aws:s3:::in"},
            "object": {"key": "a+b%2Bc/%C3%A4.mp4", "size": 1_048_576, "versionId": "v1",
                       "sequencer": "0055AED6DCD90281E5"}
        }
    })
}

/// One message of each form that the queue may hold.
fn messages() -> Vec<Value> {
    let notification = json!({"Records": [record()]});
    vec![
        notification.clone(),
        json!({"Records": [record(), record()]}),
        json!({"Type": "Notification", "TopicArn": "arn:aws:sns:x:1:t", "Message": notification.to_string()}),
        json!({
            "version": "0", "source": "aws.s3", "detail-type": "Object Created",
            "detail": {"bucket": {"name": "in"},
                       "object": {"key": "a b+c/ä.mp4", "version-id": "v1", "sequencer": "x"}}
        }),
        json!({"apiVersion": API_VERSION, "source": {"bucket": "in", "key": "a.mp4", "versionId": "v1"}}),
        json!({
            "apiVersion": API_VERSION, "id": "again-1", "source": {"bucket": "in", "key": "a.mp4"},
            "profile": {"renditions": [{"height": 720, "bitrate": 2_500_000}], "segmentSeconds": 6}
        }),
        json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2026-11-21T03:00:00Z", "Bucket": "in"}),
    ]
}

/// What must hold of the answer to any body.
fn judge(body: &str) -> Result<(), TestCaseError> {
    let parsed = parse(body);
    prop_assert_eq!(&parsed, &parse(body), "the same body is understood in two ways");
    match parsed {
        Ok(Parsed::Transcode(request)) => request_holds(&request)?,
        Ok(Parsed::Split(bodies)) => {
            prop_assert!(bodies.len() > 1);
            for part in bodies {
                match parse(&part) {
                    Ok(Parsed::Transcode(request)) => request_holds(&request)?,
                    Ok(other) => prop_assert!(false, "a part became {:?}", other),
                    Err(why) => refusal_holds(&why)?,
                }
            }
        }
        Ok(Parsed::Discard) => {}
        Err(why) => refusal_holds(&why)?,
    }
    Ok(())
}

fn request_holds(request: &Request) -> Result<(), TestCaseError> {
    let Source { bucket, key, version_id } = &request.source;
    prop_assert!(!bucket.is_empty() && (1..=1024).contains(&key.len()) && !key.contains('\0'));
    prop_assert!(version_id.as_ref().is_none_or(|version| !version.is_empty()));
    prop_assert!(request.profile.as_ref().is_none_or(|profile| profile.check().is_ok()));
    let json = serde_json::to_string(request).expect("what the test itself wrote");
    let kept: Request = serde_json::from_str(&json).expect("what the test itself wrote");
    prop_assert_eq!(&kept, request, "the Job's annotation holds another request");
    prop_assert_eq!(kept.identity(), request.identity());
    Ok(())
}

fn refusal_holds(why: &Misunderstood) -> Result<(), TestCaseError> {
    let why = why.to_string();
    prop_assert!(!why.is_empty() && why.len() <= MAX_REFUSAL, "{} bytes of refusal", why.len());
    prop_assert!(!why.contains(|c: char| c.is_control()), "{:?}", why);
    Ok(())
}

fn event() -> OutcomeEvent {
    let data = OutcomeData {
        outcome: Outcome::Succeeded,
        attempt: 2,
        source: Some(Source { bucket: "in".into(), key: "a.mp4".into(), version_id: Some("v1".into()) }),
        output: None,
        failure: None,
        explicit_id: Some("again-1".into()),
    };
    let identity = Work::Explicit { id: "again-1".into() }.identity();
    OutcomeEvent::new(
        "media",
        "demo",
        identity,
        "2026-11-21T03:00:00Z".parse().expect("what the test itself wrote"),
        data,
    )
}

fn job_record() -> Value {
    json!({
        "identity": "abcdefghijklmnopqrst", "attempt": 1, "state": "Succeeded",
        "source": {"bucket": "in", "key": "a.mp4"}, "durationSeconds": 5.3,
        "renditions": [{"name": "720p", "width": 1280, "height": 720, "bandwidth": 2_600_000,
                        "averageBandwidth": 2_400_000, "codecs": "avc1.64001f", "segments": 1}],
        "poster": "poster.jpg", "storyboard": "storyboard.vtt",
        "timings": {"downloadSeconds": 0.1, "ladderSeconds": 2.0, "publishSeconds": 0.2},
        "failure": {"reason": "NOT_MEDIA", "message": "a text file"}, "finishedAt": "2026-11-21T03:00:00Z"
    })
}

/// Reading what was written changes nothing: a type that both sides share says all that it holds.
macro_rules! reads_back {
    ($type:ty, $text:expr) => {
        if let Ok(read) = serde_json::from_str::<$type>($text) {
            let written = serde_json::to_string(&read).expect("what the test itself wrote");
            prop_assert_eq!(
                serde_json::from_str::<$type>(&written).expect("what the test itself wrote"),
                read
            );
        }
    };
}

/// A Job as the dispatcher makes it, whose pod has ended. Its annotations can be edited by everyone who may
/// edit Jobs.
fn job(request: &Value, failure: &str, held: &str) -> Value {
    let ticket = json!({
        "request": request, "queueArn": "arn:aws:sqs:x:1:q", "queueUrl": "https://sqs/q", "attemptsBefore": 0
    });
    json!({
        "metadata": {
            "name": "tc-abcdefghijklmnopqrst-1", "uid": "u", "creationTimestamp": "2026-11-21T03:00:00Z",
            "labels": {"streamingplatform.dev/attempt": "1"},
            "annotations": {
                "streamingplatform.dev/work": ticket.to_string(),
                "streamingplatform.dev/failure": failure,
                "streamingplatform.dev/messages": held,
                "streamingplatform.dev/message-body": "{}",
                "streamingplatform.dev/settled": "Succeeded"
            }
        },
        "status": {"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded",
                                   "lastTransitionTime": "2026-11-21T03:05:00Z"}]}
    })
}

fn pod() -> Value {
    json!({
        "metadata": {"name": "p", "creationTimestamp": "2026-11-21T03:00:00Z"},
        "status": {"phase": "Failed", "startTime": "2026-11-21T03:00:01Z", "message": "m", "reason": "Evicted",
            "containerStatuses": [{
                "name": "transcoder", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"terminated": {"exitCode": 65, "reason": "Error",
                                         "message": r#"{"reason":"NOT_MEDIA","message":"a text file"}"#}}
            }]}
    })
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn a_broken_message_is_understood_or_refused(message in broken(messages(), 4)) {
        judge(&message.to_string())?;
    }

    #[test]
    fn a_damaged_body_is_understood_or_refused(body in damaged(broken(messages(), 2).prop_map(|it| it.to_string()))) {
        judge(&body)?;
    }

    #[test]
    fn any_bytes_that_are_text_are_understood_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        judge(&String::from_utf8_lossy(&bytes))?;
    }

    #[test]
    fn a_broken_message_in_an_envelope_is_understood_or_refused(
        body in damaged(broken(messages(), 2).prop_map(|it| it.to_string())),
    ) {
        judge(&json!({"Type": "Notification", "Message": body}).to_string())?;
    }

    #[test]
    fn what_services_say_to_each_other_reads_back_as_it_was_written(
        text in damaged(broken(vec![serde_json::to_value(event()).expect("what the test itself wrote"), job_record(), json!({
            "identity": "abcdefghijklmnopqrst", "attempt": 1, "stage": "Encoding", "percent": 40,
            "updatedAt": "2026-11-21T03:00:00Z"
        })], 3).prop_map(|it| it.to_string())),
    ) {
        reads_back!(OutcomeEvent, &text);
        reads_back!(JobRecord, &text);
        reads_back!(Progress, &text);
        reads_back!(TerminationMessage, &text);
    }

    #[test]
    fn a_job_with_broken_annotations_and_pods_is_read_or_left_alone(
        job in broken(vec![job(
            &serde_json::to_value(request()).expect("what the test itself wrote"),
            r#"{"reason":"CANCELLED","message":"m","permanent":true}"#,
            r#"[{"messageId":"m","receiptHandle":"h","receivedAt":"2026-11-21T03:00:00Z"}]"#,
        )], 3),
        pod in broken(vec![pod()], 3),
    ) {
        let (Ok(job), Ok(pod)) = (serde_json::from_value::<Job>(job), serde_json::from_value::<Pod>(pod)) else {
            return Ok(());
        };
        let read = Attempt::read(&job, &[&pod]);
        prop_assert_eq!(format!("{read:?}"), format!("{:?}", Attempt::read(&job, &[&pod])));
    }
}

fn request() -> Request {
    match parse(&messages()[0].to_string()) {
        Ok(Parsed::Transcode(request)) => *request,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_body_of_the_largest_size_is_refused_in_few_words() {
    let name = "x".repeat(MAX_BODY - 200);
    for body in [
        json!({"apiVersion": API_VERSION, "source": {"bucket": "in", "key": "a"}, (name.clone()): 1}),
        json!({"apiVersion": name, "source": {"bucket": "in", "key": "a"}}),
        json!({"apiVersion": "\u{202e}".repeat(MAX_BODY / 4), "source": {"bucket": "in", "key": "a"}}),
        json!({"Records": [{"eventName": name}]}),
    ] {
        let why = parse(&body.to_string()).unwrap_err().to_string();
        assert!(why.len() <= MAX_REFUSAL, "{} bytes of refusal", why.len());
    }
}
