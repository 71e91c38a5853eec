//! A model of SQS and of a cluster's Jobs, and a dispatcher that may die between any two calls.
//!
//! The queue knows what emulators don't: a handle that was superseded deletes nothing, one that lapsed may or
//! may not, and 12 hours after its receipt a message is visible again whatever one does. Whatever happens,
//! each message must end in one success or on the dead-letter queue, and no work may have two active Jobs.

use super::{QUEUE, VISIBILITY, body, key, policy, time};
use crate::dispatch::{
    attempt::{Attempt, Failure, Held, Phase, Settlement, WorkKey},
    attempts::Attempts,
    decide::decide,
    memory::{MAX_HOLD, Memory, Received},
    policy::Policy,
    step::{Done, Step, StepError},
};
use contract::{Outcome, Reason, TerminationMessage};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// How an attempt ends when its pod is left alone.
#[derive(Clone, Copy, Debug)]
enum Verdict {
    Succeed,
    Transient,
    Permanent,
}

/// What happens to the world.
#[derive(Clone, Debug)]
enum Event {
    /// A message for a piece of work is sent.
    Send(usize),
    /// The dispatcher runs until it has nothing to do.
    Run,
    /// The dispatcher dies after so many calls, and another takes over.
    Crash(usize),
    /// Time passes.
    Pass(i64),
    /// A Job goes on: its pod starts, or ends.
    Progress(usize),
    /// Someone deletes a Job.
    DeleteJob(usize),
    /// Someone sends what is on the dead-letter queue again.
    Redrive,
    /// `spec.suspend` is set or unset.
    Suspend(bool),
    /// The next calls of SQS fail.
    Outage(usize),
}

/// How strict the queue is about handles.
#[derive(Clone, Copy, Debug)]
struct Handles {
    /// Extending with a handle that is no longer good is an error, as on AWS; emulators say yes.
    extend_is_checked: bool,
    /// Deleting with a handle that lapsed, before the next receipt, works.
    lapsed_deletes: bool,
}

#[derive(Clone, Debug)]
struct Message {
    id: String,
    body: String,
    attributes: BTreeMap<String, String>,
    sent_at: Timestamp,
    visible_at: Timestamp,
    received_at: Timestamp,
    receipts: usize,
}

impl Message {
    fn handle(&self) -> String {
        format!("{}#{}", self.id, self.receipts)
    }
}

struct World {
    now: Timestamp,
    policy: Policy,
    handles: Handles,
    verdicts: Vec<Vec<Verdict>>,
    queue: Vec<Message>,
    dead: Vec<(String, BTreeMap<String, String>)>,
    ever_dead: BTreeSet<WorkKey>,
    jobs: BTreeMap<String, (Attempt, Option<Timestamp>)>,
    outputs: BTreeSet<WorkKey>,
    told: BTreeSet<(String, Outcome)>,
    sent: usize,
    outage: usize,
    calls: usize,
}

const WORKS: [&str; 4] = ["a", "b", "c", "d"];

fn work_of(body: &str) -> WorkKey {
    let value: serde_json::Value = serde_json::from_str(body).unwrap();
    key(value["id"].as_str().unwrap())
}

impl World {
    fn new(verdicts: Vec<Vec<Verdict>>, max_jobs: usize, handles: Handles) -> Self {
        Self {
            now: time(0),
            policy: Policy { max_jobs, ..policy() },
            handles,
            verdicts,
            queue: Vec::new(),
            dead: Vec::new(),
            ever_dead: BTreeSet::new(),
            jobs: BTreeMap::new(),
            outputs: BTreeSet::new(),
            told: BTreeSet::new(),
            sent: 0,
            outage: 0,
            calls: 0,
        }
    }

    fn send(&mut self, body: String, attributes: BTreeMap<String, String>) {
        self.sent += 1;
        self.queue.push(Message {
            id: format!("m{}", self.sent),
            body,
            attributes,
            sent_at: self.now,
            visible_at: self.now,
            received_at: self.now,
            receipts: 0,
        });
    }

