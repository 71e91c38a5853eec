//! Transcoding through outages: of the operator, of the queue, of the keys.

use super::{
    DEADLINE, condition,
    transcoding::{End, Scene, ready},
};
use anyhow::{Context, Result};
use contract::Outcome;
use e2e::kind::{
    Check,
    aws::{ACCESS_KEY, SECRET_KEY},
    eventually,
};
use k8s_openapi::api::{batch::v1::Job, core::v1::Secret};
use kube::{ResourceExt, runtime::wait::await_condition};
use serde_json::{Value, json};
use streaming_operator::api::{ConditionType, StreamingPlatform};
use tokio::time::timeout;

#[tokio::test]
async fn another_leader_goes_on_with_what_it_finds() -> Result<()> {
    let mut scene = Scene::start("takeover", |_| {}).await?;
    scene.emulator.aws.put(scene.input(), "a.mp4", "video").await?;
    let name = scene.until_jobs(1).await?[0].name_any();
    scene.test.operator.crash();
    scene.operator("second").await?;
    scene.end(&name, End::Done).await?;
    scene.until_settled(&name, "Succeeded").await?;
    scene.until_queue_is_empty().await?;
    assert_eq!(scene.jobs().await?.len(), 1);
    scene.test.operator.stop().await
}

#[tokio::test]
async fn a_message_that_lapsed_while_no_operator_ran_meets_its_job() -> Result<()> {
    let mut scene = Scene::start("lapsed", |_| {}).await?;
    let aws = &scene.emulator.aws;
    aws.put(scene.input(), "a.mp4", "video").await?;
    let name = scene.until_jobs(1).await?[0].name_any();
    scene.test.operator.crash();
    eventually("the message is visible again", DEADLINE, async || {
        let depth = aws.depth(scene.queue()).await?;
        Ok(if depth.visible == 1 { Check::Done(()) } else { Check::NotYet(format!("{depth:?}")) })
    })
    .await?;
    scene.operator("second").await?;
    eventually("the new operator holds the message", DEADLINE, async || {
        let depth = aws.depth(scene.queue()).await?;
        Ok(if depth.in_flight == 1 { Check::Done(()) } else { Check::NotYet(format!("{depth:?}")) })
    })
    .await?;
    scene.end(&name, End::Done).await?;
    scene.until_settled(&name, "Succeeded").await?;
    scene.until_queue_is_empty().await?;
    assert_eq!(scene.jobs().await?.len(), 1);

    let events = scene.status.events_queue_url.as_deref().context("an events queue")?;
    let told = usize::try_from(aws.depth(events).await?.visible)?;
    let outcomes = scene.outcomes(told).await?;
    let successes = outcomes.iter().filter(|(outcome, _)| *outcome == Outcome::Succeeded).count();
    assert_eq!(successes, 1, "{outcomes:?}");
    scene.test.operator.stop().await
}

#[tokio::test]
async fn a_queue_that_is_gone_is_told_and_made_anew_and_work_goes_on() -> Result<()> {
    let scene = Scene::start("noqueue", |_| {}).await?;
    let aws = &scene.emulator.aws;
    aws.put(scene.input(), "a.mp4", "video").await?;
    let running = scene.until_jobs(1).await?[0].clone();
    let platforms = scene.test.api::<StreamingPlatform>();
    let told = await_condition(platforms, "tv", |platform: Option<&StreamingPlatform>| {
        let status = platform.and_then(|platform| platform.status.as_ref());
        status.is_some_and(|status| condition(status, ConditionType::TranscodingReady).0 == "False")
    });
    let deleted = aws.sqs.delete_queue().queue_url(scene.queue()).send();
    let (told, deleted) = tokio::join!(timeout(DEADLINE, told), deleted);
    deleted?;
    told.context("it is told")??;
    ready(&scene.test).await?;

    let upload = aws.put(scene.input(), "b.mp4", "video").await?;
    let jobs = scene.until_jobs(2).await?;
    let identity = |job: &Job| job.labels()["streamingplatform.dev/identity"].clone();
    let next = jobs.iter().find(|job| job.uid() != running.uid()).context("a new Job")?;
    assert_eq!(identity(next), upload.identity().as_str());
    scene.end(&next.name_any(), End::Done).await?;
    scene.until_settled(&next.name_any(), "Succeeded").await?;
    assert!(jobs.iter().any(|job| job.uid() == running.uid()), "what ran before goes on");
    scene.test.operator.stop().await
}

/// Deletes a platform together with its keys while no operator runs, and starts one that never saw them.
async fn deleted_with_its_keys(name: &str, retained: bool) -> Result<Scene> {
    let keep = |spec: &mut Value| {
        for part in ["queue", "input", "output"].into_iter().filter(|_| retained) {
            spec["transcoding"][part]["deletionPolicy"] = json!("Retain");
        }
    };
    let mut scene = Scene::start(name, keep).await?;
    scene.test.operator.crash();
    scene.test.delete::<Secret>("keys").await?;
    scene.test.delete::<StreamingPlatform>("tv").await?;
    // Of the same name, as a container that is restarted has: its lease is its own.
    scene.operator("first").await?;
    Ok(scene)
}

#[tokio::test]
async fn a_platform_whose_keys_are_gone_goes_where_all_in_aws_is_retained() -> Result<()> {
    let scene = deleted_with_its_keys("nokeys-retain", true).await?;
    scene.test.gone::<StreamingPlatform>("tv").await?;
    let aws = &scene.emulator.aws;
    assert!(aws.has_queue(scene.queue()).await?);
    assert!(aws.has_bucket(scene.input()).await?);
    scene.test.operator.stop().await
}

#[tokio::test]
async fn a_platform_whose_keys_are_gone_waits_for_them_where_something_in_aws_is_to_be_deleted() -> Result<()>
{
    let scene = deleted_with_its_keys("nokeys-delete", false).await?;
    let status = scene
        .test
        .status("tv", "it says what it waits for", |status| status.waiting.iter().any(|it| it.on == "AWS"))
        .await?;
    let (_, reason, message) = condition(&status, ConditionType::Ready);
    assert_eq!(reason, "Deleting");
    assert!(message.contains("there is no Secret keys; make it"), "{message}");

    scene.test.secret("keys", json!({"accessKeyID": ACCESS_KEY, "secretAccessKey": SECRET_KEY})).await?;
    scene.test.gone::<StreamingPlatform>("tv").await?;
    let aws = &scene.emulator.aws;
    assert!(!aws.has_queue(scene.queue()).await?);
    assert!(!aws.has_bucket(scene.input()).await?);
    scene.test.operator.stop().await
}
