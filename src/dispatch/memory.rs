//! memory: what the dispatcher knows beyond the Jobs, and may lose at any moment.
//!
//! After a crash all of it is found again or done again without harm: handles are verified by extending
//! them, announcements are repeated under the same id, messages in the inbox are delivered again.

use super::{
    attempt::{Attempt, Failure, Held, Phase},
    attempts::Attempts,
    backoff::{ADOPTIONS, CALLS},
    policy::Policy,
    step::{Done, Origin, Step, StepError},
};
use contract::{Outcome, Reason, TerminationMessage};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, HashMap, HashSet};

/// SQS hides a message for at most 12 hours from its receipt, however often it is extended.
pub const MAX_HOLD: SignedDuration = SignedDuration::from_hours(12);

/// A message that was received, with what came with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    /// Its id and handle.
    pub held: Held,
    /// Its body.
    pub body: String,
    /// Its attributes of type String or Number.
    pub attributes: BTreeMap<String, String>,
}

/// A received message that is not yet on a Job.
#[derive(Clone, Debug, PartialEq)]
pub struct Inbound {
    /// The message.
    pub message: Received,
    /// Hidden from others until then.
    pub until: Timestamp,
    /// Whether what it stands for is sent already: its parts, or its copy on the dead-letter queue.
    pub sent: bool,
    /// Whether its outcome is announced.
    pub announced: bool,
    /// Whether it shall go back at once.
    pub give_back: bool,
}

/// Whether a handle is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease {
    /// Another leader received it; how long it is good shows when it is extended.
    Unknown,
    /// Good until then.
    Until(Timestamp),
    /// The message is visible again; its next delivery brings a good one.
    Lapsed,
}

/// How far the settlement of a Job has come.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Messages that are deleted, or given back.
    pub gone: HashSet<String>,
    /// Outcomes that are announced.
    pub announced: HashSet<Outcome>,
    /// Whether the copy is on the dead-letter queue.
    pub copied: bool,
}

/// What is not tried again before a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Until when.
    pub until: Timestamp,
    /// How often it failed in a row.
    pub failures: u32,
    /// The last error.
    pub error: String,
}

/// What may be paused on its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// What one Job needs.
    Job(String),
    /// What one message needs that is on no Job.
    Message(String),
    /// Making Jobs.
    Creation,
    /// Receiving.
    Receive,
    /// Extending handles.
    Heartbeat,
}

/// What the dispatcher remembers for one queue.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    pub(super) inbox: Vec<Inbound>,
    pub(super) leases: HashMap<String, Lease>,
    pub(super) progress: HashMap<String, Progress>,
    pub(super) pauses: HashMap<Subject, Pause>,
    pub(super) ghosts: BTreeMap<String, Attempt>,
    /// Unsettled Jobs that were seen.
    pub(super) seen: HashMap<String, Attempt>,
    /// Jobs that we deleted ourselves.
    pub(super) removed: HashSet<String>,
    /// Jobs whose creation was not answered, and until when it may still come to pass. Each has its slot.
    pub(super) unheard: BTreeMap<String, Timestamp>,
    /// When this memory began.
    pub(super) since: Option<Timestamp>,
    pub(super) adoption: Option<Pause>,
    /// Messages that can't be understood, newest last.
    pub(super) refused: Vec<Refused>,
}

/// A message that was dead-lettered without ever becoming a Job.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// The identity that its event has.
    pub identity: contract::Identity,
    /// Why.
    pub why: TerminationMessage,
    /// When.
    pub at: Timestamp,
}

/// A failed heartbeat is repeated after at most this; the shortest visibility timeout is 30 s.
const MAX_HEARTBEAT_PAUSE: SignedDuration = SignedDuration::from_secs(5);
/// How long after we gave up on it a request may still be performed: the API server's own limit
/// (`--request-timeout`, 60 s).
const UNHEARD: SignedDuration = SignedDuration::from_secs(60);
/// How many refused messages are remembered for the report.
const REFUSED: usize = 10;
/// How long a pause is remembered after its end, so that what fails again waits longer.
const PAUSE_MEMORY: SignedDuration = SignedDuration::from_mins(10);