    fn receive(&mut self, max: usize) -> Vec<Received> {
        let now = self.now;
        let visible = self.queue.iter_mut().filter(|message| message.visible_at <= now).take(max);
        visible
            .map(|message| {
                message.receipts += 1;
                message.received_at = now;
                message.visible_at = now + VISIBILITY;
                let held = Held {
                    message_id: message.id.clone(),
                    receipt_handle: message.handle(),
                    received_at: now,
                    sent_at: message.sent_at,
                };
                Received { held, body: message.body.clone(), attributes: message.attributes.clone() }
            })
            .collect()
    }

    /// Changes when a message is visible. Returns whether the handle was refused.
    fn change_visibility(&mut self, held: &Held, timeout: SignedDuration) -> bool {
        let (now, checked) = (self.now, self.handles.extend_is_checked);
        let Some(message) = self.queue.iter_mut().find(|it| it.id == held.message_id) else { return checked };
        let good = message.handle() == held.receipt_handle;
        let in_flight = message.visible_at > now;
        let last = message.received_at + MAX_HOLD;
        if checked && (!good || !in_flight || now + timeout > last) {
            return true;
        }
        if good {
            message.visible_at = (now + timeout).min(last.max(now));
        }
        false
    }

    fn delete(&mut self, held: &Held) {
        let (now, lapsed_deletes) = (self.now, self.handles.lapsed_deletes);
        let Some(index) = self.queue.iter().position(|it| {
            it.id == held.message_id
                && it.handle() == held.receipt_handle
                && (it.visible_at > now || lapsed_deletes)
        }) else {
            return;
        };
        let message = self.queue.remove(index);
        let work = work_of(&message.body);
        assert!(
            self.outputs.contains(&work) || self.ever_dead.contains(&work),
            "message {} of {work:?} was deleted before its work was over",
            message.id
        );
    }

    fn execute(&mut self, step: &Step) -> Result<Done, StepError> {
        self.calls += 1;
        let down = || StepError { message: "down".into(), creation: false };
        if self.outage > 0 {
            self.outage -= 1;
            return Err(down());
        }
        let mut lapsed = Vec::new();
        match step {
            Step::Create(creation) => return Ok(self.create(creation)),
            Step::Hold { attempt, held, ghost } => {
                if !ghost {
                    let Some((job, _)) = self.jobs.get_mut(attempt) else { return Err(down()) };
                    job.held.clone_from(held);
                }
            }
            Step::Settle { attempt, settlement, ttl_seconds, ghost, .. } => {
                if !ghost {
                    let Some((job, ttl)) = self.jobs.get_mut(attempt) else { return Err(down()) };
                    assert!(!job.is_active(), "{attempt} is settled while it runs");
                    job.settled = Some(*settlement);
                    *ttl = job.finished_at().map(|at| at + SignedDuration::from_secs((*ttl_seconds).into()));
                    let outcome = match settlement {
                        Settlement::Succeeded => Outcome::Succeeded,
                        Settlement::DeadLettered => Outcome::DeadLettered,
                        _ => Outcome::Retrying,
                    };
                    let told = self.told.contains(&(attempt.clone(), outcome));
                    assert!(told, "{attempt} is settled as {settlement} before that was announced");
                }
            }
            Step::Extend { messages, timeout, .. } | Step::Return { messages, delay: timeout, .. } => {
                assert!(messages.len() <= 10);
                for held in messages {
                    if self.change_visibility(held, *timeout) {
                        lapsed.push(held.message_id.clone());
                    }
                }
                return Ok(Done::Lapsed(lapsed));
            }
            Step::Delete { messages, .. } => messages.iter().for_each(|held| self.delete(held)),
            Step::DeadLetter { body, attributes, .. } => {
                self.ever_dead.insert(work_of(body));
                self.dead.push((body.clone(), attributes.clone()));
            }
            Step::Announce { event, .. } => {
                let name = WorkKey { queue_arn: QUEUE.into(), identity: event.subject.clone() }
                    .job_name(event.data.attempt);
                self.told.insert((name, event.data.outcome));
            }
            Step::Abort { .. } | Step::Remove { .. } | Step::Resend { .. } => {
                panic!("not in this model: {step:?}")
            }
        }
        Ok(Done::Plain)
    }

