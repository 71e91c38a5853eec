//! inbound: what becomes of messages that were received and are on no Job yet.

use super::{
    attempt::{Attempt, Held, MAX_HELD, Settlement, WorkKey},
    decide::{Decision, Next, Work, first, is_over, open, surplus},
    memory::{Inbound, Memory, Subject},
    message::{Misunderstood, Parsed, Request, parse},
    policy::Policy,
    settle,
    step::{Origin, Step},
};
use contract::{
    Identity, Outcome, OutcomeEvent, Reason, TerminationMessage, Work as ContractWork, event::OutcomeData,
};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// Attributes of a message on the dead-letter queue. A message on the main queue that has them is a redrive.
pub mod attribute {
    /// Why, as a constant.
    pub const REASON: &str = "Reason";
    /// Why, in a sentence.
    pub const MESSAGE: &str = "Message";
    /// How many attempts were made.
    pub const ATTEMPTS: &str = "Attempts";
    /// Identity of the work.
    pub const IDENTITY: &str = "Identity";
    /// Id that the message had on the main queue.
    pub const ORIGINAL_MESSAGE_ID: &str = "OriginalMessageId";
}

/// Longest time that a surplus duplicate stays hidden before it asks again.
const SURPLUS_DELAY: SignedDuration = SignedDuration::from_mins(5);

/// A message that claims more attempts than this was not written by us.
const MAX_ATTEMPTS: u32 = 1_000_000;

/// A message and the work that it asks for.
pub(super) struct Arrived<'a> {
    inbound: &'a Inbound,
    request: Request,
}

impl Arrived<'_> {
    fn held(&self) -> &Held {
        &self.inbound.message.held
    }

    /// Attempts before a redrive; none: it is no redrive.
    fn attempts(&self) -> Option<u32> {
        let attempts = self.inbound.message.attributes.get(attribute::ATTEMPTS)?.parse().ok();
        attempts.filter(|attempts| *attempts <= MAX_ATTEMPTS)
    }
}

/// Sorts the inbox by work. What asks for none, or can't be understood, yields its next step at once.
pub(super) fn sort<'a>(
    policy: &Policy,
    memory: &'a Memory,
    now: Timestamp,
    decision: &mut Decision,
) -> BTreeMap<WorkKey, Vec<Arrived<'a>>> {
    let mut works: BTreeMap<WorkKey, Vec<Arrived<'_>>> = BTreeMap::new();
    for inbound in &memory.inbox {
        let held = &inbound.message.held;
        if let Some(until) = memory.paused(&Subject::Message(held.message_id.clone()), now) {
            decision.wake_at(until);
            continue;
        }
        let steps = &mut decision.steps;
        if inbound.give_back || policy.draining.is_some() {
            steps.push(surplus(policy, std::slice::from_ref(held), SignedDuration::ZERO));
            continue;
        }
        match parse(&inbound.message.body) {
            Ok(Parsed::Transcode(request)) => match policy.places.admit(&request) {
                Ok(()) => {
                    let key = WorkKey { queue_arn: policy.queue_arn.clone(), identity: request.identity() };
                    works.entry(key).or_default().push(Arrived { inbound, request: *request });
                }
                Err(why) => steps.push(refuse(policy, inbound, &why, Some(&request), now)),
            },
            Ok(Parsed::Split(bodies)) if !inbound.sent => steps.push(Step::Resend {
                queue_url: policy.queue_url.clone(),
                message_id: held.message_id.clone(),
                bodies,
            }),
            Ok(Parsed::Split(_) | Parsed::Discard) => steps.push(delete(policy, held)),
            Err(why) => steps.push(refuse(policy, inbound, &why, None, now)),
        }
    }
    works
}

/// Brings a message that can't be carried out to the dead-letter queue: copy, announce, delete.
fn refuse(
    policy: &Policy,
    inbound: &Inbound,
    why: &Misunderstood,
    request: Option<&Request>,
    now: Timestamp,
) -> Step {
    let held = &inbound.message.held;
    let of = Origin::Message(held.message_id.clone());
    // A message that names no work gets an identity all the same: that of its delivery to this queue.
    let identity = request.map_or_else(
        || ContractWork::Explicit { id: format!("message:{}", held.message_id) }.identity(),
        Request::identity,
    );
    let why = TerminationMessage { reason: Reason::InvalidMessage, message: why.to_string() };
    if !inbound.sent {
        let attributes = dead_letter_attributes(&why, 0, &identity, &held.message_id);
        return Step::DeadLetter { body: inbound.message.body.clone(), attributes, of };
    }
    if !inbound.announced {
        let data = OutcomeData {
            outcome: Outcome::DeadLettered,
            attempt: 0,
            source: request.map(|request| request.source.clone()),
            output: None,
            failure: Some(why),
            explicit_id: request.and_then(Request::explicit_id).map(ToOwned::to_owned),
        };
        let event = OutcomeEvent::new(&policy.namespace, &policy.platform, identity, now, data);
        return Step::Announce { event: Box::new(event), of };
    }
    delete(policy, held)
}

