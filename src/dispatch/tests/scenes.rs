//! Scenes: one situation each, and the step that follows.

use super::{VISIBILITY, all, attempt, body, failed, held, key, policy, received, succeeded, time};
use crate::dispatch::{
    attempt::Phase,
    attempt::{Attempt, MAX_HELD, Settlement, Trouble},
    decide::{self, Decision},
    inbound::attribute,
    memory::{Lease, MAX_HOLD, Memory, Received},
    policy::Policy,
    report::{self, Report},
    step::{Done, Step, StepError},
};
use contract::{Outcome, Reason};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// A dispatcher that has seen these Jobs since `since`.
fn seen(attempts: &[Attempt], since: Timestamp) -> Memory {
    let mut memory = Memory::default();
    memory.observe(&all(attempts), &policy(), since);
    memory
}

fn decide(policy: &Policy, attempts: &[Attempt], memory: &Memory, now: Timestamp) -> Decision {
    decide::decide(policy, &all(attempts), memory, now)
}

fn report(attempts: &[Attempt], memory: &Memory, decision: &Decision, now: Timestamp) -> Report {
    report::report(&policy(), &all(attempts), memory, decision, now)
}

/// Takes messages, and decides.
fn with_inbox(policy: &Policy, attempts: &[Attempt], messages: Vec<Received>, now: Timestamp) -> Decision {
    let mut memory = seen(attempts, now);
    memory.receive(messages, VISIBILITY, now);
    decide(policy, attempts, &memory, now)
}

/// Does what is decided until nothing is, and tells the steps in their order.
fn play(policy: &Policy, attempts: &[Attempt], memory: &mut Memory, now: Timestamp) -> Vec<Step> {
    let mut all = Vec::new();
    loop {
        let steps = decide(policy, attempts, memory, now).steps;
        if steps.is_empty() || all.len() > 20 {
            return all;
        }
        let ends = steps.iter().any(|step| matches!(step, Step::Settle { .. } | Step::Create(_)));
        for step in steps {
            let done = match &step {
                Step::Extend { .. } | Step::Delete { .. } | Step::Return { .. } => Done::Lapsed(Vec::new()),
                _ => Done::Plain,
            };
            memory.fold(&step, &Ok(done), VISIBILITY, now);
            all.push(step);
        }
        if ends {
            return all;
        }
    }
}

fn names(steps: &[Step]) -> Vec<String> {
    steps
        .iter()
        .map(|step| match step {
            Step::Create(creation) => format!("create {}", creation.number),
            Step::Hold { held, .. } => format!("hold {}", held.len()),
            Step::Abort { failure, .. } => format!("abort {}", failure.why.reason),
            Step::Remove { .. } => "remove".into(),
            Step::Settle { settlement, .. } => format!("settle {settlement}"),
            Step::Extend { messages, timeout, .. } => {
                format!("extend {} for {} s", messages.len(), timeout.as_secs())
            }
            Step::Return { delay, .. } => format!("return for {} s", delay.as_secs()),
            Step::Delete { messages, .. } => format!("delete {}", messages.len()),
            Step::Resend { bodies, .. } => format!("resend {}", bodies.len()),
            Step::DeadLetter { attributes, .. } => format!("dead-letter {}", attributes[attribute::REASON]),
            Step::Announce { event, .. } => format!("announce {:?}", event.data.outcome),
        })
        .collect()
}

#[test]
fn messages_for_one_work_make_one_job() {
    let messages = vec![received("m1", "a", time(0)), received("m2", "a", time(0))];
    let decision = with_inbox(&policy(), &[], messages, time(0));
    let [Step::Create(creation)] = decision.steps.as_slice() else { panic!("{:?}", decision.steps) };
    assert_eq!((creation.number, creation.held.len()), (1, 2));
    assert_eq!(creation.name, key("a").job_name(1));
}

#[test]
fn what_has_no_slot_goes_back_at_once_and_no_more_is_received() {
    let jobs: Vec<_> = ["a", "b", "c"].map(|work| attempt(work, 1, time(0))).into();
    let decision = with_inbox(&policy(), &jobs, vec![received("m", "d", time(0))], time(0));
    assert!(names(&decision.steps).contains(&"return for 0 s".to_owned()));
    assert_eq!(decision.receive, 0);
    assert_eq!(decide(&policy(), &jobs[..2], &seen(&jobs[..2], time(0)), time(0)).receive, 1);
}