    fn create(&mut self, creation: &crate::dispatch::step::Creation) -> Done {
        let key = WorkKey { queue_arn: QUEUE.into(), identity: creation.ticket.request.identity() };
        let now = self.now;
        let (job, _) = self.jobs.entry(creation.name.clone()).or_insert_with(|| {
            let attempt = Attempt {
                name: creation.name.clone(),
                uid: format!("{}@{now}", creation.name),
                key: key.clone(),
                number: creation.number,
                ticket: creation.ticket.clone(),
                body: creation.body.clone(),
                held: creation.held.clone(),
                created_at: now,
                phase: Phase::Pending { trouble: None },
                settled: None,
                cancel: false,
                aborted: false,
                deleting: false,
                ghost: false,
            };
            (attempt, None)
        });
        let made = Done::Made(Box::new(job.clone()));
        let active = self.jobs.values().filter(|(it, _)| it.key == key && it.is_active()).count();
        assert!(active <= 1, "{active} active Jobs for {key:?}");
        let all = self.jobs.values().filter(|(it, _)| it.is_active()).count();
        assert!(all <= self.policy.max_jobs, "{all} active Jobs");
        made
    }

    fn attempts(&self) -> Attempts {
        self.jobs.values().map(|(job, _)| job.clone()).collect()
    }

    fn progress(&mut self, index: usize) {
        let active: Vec<String> =
            self.jobs.values().filter(|(it, _)| it.is_active()).map(|(it, _)| it.name.clone()).collect();
        let Some(name) = (!active.is_empty()).then(|| &active[index % active.len()]) else { return };
        let now = self.now;
        let (job, _) = self.jobs.get_mut(name).unwrap();
        if job.phase != Phase::Running {
            job.phase = Phase::Running;
            return;
        }
        let work = WORKS.iter().position(|work| key(work) == job.key).unwrap();
        let script = &self.verdicts[work];
        let verdict = script[(job.number as usize - 1).min(script.len() - 1)];
        let fail = |reason, permanent| Phase::Failed {
            at: now,
            failure: Failure { why: TerminationMessage { reason, message: "because".into() }, permanent },
        };
        job.phase = match verdict {
            // An image that finds the record of its identity ends well at once.
            _ if self.outputs.contains(&job.key) => Phase::Succeeded { at: now },
            Verdict::Succeed => {
                self.outputs.insert(job.key.clone());
                Phase::Succeeded { at: now }
            }
            Verdict::Transient => fail(Reason::Other(format!("CAUSE_{work}")), false),
            Verdict::Permanent => fail(Reason::NotMedia, true),
        };
    }

    fn pass(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
        let now = self.now;
        self.jobs.retain(|_, (_, ttl)| ttl.is_none_or(|at| at > now));
    }