impl Memory {
    /// Takes note of the Jobs that there are now: a Job that was unsettled and is gone was deleted by someone, which is a
    /// failed attempt.
    pub fn observe(&mut self, attempts: &Attempts, policy: &Policy, now: Timestamp) {
        self.since.get_or_insert(now);
        self.ghosts.retain(|name, _| attempts.get(name).is_none());
        self.unheard.retain(|name, until| *until > now && attempts.get(name).is_none());
        for (name, attempt) in self.seen.extract_if(|name, _| attempts.get(name).is_none()) {
            if !self.removed.remove(&name) && attempt.settled.is_none() {
                self.ghosts.insert(name, ghost(attempt, now));
            }
        }
        self.seen.retain(|name, _| attempts.get(name).is_some_and(|it| it.settled.is_none()));
        for attempt in attempts.unsettled() {
            match self.seen.get_mut(&attempt.name) {
                Some(seen) if seen == attempt => {}
                Some(seen) => seen.clone_from(attempt),
                None => drop(self.seen.insert(attempt.name.clone(), attempt.clone())),
            }
        }
        let mut unsettled: Vec<&Attempt> = self.seen.values().chain(self.ghosts.values()).collect();
        // Of a message that moved on to the next attempt, that one's handle counts.
        unsettled.sort_by_key(|attempt| std::cmp::Reverse(attempt.number));
        for held in unsettled.iter().flat_map(|it| &it.held) {
            let (hidden, held_at_most) = (held.received_at + policy.visibility, held.received_at + MAX_HOLD);
            let lease = self
                .leases
                .entry(held.message_id.clone())
                .or_insert_with(|| if hidden > now { Lease::Until(hidden) } else { Lease::Unknown });
            if *lease == Lease::Unknown && held_at_most <= now {
                *lease = Lease::Lapsed;
            }
        }
        let names: HashSet<&str> = unsettled.iter().map(|it| it.name.as_str()).collect();
        let ids: HashSet<&str> =
            unsettled.iter().flat_map(|it| &it.held).map(|held| held.message_id.as_str()).collect();
        self.progress.retain(|name, _| names.contains(name.as_str()));
        self.leases.retain(|id, _| ids.contains(id.as_str()));
        for lease in self.leases.values_mut() {
            if matches!(lease, Lease::Until(until) if *until <= now) {
                *lease = Lease::Lapsed;
            }
        }
        self.inbox.retain(|inbound| inbound.until > now);
        self.refused.retain(|refused| refused.at + policy.retention > now);
        self.pauses.retain(|subject, pause| {
            let is_there = matches!(subject, Subject::Job(name) if names.contains(name.as_str()));
            is_there || pause.until + PAUSE_MEMORY > now
        });
    }

    /// Takes messages that a receive brought.
    pub fn receive(&mut self, messages: Vec<Received>, visibility: SignedDuration, now: Timestamp) {
        self.pauses.remove(&Subject::Receive);
        let adopts = messages.iter().any(|it| self.lease(&it.held.message_id) == Some(Lease::Lapsed));
        if adopts {
            self.adoption = None;
        } else if self.leases.values().any(|lease| *lease == Lease::Lapsed) {
            let failures = self.adoption.as_ref().map_or(1, |it| it.failures + 1);
            let until = now + ADOPTIONS.delay("adoption", failures);
            self.adoption = Some(Pause { until, failures, error: String::new() });
        }
        for message in messages {
            let until = message.held.received_at + visibility;
            self.inbox.retain(|it| it.message.held.message_id != message.held.message_id);
            self.inbox.push(Inbound { message, until, sent: false, announced: false, give_back: false });
        }
    }

    /// Takes the failure of a receive.
    pub fn receive_failed(&mut self, error: String, now: Timestamp) {
        self.pause(Subject::Receive, error, now);
    }

    /// Takes the result of a step.
    pub fn fold(
        &mut self,
        step: &Step,
        result: &Result<Done, StepError>,
        visibility: SignedDuration,
        now: Timestamp,
    ) {
        if let (Err(error), Some(subject)) = (result, step.subject()) {
            if error.creation {
                self.pause(Subject::Creation, error.message.clone(), now);
                self.give_back(step);
            } else {
                self.pause(subject, error.message.clone(), now);
                if let Step::Create(creation) = step {
                    self.unheard.insert(creation.name.clone(), now + UNHEARD);
                }
            }
            return;
        }
        if let Some(subject) = step.subject() {
            self.pauses.remove(&subject);
        }
        match (step, result) {
            (Step::Create(creation), Ok(Done::Made(attempt))) => {
                self.pauses.remove(&Subject::Creation);
                self.unheard.remove(&creation.name);
                self.attached(&creation.held, visibility);
                self.seen.insert(attempt.name.clone(), (**attempt).clone());
            }
            (Step::Hold { attempt, held, .. }, Ok(_)) => {
                self.attached(held, visibility);
                if let Some(ghost) = self.ghosts.get_mut(attempt) {
                    ghost.held.clone_from(held);
                }
            }
            (Step::Extend { timeout, messages, .. }, Ok(Done::Lapsed(lapsed))) => {
                for held in messages {
                    let lease = if lapsed.contains(&held.message_id) {
                        Lease::Lapsed
                    } else {
                        Lease::Until((now + *timeout).min(held.received_at + MAX_HOLD))
                    };
                    self.leases.insert(held.message_id.clone(), lease);
                }
            }
            (Step::Delete { messages, of, .. } | Step::Return { messages, of, .. }, Ok(done)) => {
                self.gone(messages, of, done);
            }
            (Step::Resend { message_id, .. }, Ok(_)) => self.inbound(message_id, |it| it.sent = true),
            (Step::DeadLetter { of, .. }, Ok(_)) => match of {
                Origin::Attempt(name) => self.progress(name).copied = true,
                Origin::Message(id) => self.inbound(id, |it| it.sent = true),
            },
            (Step::Announce { event, of }, Ok(_)) => match of {
                Origin::Attempt(name) => {
                    self.progress(name).announced.insert(event.data.outcome);
                }
                Origin::Message(id) => {
                    self.inbound(id, |it| it.announced = true);
                    if let Some(why) = event.data.failure.clone() {
                        self.refused.push(Refused { identity: event.subject.clone(), why, at: now });
                        let surplus = self.refused.len().saturating_sub(REFUSED);
                        self.refused.drain(..surplus);
                    }
                }
            },
            (Step::Settle { attempt, .. }, Ok(_)) => {
                self.ghosts.remove(attempt);
                self.seen.remove(attempt);
            }
            (Step::Remove { attempt }, Ok(_)) => self.removed(attempt),
            _ => {}
        }
    }

