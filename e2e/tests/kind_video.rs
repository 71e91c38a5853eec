//! A whole platform on kind: a video's way from upload to playback, and bad inputs that each tell their cause.

use anyhow::{Context, Result, ensure};
use contract::job::JobState;
use e2e::kind::{
    Check, Cluster, FRONTEND_NODE_PORT, Platform,
    api::{Api, Playback, answer},
    aws::{Uploaded, attribute},
    clip, eventually,
    jobs::JobHistory,
    platform::{Transcoding, transcoding},
    spec,
};
use m3u8_rs::{MediaPlaylist, Playlist};
use reqwest::{Method, StatusCode, header};
use serde_json::json;
use std::{collections::BTreeMap, time::Duration};

/// The first start has migrations, volumes and six pods to get through.
const READY: Duration = Duration::from_secs(240);
const SOON: Duration = Duration::from_secs(30);
const TRANSCODED: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn a_video_is_uploaded_transcoded_and_played_and_bad_inputs_tell_why() -> Result<()> {
    let cluster = Cluster::connect().await?;
    let namespace = cluster.namespace("video").await?;
    let platform = cluster.platform(&namespace, "tv");
    let jobs = JobHistory::follow(&cluster.client, &namespace);
    let mut frontend = spec::component();
    frontend["exposure"] = json!({"type": "NodePort", "nodePort": FRONTEND_NODE_PORT});
    platform
        .apply(&json!({
            "aws": cluster.aws_spec(),
            "frontend": frontend,
            "backend": spec::component(),
            "worker": spec::component(),
            "transcoding": spec::transcoding(),
            "database": spec::embedded("Delete"),
            "cache": spec::embedded("Delete"),
        }))
        .await?;
    Box::pin(platform.ready(READY)).await?;
    let aws = Box::pin(platform.transcoding(SOON)).await?;
    let api = Api::new(&cluster.frontend_url, &platform.secret("tv-api-token", "token").await?);

    // Ready pods are reached once the node's rules know them, which a busy node is late with.
    eventually("the page reaches the backend", SOON, async || Ok(Check::Done(api.videos().await?))).await?;
    the_page_is_guarded(&api, &cluster).await?;
    let playback = upload_and_play(&api, &cluster, &aws).await?;
    bad_inputs(&api, &platform, &aws, &jobs).await?;
    // What was played before plays on.
    ensure!(api.media(&playback.hls, &[]).await?.status() == StatusCode::OK);

    platform.delete().await?;
    platform.gone(Duration::from_secs(90)).await?;
    cluster.delete_namespace(&namespace).await
}

/// The web application is served with its policy; changes need the token.
async fn the_page_is_guarded(api: &Api, cluster: &Cluster) -> Result<()> {
    let page = api.anonymous(Method::GET, "/").send().await?.error_for_status()?;
    let policy =
        page.headers().get(header::CONTENT_SECURITY_POLICY).context("the page has a policy")?.to_str()?;
    ensure!(policy.contains(&cluster.aws.endpoint), "uploads go to {}: {policy}", cluster.aws.endpoint);
    let ask = json!({"fileName": "a.mp4", "size": 1, "contentType": "video/mp4"});
    let refused = api.anonymous(Method::POST, "/api/uploads").json(&ask).send().await?;
    ensure!(refused.status() == StatusCode::UNAUTHORIZED, "an upload without token: {}", refused.status());
    let wrong =
        api.request(Method::POST, "/api/uploads").json(&json!({"fileName": "", "size": 0})).send().await?;
    ensure!(wrong.status().is_client_error(), "an empty upload: {}", wrong.status());
    let kind = wrong.headers().get(header::CONTENT_TYPE).context("a content type")?.to_str()?.to_owned();
    ensure!(kind.starts_with("application/problem+json"), "errors are problems, not {kind}");
    Ok(())
}

