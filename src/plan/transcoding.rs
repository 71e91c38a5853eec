//! Queues and buckets: what is to be called in AWS, what is waited for, and what can lose messages.

use super::{
    call::Call,
    managed::{Owner, owner, tags},
};
use crate::{
    api::{BucketDeletionPolicy, ConditionReason, DeletionPolicy},
    managed::{s3, sqs},
    observe::aws::{DEAD_LETTER_QUEUE, EVENTS_QUEUE, Transcoding as Observed, WORK_QUEUE},
    platform::{Bucket, Platform, Queue, Transcoding},
};
use std::collections::BTreeMap;

/// What is to be done in AWS.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TranscodingPlan {
    /// Calls, in this order.
    pub calls: Vec<Call>,
    /// What is waited for.
    pub waiting: Vec<String>,
    /// What someone has to mend.
    pub problems: Vec<Problem>,
    /// Where messages come from and go to, once all queues are there.
    pub queues: Option<Queues>,
}

/// Something that someone has to mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// As the condition says it.
    pub reason: ConditionReason,
    /// What is wrong, and what to do.
    pub message: String,
    /// Whether messages are received nevertheless.
    pub blocking: bool,
}

/// The queues of a platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queues {
    /// URL of the queue that work arrives on.
    pub url: String,
    /// Its ARN.
    pub arn: String,
    /// URL of its dead-letter queue.
    pub dead_letter_url: String,
    /// URL of the queue that outcomes go to.
    pub events_url: String,
}

/// What brings the observed queues and buckets to the desired. Nothing where the platform has no transcoding.
#[must_use]
pub fn plan(platform: &Platform, observed: Option<&Observed>, claimed_by: Option<&str>) -> TranscodingPlan {
    let mut plan = TranscodingPlan::default();
    let (Some(wanted), Some(observed)) = (&platform.transcoding, observed) else { return plan };
    if let Some(failure) = &observed.failure {
        if failure.credentials {
            plan.problem(ConditionReason::SecretMissing, failure.message.clone(), false);
        }
    } else if not_owned(platform, wanted, observed, &mut plan) {
        return plan;
    } else {
        queues(platform, wanted, observed, &mut plan);
        buckets(platform, wanted, observed, &mut plan);
    }
    if let Some(other) = claimed_by {
        let message = format!(
            "platform {other} already receives from this queue; give each platform a queue of its own"
        );
        plan.problem(ConditionReason::QueueClaimed, message, true);
    }
    if let (Some(work), Some(dead_letter), Some(events)) =
        (&observed.queue, &observed.dead_letter, &observed.events)
    {
        plan.queues = Some(Queues {
            url: work.url.clone(),
            arn: work.arn.clone(),
            dead_letter_url: dead_letter.url.clone(),
            events_url: events.url.clone(),
        });
    }
    if platform.suspended {
        plan.calls.clear();
    }
    plan
}

impl TranscodingPlan {
    fn problem(&mut self, reason: ConditionReason, message: String, blocking: bool) {
        self.problems.push(Problem { reason, message, blocking });
    }

    fn extend_queue(&mut self, calls: Vec<sqs::Call>) {
        self.calls.extend(calls.into_iter().map(Call::Sqs));
    }
}

/// Tags and a name in words of what is there under a name that the operator gave.
fn named_by_us<'a>(
    wanted: &Transcoding,
    observed: &'a Observed,
) -> Vec<(String, &'a BTreeMap<String, String>)> {
    let made = matches!(wanted.queue, Queue::Managed { .. });
    let queues = [(made, &observed.queue), (made, &observed.dead_letter), (true, &observed.events)];
    let buckets = [(&wanted.input, &observed.input), (&wanted.output, &observed.output)];
    let queues = queues
        .into_iter()
        .filter(|(ours, _)| *ours)
        .filter_map(|(_, queue)| queue.as_ref().map(|it| (format!("queue {}", it.url), &it.tags)));
    let buckets = buckets
        .into_iter()
        .filter(|(bucket, _)| bucket.managed.is_some())
        .filter_map(|(_, bucket)| bucket.as_ref().map(|it| (format!("bucket {}", it.name), &it.tags)));
    queues.chain(buckets).collect()
}