/// The attributes of the copy on the dead-letter queue.
pub(super) fn dead_letter_attributes(
    why: &TerminationMessage,
    attempts: u32,
    identity: &Identity,
    message_id: &str,
) -> BTreeMap<String, String> {
    [
        (attribute::REASON, why.reason.to_string()),
        (
            attribute::MESSAGE,
            if why.message.is_empty() { "no message".to_owned() } else { why.message.clone() },
        ),
        (attribute::ATTEMPTS, attempts.to_string()),
        (attribute::IDENTITY, identity.to_string()),
        (attribute::ORIGINAL_MESSAGE_ID, message_id.to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

fn delete(policy: &Policy, held: &Held) -> Step {
    Step::Delete {
        queue_url: policy.queue_url.clone(),
        messages: vec![held.clone()],
        of: Origin::Message(held.message_id.clone()),
    }
}

/// What becomes of the messages that ask for one piece of work.
pub(super) fn next(work: &Work<'_>, messages: &[Arrived<'_>]) -> Next {
    let Some(last) = work.attempts.last() else {
        let before = messages.iter().filter_map(Arrived::attempts).max().unwrap_or(0);
        return begin(work, messages, before + 1, before);
    };
    if is_over(last) {
        return late(work, last, messages);
    }
    match last.settled {
        // The next attempt was made, and deleted while nobody looked: it counts.
        Some(Settlement::Retried) => begin(work, messages, last.number + 2, last.ticket.attempts_before),
        Some(_) => begin(work, messages, last.number + 1, last.number),
        None => attach(work, last, messages),
    }
}

fn begin(work: &Work<'_>, messages: &[Arrived<'_>], number: u32, attempts_before: u32) -> Next {
    let name = work.key.job_name(number);
    if let Some(until) = work.memory.paused(&Subject::Job(name), work.now) {
        return Next::Wait(Some(until));
    }
    let held = messages.iter().map(|it| it.held().clone()).collect();
    let [head, ..] = messages else { return Next::Wait(None) };
    Next::Start(first(
        work.policy,
        work.key,
        head.inbound,
        head.request.clone(),
        number,
        attempts_before,
        held,
    ))
}

/// Messages for work that is over: duplicates are deleted, a redrive of what failed starts anew.
fn late(work: &Work<'_>, last: &Attempt, messages: &[Arrived<'_>]) -> Next {
    let succeeded = matches!(last.phase, super::attempt::Phase::Succeeded { .. });
    let (redrives, duplicates): (Vec<_>, Vec<_>) =
        messages.iter().partition(|it| !succeeded && it.attempts().is_some());
    if let Some(duplicate) = duplicates.first() {
        let of = if last.settled.is_none() {
            if let Some(until) = work.memory.paused(&Subject::Job(last.name.clone()), work.now) {
                return Next::Wait(Some(until));
            }
            Origin::Attempt(last.name.clone())
        } else {
            Origin::Message(duplicate.held().message_id.clone())
        };
        return Next::Step(Step::Delete {
            queue_url: work.policy.queue_url.clone(),
            messages: duplicates.iter().map(|it| it.held().clone()).collect(),
            of,
        });
    }
    let before = redrives.iter().filter_map(|it| it.attempts()).max().unwrap_or(0).max(last.number);
    begin(work, messages, before + 1, before)
}

/// Messages for work that is under way wait with it.
fn attach(work: &Work<'_>, last: &Attempt, messages: &[Arrived<'_>]) -> Next {
    if last.deleting {
        return Next::Wait(None);
    }
    if let Some(until) = work.memory.paused(&Subject::Job(last.name.clone()), work.now) {
        return Next::Wait(Some(until));
    }
    // A redrive that overtakes the settlement of the attempt that it is a copy of waits for it.
    let ending = settle::is_final(work.policy, last);
    let joining: Vec<&Held> = messages
        .iter()
        .filter(|it| !(ending && it.attempts().is_some_and(|attempts| attempts >= last.number)))
        .map(Arrived::held)
        .collect();
    if joining.is_empty() {
        return settle::next(work);
    }
    let mut held: Vec<Held> = open(last, work.memory).cloned().collect();
    let mut surplus_messages = Vec::new();
    for message in joining {
        if let Some(same) = held.iter_mut().find(|it| it.message_id == message.message_id) {
            same.clone_from(message);
        } else if held.len() < MAX_HELD {
            held.push(message.clone());
        } else {
            surplus_messages.push(message.clone());
        }
    }
    if !surplus_messages.is_empty() {
        let delay = work.policy.visibility.min(SURPLUS_DELAY);
        return Next::Step(surplus(work.policy, &surplus_messages, delay));
    }
    Next::Step(Step::Hold { attempt: last.name.clone(), held, ghost: last.ghost })
}