    /// Lets the dispatcher run until it has nothing to do, or dies.
    fn run(&mut self, memory: &mut Memory, mut crash: Option<usize>) -> Option<Timestamp> {
        let mut failed: Vec<Step> = Vec::new();
        for _ in 0..300 {
            let attempts = self.attempts();
            memory.observe(&attempts, &self.policy, self.now);
            let decision = decide(&self.policy, &attempts, memory, self.now);
            for step in &decision.steps {
                assert!(!failed.contains(step), "{step:?} failed and is tried again at once");
                let result = self.execute(step);
                if result.is_err() {
                    failed.push(step.clone());
                }
                memory.fold(step, &result, VISIBILITY, self.now);
                if let Some(left) = &mut crash {
                    if *left == 0 {
                        *memory = Memory::default();
                        return None;
                    }
                    *left -= 1;
                }
            }
            if !decision.steps.is_empty() {
                continue;
            }
            let messages = if decision.receive > 0 { self.receive(decision.receive) } else { Vec::new() };
            if crash == Some(0) {
                *memory = Memory::default();
                return None;
            }
            if messages.is_empty() {
                return decision.wake;
            }
            memory.receive(messages, VISIBILITY, self.now);
        }
        panic!("the dispatcher does not come to rest");
    }

    fn happen(&mut self, event: &Event, memory: &mut Memory) {
        match event {
            Event::Send(work) => self.send(body(WORKS[work % WORKS.len()]), BTreeMap::new()),
            Event::Run => {
                self.run(memory, None);
            }
            Event::Crash(after) => {
                self.run(memory, Some(*after));
                *memory = Memory::default();
            }
            Event::Pass(seconds) => self.pass(*seconds),
            Event::Progress(index) => self.progress(*index),
            Event::DeleteJob(index) => {
                let open: Vec<String> = self
                    .jobs
                    .values()
                    .filter(|(it, _)| it.settled.is_none())
                    .map(|(it, _)| it.name.clone())
                    .collect();
                if !open.is_empty() {
                    self.jobs.remove(&open[index % open.len()]);
                }
            }
            Event::Redrive => {
                for (body, attributes) in std::mem::take(&mut self.dead) {
                    self.send(body, attributes);
                }
            }
            Event::Suspend(suspended) => self.policy.suspended = *suspended,
            Event::Outage(calls) => self.outage = *calls,
        }
    }

    /// Everything is well from now on: Jobs go on, nobody dies. All must come to its end.
    fn come_to_rest(&mut self, memory: &mut Memory) {
        self.policy.suspended = false;
        self.outage = 0;
        for _ in 0..600 {
            let wake = self.run(memory, None);
            if self.queue.is_empty() && self.jobs.values().all(|(job, _)| job.settled.is_some()) {
                return;
            }
            for index in 0..self.policy.max_jobs {
                self.progress(index);
            }
            // The long poll ends after 20 s; then it begins anew.
            let next = wake.map_or(20, |at| at.duration_since(self.now).as_secs() + 1);
            self.pass(next.clamp(1, 20));
        }
        let left: Vec<_> = self.jobs.values().filter(|(job, _)| job.settled.is_none()).collect();
        panic!("never at rest: {:#?} {:#?}", self.queue, left);
    }
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => (0..WORKS.len()).prop_map(Event::Send),
        6 => Just(Event::Run),
        4 => (0..8_usize).prop_map(Event::Crash),
        3 => (1..50_i64).prop_map(Event::Pass),
        2 => (50..400_i64).prop_map(Event::Pass),
        1 => Just(Event::Pass(43_300)),
        6 => any::<usize>().prop_map(Event::Progress),
        1 => any::<usize>().prop_map(Event::DeleteJob),
        1 => Just(Event::Redrive),
        1 => any::<bool>().prop_map(Event::Suspend),
        1 => (1..5_usize).prop_map(Event::Outage),
    ];
    prop::collection::vec(event, 0..70)
}

fn verdicts() -> impl Strategy<Value = Vec<Vec<Verdict>>> {
    let verdict = prop_oneof![Just(Verdict::Succeed), Just(Verdict::Transient), Just(Verdict::Permanent)];
    prop::collection::vec(prop::collection::vec(verdict, 1..5), WORKS.len())
}

fn handles() -> impl Strategy<Value = Handles> {
    (any::<bool>(), any::<bool>())
        .prop_map(|(extend_is_checked, lapsed_deletes)| Handles { extend_is_checked, lapsed_deletes })
}

