//! decide: from what is known of a queue and its Jobs to the next steps.
//!
//! # Flow
//! Each round reads the Jobs and the memory and yields at most one step for each piece of work; what comes
//! after follows from the changed state in the next round. So a crash between two steps is nothing special.
//!
//! # Guarantees
//! - A message is deleted only when its work succeeded, was cancelled, or stands on the dead-letter queue.
//! - A Job is made only when the one before it ended, under a name that its work and number decide.
//! - What ends is announced and settled in this order: delete (or copy, then delete), announce, mark.
//!
//! # Assumptions
//! One dispatcher at a time runs for a queue, and nobody else consumes it.

use super::{
    attempt::{Attempt, Held, MAX_HELD, Phase, Settlement, Ticket, WorkKey},
    attempts::Attempts,
    breaker::{self, Breaker},
    inbound,
    memory::{Inbound, Lease, MAX_HOLD, Memory, Subject},
    policy::Policy,
    settle,
    step::{Creation, Origin, Step},
};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// What to do now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// Steps, in any order.
    pub steps: Vec<Step>,
    /// How many messages to receive; 0: none.
    pub receive: usize,
    /// When to decide again though nothing happened.
    pub wake: Option<Timestamp>,
    /// Whether nothing is left to do for a platform that is deleted, but for a receive in flight.
    pub drained: bool,
}

impl Decision {
    pub(super) fn wake_at(&mut self, at: Timestamp) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }
}

/// What to do next for one piece of work.
#[derive(Debug)]
pub(super) enum Next {
    /// This.
    Step(Step),
    /// Make a Job, as soon as one may start.
    Start(Box<Creation>),
    /// Nothing before that time, or before something changes.
    Wait(Option<Timestamp>),
}

/// Everything that a decision for one piece of work may look at.
pub(super) struct Work<'a> {
    pub policy: &'a Policy,
    pub memory: &'a Memory,
    pub key: &'a WorkKey,
    /// In the order of their numbers.
    pub attempts: &'a [&'a Attempt],
    pub now: Timestamp,
}

/// Decides. `attempts` are the Jobs of the platform; [`Memory::observe`] has seen them.
#[must_use]
pub fn decide(policy: &Policy, attempts: &Attempts, memory: &Memory, now: Timestamp) -> Decision {
    let mut decision = Decision::default();
    let mut arrived = inbound::sort(policy, memory, now, &mut decision);
    // Of thousands of works, what is settled and is not asked for again has no next step.
    let unsettled = attempts.unsettled().chain(memory.ghosts()).map(|attempt| &attempt.key);
    let works = by_work(unsettled.chain(arrived.keys()), attempts, memory);
    // The messages of an attempt that was followed by another moved on to that.
    let holders = || works.values().filter_map(|attempts| attempts.last().copied());
    heartbeats(policy, holders(), memory, now, &mut decision);
    let breaker = breaker::assess(attempts, memory.ghosts());
    let mut slots = Slots::new(policy, attempts, memory, &breaker, now);
    let opens_at = slots.opens_at.into_iter().chain(memory.unheard.values().copied());
    opens_at.filter(|until| *until > now).for_each(|until| decision.wake_at(until));

    let mut starts = Vec::new();
    for (key, attempts) in &works {
        let work = Work { policy, memory, key, attempts, now };
        let next = match arrived.remove(*key) {
            Some(messages) => inbound::next(&work, &messages),
            None => settle::next(&work),
        };
        collect(next, &mut starts, &mut decision);
    }
    for (key, messages) in &arrived {
        let work = Work { policy, memory, key, attempts: &[], now };
        collect(inbound::next(&work, messages), &mut starts, &mut decision);
    }
    start(starts, &mut slots, policy, memory, &mut decision);
    receive(policy, holders(), memory, &slots, now, &mut decision);
    decision.drained = policy.draining.is_some()
        && memory.inbox.is_empty()
        && decision.steps.is_empty()
        && attempts.unsettled().chain(memory.ghosts()).next().is_none();
    decision
}

