//! Tests of the decisions: builders for attempts, scenes, and the model.

mod model;
mod scenes;

use super::{
    attempt::{Attempt, Failure, Held, Phase, Ticket, WorkKey},
    attempts::Attempts,
    memory::Received,
    message::{Places, Request},
    policy::Policy,
};
use contract::{Reason, TerminationMessage, Work, job::Source};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

pub const QUEUE: &str = "arn:aws:sqs:eu-west-1:123456789012:main";
pub const VISIBILITY: SignedDuration = SignedDuration::from_secs(60);

pub fn time(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

pub fn policy() -> Policy {
    Policy {
        namespace: "media".into(),
        platform: "demo".into(),
        queue_url: "http://sqs/main".into(),
        queue_arn: QUEUE.into(),
        visibility: VISIBILITY,
        max_jobs: 3,
        max_attempts: 3,
        retention: SignedDuration::from_secs(120),
        suspended: false,
        draining: None,
        places: Places {
            input_bucket: "in".into(),
            input_prefix: String::new(),
            output_bucket: "out".into(),
            output_prefix: String::new(),
        },
    }
}

pub fn body(work: &str) -> String {
    serde_json::json!({
        "apiVersion": contract::message::API_VERSION, "id": work, "source": {"bucket": "in", "key": work}
    })
    .to_string()
}

pub fn held(id: &str, handle: &str, at: Timestamp) -> Held {
    Held { message_id: id.into(), receipt_handle: handle.into(), received_at: at, sent_at: at }
}

pub fn received(id: &str, work: &str, at: Timestamp) -> Received {
    Received { held: held(id, &format!("{id}-1"), at), body: body(work), attributes: BTreeMap::new() }
}

pub fn key(work: &str) -> WorkKey {
    WorkKey { queue_arn: QUEUE.into(), identity: Work::Explicit { id: work.into() }.identity() }
}

pub fn attempt(work: &str, number: u32, created_at: Timestamp) -> Attempt {
    let request = Request {
        work: Work::Explicit { id: work.into() },
        source: Source { bucket: "in".into(), key: work.into(), version_id: None },
        profile: None,
        from_event: false,
    };
    Attempt {
        name: key(work).job_name(number),
        uid: format!("{work}-{number}"),
        key: key(work),
        number,
        ticket: Ticket {
            queue_url: "http://sqs/main".into(),
            queue_arn: QUEUE.into(),
            request,
            attempts_before: 0,
        },
        body: body(work),
        held: vec![held(&format!("m-{work}"), &format!("m-{work}-1"), created_at)],
        created_at,
        phase: Phase::Running,
        settled: None,
        cancel: false,
        aborted: false,
        deleting: false,
        ghost: false,
    }
}

pub fn all(attempts: &[Attempt]) -> Attempts {
    attempts.iter().cloned().collect()
}

pub fn failed(attempt: Attempt, reason: Reason, permanent: bool, at: Timestamp) -> Attempt {
    let why = TerminationMessage { reason, message: "because".into() };
    Attempt { phase: Phase::Failed { at, failure: Failure { why, permanent } }, ..attempt }
}

pub fn succeeded(attempt: Attempt, at: Timestamp) -> Attempt {
    Attempt { phase: Phase::Succeeded { at }, ..attempt }
}
