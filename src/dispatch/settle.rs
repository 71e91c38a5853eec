//! settle: from a Job's state to the end of its messages.

use super::{
    attempt::{Attempt, Failure, Held, Phase, Settlement},
    backoff::ATTEMPTS,
    decide::{Next, Work, following, open},
    inbound::dead_letter_attributes,
    memory::{Lease, Subject},
    policy::Policy,
    step::{Origin, Step},
};
use contract::{Outcome, OutcomeEvent, Reason, TerminationMessage, event::OutcomeData, job::Output};
use jiff::{SignedDuration, Timestamp};

/// How long a container may fail to start before the attempt counts as failed.
const START_LIMIT: SignedDuration = SignedDuration::from_mins(5);

/// The next step for work that has Jobs and no new messages.
pub(super) fn next(work: &Work<'_>) -> Next {
    let Some((last, earlier)) = work.attempts.split_last() else { return Next::Wait(None) };
    if let Some(attempt) = earlier.iter().find(|it| it.settled.is_none() && !it.is_active()) {
        return match paused(work, attempt) {
            Some(until) => Next::Wait(Some(until)),
            None => settle(work, attempt, Settlement::Retried, reason(attempt)),
        };
    }
    if last.settled.is_some() || last.deleting {
        return Next::Wait(None);
    }
    if let Some(until) = paused(work, last) {
        return Next::Wait(Some(until));
    }
    match &last.phase {
        Phase::Pending { .. } | Phase::Running => active(work, last),
        Phase::Succeeded { at } => finish(work, last, *at, Outcome::Succeeded, Settlement::Succeeded, None),
        Phase::Failed { at, .. } if last.cancel => {
            finish(work, last, *at, Outcome::Cancelled, Settlement::Cancelled, Some(cancelled()))
        }
        Phase::Failed { at, failure } if is_final(work.policy, last) => dead_letter(work, last, *at, failure),
        Phase::Failed { .. } if work.policy.draining.is_some() => give_back(work, last),
        Phase::Failed { at, failure } => retry(work, last, *at, failure),
    }
}

fn paused(work: &Work<'_>, attempt: &Attempt) -> Option<Timestamp> {
    work.memory.paused(&Subject::Job(attempt.name.clone()), work.now)
}

/// Whether an attempt failed and none follows.
pub(super) fn is_final(policy: &Policy, attempt: &Attempt) -> bool {
    match &attempt.phase {
        Phase::Failed { failure, .. } => {
            failure.permanent
                || attempt.number.saturating_sub(attempt.ticket.attempts_before) >= policy.max_attempts
        }
        _ => false,
    }
}

fn reason(attempt: &Attempt) -> Option<Failure> {
    match &attempt.phase {
        Phase::Failed { failure, .. } => Some(failure.clone()),
        _ => None,
    }
}

fn cancelled() -> Failure {
    ordered(Reason::Cancelled, "someone cancelled it".into())
}

fn ordered(reason: Reason, message: String) -> Failure {
    Failure { why: TerminationMessage { reason, message }, permanent: false }
}

fn active(work: &Work<'_>, attempt: &Attempt) -> Next {
    if work.memory.removed.contains(&attempt.name) {
        return Next::Wait(None);
    }
    if work.policy.draining.is_some_and(|deadline| deadline <= work.now) {
        return Next::Step(Step::Remove { attempt: attempt.name.clone() });
    }
    if attempt.aborted {
        return Next::Wait(work.policy.draining);
    }
    if attempt.cancel {
        return Next::Step(Step::Abort { attempt: attempt.name.clone(), failure: cancelled() });
    }
    match &attempt.phase {
        Phase::Pending { trouble: Some(trouble) } => {
            let limit = trouble.since + START_LIMIT;
            if limit > work.now {
                return Next::Wait(Some(work.policy.draining.map_or(limit, |deadline| deadline.min(limit))));
            }
            let failure = ordered(Reason::CannotStart, trouble.message.clone());
            Next::Step(Step::Abort { attempt: attempt.name.clone(), failure })
        }
        Phase::Running => announce(work, attempt, Outcome::Running, work.now, None)
            .unwrap_or(Next::Wait(work.policy.draining)),
        _ => Next::Wait(work.policy.draining),
    }
}

/// Deletes what is held, announces, and marks the Job.
fn finish(
    work: &Work<'_>,
    attempt: &Attempt,
    at: Timestamp,
    outcome: Outcome,
    settlement: Settlement,
    failure: Option<Failure>,
) -> Next {
    let messages = match held(work, attempt) {
        Some(messages) => messages,
        None => return Next::Wait(None),
    };
    if !messages.good.is_empty() {
        return Next::Step(Step::Delete {
            queue_url: attempt.ticket.queue_url.clone(),
            messages: messages.good,
            of: Origin::Attempt(attempt.name.clone()),
        });
    }
    if let Some(next) = announce(work, attempt, outcome, at, failure.as_ref()) {
        return next;
    }
    // Deleting with a handle that was superseded says success and does nothing. The redelivery is waited for.
    let patience = work.memory.since.unwrap_or(at).max(at) + work.policy.adoption_wait();
    if messages.lapsed && work.policy.draining.is_none() && work.now < patience {
        return Next::Wait(Some(patience));
    }
    settle(work, attempt, settlement, failure)
}

