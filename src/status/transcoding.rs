//! What is to be said of queues, buckets and Jobs.

use super::parts::{Part, Verdict};
use crate::{
    api::{
        ConditionReason, ConditionType, JobCounts, JobFailure, QueueDepth, TranscodingStatus, whole_seconds,
    },
    apply,
    dispatch::{
        Report,
        report::{Failed, Jobs},
    },
    managed::sqs,
    observe::Observed,
    plan::Plan,
    platform::Platform,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// A message that was sent longer ago than this is in danger: SQS drops it after 14 days.
const OLD: SignedDuration = SignedDuration::from_hours(24 * 11);

/// Queues and Jobs, each with its condition. Nothing where the platform has no transcoding.
pub(super) fn parts(
    platform: &Platform,
    observed: &Observed,
    plan: &Plan,
    applied: &apply::aws::Applied,
    now: Timestamp,
) -> Vec<Part> {
    if platform.transcoding.is_none() {
        return Vec::new();
    }
    let ready = ready(observed, plan, applied);
    // Neither a setting that can lose messages some day nor a call that fails now keeps a platform from serving
    // whose queues and buckets are there.
    let passing = matches!(
        &ready,
        Verdict::Stuck { reason: ConditionReason::QueueMisconfigured, .. }
            | Verdict::Moving { reason: ConditionReason::CallFailed, .. }
    );
    let serves = !(passing && is_there(observed));
    let healthy = observed
        .dispatch
        .as_ref()
        .map_or_else(|| Verdict::Good("no Job was made yet".to_owned()), |report| healthy(report, now));
    vec![
        Part { kind: ConditionType::TranscodingReady, serves, verdict: ready },
        Part { kind: ConditionType::JobsHealthy, serves: false, verdict: healthy },
    ]
}

fn is_there(observed: &Observed) -> bool {
    observed.transcoding.as_ref().is_some_and(crate::observe::aws::Transcoding::is_complete)
}

fn ready(observed: &Observed, plan: &Plan, applied: &apply::aws::Applied) -> Verdict {
    if let Some(problem) = plan.transcoding.problems.first() {
        return Verdict::Stuck { reason: problem.reason, message: problem.message.clone() };
    }
    if let Some(failure) = observed.transcoding.as_ref().and_then(|there| there.failure.as_ref()) {
        let message = failure.message.clone();
        return Verdict::Moving { reason: ConditionReason::CallFailed, message };
    }
    if let Some(failure) = applied.failures.first() {
        let reason = if failure.waiting { ConditionReason::Waiting } else { ConditionReason::CallFailed };
        return Verdict::Moving { reason, message: failure.message.clone() };
    }
    if !is_there(observed) || !plan.transcoding.calls.is_empty() {
        let first = plan.transcoding.waiting.first();
        let message = first.map_or("queues and buckets are being made", String::as_str);
        return Verdict::Moving { reason: ConditionReason::Progressing, message: message.to_owned() };
    }
    let Some(report) = &observed.dispatch else {
        let message = "messages are received as soon as the dispatcher has looked at the Jobs".to_owned();
        return Verdict::Moving { reason: ConditionReason::Progressing, message };
    };
    if let Some(error) = report.errors.first() {
        return Verdict::Moving { reason: ConditionReason::CallFailed, message: error.clone() };
    }
    Verdict::Good("messages are received and become Jobs".to_owned())
}

fn healthy(report: &Report, now: Timestamp) -> Verdict {
    if let Some(open) = &report.breaker {
        let message = format!(
            "{} transcodes failed one after the other for {}: {}; new Jobs wait while one at a time is tried, the next not before {:.0}. Mend the cause; it goes on by itself",
            open.works,
            open.cause,
            open.message.trim_end_matches('.'),
            open.next_probe
        );
        return Verdict::Stuck { reason: ConditionReason::BreakerOpen, message };
    }
    if let Some(sent) = report.oldest_message_sent_at.filter(|sent| now.duration_since(*sent) > OLD) {
        let message = format!(
            "a message of {sent:.0} is still not settled; SQS drops it 14 days after it was sent. See its Job, and `streaming-operator queue resync` afterwards"
        );
        return Verdict::Stuck { reason: ConditionReason::JobsFailed, message };
    }
    match report.failures.iter().find(|failed| failed.dead_lettered) {
        Some(failed) => Verdict::Stuck {
            reason: ConditionReason::JobsFailed,
            message: format!(
                "{} failed for good: {}: {}. Its message is on the dead-letter queue; `streaming-operator queue redrive` tries it again",
                failed.key.as_deref().unwrap_or("a message"),
                failed.why.reason,
                failed.why.message.trim_end_matches('.')
            ),
        },
        None => Verdict::Good("no transcode failed for good lately".to_owned()),
    }
}

/// Queues, buckets and Jobs, as the status shows them. A queue that was there `before` and can't be looked at now is still
/// the platform's, which keeps others from it.
pub(super) fn status(
    platform: &Platform,
    observed: &Observed,
    before: Option<&TranscodingStatus>,
) -> Option<TranscodingStatus> {
    let wanted = platform.transcoding.as_ref()?;
    let there = observed.transcoding.clone().unwrap_or_default();
    let before = before.filter(|_| there.failure.is_some());
    let url = |queue: &Option<sqs::Queue>, known: fn(&TranscodingStatus) -> &Option<String>| {
        queue.as_ref().map(|queue| queue.url.clone()).or_else(|| known(before?).clone())
    };
    let report = observed.dispatch.clone().unwrap_or_default();
    // A bucket that the status named once is never made anew: it may have held data.
    let named =
        |name: &String, is_there: bool| (is_there || there.seen_buckets.contains(name)).then(|| name.clone());
    Some(TranscodingStatus {
        queue_url: url(&there.queue, |it| &it.queue_url),
        dead_letter_queue_url: url(&there.dead_letter, |it| &it.dead_letter_queue_url),
        events_queue_url: url(&there.events, |it| &it.events_queue_url),
        input_bucket: named(&wanted.input.name, there.input.is_some()),
        output_bucket: named(&wanted.output.name, there.output.is_some()),
        queue: there.queue.as_ref().map(|queue| queue.depth),
        dead_lettered: there.dead_letter.as_ref().map(|queue| total(queue.depth)),
        jobs: counts(report.jobs),
        oldest_message_sent_at: report.oldest_message_sent_at.map(Time),
        last_failures: report.failures.iter().map(failure).collect(),
    })
}

fn total(depth: QueueDepth) -> i64 {
    depth.visible + depth.in_flight + depth.delayed
}

fn counts(jobs: Jobs) -> JobCounts {
    let Jobs { pending, running, retrying, succeeded, failed } = jobs;
    JobCounts { pending, running, retrying, succeeded, failed }
}

fn failure(failed: &Failed) -> JobFailure {
    JobFailure {
        identity: failed.identity.to_string(),
        key: failed.key.clone(),
        reason: failed.why.reason.to_string(),
        message: failed.why.message.clone(),
        attempt: i32::try_from(failed.attempt).unwrap_or(i32::MAX),
        dead_lettered: failed.dead_lettered,
        time: Time(whole_seconds(failed.at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        managed::{Failure, s3::Bucket},
        observe::aws::Transcoding,
        plan::testing::{Cluster, from_spec},
    };
    use serde_json::json;

    /// The part of queues and buckets, where AWS does not answer and `there` is what was seen before.
    fn unanswered(there: Transcoding) -> Part {
        let resource = from_spec(json!({"aws": {"region": "eu-central-1"}, "transcoding": {}}));
        let (platform, plan) = Cluster::default().plan(&resource);
        let failure = Some(Failure { credentials: false, message: "no answer in time".into() });
        let transcoding = Some(Transcoding { failure, ..there });
        let observed = Observed { transcoding, ..Observed::default() };
        parts(&platform, &observed, &plan, &apply::aws::Applied::default(), Timestamp::UNIX_EPOCH).remove(0)
    }

    /// What was written has to be what is read, or it is written for ever.
    #[test]
    fn a_failure_is_the_same_when_it_was_written_and_read() {
        let failed = Failed {
            identity: contract::Identity::parse("y5yvbbsmzqf3lu6hlbqt").unwrap(),
            key: None,
            why: contract::TerminationMessage { reason: contract::Reason::NotMedia, message: String::new() },
            attempt: 0,
            dead_lettered: true,
            at: "2026-07-01T12:01:17.399Z".parse().unwrap(),
        };
        let told = failure(&failed);
        let read: JobFailure = serde_json::from_str(&serde_json::to_string(&told).unwrap()).unwrap();
        assert_eq!(read, told);
    }

    #[test]
    fn a_queue_that_can_t_be_looked_at_stays_in_the_status_and_one_that_is_gone_does_not() {
        let resource = from_spec(json!({"aws": {"region": "eu-central-1"}, "transcoding": {}}));
        let (platform, _) = Cluster::default().plan(&resource);
        let before =
            TranscodingStatus { queue_url: Some("https://queue".into()), ..TranscodingStatus::default() };
        let told = |failure| {
            let transcoding = Some(Transcoding { failure, ..Transcoding::default() });
            let observed = Observed { transcoding, ..Observed::default() };
            status(&platform, &observed, Some(&before)).unwrap().queue_url
        };
        let failure = Failure { credentials: false, message: "no answer in time".into() };
        assert_eq!(told(Some(failure)), before.queue_url);
        assert_eq!(told(None), None);
    }

    #[test]
    fn aws_that_does_not_answer_stalls_nothing_and_stops_no_platform_that_serves() {
        let queue = Some(sqs::Queue::default());
        let bucket = Some(Bucket::default());
        let complete = Transcoding {
            queue: queue.clone(),
            dead_letter: queue.clone(),
            events: queue,
            input: bucket.clone(),
            output: bucket,
            ..Transcoding::default()
        };
        let moving = |part: &Part| {
            matches!(&part.verdict, Verdict::Moving { reason: ConditionReason::CallFailed, message }
                if message == "no answer in time")
        };
        let part = unanswered(complete);
        assert!(moving(&part) && !part.serves, "{part:?}");
        let part = unanswered(Transcoding::default());
        assert!(moving(&part) && part.serves, "{part:?}");
    }
}