/// Whether something of our names bears another platform's tags: nothing is changed then, and nothing received.
/// What bears none is ours, for the names hold a digest of the platform's UID: a crash came before the tags.
fn not_owned(
    platform: &Platform,
    wanted: &Transcoding,
    observed: &Observed,
    plan: &mut TranscodingPlan,
) -> bool {
    for (what, tags) in named_by_us(wanted, observed) {
        if let Owner::Other(other) = owner(platform, tags) {
            let message = format!(
                "{what} belongs to platform {other} by its tags; delete it in AWS if it is of no use, or correct its tags"
            );
            plan.problem(ConditionReason::NotOwned, message, true);
        }
    }
    !plan.problems.is_empty()
}

fn queues(platform: &Platform, wanted: &Transcoding, observed: &Observed, plan: &mut TranscodingPlan) {
    let plain = |suffix: &str, queue: &Option<sqs::Queue>| {
        let name = platform.aws_name(suffix);
        sqs::calls(name, sqs::desired(&wanted.queue), tags(platform), queue.as_ref())
    };
    plan.extend_queue(plain(EVENTS_QUEUE, &observed.events));
    match &wanted.queue {
        Queue::Managed { .. } => {
            plan.extend_queue(plain(DEAD_LETTER_QUEUE, &observed.dead_letter));
            let Some(dead_letter) = &observed.dead_letter else {
                plan.waiting.push("the queue waits for its dead-letter queue".to_owned());
                return;
            };
            let name = platform.aws_name(WORK_QUEUE);
            let settings = sqs::desired_work(wanted, &name, dead_letter);
            plan.extend_queue(sqs::calls(name, settings, tags(platform), observed.queue.as_ref()));
        }
        Queue::Existing { url, dead_letter_url } => existing(url, dead_letter_url, observed, plan),
    }
}

fn existing(url: &str, dead_letter_url: &str, observed: &Observed, plan: &mut TranscodingPlan) {
    for (url, queue) in [(url, &observed.queue), (dead_letter_url, &observed.dead_letter)] {
        if queue.is_none() {
            let message = format!("there is no queue {url}; make it, or name another one");
            plan.problem(ConditionReason::QueueMisconfigured, message, false);
        }
    }
    if let (Some(work), Some(dead_letter)) = (&observed.queue, &observed.dead_letter) {
        for message in sqs::misconfigurations(work, dead_letter) {
            plan.problem(ConditionReason::QueueMisconfigured, message, false);
        }
    }
}

fn buckets(platform: &Platform, wanted: &Transcoding, observed: &Observed, plan: &mut TranscodingPlan) {
    let parts = [
        (&wanted.input, &observed.input, "input", wanted.upload_origins.clone()),
        (&wanted.output, &observed.output, "output", Vec::new()),
    ];
    for (bucket, there, part, upload_origins) in parts {
        let name = &bucket.name;
        match (&bucket.managed, there) {
            (None, None) => plan.problem(
                ConditionReason::CallFailed,
                format!("there is no bucket {name}; make it, or leave transcoding.{part}.bucket out"),
                false,
            ),
            // It may have held data. Making an empty one in its place would hide the loss.
            (Some(_), None) if observed.seen_buckets.contains(name) => plan.problem(
                ConditionReason::CallFailed,
                format!("bucket {name}, which the operator made, is gone with what was in it; restore it or make it anew by hand, and the operator goes on"),
                false,
            ),
            (Some(managed), there) => {
                let settings = s3::desired(managed, part == "input", &upload_origins);
                let calls = s3::calls(name, &settings, &tags(platform), there.as_ref());
                plan.calls.extend(calls.into_iter().map(Call::S3));
            }
            (None, Some(there)) if part == "input" && !there.is_versioned() => plan.problem(
                ConditionReason::QueueMisconfigured,
                format!("bucket {name} keeps no versions, so that an upload can replace one that waits; turn versioning on"),
                false,
            ),
            (None, Some(_)) => {}
        }
    }
    announce(platform, &wanted.input, observed, plan);
}

/// The bucket announces uploads, once the queue is there and admits it: S3 tries, and refuses otherwise.
fn announce(platform: &Platform, input: &Bucket, observed: &Observed, plan: &mut TranscodingPlan) {
    let (Some(queue), Some(bucket)) = (&observed.queue, &observed.input) else {
        plan.waiting.push("uploads are announced once queue and input bucket are there".to_owned());
        return;
    };
    let changes_queue = |call: &Call| {
        matches!(call, Call::Sqs(sqs::Call::Set { url, settings })
            if *url == queue.url && settings.contains_key(&sqs::QueueSetting::S3Admission))
    };
    if plan.calls.iter().any(changes_queue) {
        plan.waiting.push("uploads are announced once the queue admits them".to_owned());
        return;
    }
    let entry = s3::notification(s3::notification_id(&platform.uid), &queue.arn, &input.prefix);
    if !bucket.notifications.contains(&entry) {
        plan.calls.push(Call::S3(s3::Call::Announce { bucket: input.name.clone(), entry }));
    }
}