fn dead_letter(work: &Work<'_>, attempt: &Attempt, at: Timestamp, failure: &Failure) -> Next {
    if !work.memory.progress.get(&attempt.name).is_some_and(|it| it.copied) {
        let original = attempt.held.first().map_or("unknown", |held| held.message_id.as_str());
        return Next::Step(Step::DeadLetter {
            body: attempt.body.clone(),
            attributes: dead_letter_attributes(&failure.why, attempt.number, &attempt.key.identity, original),
            of: Origin::Attempt(attempt.name.clone()),
        });
    }
    finish(work, attempt, at, Outcome::DeadLettered, Settlement::DeadLettered, Some(failure.clone()))
}

/// A platform that is deleted starts no attempt; who comes after it shall have the message.
fn give_back(work: &Work<'_>, attempt: &Attempt) -> Next {
    let messages = match held(work, attempt) {
        Some(messages) => messages,
        None => return Next::Wait(None),
    };
    if messages.good.is_empty() {
        return settle(work, attempt, Settlement::Returned, reason(attempt));
    }
    Next::Step(Step::Return {
        queue_url: attempt.ticket.queue_url.clone(),
        messages: messages.good,
        delay: SignedDuration::ZERO,
        of: Origin::Attempt(attempt.name.clone()),
    })
}

fn retry(work: &Work<'_>, attempt: &Attempt, at: Timestamp, failure: &Failure) -> Next {
    if let Some(next) = announce(work, attempt, Outcome::Retrying, at, Some(failure)) {
        return next;
    }
    let failures = attempt.number.saturating_sub(attempt.ticket.attempts_before);
    let due = at + ATTEMPTS.delay(attempt.key.identity.as_str(), failures);
    if due > work.now {
        return Next::Wait(Some(due));
    }
    Next::Start(following(attempt, open(attempt, work.memory).cloned().collect()))
}

/// What a Job still holds.
struct Messages {
    /// With a good handle.
    good: Vec<Held>,
    /// Whether there are others.
    lapsed: bool,
}

/// None while it is not known whether the handles are good; the heartbeat finds out.
fn held(work: &Work<'_>, attempt: &Attempt) -> Option<Messages> {
    let mut messages = Messages { good: Vec::new(), lapsed: false };
    for held in open(attempt, work.memory) {
        match work.memory.lease(&held.message_id) {
            Some(Lease::Until(_)) => messages.good.push(held.clone()),
            Some(Lease::Unknown) => return None,
            Some(Lease::Lapsed) | None => messages.lapsed = true,
        }
    }
    Some(messages)
}

fn announce(
    work: &Work<'_>,
    attempt: &Attempt,
    outcome: Outcome,
    time: Timestamp,
    failure: Option<&Failure>,
) -> Option<Next> {
    if work.memory.progress.get(&attempt.name).is_some_and(|it| it.announced.contains(&outcome)) {
        return None;
    }
    let request = &attempt.ticket.request;
    let identity = attempt.key.identity.clone();
    let data = OutcomeData {
        outcome,
        attempt: attempt.number,
        source: Some(request.source.clone()),
        output: Some(output(work.policy, &identity)),
        failure: failure.map(|it| it.why.clone()),
        explicit_id: request.explicit_id().map(ToOwned::to_owned),
    };
    let event = OutcomeEvent::new(&work.policy.namespace, &work.policy.platform, identity, time, data);
    Some(Next::Step(Step::Announce { event: Box::new(event), of: Origin::Attempt(attempt.name.clone()) }))
}

/// Where the output of an identity goes.
#[must_use]
pub fn output(policy: &Policy, identity: &contract::Identity) -> Output {
    Output {
        bucket: policy.places.output_bucket.clone(),
        prefix: format!("{}{identity}/", policy.places.output_prefix),
    }
}

fn settle(work: &Work<'_>, attempt: &Attempt, settlement: Settlement, failure: Option<Failure>) -> Next {
    let kept = work.policy.retention.max(work.policy.visibility * 2);
    let since_end = attempt.finished_at().map_or(SignedDuration::ZERO, |at| work.now.duration_since(at));
    let seconds = (kept + since_end.max(SignedDuration::ZERO)).as_secs();
    Next::Step(Step::Settle {
        attempt: attempt.name.clone(),
        settlement,
        failure,
        ttl_seconds: i32::try_from(seconds).unwrap_or(i32::MAX),
        ghost: attempt.ghost,
    })
}
