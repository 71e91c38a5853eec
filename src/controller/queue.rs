//! The work queue: which platform is reconciled when. Pure; `now` is an argument.
//!
//! A platform is in it at most once and is never reconciled twice at a time. What is asked for earlier wins.
//! A request that comes while the platform is being reconciled runs right after: what it saw may be stale. But one that
//! shall rest is not reconciled before that time, whoever asks.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
};

/// Work by key, due at an instant `I`.
#[derive(Debug)]
pub struct Queue<K, I> {
    due: BTreeSet<(I, K)>,
    at: HashMap<K, I>,
    /// What is being worked on, with what was asked for meanwhile.
    running: HashMap<K, Option<I>>,
    /// What shall rest, and until when.
    resting: HashMap<K, I>,
}

impl<K, I> Default for Queue<K, I> {
    fn default() -> Self {
        Self { due: BTreeSet::new(), at: HashMap::new(), running: HashMap::new(), resting: HashMap::new() }
    }
}

impl<K: Clone + Ord + Hash, I: Copy + Ord> Queue<K, I> {
    /// Asks for `key` at `at`, or when it was asked for already, whichever is earlier.
    pub fn schedule(&mut self, key: K, at: I) {
        if let Some(again) = self.running.get_mut(&key) {
            *again = Some(again.map_or(at, |earlier| earlier.min(at)));
            return;
        }
        let at = self.resting.get(&key).map_or(at, |until| at.max(*until));
        if let Some(&earlier) = self.at.get(&key) {
            if earlier <= at {
                return;
            }
            self.due.remove(&(earlier, key.clone()));
        }
        self.at.insert(key.clone(), at);
        self.due.insert((at, key));
    }

    /// Takes what has been due longest; it is running until [`Self::finished`].
    pub fn pop(&mut self, now: I) -> Option<K> {
        let (at, key) = self.due.first().cloned().filter(|(at, _)| *at <= now)?;
        self.due.remove(&(at, key.clone()));
        self.at.remove(&key);
        self.resting.remove(&key);
        self.running.insert(key.clone(), None);
        Some(key)
    }

    /// `key` is done; it comes again at `next`, or when it was asked for meanwhile, whichever is earlier; but not before
    /// `rest` is over.
    pub fn finished(&mut self, key: &K, next: Option<I>, rest: Option<I>) {
        let meanwhile = self.running.remove(key).flatten();
        if let Some(until) = rest {
            self.resting.insert(key.clone(), until);
        }
        if let Some(at) = next.into_iter().chain(meanwhile).min() {
            self.schedule(key.clone(), at);
        }
    }

    /// When the next one is due.
    pub fn next_due(&self) -> Option<I> {
        self.due.first().map(|(at, _)| *at)
    }

    /// How many are due by `now` and wait.
    pub fn depth(&self, now: I) -> usize {
        self.due.iter().take_while(|(at, _)| *at <= now).count()
    }

    /// How many are running.
    pub fn running(&self) -> usize {
        self.running.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_earlier_request_wins() {
        let mut queue = Queue::default();
        queue.schedule("a", 5);
        queue.schedule("a", 9);
        assert_eq!(queue.next_due(), Some(5));
        queue.schedule("a", 1);
        assert_eq!((queue.pop(0), queue.pop(1), queue.pop(9)), (None, Some("a"), None));
    }

    #[test]
    fn a_request_during_a_run_comes_right_after_it() {
        let mut queue = Queue::default();
        queue.schedule("a", 0);
        assert_eq!(queue.pop(0), Some("a"));
        queue.schedule("a", 3);
        assert_eq!(queue.pop(3), None, "never twice at a time");
        queue.finished(&"a", Some(1000), None);
        assert_eq!(queue.pop(3), Some("a"));
    }

    #[test]
    fn one_that_rests_runs_no_earlier_and_then_as_ever() {
        let mut queue = Queue::default();
        queue.schedule("a", 0);
        assert_eq!(queue.pop(0), Some("a"));
        queue.schedule("a", 1);
        queue.finished(&"a", Some(1000), Some(20));
        queue.schedule("a", 5);
        assert_eq!((queue.pop(19), queue.pop(20)), (None, Some("a")));
        queue.finished(&"a", Some(1000), None);
        queue.schedule("a", 21);
        assert_eq!(queue.pop(21), Some("a"));
    }

    #[test]
    fn one_that_backs_off_delays_no_other() {
        let mut queue = Queue::default();
        queue.schedule("broken", 0);
        queue.schedule("good", 0);
        assert_eq!(queue.pop(0), Some("broken"));
        queue.finished(&"broken", Some(300), None);
        assert_eq!(queue.pop(0), Some("good"));
        assert_eq!((queue.depth(0), queue.depth(300)), (0, 1));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Schedule(u8, u32),
        Pop(u32),
        Finish(u8, Option<u32>, Option<u32>),
    }

    proptest! {
        /// Whatever happens: no key runs twice at a time, and none that was asked for is lost.
        #[test]
        fn nothing_is_lost_or_doubled(steps in prop::collection::vec(prop_oneof![
            (0..4_u8, 0..50_u32).prop_map(|(k, at)| Step::Schedule(k, at)),
            (0..50_u32).prop_map(Step::Pop),
            (0..4_u8, prop::option::of(0..50_u32), prop::option::of(0..50_u32))
                .prop_map(|(k, at, rest)| Step::Finish(k, at, rest)),
        ], 0..60)) {
            let mut queue = Queue::default();
            let mut asked = std::collections::HashSet::new();
            let mut running = std::collections::HashSet::new();
            for step in steps {
                match step {
                    Step::Schedule(key, at) => { queue.schedule(key, at); asked.insert(key); }
                    Step::Pop(now) => if let Some(key) = queue.pop(now) {
                        prop_assert!(running.insert(key), "{key} runs twice");
                        prop_assert!(asked.remove(&key), "{key} was not asked for");
                    },
                    Step::Finish(key, next, rest) => if running.remove(&key) {
                        queue.finished(&key, next, rest);
                        if next.is_some() { asked.insert(key); }
                    },
                }
            }
            for key in running.clone() { queue.finished(&key, None, None); }
            while let Some(key) = queue.pop(u32::MAX) { prop_assert!(asked.remove(&key)); }
            prop_assert!(asked.is_empty(), "lost: {asked:?}");
        }
    }
}
