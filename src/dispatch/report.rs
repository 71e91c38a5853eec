//! report: what the dispatcher tells the status.

use super::{
    attempt::{Attempt, Phase, Settlement, WorkKey},
    attempts::Attempts,
    breaker::{self, Breaker, Open},
    decide::{Decision, open},
    memory::{Lease, Memory, Subject},
    policy::Policy,
    settle,
};
use jiff::Timestamp;
use std::collections::HashMap;

/// How many failures are told.
const FAILURES: usize = 10;

/// What the dispatcher does for one platform. Times in it change only when something happened, so that a
/// quiet queue changes no status.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Jobs by state, as far as they are still kept.
    pub jobs: Jobs,
    /// When the oldest message that is held was sent.
    pub oldest_message_sent_at: Option<Timestamp>,
    /// The last failures, newest first.
    pub failures: Vec<Failed>,
    /// The breaker, while it is open.
    pub breaker: Option<Open>,
    /// How many finished or running Jobs wait for the redelivery of a message.
    pub waiting_for_redelivery: usize,
    /// The last error of a call that is not overcome yet, by what it was for.
    pub errors: Vec<String>,
    /// For a platform that is deleted: whether nothing is left to settle.
    pub drained: bool,
}

/// Jobs by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Jobs {
    /// Made, their pod not yet running.
    pub pending: i64,
    /// Their pod runs.
    pub running: i64,
    /// Failed; the next attempt is due later.
    pub retrying: i64,
    /// Done.
    pub succeeded: i64,
    /// Failed for good.
    pub failed: i64,
}

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Identity of the work.
    pub identity: contract::Identity,
    /// Key of the source; none: the message could not be understood.
    pub key: Option<String>,
    /// Why.
    pub why: contract::TerminationMessage,
    /// Which attempt.
    pub attempt: u32,
    /// Whether none follows.
    pub dead_lettered: bool,
    /// When.
    pub at: Timestamp,
}

/// Makes the report.
#[must_use]
pub fn report(
    policy: &Policy,
    attempts: &Attempts,
    memory: &Memory,
    decision: &Decision,
    now: Timestamp,
) -> Report {
    let last = Last::new(attempts, memory);
    let unsettled = || attempts.unsettled().chain(memory.ghosts());
    // What was paused and is no longer was done, or is no longer to be done. Only receiving never ends: until a
    // receive succeeds, the end of its pause says nothing.
    let failing = memory
        .pauses
        .iter()
        .filter(|(subject, pause)| pause.until > now || **subject == Subject::Receive)
        .map(|(_, pause)| pause.error.clone());
    let mut errors: Vec<String> = failing.collect();
    errors.sort();
    errors.dedup();
    errors.truncate(FAILURES);
    Report {
        jobs: count(policy, &last),
        oldest_message_sent_at: unsettled().flat_map(|it| open(it, memory)).map(|held| held.sent_at).min(),
        failures: failures(policy, &last, memory),
        breaker: match breaker::assess(attempts, memory.ghosts()) {
            Breaker::Open(open) => Some(open),
            Breaker::Closed => None,
        },
        waiting_for_redelivery: unsettled()
            .filter(|it| open(it, memory).any(|held| memory.lease(&held.message_id) == Some(Lease::Lapsed)))
            .count(),
        errors,
        drained: decision.drained,
    }
}

/// The last attempt of each piece of work. What an earlier one came to is over.
struct Last<'a> {
    attempts: &'a Attempts,
    /// Of the works of which someone deleted a Job: the last that was deleted.
    ghosts: HashMap<&'a WorkKey, &'a Attempt>,
}

impl<'a> Last<'a> {
    fn new(attempts: &'a Attempts, memory: &'a Memory) -> Self {
        let mut ghosts = HashMap::new();
        for ghost in memory.ghosts() {
            let last = ghosts.entry(&ghost.key).or_insert(ghost);
            if last.number < ghost.number {
                *last = ghost;
            }
        }
        Self { attempts, ghosts }
    }

    fn of_each(&self) -> impl Iterator<Item = &'a Attempt> {
        let of_jobs = self.attempts.last_of_each();
        let of_jobs =
            of_jobs.filter(|it| self.ghosts.get(&it.key).is_none_or(|ghost| ghost.number < it.number));
        let ghosts = self.ghosts.values().copied();
        let ghosts = ghosts
            .filter(|it| self.attempts.of(&it.key).next_back().is_none_or(|job| job.number < it.number));
        of_jobs.chain(ghosts)
    }

    fn is(&self, attempt: &Attempt) -> bool {
        let ghost = self.ghosts.get(&attempt.key).copied();
        self.attempts
            .of(&attempt.key)
            .next_back()
            .into_iter()
            .chain(ghost)
            .all(|it| it.number <= attempt.number)
    }
}

