//! breaker: when many pieces of work fail one after the other for one transient cause, the cause is not
//! theirs. Then no new Job starts but one at a time, as a probe.
//!
//! A pure function of the Jobs that are there, so that it outlives a leader and counts nothing twice.

use super::{
    attempt::{Attempt, Failure, Phase},
    attempts::Attempts,
    backoff::PROBES,
};
use contract::Reason;
use jiff::Timestamp;
use std::collections::HashSet;

/// How many distinct pieces of work must fail in a row.
const THRESHOLD: usize = 5;

/// Whether new Jobs may start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Breaker {
    /// They may.
    Closed,
    /// One at a time, and the next not before `next_probe`.
    Open(Open),
}

/// An open breaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// The one cause.
    pub cause: Reason,
    /// What the last of them said.
    pub message: String,
    /// When the breaker opened.
    pub since: Timestamp,
    /// How many distinct pieces of work failed for it.
    pub works: usize,
    /// Before this no probe starts.
    pub next_probe: Timestamp,
    /// Whether a probe is on its way.
    pub probing: bool,
}

/// Assesses the Jobs of one queue: the row of failures at their end, read backwards until something else.
///
/// A success or a failure that is the input's ends the row, for either shows that the platform can
/// transcode. A Job that someone deleted or cancelled tells nothing.
#[must_use]
pub fn assess<'a>(attempts: &'a Attempts, ghosts: impl Iterator<Item = &'a Attempt> + Clone) -> Breaker {
    // Of thousands that ended, few did since the last that says that the platform can transcode.
    let good = attempts.ended().find(|it| !is_transient(it)).into_iter();
    let good = good.chain(ghosts.clone().filter(|it| !is_transient(it))).max_by_key(|it| order(it));
    let ended = attempts.ended().take_while(|it| is_transient(it));
    let mut ended: Vec<&Attempt> =
        ended.chain(ghosts).filter(|it| good.is_none_or(|good| order(good) < order(it))).collect();
    ended.sort_by_key(|it| std::cmp::Reverse(order(it)));
    let mut row = Vec::new();
    let mut cause = None;
    for attempt in ended {
        let Phase::Failed { at, failure } = &attempt.phase else { break };
        if is_by_hand(failure) {
            continue;
        }
        if *cause.get_or_insert(&failure.why.reason) != &failure.why.reason {
            break;
        }
        row.push((*at, attempt, failure));
    }
    row.reverse();
    let mut works = HashSet::new();
    let Some(since) = row.iter().find(|(_, attempt, _)| {
        works.insert(&attempt.key);
        works.len() >= THRESHOLD
    }) else {
        return Breaker::Closed;
    };
    let since = since.0;
    let (last, _, failure) = row[row.len() - 1];
    let probes = row.iter().filter(|(_, attempt, _)| attempt.created_at > since).count();
    let failures = u32::try_from(probes).unwrap_or(u32::MAX).saturating_add(1);
    Breaker::Open(Open {
        cause: failure.why.reason.clone(),
        message: failure.why.message.clone(),
        since,
        works: row.iter().map(|(_, attempt, _)| &attempt.key).collect::<HashSet<_>>().len(),
        next_probe: last + PROBES.delay("breaker", failures),
        probing: attempts.active().any(|it| it.created_at > since),
    })
}

/// When an attempt ended; the name decides between those that ended at once.
fn order(attempt: &Attempt) -> (Option<Timestamp>, &str) {
    (attempt.finished_at(), &attempt.name)
}

/// Whether an attempt failed for a cause that need not be its input's, or by someone's hand.
fn is_transient(attempt: &Attempt) -> bool {
    match &attempt.phase {
        Phase::Failed { failure, .. } => is_by_hand(failure) || !failure.permanent,
        _ => false,
    }
}

fn is_by_hand(failure: &Failure) -> bool {
    matches!(failure.why.reason, Reason::JobDeleted | Reason::Cancelled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::tests::{all, attempt, failed, succeeded, time};

    fn storage(work: &str, at: i64) -> Attempt {
        failed(attempt(work, 1, time(at - 5)), Reason::Storage, false, time(at))
    }

    fn open(attempts: &[Attempt]) -> Option<Open> {
        match assess(&all(attempts), std::iter::empty()) {
            Breaker::Open(open) => Some(open),
            Breaker::Closed => None,
        }
    }

    fn five() -> Vec<Attempt> {
        ["a", "b", "c", "d", "e"].iter().zip([10, 20, 30, 40, 50]).map(|(w, at)| storage(w, at)).collect()
    }

    #[test]
    fn five_distinct_works_failing_in_a_row_for_one_cause_open_it() {
        let open = open(&five()).unwrap();
        assert_eq!((open.cause, open.since, open.works), (Reason::Storage, time(50), 5));
        assert!(open.next_probe > time(50 + 20));
    }

    #[test]
    fn four_or_the_same_work_again_do_not() {
        let mut attempts = five();
        attempts.pop();
        assert_eq!(open(&attempts), None);
        attempts.push(failed(attempt("a", 2, time(55)), Reason::Storage, false, time(60)));
        assert_eq!(open(&attempts), None);
    }

    #[test]
    fn another_cause_a_success_or_a_bad_input_ends_the_row() {
        let interrupted = [
            failed(attempt("x", 1, time(1)), Reason::OutOfMemory, false, time(45)),
            succeeded(attempt("x", 1, time(1)), time(45)),
            failed(attempt("x", 1, time(1)), Reason::NotMedia, true, time(45)),
        ];
        for other in interrupted {
            let mut attempts = five();
            attempts.push(other);
            assert_eq!(open(&attempts), None);
        }
    }

    #[test]
    fn a_job_deleted_by_hand_neither_opens_nor_closes_it() {
        let mut attempts = five();
        attempts.push(failed(attempt("x", 1, time(1)), Reason::JobDeleted, false, time(60)));
        assert!(open(&attempts).is_some());
    }

    #[test]
    fn what_a_deleted_job_came_to_is_part_of_the_row() {
        let (attempts, ends) = (five(), succeeded(attempt("x", 1, time(1)), time(45)));
        let with = |ghost: &Attempt| assess(&all(&attempts[..4]), [ghost].into_iter());
        assert!(matches!(with(&attempts[4]), Breaker::Open(_)));
        assert_eq!(with(&failed(ends.clone(), Reason::NotMedia, true, time(45))), Breaker::Closed);
        assert_eq!(assess(&all(&attempts), [&ends].into_iter()), Breaker::Closed);
    }

    #[test]
    fn each_failed_probe_doubles_the_wait_and_a_success_closes_it() {
        let mut attempts = five();
        let first = open(&attempts).unwrap();
        assert!(!first.probing);
        attempts.push(attempt("f", 1, time(90)));
        assert!(open(&attempts).unwrap().probing);
        attempts[5] = failed(attempts[5].clone(), Reason::Storage, false, time(100));
        let second = open(&attempts).unwrap();
        let wait = |open: &Open, last| open.next_probe.duration_since(time(last));
        assert!(wait(&second, 100) > wait(&first, 50));
        attempts.push(succeeded(attempt("g", 1, time(150)), time(160)));
        assert_eq!(open(&attempts), None);
    }
}