/// Whether anything in AWS is to be deleted with the platform.
#[must_use]
pub fn deletes(wanted: &Transcoding) -> bool {
    deletes_queues(wanted) || [&wanted.input, &wanted.output].iter().any(|it| deletion(it).is_some())
}

fn deletes_queues(wanted: &Transcoding) -> bool {
    matches!(wanted.queue, Queue::Managed { deletion_policy: DeletionPolicy::Delete, .. })
}

/// Whether a bucket is to be deleted with its contents; none: it stays.
fn deletion(bucket: &Bucket) -> Option<bool> {
    match bucket.managed.as_ref()?.deletion_policy {
        BucketDeletionPolicy::Retain => None,
        BucketDeletionPolicy::DeleteIfEmpty => Some(false),
        BucketDeletionPolicy::DeleteWithContents => Some(true),
    }
}

/// What goes with a platform that is deleted: what the spec says to delete, and our entry on a bucket that
/// stays. Nothing where all of that is done. What bears another platform's tags stays.
#[must_use]
pub fn teardown(platform: &Platform, observed: &Observed) -> Vec<Call> {
    let Some(wanted) = &platform.transcoding else { return Vec::new() };
    let ours = |tags| !matches!(owner(platform, tags), Owner::Other(_));
    let mut calls = Vec::new();
    let id = s3::notification_id(&platform.uid);
    if let Some(bucket) = &observed.input
        && bucket.notifications.iter().any(|entry| entry.id == id)
    {
        calls.push(Call::S3(s3::Call::Silence { bucket: bucket.name.clone(), id }));
    }
    if deletes_queues(wanted) {
        let queues = [&observed.queue, &observed.dead_letter, &observed.events].into_iter().flatten();
        let queues = queues.filter(|queue| ours(&queue.tags));
        calls.extend(queues.map(|queue| Call::Sqs(sqs::Call::Delete { url: queue.url.clone() })));
    }
    for (bucket, there) in [(&wanted.input, &observed.input), (&wanted.output, &observed.output)] {
        if let (Some(with_contents), Some(there)) = (deletion(bucket), there)
            && ours(&there.tags)
        {
            let bucket = bucket.name.clone();
            calls.push(Call::S3(s3::Call::Delete { bucket, with_contents }));
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::names,
        managed::{Settings, Value, s3::BucketSetting},
        plan::testing::{Cluster, from_spec},
    };
    use serde_json::{Value as Json, json};

    fn platform(transcoding: Json) -> Platform {
        let resource = from_spec(json!({"aws": {"region": "eu-central-1"}, "transcoding": transcoding}));
        Cluster::default().plan(&resource).0
    }

    /// What AWS shows after calls were made, as far as plans can tell.
    fn apply(seen: &mut Observed, platform: &Platform, calls: Vec<Call>) {
        let arn = |name: &str| format!("arn:aws:sqs:eu-central-1:123456789012:{name}");
        let suffixes = [WORK_QUEUE, DEAD_LETTER_QUEUE, EVENTS_QUEUE];
        let [work, dead_letter, events] = suffixes.map(|suffix| platform.aws_name(suffix));
        for call in calls {
            match call {
                Call::Sqs(sqs::Call::Create { name, mut settings, tags }) => {
                    settings.entry(sqs::QueueSetting::KmsKey).or_insert_with(|| "".into());
                    let (url, arn) = (format!("https://sqs/{name}"), arn(&name));
                    let queue = sqs::Queue { url, arn, settings, tags, ..sqs::Queue::default() };
                    let place = match &name {
                        it if *it == work => &mut seen.queue,
                        it if *it == dead_letter => &mut seen.dead_letter,
                        it if *it == events => &mut seen.events,
                        other => panic!("{other} is no queue of ours"),
                    };
                    *place = Some(queue);
                }
                Call::S3(s3::Call::Create { name }) => {
                    let place = if name.ends_with("input") { &mut seen.input } else { &mut seen.output };
                    let settings = [(BucketSetting::UploadOrigins, Value::Names([].into()))].into();
                    *place = Some(s3::Bucket { name, settings, ..s3::Bucket::default() });
                }
                Call::S3(s3::Call::Set { bucket, settings, .. }) => {
                    bucket_of(seen, &bucket).settings.extend(settings);
                }
                Call::S3(s3::Call::Tag { bucket, tags }) => bucket_of(seen, &bucket).tags.extend(tags),
                Call::S3(s3::Call::Announce { bucket, entry }) => {
                    bucket_of(seen, &bucket).notifications.push(entry);
                }
                other => panic!("{other} was not expected"),
            }
        }
    }

    fn bucket_of<'a>(seen: &'a mut Observed, name: &str) -> &'a mut s3::Bucket {
        let buckets = [&mut seen.input, &mut seen.output].into_iter().flatten();
        buckets.into_iter().find(|bucket| bucket.name == name).unwrap()
    }

    fn calls(platform: &Platform, seen: &Observed) -> Vec<Call> {
        plan(platform, Some(seen), None).calls
    }

    /// What is there in the end, and the calls that led to it with the number of the plan that had them.
    fn converged(platform: &Platform) -> (Observed, Vec<String>) {
        let mut seen = Observed::default();
        let mut story = Vec::new();
        for round in 1..5 {
            let calls = calls(platform, &seen);
            if calls.is_empty() {
                return (seen, story);
            }
            story.extend(calls.iter().map(|call| format!("{round}: {call}")));
            apply(&mut seen, platform, calls);
        }
        panic!("not converged: {:#?}", calls(platform, &seen));
    }

    #[test]
    fn everything_is_made_in_a_few_steps_and_then_nothing_is_left_to_do() {
        let platform = platform(json!({"input": {"allowedOrigins": ["https://tv.example.com"]}}));
        insta::assert_snapshot!(converged(&platform).1.join("\n"));
    }

    #[test]
    fn what_bears_another_platforms_tags_is_refused_and_left() {
        let delete = json!({"queue": {"deletionPolicy": "Delete"}, "input": {"deletionPolicy": "DeleteWithContents"}, "output": {"deletionPolicy": "DeleteIfEmpty"}});
        let platform = platform(delete);
        let (ours, _) = converged(&platform);
        assert_eq!(teardown(&platform, &ours).len(), 6, "{:?}", teardown(&platform, &ours));

        let theirs = |tags: &mut BTreeMap<String, String>| {
            tags.insert(names::TAG_UID.into(), "another".into());
            tags.insert(names::TAG_PLATFORM.into(), "other".into());
        };
        let mut queue = ours.clone();
        theirs(&mut queue.queue.as_mut().unwrap().tags);
        let mut bucket = ours.clone();
        theirs(&mut bucket.output.as_mut().unwrap().tags);
        for seen in [queue, bucket] {
            let plan = plan(&platform, Some(&seen), None);
            assert_eq!((plan.calls, plan.queues), (Vec::new(), None));
            let [problem] = &plan.problems[..] else { panic!("{:?}", plan.problems) };
            assert_eq!((problem.reason, problem.blocking), (ConditionReason::NotOwned, true));
            assert!(problem.message.contains("belongs to platform media/other"), "{}", problem.message);
            assert_eq!(teardown(&platform, &seen).len(), 5);
        }
        // A crash came between a bucket and its tags.
        let mut untagged = ours.clone();
        untagged.input.as_mut().unwrap().tags.clear();
        let calls = calls(&platform, &untagged);
        assert!(matches!(calls[..], [Call::S3(s3::Call::Tag { .. })]), "{calls:?}");
    }

    #[test]
    fn a_bucket_goes_with_its_contents_only_where_the_spec_says_so_in_words() {
        for (policy, expected) in
            [("Retain", None), ("DeleteIfEmpty", Some(false)), ("DeleteWithContents", Some(true))]
        {
            let platform = platform(json!({"output": {"deletionPolicy": policy}}));
            let bucket = platform.transcoding.as_ref().unwrap().output.name.clone();
            let there =
                s3::Bucket { name: bucket.clone(), settings: Settings::new(), ..s3::Bucket::default() };
            let seen = Observed { output: Some(there), ..Observed::default() };
            let call = expected.map(|with_contents| Call::S3(s3::Call::Delete { bucket, with_contents }));
            assert_eq!(teardown(&platform, &seen), Vec::from_iter(call), "{policy}");
            assert_eq!(deletes(platform.transcoding.as_ref().unwrap()), expected.is_some(), "{policy}");
        }
    }
}