/// What becomes of work that is left alone.
fn succeeds(script: &[Verdict], max_attempts: usize) -> bool {
    for number in 0..max_attempts {
        match script[number.min(script.len() - 1)] {
            Verdict::Succeed => return true,
            Verdict::Permanent => return false,
            Verdict::Transient => {}
        }
    }
    false
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn every_message_ends_in_a_success_or_on_the_dead_letter_queue(
        events in events(), verdicts in verdicts(), max_jobs in 1..4_usize, handles in handles(),
    ) {
        let mut world = World::new(verdicts.clone(), max_jobs, handles);
        let mut memory = Memory::default();
        let mut asked = BTreeSet::new();
        let mut meddled = false;
        for event in &events {
            if let Event::Send(work) = event {
                asked.insert(work % WORKS.len());
            }
            meddled |= matches!(event, Event::DeleteJob(_) | Event::Redrive);
            world.happen(event, &mut memory);
        }
        world.come_to_rest(&mut memory);
        for work in asked {
            let key = key(WORKS[work]);
            let (output, dead) = (world.outputs.contains(&key), world.ever_dead.contains(&key));
            prop_assert!(output || dead, "{} was lost", WORKS[work]);
            if !meddled {
                let expected = succeeds(&verdicts[work], world.policy.max_attempts as usize);
                prop_assert_eq!((output, dead), (expected, !expected), "{}", WORKS[work]);
            }
        }
    }
}

/// The same world, with the crash at each call in turn: the end is always the same.
#[test]
fn a_crash_after_any_call_leads_to_the_same_end() {
    let script = vec![vec![Verdict::Transient, Verdict::Succeed], vec![Verdict::Permanent]];
    let play = |crash: Option<usize>| {
        let handles = Handles { extend_is_checked: true, lapsed_deletes: false };
        let mut world = World::new([script.clone(), script.clone()].concat(), 2, handles);
        let mut memory = Memory::default();
        world.send(body("a"), BTreeMap::new());
        world.send(body("b"), BTreeMap::new());
        world.send(body("a"), BTreeMap::new());
        for _ in 0..60 {
            let due = crash.filter(|at| *at >= world.calls).map(|at| at - world.calls);
            world.run(&mut memory, due);
            world.progress(0);
            world.progress(1);
            world.pass(7);
        }
        world.come_to_rest(&mut memory);
        (world.outputs, world.ever_dead, world.calls)
    };
    let (outputs, dead, calls) = play(None);
    assert_eq!((outputs.len(), dead.len()), (1, 1));
    assert!(calls > 10);
    for call in 0..calls {
        let (o, d, _) = play(Some(call));
        assert_eq!((&o, &d), (&outputs, &dead), "crash after call {call}");
    }
}

/// The negative control: who forgets to wait for the redelivery, or deletes too early, is caught.
#[test]
#[should_panic(expected = "deleted before its work was over")]
fn the_model_catches_a_message_that_is_deleted_too_early() {
    let handles = Handles { extend_is_checked: true, lapsed_deletes: false };
    let mut world = World::new(vec![vec![Verdict::Succeed]; 4], 1, handles);
    world.send(body("a"), BTreeMap::new());
    let message = world.receive(1).remove(0);
    world.delete(&message.held);
}

#[test]
#[should_panic(expected = "2 active Jobs")]
fn the_model_catches_a_second_active_job() {
    let handles = Handles { extend_is_checked: true, lapsed_deletes: false };
    let mut world = World::new(vec![vec![Verdict::Succeed]; 4], 3, handles);
    let creation = |number| {
        let attempt = super::attempt("a", number, time(0));
        crate::dispatch::step::Creation {
            name: attempt.name,
            number,
            ticket: attempt.ticket,
            body: attempt.body,
            held: attempt.held,
            after: None,
        }
    };
    world.create(&creation(1));
    world.create(&creation(2));
}