fn count(policy: &Policy, last: &Last<'_>) -> Jobs {
    let mut jobs = Jobs::default();
    for attempt in last.of_each() {
        match (&attempt.phase, attempt.settled) {
            (_, Some(Settlement::Retried | Settlement::Returned)) => {}
            (Phase::Pending { .. }, _) => jobs.pending += 1,
            (Phase::Running, _) => jobs.running += 1,
            (Phase::Succeeded { .. }, _) => jobs.succeeded += 1,
            (Phase::Failed { .. }, None) if !settle::is_final(policy, attempt) && !attempt.cancel => {
                jobs.retrying += 1;
            }
            (Phase::Failed { .. }, _) => jobs.failed += 1,
        }
    }
    jobs
}

fn failures(policy: &Policy, last: &Last<'_>, memory: &Memory) -> Vec<Failed> {
    let failed = last.attempts.ended().filter(|attempt| matches!(attempt.phase, Phase::Failed { .. }));
    let of_jobs = failed.take(FAILURES).chain(memory.ghosts()).filter_map(|attempt| match &attempt.phase {
        Phase::Failed { at, failure } => Some(Failed {
            identity: attempt.key.identity.clone(),
            key: Some(attempt.ticket.request.source.key.clone()),
            why: failure.why.clone(),
            attempt: attempt.number,
            dead_lettered: last.is(attempt)
                && match attempt.settled {
                    Some(settlement) => settlement == Settlement::DeadLettered,
                    None => settle::is_final(policy, attempt),
                },
            at: *at,
        }),
        _ => None,
    });
    let refused = memory.refused.iter().map(|refused| Failed {
        identity: refused.identity.clone(),
        key: None,
        why: refused.why.clone(),
        attempt: 0,
        dead_lettered: true,
        at: refused.at,
    });
    let mut failures: Vec<Failed> = of_jobs.chain(refused).collect();
    failures.sort_by(|a, b| (b.at, &b.identity, b.attempt).cmp(&(a.at, &a.identity, a.attempt)));
    failures.truncate(FAILURES);
    failures
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{VISIBILITY, all, attempt, failed, policy, succeeded, time},
        *,
    };
    use contract::Reason;

    /// Of `a`, `b` and `c` someone deleted a Job: a next attempt runs, an earlier one is there, none is.
    #[test]
    fn what_counts_is_the_last_attempt_whether_or_not_its_job_is_still_there() {
        let retried = |attempt| Attempt { settled: Some(Settlement::Retried), ..attempt };
        let failed = |work, number| failed(attempt(work, number, time(0)), Reason::Storage, true, time(9));
        let mut memory = Memory::default();
        for ghost in [failed("a", 1), failed("b", 2), failed("c", 1)] {
            memory.ghosts.insert(ghost.name.clone(), ghost);
        }
        let attempts = [
            attempt("a", 2, time(10)),
            retried(failed("b", 1)),
            succeeded(attempt("d", 1, time(0)), time(5)),
        ];
        let told = report(&policy(), &all(&attempts), &memory, &Decision::default(), time(20));
        assert_eq!(told.jobs, Jobs { running: 1, failed: 2, succeeded: 1, ..Jobs::default() });
        let failures =
            told.failures.iter().map(|it| (it.key.as_deref().unwrap(), it.attempt, it.dead_lettered));
        let mut failures: Vec<_> = failures.collect();
        failures.sort_unstable();
        assert_eq!(failures, [("a", 1, false), ("b", 1, false), ("b", 2, true), ("c", 1, true)]);
    }

    #[test]
    fn the_error_of_a_receive_is_told_until_one_succeeds() {
        let mut memory = Memory::default();
        memory.receive_failed("there is no such queue".into(), time(0));
        let errors = |memory: &Memory, at| {
            report(&policy(), &Attempts::default(), memory, &Decision::default(), time(at)).errors
        };
        assert_eq!(errors(&memory, 0), ["there is no such queue"]);
        assert_eq!(memory.paused(&Subject::Receive, time(300)), None, "the next receive is under way");
        assert_eq!(errors(&memory, 300), ["there is no such queue"]);
        memory.receive(Vec::new(), VISIBILITY, time(301));
        assert_eq!(errors(&memory, 301), Vec::<String>::new());
    }
}