/// Presigned multipart upload, events, `job.json`, playlists and ranges.
async fn upload_and_play(api: &Api, cluster: &Cluster, aws: &Transcoding) -> Result<Playback> {
    let events = api.events().await?;
    let id = api.upload("clip.mp4", "video/mp4", &clip::video(4, true, 1).await?).await?;
    let video = api.wait(&id, "Ready", TRANSCODED).await?;
    events
        .wait("the video is Ready", SOON, |event| {
            event.name == "video" && event.data["id"] == id.as_str() && event.data["state"] == "Ready"
        })
        .await?;

    let playback = video.playback.context("a video that is Ready can be played")?;
    let identity = playback.hls.split('/').nth(2).and_then(contract::Identity::parse);
    let identity = identity.with_context(|| format!("{} names the identity", playback.hls))?;
    let record = cluster.aws.job_record(&aws.output, &identity, SOON).await?;
    ensure!(record.state == JobState::Succeeded && record.attempt == 1, "{record:?}");
    let duration = record.duration_seconds.context("job.json tells the duration")?;
    ensure!((duration - 4.0).abs() < 0.2, "the clip has 4 s, job.json says {duration}");

    for variant in variants(api, &playback.hls).await? {
        every_segment_is_served(api, &variant).await?;
    }
    let manifest = api.media(&playback.dash, &[]).await?.error_for_status()?.text().await?;
    ensure!(manifest.contains("<MPD"), "{manifest}");
    let outside = api.media("/media/../api/videos", &[]).await?;
    ensure!(
        outside.url().path() == "/api/videos" || outside.status().is_client_error(),
        "{}",
        outside.status()
    );
    Ok(playback)
}

/// The paths of all playlists that the multivariant playlist names: two renditions and the audio.
async fn variants(api: &Api, path: &str) -> Result<Vec<String>> {
    let body = api.media(path, &[]).await?.error_for_status()?.bytes().await?;
    let playlist = m3u8_rs::parse_playlist_res(&body).map_err(|e| anyhow::anyhow!("{path}: {e}"))?;
    let Playlist::MasterPlaylist(master) = playlist else {
        anyhow::bail!("{path} is no multivariant playlist")
    };
    let mut names: Vec<_> = master.variants.iter().map(|v| v.uri.clone()).collect();
    names.extend(master.alternatives.iter().filter_map(|a| a.uri.clone()));
    ensure!(names.len() == 3, "two renditions and the audio: {names:?}");
    Ok(names.iter().map(|name| sibling(path, name)).collect())
}

async fn every_segment_is_served(api: &Api, path: &str) -> Result<()> {
    let body = api.media(path, &[]).await?.error_for_status()?.bytes().await?;
    let playlist: MediaPlaylist =
        m3u8_rs::parse_media_playlist_res(&body).map_err(|e| anyhow::anyhow!("{path}: {e}"))?;
    ensure!(playlist.end_list, "{path} has an end");
    let length: f32 = playlist.segments.iter().map(|s| s.duration).sum();
    ensure!((length - 4.0).abs() < 0.2, "{path} has {length} s of 4");
    for segment in &playlist.segments {
        let url = sibling(path, &segment.uri);
        let whole = api.media(&url, &[]).await?.error_for_status()?;
        let tag = whole.headers().get(header::ETAG).context("a segment has an ETag")?.to_str()?.to_owned();
        let whole = whole.bytes().await?;
        let part = api.media(&url, &[("range", "bytes=4-11")]).await?;
        ensure!(part.status() == StatusCode::PARTIAL_CONTENT, "{url}: a range gets {}", part.status());
        let range = part.headers().get(header::CONTENT_RANGE).context("Content-Range")?.to_str()?.to_owned();
        ensure!(range == format!("bytes 4-11/{}", whole.len()), "{url}: {range}");
        ensure!(part.bytes().await? == whole[4..12], "{url}: the range has other bytes than the whole");
        let known = api.media(&url, &[("if-none-match", &tag)]).await?;
        ensure!(known.status() == StatusCode::NOT_MODIFIED, "{url}: a known ETag gets {}", known.status());
    }
    Ok(())
}

/// `name` next to the last part of `path`.
fn sibling(path: &str, name: &str) -> String {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    format!("{folder}/{name}")
}