#[test]
fn a_redelivery_replaces_its_handle_and_a_duplicate_is_added() {
    let job = attempt("a", 1, time(0));
    let again = Received { held: held("m-a", "m-a-2", time(70)), ..received("m-a", "a", time(70)) };
    let decision = with_inbox(&policy(), &[job], vec![again, received("m2", "a", time(70))], time(70));
    let hold = decision.steps.iter().find_map(|step| match step {
        Step::Hold { held, .. } => Some(held.clone()),
        _ => None,
    });
    let handles: Vec<_> = hold.unwrap().iter().map(|held| held.receipt_handle.clone()).collect();
    assert_eq!(handles, ["m-a-2", "m2-1"]);
}

#[test]
fn more_duplicates_than_a_job_can_hold_go_away_for_a_while() {
    let mut job = attempt("a", 1, time(0));
    job.held = (0..MAX_HELD).map(|n| held(&format!("h{n}"), "x", time(0))).collect();
    let decision = with_inbox(&policy(), &[job], vec![received("m", "a", time(0))], time(0));
    assert!(names(&decision.steps).contains(&"return for 60 s".to_owned()), "{:?}", names(&decision.steps));
}

#[test]
fn a_success_is_deleted_announced_and_marked_in_this_order() {
    let jobs = [succeeded(attempt("a", 1, time(0)), time(10))];
    let steps = play(&policy(), &jobs, &mut seen(&jobs, time(10)), time(10));
    assert_eq!(names(&steps), ["delete 1", "announce Succeeded", "settle Succeeded"]);
    let Some(Step::Settle { ttl_seconds, .. }) = steps.last() else { panic!() };
    assert_eq!(*ttl_seconds, 120);
}

#[test]
fn a_new_leader_asks_whether_old_handles_are_good_before_it_relies_on_them() {
    let jobs = [succeeded(attempt("a", 1, time(0)), time(10))];
    let mut memory = seen(&jobs, time(500));
    let first = decide(&policy(), &jobs, &memory, time(500));
    assert_eq!(names(&first.steps), ["extend 1 for 60 s"]);
    // They are not: the message is visible again, and its redelivery is what can be deleted.
    memory.fold(&first.steps[0], &Ok(Done::Lapsed(vec!["m-a".into()])), VISIBILITY, time(500));
    let steps = play(&policy(), &jobs, &mut memory, time(500));
    assert_eq!(names(&steps), ["announce Succeeded"]);
    let waiting = decide(&policy(), &jobs, &memory, time(500));
    assert_eq!((waiting.receive, waiting.wake.is_some()), (4, true));
    let again = Received { held: held("m-a", "m-a-2", time(501)), ..received("m-a", "a", time(501)) };
    memory.receive(vec![again], VISIBILITY, time(501));
    let steps = play(&policy(), &jobs, &mut memory, time(501));
    assert_eq!(names(&steps), ["delete 1", "settle Succeeded"]);
}

#[test]
fn a_lapsed_handle_grants_a_receive_though_all_slots_are_taken_or_the_platform_is_suspended() {
    let jobs: Vec<_> = ["a", "b", "c"].map(|work| attempt(work, 1, time(0))).into();
    let mut memory = seen(&jobs, time(0));
    assert_eq!(decide(&policy(), &jobs, &memory, time(0)).receive, 0);
    memory.leases.insert("m-a".into(), Lease::Lapsed);
    assert_eq!(decide(&policy(), &jobs, &memory, time(0)).receive, 1);
    let suspended = Policy { suspended: true, ..policy() };
    assert_eq!(decide(&suspended, &jobs[..1], &memory, time(0)).receive, 1);
    // It brought something else: the next one comes later.
    memory.receive(vec![received("m", "x", time(0))], VISIBILITY, time(0));
    let decision = decide(&policy(), &jobs, &memory, time(0));
    assert_eq!((decision.receive, names(&decision.steps).contains(&"return for 0 s".into())), (0, true));
}

#[test]
fn a_heartbeat_never_reaches_beyond_twelve_hours() {
    let jobs = [attempt("a", 1, time(0))];
    let mut memory = seen(&jobs, time(0));
    assert_eq!(names(&decide(&policy(), &jobs, &memory, time(19)).steps), ["announce Running"]);
    let due = decide(&policy(), &jobs, &memory, time(20));
    assert!(names(&due.steps).contains(&"extend 1 for 60 s".into()));
    let last = time(0) + MAX_HOLD;
    let near = last - SignedDuration::from_secs(25);
    memory.leases.insert("m-a".into(), Lease::Until(near + SignedDuration::from_secs(5)));
    let decision = decide(&policy(), &jobs, &memory, near);
    assert!(names(&decision.steps).contains(&"extend 1 for 25 s".into()));
    memory.leases.insert("m-a".into(), Lease::Until(last));
    assert!(!names(&decide(&policy(), &jobs, &memory, near).steps).iter().any(|it| it.starts_with("extend")));
    memory.observe(&all(&jobs), &policy(), last);
    assert_eq!(memory.lease("m-a"), Some(Lease::Lapsed));
}