/// The attempts of each of these works, in the order of their numbers.
fn by_work<'a: 'b, 'b>(
    works: impl Iterator<Item = &'b WorkKey>,
    attempts: &'a Attempts,
    memory: &'a Memory,
) -> BTreeMap<&'a WorkKey, Vec<&'a Attempt>> {
    let mut found: BTreeMap<&WorkKey, Vec<&Attempt>> = BTreeMap::new();
    let works: BTreeSet<&'b WorkKey> = works.collect();
    let ghosts = memory.ghosts().filter(|ghost| works.contains(&ghost.key));
    for attempt in works.iter().flat_map(|work| attempts.of(work)).chain(ghosts) {
        found.entry(&attempt.key).or_default().push(attempt);
    }
    for attempts in found.values_mut() {
        attempts.sort_by_key(|it| it.number);
    }
    found
}

fn collect(next: Next, starts: &mut Vec<Creation>, decision: &mut Decision) {
    match next {
        Next::Step(step) => decision.steps.push(step),
        Next::Start(creation) => starts.push(*creation),
        Next::Wait(Some(at)) => decision.wake_at(at),
        Next::Wait(None) => {}
    }
}

/// Makes Jobs while there are slots, first those that have one already, then retries. What has no slot stays on its Job,
/// or goes back to the queue where it can be seen.
fn start(
    mut starts: Vec<Creation>,
    slots: &mut Slots,
    policy: &Policy,
    memory: &Memory,
    decision: &mut Decision,
) {
    let is_unheard = |creation: &Creation| memory.unheard.contains_key(&creation.name);
    starts.sort_by_key(|creation| (!is_unheard(creation), creation.after.is_none()));
    for creation in starts {
        slots.taken -= usize::from(is_unheard(&creation));
        if slots.free > slots.taken {
            slots.free -= 1;
            decision.steps.push(Step::Create(Box::new(creation)));
        } else if creation.after.is_none() {
            decision.steps.push(surplus(policy, &creation.held, SignedDuration::ZERO));
        } else {
            slots.starved = true;
        }
    }
}

/// Gives messages of the inbox back.
pub(super) fn surplus(policy: &Policy, held: &[Held], delay: SignedDuration) -> Step {
    Step::Return {
        queue_url: policy.queue_url.clone(),
        of: Origin::Message(held.first().map(|it| it.message_id.clone()).unwrap_or_default()),
        messages: held.to_vec(),
        delay,
    }
}

/// How many Jobs may start.
struct Slots {
    free: usize,
    /// How many of these are for Jobs of which it is not known whether they were made.
    taken: usize,
    /// When the breaker or a pause lets more start than now.
    opens_at: Option<Timestamp>,
    /// Whether a retry found no slot, so that nothing new is received.
    starved: bool,
}

impl Slots {
    fn new(policy: &Policy, attempts: &Attempts, memory: &Memory, breaker: &Breaker, now: Timestamp) -> Self {
        let active = attempts.active().count();
        let mut slots = Self {
            free: policy.max_jobs.saturating_sub(active),
            taken: memory.unheard.len(),
            opens_at: None,
            starved: false,
        };
        if policy.suspended || policy.draining.is_some() {
            slots.free = 0;
        }
        if let Breaker::Open(open) = breaker {
            let probe = usize::from(!open.probing && open.next_probe <= now);
            slots.free = slots.free.min(probe);
            slots.opens_at = (!open.probing).then_some(open.next_probe);
        }
        if let Some(until) = memory.paused(&Subject::Creation, now) {
            slots.free = 0;
            slots.opens_at = Some(until);
        }
        slots
    }
}