    /// The lease of a message.
    #[must_use]
    pub fn lease(&self, message_id: &str) -> Option<Lease> {
        self.leases.get(message_id).copied()
    }

    /// The pause of something, where it is not over.
    pub(super) fn paused(&self, subject: &Subject, now: Timestamp) -> Option<Timestamp> {
        self.pauses.get(subject).map(|pause| pause.until).filter(|until| *until > now)
    }

    /// Jobs that someone deleted and that are not settled.
    pub fn ghosts(&self) -> impl Iterator<Item = &Attempt> + Clone {
        self.ghosts.values()
    }

    fn pause(&mut self, subject: Subject, error: String, now: Timestamp) {
        let failures = self.pauses.get(&subject).map_or(1, |pause| pause.failures.saturating_add(1));
        let delay = CALLS.delay(&format!("{subject:?}"), failures);
        let until = now + if subject == Subject::Heartbeat { delay.min(MAX_HEARTBEAT_PAUSE) } else { delay };
        self.pauses.insert(subject, Pause { until, failures, error });
    }

    /// A Job that can't be made leaves its messages to others until it can.
    fn give_back(&mut self, step: &Step) {
        if let Step::Create(creation) = step {
            for held in &creation.held {
                self.inbound(&held.message_id, |it| it.give_back = true);
            }
        }
    }

    /// The messages are on a Job now. The one that was just received has a good handle.
    fn attached(&mut self, held: &[Held], visibility: SignedDuration) {
        for held in held {
            if self.inbox.iter().any(|it| it.message.held == *held) {
                self.leases.insert(held.message_id.clone(), Lease::Until(held.received_at + visibility));
                self.inbox.retain(|it| it.message.held != *held);
            }
        }
    }

    fn gone(&mut self, messages: &[Held], of: &Origin, done: &Done) {
        let lapsed = match done {
            Done::Lapsed(lapsed) => lapsed.as_slice(),
            _ => &[],
        };
        for held in messages {
            let id = &held.message_id;
            self.inbox.retain(|it| it.message.held.message_id != *id);
            match of {
                Origin::Attempt(_) if lapsed.contains(id) => {
                    self.leases.insert(id.clone(), Lease::Lapsed);
                }
                Origin::Attempt(name) => {
                    self.progress(name).gone.insert(id.clone());
                }
                Origin::Message(_) => {}
            }
        }
    }

    /// A Job that we deleted: its messages go back.
    fn removed(&mut self, name: &str) {
        self.removed.insert(name.to_owned());
        let Some(attempt) = self.seen.get(name) else { return };
        for held in attempt.held.clone() {
            let message = Received { held, body: String::new(), attributes: BTreeMap::new() };
            let until = match self.lease(&message.held.message_id) {
                Some(Lease::Until(until)) => until,
                _ => continue,
            };
            self.inbox.push(Inbound { message, until, sent: false, announced: false, give_back: true });
        }
    }

    fn progress(&mut self, name: &str) -> &mut Progress {
        self.progress.entry(name.to_owned()).or_default()
    }

    fn inbound(&mut self, id: &str, change: impl FnOnce(&mut Inbound)) {
        if let Some(inbound) = self.inbox.iter_mut().find(|it| it.message.held.message_id == id) {
            change(inbound);
        }
    }
}

fn ghost(attempt: Attempt, now: Timestamp) -> Attempt {
    let why = TerminationMessage {
        reason: Reason::JobDeleted,
        message: "someone deleted the Job; to stop the work for good use `streaming-operator queue cancel`"
            .into(),
    };
    let phase = match attempt.phase {
        ended @ (Phase::Succeeded { .. } | Phase::Failed { .. }) => ended,
        Phase::Pending { .. } | Phase::Running => {
            Phase::Failed { at: now, failure: Failure { why, permanent: false } }
        }
    };
    Attempt { phase, ghost: true, deleting: false, ..attempt }
}