#[test]
fn a_transient_failure_is_announced_and_tried_again_after_its_delay() {
    let jobs = [failed(attempt("a", 1, time(0)), Reason::Storage, false, time(10))];
    let mut memory = seen(&jobs, time(10));
    assert_eq!(names(&play(&policy(), &jobs, &mut memory, time(10))), ["announce Retrying"]);
    let due = decide(&policy(), &jobs, &memory, time(10)).wake.unwrap();
    assert!(due > time(16) && due <= time(25), "{due}");
    let steps = decide(&policy(), &jobs, &memory, time(25)).steps;
    let create = steps.iter().find_map(|step| match step {
        Step::Create(creation) => Some(creation.clone()),
        _ => None,
    });
    let create = create.unwrap();
    assert_eq!((create.number, create.held.len(), &create.body), (2, 1, &body("a")));
}

#[test]
fn the_attempt_before_is_marked_once_the_next_one_is_there() {
    let first = failed(attempt("a", 1, time(0)), Reason::Storage, false, time(10));
    let jobs = [first, attempt("a", 2, time(20))];
    let steps = play(&policy(), &jobs, &mut seen(&jobs, time(20)), time(20));
    assert_eq!(names(&steps), ["settle Retried"]);
}

#[test]
fn a_permanent_failure_is_dead_lettered_with_its_reason() {
    let jobs = [failed(attempt("a", 1, time(0)), Reason::NotMedia, true, time(10))];
    let steps = play(&policy(), &jobs, &mut seen(&jobs, time(10)), time(10));
    assert_eq!(
        names(&steps),
        ["dead-letter NOT_MEDIA", "delete 1", "announce DeadLettered", "settle DeadLettered"]
    );
    let Step::DeadLetter { attributes, body: copy, .. } = &steps[0] else { panic!() };
    assert_eq!(*copy, body("a"));
    assert_eq!(attributes[attribute::ATTEMPTS], "1");
    assert_eq!(attributes[attribute::IDENTITY], key("a").identity.as_str());
    assert_eq!(attributes[attribute::ORIGINAL_MESSAGE_ID], "m-a");
}

#[test]
fn the_last_attempt_is_dead_lettered_and_a_redrive_begins_a_new_count() {
    let mut third = failed(attempt("a", 3, time(0)), Reason::Storage, false, time(10));
    assert_eq!(
        names(&play(&policy(), &[third.clone()], &mut seen(&[third.clone()], time(10)), time(10)))[0],
        "dead-letter STORAGE"
    );
    third.settled = Some(Settlement::DeadLettered);
    let attributes = BTreeMap::from([(attribute::ATTEMPTS.to_owned(), "3".to_owned())]);
    let redrive = Received { attributes, ..received("m9", "a", time(20)) };
    let decision = with_inbox(&policy(), &[third.clone()], vec![redrive.clone()], time(20));
    let [Step::Create(creation)] = decision.steps.as_slice() else { panic!("{:?}", decision.steps) };
    assert_eq!((creation.number, creation.ticket.attempts_before), (4, 3));
    // Long after the Jobs are gone the count goes on all the same.
    let decision = with_inbox(&policy(), &[], vec![redrive], time(20));
    let [Step::Create(creation)] = decision.steps.as_slice() else { panic!("{:?}", decision.steps) };
    assert_eq!((creation.number, creation.ticket.attempts_before), (4, 3));
    // A late duplicate is no redrive.
    let decision = with_inbox(&policy(), &[third], vec![received("m8", "a", time(20))], time(20));
    assert_eq!(names(&decision.steps), ["delete 1"]);
}

#[test]
fn a_redrive_that_overtakes_the_settlement_waits_for_it() {
    let third = failed(attempt("a", 3, time(0)), Reason::Storage, false, time(10));
    let attributes = BTreeMap::from([(attribute::ATTEMPTS.to_owned(), "3".to_owned())]);
    let mut memory = seen(std::slice::from_ref(&third), time(10));
    memory.receive(vec![Received { attributes, ..received("m9", "a", time(10)) }], VISIBILITY, time(10));
    let steps = play(&policy(), &[third], &mut memory, time(10));
    assert_eq!(names(&steps).last().unwrap(), "settle DeadLettered");
    assert!(!names(&steps).iter().any(|step| step.starts_with("hold")));
    assert_eq!(memory.inbox.len(), 1);
}