/// Each bad input tells its cause everywhere and is tried once; good ones beside them come through.
async fn bad_inputs(api: &Api, platform: &Platform, aws: &Transcoding, jobs: &JobHistory) -> Result<()> {
    let s3 = &platform.cluster.aws;
    let bad: [(&str, Vec<u8>, &str); 6] = [
        ("empty.mp4", Vec::new(), "NOT_MEDIA"),
        ("text.mp4", b"Not every file is a film.\n".repeat(40), "NOT_MEDIA"),
        ("still.mp4", clip::still().await?, "NOT_MEDIA"),
        ("playlist.mp4", clip::playlist(), "NOT_MEDIA"),
        ("truncated.mp4", clip::truncated().await?, "TRUNCATED"),
        ("huge.mov", clip::huge().await?, "RESOLUTION_LIMIT"),
    ];
    let mut expected: BTreeMap<String, &str> = BTreeMap::new();
    let mut uploaded: Vec<Uploaded> = Vec::new();
    for (name, body, reason) in bad {
        uploaded.push(s3.put(&aws.input, &format!("inbox/{name}"), body).await?);
        expected.insert(name.to_owned(), reason);
    }
    s3.send(&aws.queue, r#"{"hello": "world"}"#).await?;
    s3.put(&aws.input, "inbox/silent film.mp4", clip::video(3, false, 2).await?).await?;
    s3.put(&aws.input, "inbox/song.m4a", clip::audio(3).await?).await?;

    api.wait("silent film.mp4", "Ready", TRANSCODED).await?;
    api.wait("song.m4a", "Ready", TRANSCODED).await?;
    for (name, reason) in &expected {
        let video = api.wait(name, "Failed", TRANSCODED).await?;
        let failure = video.failure.with_context(|| format!("{name} tells no reason"))?;
        ensure!(
            failure.reason == *reason && !failure.message.is_empty(),
            "{name} is {reason}, not {failure:?}"
        );
    }
    let history = jobs.now();
    for object in &uploaded {
        let attempts = history.of(object.identity().as_str());
        ensure!(attempts.len() == 1, "{} was tried more than once: {attempts:#?}", object.key);
    }
    in_status(platform, &expected).await?;
    in_dead_letters(platform, aws, &uploaded, &expected).await?;
    s3.wait_until_empty(&aws.queue, SOON).await?;
    let first = api.videos().await?.into_iter().find(|v| v.file_name == "empty.mp4").context("empty.mp4")?;
    answer(api.request(Method::DELETE, &format!("/api/videos/{}", first.id))).await?;
    eventually("the source of a deleted video is gone", SOON, async || {
        let left = s3.list(&aws.input, "inbox/empty.mp4").await?;
        Ok(if left.is_empty() { Check::Done(()) } else { Check::NotYet(format!("{left:?}")) })
    })
    .await
}

async fn in_status(platform: &Platform, expected: &BTreeMap<String, &str>) -> Result<()> {
    Box::pin(platform.wait("each failure is in status", SOON, |platform| {
        let failures = transcoding(platform).last_failures;
        expected.iter().all(|(name, reason)| {
            let key = format!("inbox/{name}");
            failures.iter().any(|f| f.key.as_ref() == Some(&key) && f.reason == *reason && f.dead_lettered)
        }) && failures.iter().any(|f| f.reason == "INVALID_MESSAGE")
    }))
    .await?;
    Ok(())
}

/// Every dead letter says why, how often it was tried, and where it came from.
async fn in_dead_letters(
    platform: &Platform,
    aws: &Transcoding,
    uploaded: &[Uploaded],
    expected: &BTreeMap<String, &str>,
) -> Result<()> {
    let letters = platform.cluster.aws.receive(&aws.dead_letters, expected.len() + 1, SOON).await?;
    for object in uploaded {
        let name = object.key.trim_start_matches("inbox/");
        let letter = letters.iter().find(|l| l.body().is_some_and(|b| b.contains(&object.key)));
        let letter = letter.with_context(|| format!("{name} is not among the dead letters"))?;
        ensure!(attribute(letter, "Reason") == expected.get(name).copied(), "{name}: {letter:?}");
        ensure!(attribute(letter, "Attempts") == Some("1"), "{name}: {letter:?}");
        ensure!(attribute(letter, "OriginalMessageId").is_some(), "{name}: {letter:?}");
    }
    let invalid = letters.iter().find(|l| attribute(l, "Reason") == Some("INVALID_MESSAGE"));
    ensure!(invalid.and_then(|l| l.body()) == Some(r#"{"hello": "world"}"#), "{invalid:?}");
    Ok(())
}