/// Extends what has less than two thirds of the visibility timeout left, in batches.
fn heartbeats<'a>(
    policy: &Policy,
    attempts: impl Iterator<Item = &'a Attempt>,
    memory: &Memory,
    now: Timestamp,
    decision: &mut Decision,
) {
    let mut due: BTreeMap<(&str, SignedDuration), Vec<Held>> = BTreeMap::new();
    let paused = memory.paused(&Subject::Heartbeat, now);
    for attempt in attempts.filter(|attempt| attempt.settled.is_none()) {
        for held in open(attempt, memory) {
            let last = held.received_at + MAX_HOLD;
            let beat = match memory.lease(&held.message_id) {
                Some(Lease::Unknown) => now,
                Some(Lease::Until(until)) if until < last => until - policy.visibility * 2 / 3,
                _ => continue,
            };
            // Whole seconds, as SQS counts; and none where the bound of 12 hours leaves no time to gain.
            let timeout = policy.visibility.min(last.duration_since(now));
            let timeout = SignedDuration::from_secs(timeout.as_secs());
            if !timeout.is_positive() {
                continue;
            }
            match paused {
                Some(until) if beat <= now => decision.wake_at(until),
                None if beat <= now => {
                    due.entry((attempt.ticket.queue_url.as_str(), timeout)).or_default().push(held.clone());
                }
                _ => decision.wake_at(beat),
            }
        }
    }
    for ((queue_url, timeout), messages) in due {
        for messages in messages.chunks(10) {
            decision.steps.push(Step::Extend {
                queue_url: queue_url.to_owned(),
                messages: messages.to_vec(),
                timeout,
            });
        }
    }
}

/// The messages of a Job that are neither deleted nor given back.
pub(super) fn open<'a>(attempt: &'a Attempt, memory: &'a Memory) -> impl Iterator<Item = &'a Held> {
    let progress = memory.progress.get(&attempt.name);
    attempt.held.iter().filter(move |held| !progress.is_some_and(|it| it.gone.contains(&held.message_id)))
}

/// As many as there are slots, and one for each handle that lapsed, for its message is visible again.
fn receive<'a>(
    policy: &Policy,
    attempts: impl Iterator<Item = &'a Attempt>,
    memory: &Memory,
    slots: &Slots,
    now: Timestamp,
    decision: &mut Decision,
) {
    if policy.draining.is_some() {
        return;
    }
    if let Some(until) = memory.paused(&Subject::Receive, now) {
        decision.wake_at(until);
        return;
    }
    let lapsed = attempts
        .filter(|attempt| attempt.settled.is_none() && attempt.ticket.queue_arn == policy.queue_arn)
        .flat_map(|attempt| open(attempt, memory))
        .filter(|held| memory.lease(&held.message_id) == Some(Lease::Lapsed))
        .count();
    let fresh = if slots.starved { 0 } else { slots.free.saturating_sub(slots.taken + memory.inbox.len()) };
    let pause = memory.adoption.as_ref().map(|pause| pause.until).filter(|until| *until > now);
    match pause {
        Some(until) if fresh == 0 && lapsed > 0 => decision.wake_at(until),
        _ => decision.receive = fresh + lapsed,
    }
}

/// The next attempt of work, with the messages of the one that ended.
pub(super) fn following(ended: &Attempt, held: Vec<Held>) -> Box<Creation> {
    let number = ended.number + 1;
    Box::new(Creation {
        name: ended.key.job_name(number),
        number,
        ticket: ended.ticket.clone(),
        body: ended.body.clone(),
        held,
        after: Some(ended.name.clone()),
    })
}

/// The first attempt of work, or the first after a redrive.
pub(super) fn first(
    policy: &Policy,
    key: &WorkKey,
    message: &Inbound,
    request: super::message::Request,
    number: u32,
    attempts_before: u32,
    held: Vec<Held>,
) -> Box<Creation> {
    Box::new(Creation {
        name: key.job_name(number),
        number,
        ticket: Ticket {
            queue_url: policy.queue_url.clone(),
            queue_arn: policy.queue_arn.clone(),
            request,
            attempts_before,
        },
        body: message.message.body.clone(),
        held: held.into_iter().take(MAX_HELD).collect(),
        after: None,
    })
}

/// Whether a message of this work has nothing left to do.
pub(super) fn is_over(attempt: &Attempt) -> bool {
    matches!(attempt.phase, Phase::Succeeded { .. })
        || matches!(
            attempt.settled,
            Some(Settlement::Succeeded | Settlement::DeadLettered | Settlement::Cancelled)
        )
}