#[test]
fn a_job_that_someone_deletes_is_a_failed_attempt() {
    let jobs = [attempt("a", 1, time(0))];
    let mut memory = seen(&jobs, time(0));
    memory.observe(&all(&[]), &policy(), time(5));
    assert_eq!(names(&play(&policy(), &[], &mut memory, time(5))), ["announce Retrying"]);
    let steps = decide(&policy(), &[], &memory, time(20)).steps;
    assert!(names(&steps).contains(&"create 2".to_owned()));
    let told = report(&[], &memory, &Decision::default(), time(0));
    assert_eq!(told.failures[0].why.reason, Reason::JobDeleted);
}

#[test]
fn a_job_deleted_while_nobody_looked_counts_as_well() {
    let mut first = failed(attempt("a", 1, time(0)), Reason::Storage, false, time(10));
    first.settled = Some(Settlement::Retried);
    let decision = with_inbox(&policy(), &[first], vec![received("m", "a", time(20))], time(20));
    assert_eq!(names(&decision.steps), ["create 3"]);
}

#[test]
fn a_cancelled_job_is_ended_and_its_message_deleted() {
    let asked = Attempt { cancel: true, ..attempt("a", 1, time(0)) };
    let steps = decide(
        &policy(),
        std::slice::from_ref(&asked),
        &seen(std::slice::from_ref(&asked), time(0)),
        time(0),
    )
    .steps;
    assert_eq!(names(&steps), ["abort CANCELLED"]);
    let ended = failed(Attempt { aborted: true, ..asked }, Reason::Cancelled, false, time(5));
    let steps = play(
        &policy(),
        std::slice::from_ref(&ended),
        &mut seen(std::slice::from_ref(&ended), time(5)),
        time(5),
    );
    assert_eq!(names(&steps), ["delete 1", "announce Cancelled", "settle Cancelled"]);
}

#[test]
fn a_container_that_cannot_start_is_given_five_minutes() {
    let trouble = Trouble { since: time(0), message: "ImagePullBackOff: no such image".into() };
    let job = Attempt { phase: Phase::Pending { trouble: Some(trouble) }, ..attempt("a", 1, time(0)) };
    let at = |seconds| {
        let jobs = [Attempt { held: Vec::new(), ..job.clone() }];
        decide(&policy(), &jobs, &seen(&jobs, time(0)), time(seconds))
    };
    assert_eq!((names(&at(299).steps), at(299).wake), (vec![], Some(time(300))));
    assert_eq!(names(&at(300).steps), ["abort CANNOT_START"]);
}

#[test]
fn a_suspended_platform_starts_nothing_and_settles_everything() {
    let suspended = Policy { suspended: true, ..policy() };
    let jobs = [
        failed(attempt("a", 1, time(0)), Reason::Storage, false, time(10)),
        succeeded(attempt("b", 1, time(0)), time(10)),
    ];
    let mut memory = seen(&jobs, time(10));
    let steps = names(&play(&suspended, &jobs, &mut memory, time(10)));
    assert!(steps.contains(&"settle Succeeded".to_owned()), "{steps:?}");
    assert!(
        decide(&suspended, &jobs[..1], &memory, time(40))
            .steps
            .iter()
            .all(|step| !matches!(step, Step::Create(_)))
    );
    assert_eq!(decide(&suspended, &jobs[..1], &memory, time(40)).receive, 0);
}

#[test]
fn a_platform_that_is_deleted_lets_jobs_end_and_gives_the_rest_back() {
    let draining = Policy { draining: Some(time(100)), ..policy() };
    let jobs = [attempt("a", 1, time(0)), failed(attempt("b", 1, time(0)), Reason::Storage, false, time(1))];
    let mut memory = seen(&jobs, time(10));
    let steps = names(&play(&draining, &jobs, &mut memory, time(10)));
    assert!(steps.contains(&"return for 0 s".to_owned()) && steps.contains(&"settle Returned".to_owned()));
    let decision = decide(&draining, &jobs[..1], &memory, time(10));
    assert_eq!((decision.receive, decision.drained, decision.wake.is_some()), (0, false, true));
    // Its time is over: the Job goes, and its message goes back.
    let steps = names(&play(&draining, &jobs[..1], &mut memory, time(100)));
    assert!(steps.contains(&"remove".to_owned()), "{steps:?}");
    assert!(steps.contains(&"return for 0 s".to_owned()), "{steps:?}");
    memory.observe(&all(&[]), &policy(), time(101));
    assert!(decide(&draining, &[], &memory, time(101)).drained);
}

