//! attempts: the Jobs of one platform, found by what is asked of them.
//!
//! A platform keeps thousands of Jobs that are settled, and decides anew whenever one changes: a decision looks at those
//! that it needs, and at no others.

use super::attempt::{Attempt, WorkKey};
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// The Jobs of one platform.
#[derive(Clone, Debug, Default)]
pub struct Attempts {
    by_name: HashMap<String, Arc<Attempt>>,
    /// In the order of their numbers.
    by_work: HashMap<WorkKey, Vec<Arc<Attempt>>>,
    unsettled: BTreeMap<String, Arc<Attempt>>,
    active: BTreeMap<String, Arc<Attempt>>,
    ended: BTreeMap<(Timestamp, String), Arc<Attempt>>,
}

impl Attempts {
    /// Puts a Job in, in the place of the one that had its name.
    pub fn insert(&mut self, attempt: Attempt) {
        self.remove(&attempt.name);
        let (name, attempt) = (attempt.name.clone(), Arc::new(attempt));
        if attempt.settled.is_none() {
            self.unsettled.insert(name.clone(), Arc::clone(&attempt));
        }
        match attempt.finished_at() {
            Some(at) => self.ended.insert((at, name.clone()), Arc::clone(&attempt)),
            None => self.active.insert(name.clone(), Arc::clone(&attempt)),
        };
        let of_work = self.by_work.entry(attempt.key.clone()).or_default();
        let place = of_work.partition_point(|it| it.number <= attempt.number);
        of_work.insert(place, Arc::clone(&attempt));
        self.by_name.insert(name, attempt);
    }

    /// Takes a Job out.
    pub fn remove(&mut self, name: &str) {
        let Some(attempt) = self.by_name.remove(name) else { return };
        self.unsettled.remove(name);
        self.active.remove(name);
        if let Some(at) = attempt.finished_at() {
            self.ended.remove(&(at, attempt.name.clone()));
        }
        if let Some(of_work) = self.by_work.get_mut(&attempt.key) {
            of_work.retain(|it| it.name != name);
            if of_work.is_empty() {
                self.by_work.remove(&attempt.key);
            }
        }
    }

    /// A Job.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Attempt> {
        self.by_name.get(name).map(AsRef::as_ref)
    }

    /// Names of all, in any order.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.by_name.keys()
    }

    /// Those of one piece of work, in the order of their numbers.
    pub fn of(&self, work: &WorkKey) -> impl DoubleEndedIterator<Item = &Attempt> + use<'_> {
        self.by_work.get(work).into_iter().flatten().map(AsRef::as_ref)
    }

    /// The last of each piece of work, in any order.
    pub fn last_of_each(&self) -> impl Iterator<Item = &Attempt> {
        self.by_work.values().filter_map(|attempts| attempts.last()).map(AsRef::as_ref)
    }

    /// Those with something left to do.
    pub fn unsettled(&self) -> impl Iterator<Item = &Attempt> + Clone {
        self.unsettled.values().map(AsRef::as_ref)
    }

    /// Those whose pod runs or shall run.
    pub fn active(&self) -> impl Iterator<Item = &Attempt> {
        self.active.values().map(AsRef::as_ref)
    }

    /// Those that ended; the last one first, and by their names where they ended at once.
    pub fn ended(&self) -> impl Iterator<Item = &Attempt> {
        self.ended.values().rev().map(AsRef::as_ref)
    }
}

impl FromIterator<Attempt> for Attempts {
    fn from_iter<T: IntoIterator<Item = Attempt>>(attempts: T) -> Self {
        let mut all = Self::default();
        attempts.into_iter().for_each(|attempt| all.insert(attempt));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::{
        attempt::Settlement,
        tests::{attempt, key, succeeded, time},
    };
    use proptest::prelude::*;
    use std::cmp::Reverse;

    const WORKS: [&str; 3] = ["a", "b", "c"];

    /// A Job as it may be, or that it is gone.
    fn change() -> impl Strategy<Value = (usize, u32, Option<(Option<i64>, bool)>)> {
        let state = (prop::option::of(0..4_i64), any::<bool>());
        (0..WORKS.len(), 1..4_u32, prop::option::weighted(0.8, state))
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_there_is(changes in prop::collection::vec(change(), 0..40)) {
            let (mut found, mut there) = (Attempts::default(), BTreeMap::new());
            for (work, number, state) in changes {
                let job = attempt(WORKS[work], number, time(0));
                let Some((ended_at, is_settled)) = state else {
                    found.remove(&job.name);
                    there.remove(&job.name);
                    continue;
                };
                let job = Attempt { settled: is_settled.then_some(Settlement::Succeeded), ..job };
                let job = ended_at.map_or(job.clone(), |at| succeeded(job, time(at)));
                there.insert(job.name.clone(), job.clone());
                found.insert(job);
            }
            let all = || there.values();
            for work in WORKS.map(key) {
                let mut expected: Vec<_> = all().filter(|it| it.key == work).collect();
                expected.sort_by_key(|it| it.number);
                prop_assert_eq!(found.of(&work).collect::<Vec<_>>(), expected);
            }
            let mut last: Vec<_> = found.last_of_each().collect();
            last.sort_by(|one, other| one.key.cmp(&other.key));
            let mut works = WORKS.map(key);
            works.sort();
            let expected: Vec<_> =
                works.iter().filter_map(|work| all().filter(|it| it.key == *work).max_by_key(|it| it.number)).collect();
            prop_assert_eq!(last, expected);
            let unsettled: Vec<_> = all().filter(|it| it.settled.is_none()).collect();
            prop_assert_eq!(found.unsettled().collect::<Vec<_>>(), unsettled);
            prop_assert_eq!(found.active().collect::<Vec<_>>(), all().filter(|it| it.is_active()).collect::<Vec<_>>());
            let mut ended: Vec<_> = all().filter(|it| !it.is_active()).collect();
            ended.sort_by_key(|it| Reverse((it.finished_at(), &it.name)));
            prop_assert_eq!(found.ended().collect::<Vec<_>>(), ended);
            prop_assert_eq!(found.names().collect::<std::collections::BTreeSet<_>>(), there.keys().collect());
        }
    }
}
