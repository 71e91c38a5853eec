//! The API against a real PostgreSQL and an S3 and SQS emulator.

use crate::harness::{Backend, TOKEN};
use contract::{Outcome, job::Source, message::ExplicitMessage};
use http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

const MIB: usize = 1 << 20;

fn clip(size: usize) -> Value {
    json!({"fileName": "My clip.mp4", "size": size, "contentType": "video/mp4"})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clip_of_two_parts_is_uploaded_resumed_and_listed() {
    let backend = Backend::start().await;
    let content: Vec<u8> = (0..9 * MIB).map(|i| i as u8).collect();
    let (status, begun) = backend.post("/api/uploads", clip(content.len())).await;
    assert_eq!(status, StatusCode::CREATED, "{begun}");
    let id = begun["videoId"].as_str().unwrap();
    assert_eq!(begun["key"], format!("raw/{id}/My_clip.mp4"));
    assert_eq!(begun["parts"].as_array().unwrap().len(), 2);
    let first = backend.put_part(&begun["parts"][0], &content[..8 * MIB]).await;

    // A client that lost everything but the id goes on.
    let (status, resumed) = backend.get_authorized(&format!("/api/uploads/{id}")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(resumed["uploadedParts"], json!([{"partNumber": 1, "etag": first, "size": 8 * MIB}]));
    assert_eq!(resumed["parts"].as_array().unwrap().len(), 1);
    assert_eq!(resumed["parts"][0]["partNumber"], 2);
    let second = backend.put_part(&resumed["parts"][0], &content[8 * MIB..]).await;

    let (_, listed) = backend.get("/api/videos?state=Uploading").await;
    assert_eq!(listed["items"][0]["id"], id);
    let parts = json!({"parts": [{"partNumber": 2, "etag": second}, {"partNumber": 1, "etag": first}]});
    let path = format!("/api/uploads/{id}/complete");
    let (status, video) = backend.post(&path, parts.clone()).await;
    assert_eq!((status, &video["state"]), (StatusCode::OK, &json!("Queued")), "{video}");
    assert_eq!((&video["title"], &video["percent"]), (&json!("My clip"), &json!(0)));

    // The answer was lost, and the client asks again.
    assert_eq!(backend.post(&path, parts).await, (StatusCode::OK, video.clone()));
    let (_, shown) = backend.get(&format!("/api/videos/{id}")).await;
    assert_eq!(shown, video);
    assert_eq!(backend.source_bytes(begun["key"].as_str().unwrap()).await, content);
    assert_eq!(backend.get_authorized(&format!("/api/uploads/{id}")).await.0, StatusCode::CONFLICT);
    assert_eq!(backend.delete(&format!("/api/uploads/{id}")).await.0, StatusCode::CONFLICT);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_s3_and_the_database_is_mended_by_asking_again() {
    let backend = Backend::start().await;
    let (id, etag) = backend.upload_without_completing(b"abc").await;
    let (upload, source) = backend.open_upload(id).await;
    backend.complete_in_s3(&source, &upload, &etag).await;
    let parts = json!({"parts": [{"partNumber": 1, "etag": etag}]});
    let (status, video) = backend.post(&format!("/api/uploads/{id}/complete"), parts).await;
    assert_eq!((status, &video["state"]), (StatusCode::OK, &json!("Queued")), "{video}");
    assert!(backend.video(id).await.source.version_id.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_resumes_after_such_a_crash_learns_that_nothing_is_left_to_send() {
    let backend = Backend::start().await;
    let (id, etag) = backend.upload_without_completing(b"abc").await;
    let (upload, source) = backend.open_upload(id).await;
    backend.complete_in_s3(&source, &upload, &etag).await;
    assert_eq!(backend.get_authorized(&format!("/api/uploads/{id}")).await.0, StatusCode::CONFLICT);
    assert_eq!(backend.get(&format!("/api/videos/{id}")).await.1["state"], "Queued");
    assert!(backend.video(id).await.source.version_id.is_some());

    // What S3 does not have either has to be sent again.
    let (id, _) = backend.upload_without_completing(b"abc").await;
    backend.abort_in_s3(id).await;
    assert_eq!(backend.get_authorized(&format!("/api/uploads/{id}")).await.0, StatusCode::NOT_FOUND);
    assert_eq!(backend.get(&format!("/api/videos/{id}")).await.1["state"], "Uploading");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_begun_twice_is_begun_once() {
    let backend = Backend::start().await;
    let id = Uuid::now_v7();
    let wanted = |id: Uuid, size: usize| {
        let mut new = clip(size);
        new["videoId"] = json!(id);
        new
    };
    let begin = async |new: Value| backend.post("/api/uploads", new).await;
    let (first, second) = tokio::join!(begin(wanted(id, 3)), begin(wanted(id, 3)));
    let third = begin(wanted(id, 3)).await;
    for (status, begun) in [&first, &second, &third] {
        assert_eq!((*status, &begun["videoId"]), (StatusCode::CREATED, &json!(id)), "{begun}");
        assert_eq!(begun["uploadId"], third.1["uploadId"]);
    }
    backend.until("one upload is left in S3", async || backend.open_uploads_in_s3().await == 1).await;
    assert_eq!(backend.get("/api/videos").await.1["items"].as_array().unwrap().len(), 1);

    assert_eq!(begin(wanted(id, 4)).await.0, StatusCode::CONFLICT);
    assert_eq!(backend.delete(&format!("/api/uploads/{id}")).await.0, StatusCode::NO_CONTENT);
    assert_eq!(begin(wanted(id, 3)).await.0, StatusCode::CONFLICT);
    let (status, problem) = begin(wanted(Uuid::nil(), 3)).await;
    assert_eq!(
        (status, &problem["errors"][0]["field"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("videoId"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_video_that_this_release_can_not_read_hides_no_other() {
    let backend = Backend::start().await;
    let (odd, fine) = (backend.upload(b"abc").await, backend.upload(b"def").await);
    backend.report(fine, None, Outcome::Running).await;
    backend.write_as_a_newer_release(odd).await;
    let (status, page) = backend.get("/api/videos?limit=1").await;
    assert_eq!((status, &page["items"][0]["id"]), (StatusCode::OK, &json!(fine)));
    let cursor = page["nextCursor"].as_str().unwrap();
    let (status, page) = backend.get(&format!("/api/videos?cursor={cursor}")).await;
    assert_eq!((status, &page["items"]), (StatusCode::OK, &json!([])));
    assert_eq!(backend.get(&format!("/api/videos/{odd}")).await.0, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_file_can_be_uploaded_so_that_its_failure_is_told() {
    let backend = Backend::start().await;
    let id = backend.upload(b"").await;
    let (_, video) = backend.get(&format!("/api/videos/{id}")).await;
    assert_eq!((&video["state"], &video["size"]), (&json!("Queued"), &json!(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_promised_is_not_completed() {
    let backend = Backend::start().await;
    let (_, begun) = backend.post("/api/uploads", clip(3)).await;
    let id = begun["videoId"].as_str().unwrap();
    let etag = backend.put_part(&begun["parts"][0], b"more than three").await;
    let path = format!("/api/uploads/{id}/complete");
    let complete = async |parts: Value| backend.post(&path, json!({"parts": parts})).await;
    let (status, problem) = complete(json!([{"partNumber": 1, "etag": etag}])).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(problem["errors"][0]["message"], "hold 15 bytes, but the upload was begun for 3");
    for wrong in [
        json!([]),
        json!([{"partNumber": 0, "etag": etag}]),
        json!([{"partNumber": 1, "etag": etag}, {"partNumber": 1, "etag": etag}]),
        json!([{"partNumber": 2, "etag": etag}]),
    ] {
        let (status, problem) = complete(wrong.clone()).await;
        assert_eq!(
            (status, &problem["errors"][0]["field"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!("parts")),
            "{wrong}"
        );
    }
    assert_eq!(backend.get(&format!("/api/videos/{id}")).await.1["state"], "Uploading");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_upload_leaves_nothing() {
    let backend = Backend::start().await;
    let (id, _) = backend.upload_without_completing(b"abc").await;
    assert_eq!(backend.delete(&format!("/api/uploads/{id}")).await.0, StatusCode::NO_CONTENT);
    assert_eq!(backend.get(&format!("/api/videos/{id}")).await.0, StatusCode::NOT_FOUND);
    assert_eq!(backend.delete(&format!("/api/uploads/{id}")).await.0, StatusCode::NOT_FOUND);
    backend.until("nothing is left in S3", async || backend.open_uploads_in_s3().await == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unacceptable_uploads_name_every_field() {
    let backend = Backend::start().await;
    let (status, problem) = backend
        .post("/api/uploads", json!({"fileName": "a\u{7}", "size": 1_u64 << 60, "contentType": "text/html"}))
        .await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let fields: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|e| e["field"].clone()).collect();
    assert_eq!(fields, ["fileName", "size", "contentType"]);
    let long = json!({"fileName": "x".repeat(256), "size": 1, "contentType": "video/mp4"});
    assert_eq!(backend.post("/api/uploads", long).await.1["errors"][0]["field"], "fileName");
    let (status, problem) = backend.post("/api/uploads", json!({"fileName": "a.mp4"})).await;
    assert_eq!(
        (status, &problem["title"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("Unprocessable Entity"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_paged_newest_first() {
    let backend = Backend::start().await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(backend.upload(b"abc").await.to_string());
    }
    ids.reverse();
    let mut seen = Vec::new();
    let mut path = "/api/videos?limit=2".to_owned();
    loop {
        let (status, page) = backend.get(&path).await;
        assert_eq!(status, StatusCode::OK);
        seen.extend(page["items"].as_array().unwrap().iter().map(|v| v["id"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["nextCursor"].as_str() else { break };
        path = format!("/api/videos?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, ids);
    let (status, problem) = backend.get("/api/videos?limit=0&state=ready&cursor=x").await;
    assert_eq!((status, problem["errors"].as_array().unwrap().len()), (StatusCode::UNPROCESSABLE_ENTITY, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retranscode_is_a_message_with_an_id_of_its_own_and_the_old_output_plays_on() {
    let backend = Backend::start().await;
    let id = backend.upload(b"abc").await;
    let path = format!("/api/videos/{id}/retranscode");
    assert_eq!(backend.post(&path, Value::Null).await.0, StatusCode::CONFLICT);
    let old = backend.report(id, None, Outcome::Succeeded).await;
    let (_, ready) = backend.get(&format!("/api/videos/{id}")).await;
    assert_eq!((&ready["state"], &ready["percent"]), (&json!("Ready"), &json!(100)), "{ready}");
    assert_eq!(ready["playback"]["hls"], format!("/media/{old}/master.m3u8"));
    assert_eq!(
        ready["renditions"],
        json!([{"name": "720p", "width": 1280, "height": 720, "bandwidth": 2_600_000}])
    );

    let (status, video) = backend.post(&path, Value::Null).await;
    assert_eq!((status, &video["state"]), (StatusCode::ACCEPTED, &json!("Queued")));
    assert_eq!(video["playback"], ready["playback"]);
    let message: ExplicitMessage = serde_json::from_str(&backend.transcoding_message().await).unwrap();
    let source = backend.video(id).await.source;
    assert_eq!(message.source, source);
    assert!(source.version_id.is_some());
    let new = message.identity();
    assert_ne!(new, old);
    assert_eq!(backend.report(id, Some(new.clone()), Outcome::Succeeded).await, new);
    let (_, again) = backend.get(&format!("/api/videos/{id}")).await;
    assert_eq!(again["playback"]["hls"], format!("/media/{new}/master.m3u8"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_shows_its_reason() {
    let backend = Backend::start().await;
    let id = backend.upload(b"abc").await;
    backend.report(id, None, Outcome::DeadLettered).await;
    let (_, video) = backend.get(&format!("/api/videos/{id}")).await;
    assert_eq!(video["state"], "Failed");
    assert_eq!(video["failure"], json!({"reason": "NOT_MEDIA", "message": "The file is text."}));
    assert_eq!(video["attempt"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_video_takes_its_source_and_outputs_with_it_and_nothing_else() {
    let backend = Backend::start().await;
    let (id, other) = (backend.upload(b"abc").await, backend.upload(b"def").await);
    let identity = backend.report(id, None, Outcome::Succeeded).await;
    let kept = backend.report(other, None, Outcome::Succeeded).await;
    for identity in [&identity, &kept] {
        backend.put_output(identity, "master.m3u8", "#EXTM3U").await;
        backend.put_output(identity, "720p/seg-00001.m4s", "segment").await;
    }
    assert_eq!(backend.delete(&format!("/api/videos/{id}")).await.0, StatusCode::NO_CONTENT);
    assert_eq!(backend.get(&format!("/api/videos/{id}")).await.0, StatusCode::NOT_FOUND);
    assert_eq!(backend.delete(&format!("/api/videos/{id}")).await.0, StatusCode::NOT_FOUND);
    let left = [
        format!("out/{kept}/720p/seg-00001.m4s"),
        format!("out/{kept}/master.m3u8"),
        backend.video(other).await.source.key,
    ];
    backend.until("the others are left", async || backend.objects().await == left).await;
    assert_eq!(backend.get(&format!("/media/{identity}/master.m3u8")).await.0, StatusCode::NOT_FOUND);
    backend.until("that is recorded", async || backend.is_erased(id).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_needs_the_token_and_every_described_route_answers() {
    let backend = Backend::start().await;
    let (_, description) = backend.get("/api/openapi.json").await;
    let paths = description["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 7);
    for (path, operations) in paths {
        let path = path.replace("{id}", &uuid::Uuid::nil().to_string());
        let path = path.replace("{videoId}", &uuid::Uuid::nil().to_string());
        for (method, operation) in operations.as_object().unwrap() {
            let method: http::Method = method.to_uppercase().parse().unwrap();
            let guarded = operation["security"].is_array();
            assert_eq!(guarded, method != "GET" || path.contains("/uploads/"), "{method} {path}");
            for token in [None, Some("wrong"), Some(TOKEN)] {
                let (status, body) = backend.call(method.clone(), &path, token).await;
                let allowed = !guarded || token == Some(TOKEN);
                assert_eq!(status != StatusCode::UNAUTHORIZED, allowed, "{method} {path} {token:?}");
                let unrouted = [StatusCode::METHOD_NOT_ALLOWED, StatusCode::INTERNAL_SERVER_ERROR];
                assert!(!unrouted.contains(&status), "{method} {path} {status}");
                assert_ne!(body["detail"], "There is nothing at this path.", "{method} {path}");
            }
        }
    }
    let (status, problem) = backend.get("/api/nothing").await;
    assert_eq!((status, &problem["status"]), (StatusCode::NOT_FOUND, &json!(404)));
    assert_eq!(
        backend.call(http::Method::PATCH, "/api/videos", None).await.0,
        StatusCode::METHOD_NOT_ALLOWED
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_of_others_are_never_deleted() {
    let backend = Backend::start().await;
    let foreign =
        Source { bucket: backend.other_bucket().await, key: "raw/theirs.mp4".into(), version_id: None };
    let id = backend.found(foreign.clone()).await;
    assert_eq!(backend.delete(&format!("/api/videos/{id}")).await.0, StatusCode::NO_CONTENT);
    backend.until("it is erased", async || backend.is_erased(id).await).await;
    assert!(backend.exists(&foreign).await);
}