/// A request that is given up may still be performed.
#[test]
fn a_job_of_which_nothing_was_heard_keeps_its_slot_for_a_minute() {
    let policy = Policy { max_jobs: 1, ..policy() };
    let mut memory = seen(&[], time(0));
    memory.receive(vec![received("m-a", "a", time(0))], VISIBILITY, time(0));
    let unanswered = decide(&policy, &[], &memory, time(0)).steps;
    assert_eq!(names(&unanswered), ["create 1"]);
    let no_answer = StepError { message: "no answer".into(), creation: false };
    memory.fold(&unanswered[0], &Err(no_answer), VISIBILITY, time(30));
    memory.receive(vec![received("m-b", "b", time(30))], VISIBILITY, time(30));
    assert_eq!(names(&decide(&policy, &[], &memory, time(30)).steps), ["return for 0 s"]);
    let again = decide(&policy, &[], &memory, time(50)).steps;
    assert!(again.contains(&unanswered[0]), "{again:?}");
    assert_eq!(names(&again), ["create 1", "return for 0 s"]);
    // Its message is visible again, and none is received for the slot that it has.
    memory.observe(&all(&[]), &policy, time(89));
    let alone = Memory { inbox: Vec::new(), ..memory.clone() };
    assert_eq!(decide(&policy, &[], &alone, time(89)).receive, 0);
    let an_outage = ["a", "b", "c", "d", "e"].map(|work| Attempt {
        settled: Some(Settlement::DeadLettered),
        ..failed(attempt(work, 1, time(0)), Reason::Storage, false, time(88))
    });
    for jobs in [&[][..], &an_outage] {
        assert_eq!(decide(&policy, jobs, &alone, time(89)).wake, Some(time(90)));
    }
    memory.observe(&all(&[]), &policy, time(90));
    memory.receive(vec![received("m-b", "b", time(90))], VISIBILITY, time(90));
    assert_eq!(names(&decide(&policy, &[], &memory, time(90)).steps), ["create 1"]);
}

#[test]
fn what_is_not_understood_is_dead_lettered_without_a_job() {
    let nonsense = Received { body: "hello".into(), ..received("m", "a", time(0)) };
    let mut memory = seen(&[], time(0));
    memory.receive(vec![nonsense], VISIBILITY, time(0));
    let steps = play(&policy(), &[], &mut memory, time(0));
    assert_eq!(names(&steps), ["dead-letter INVALID_MESSAGE", "announce DeadLettered", "delete 1"]);
    let Step::Announce { event, .. } = &steps[1] else { panic!() };
    assert_eq!((event.data.attempt, event.data.outcome), (0, Outcome::DeadLettered));
    assert_eq!(report(&[], &memory, &Decision::default(), time(0)).failures[0].key, None);
}

#[test]
fn several_records_are_sent_one_by_one_before_their_message_goes() {
    let record = |key: &str| serde_json::json!({"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "in"}, "object": {"key": key}}});
    let body = serde_json::json!({"Records": [record("a"), record("b")]}).to_string();
    let mut memory = seen(&[], time(0));
    memory.receive(vec![Received { body, ..received("m", "a", time(0)) }], VISIBILITY, time(0));
    assert_eq!(names(&play(&policy(), &[], &mut memory, time(0))), ["resend 2", "delete 1"]);
}

#[test]
fn an_open_breaker_lets_one_probe_through() {
    let mut jobs: Vec<_> = ["a", "b", "c", "d", "e"]
        .map(|work| Attempt {
            settled: Some(Settlement::DeadLettered),
            ..failed(attempt(work, 1, time(0)), Reason::Storage, false, time(10))
        })
        .into();
    let messages = || vec![received("m1", "x", time(100)), received("m2", "y", time(100))];
    let early = with_inbox(&policy(), &jobs, vec![received("m1", "x", time(11))], time(11));
    assert_eq!((names(&early.steps), early.receive), (vec!["return for 0 s".to_owned()], 0));
    let mut later = names(&with_inbox(&policy(), &jobs, messages(), time(100)).steps);
    later.sort();
    assert_eq!(later, ["create 1", "return for 0 s"]);
    jobs.push(attempt("x", 1, time(100)));
    let decision = decide(&policy(), &jobs, &seen(&jobs, time(100)), time(100));
    assert_eq!(decision.receive, 0);
    assert!(report(&jobs, &seen(&jobs, time(100)), &decision, time(100)).breaker.is_some());
}
