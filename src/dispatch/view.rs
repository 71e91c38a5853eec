//! view: the Jobs of one platform as the watches show them, and newer where the dispatcher itself wrote.
//!
//! A watch lags behind what was just written. Until it catches up, the answer of the API server counts, so
//! that no step is done twice for a stale read. One watch lags behind another, too: a Job that failed is not taken
//! for failed before a pod of it tells why, or the API server says that there is none.

use super::{
    attempt::{Attempt, Phase},
    attempts::Attempts,
    outcome,
};
use crate::{kinds, packed::Packed};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::ResourceExt;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

/// How long a Job that was written may be unknown to the watch before it is asked for.
const PATIENCE: SignedDuration = SignedDuration::from_secs(30);

/// Between two tries to list the pods of a Job.
const PAUSE: SignedDuration = SignedDuration::from_secs(5);

/// The Jobs of one platform. What did not change is not read again: there are thousands.
#[derive(Debug, Default)]
pub struct View {
    attempts: Attempts,
    /// What is to be read again.
    changed: Changed,
    written: HashMap<String, (Job, Timestamp)>,
    /// Jobs that failed and of which no pod tells why, and when to ask for their pods.
    silent: BTreeMap<String, Timestamp>,
    /// The pods of such Jobs, as the API server listed them.
    told: HashMap<String, Vec<Pod>>,
}

/// Names of Jobs.
#[derive(Debug, Default)]
enum Changed {
    /// All of them, as in the beginning.
    #[default]
    All,
    /// These.
    Named(BTreeSet<String>),
}

impl View {
    /// Reads a Job again at the next [`Self::refresh`].
    pub fn changed(&mut self, name: String) {
        if let Changed::Named(names) = &mut self.changed {
            names.insert(name);
        }
    }

    /// Takes what the API server answered to a write.
    pub fn wrote(&mut self, job: Job, now: Timestamp) {
        self.changed(job.name_any());
        self.written.insert(job.name_any(), (job, now));
    }

    /// Forgets what was written of a Job: it is not there.
    pub fn forget(&mut self, name: &str) {
        self.changed(name.to_owned());
        self.written.remove(name);
    }

    /// Jobs that were written a while ago and that the watch still doesn't show: gone, or the watch hangs.
    #[must_use]
    pub fn doubtful(&self, now: Timestamp) -> Vec<String> {
        let old = |(name, (_, at)): (&String, &(Job, Timestamp))| {
            (now.duration_since(*at) > PATIENCE).then(|| name.clone())
        };
        self.written.iter().filter_map(old).collect()
    }

    /// Asks for one of them again later: whether it is there could not be told.
    pub fn postpone(&mut self, name: &str, now: Timestamp) {
        if let Some((_, at)) = self.written.get_mut(name) {
            *at = now;
        }
    }

    /// When there is something to ask for next.
    #[must_use]
    pub fn next_doubt(&self) -> Option<Timestamp> {
        let written = self.written.values().map(|(_, at)| *at + PATIENCE + SignedDuration::from_secs(1));
        written.chain(self.silent.values().copied()).min()
    }

    /// Jobs whose pods are to be asked for now.
    #[must_use]
    pub fn silent(&self, now: Timestamp) -> Vec<String> {
        self.silent.iter().filter(|(_, at)| **at <= now).map(|(name, _)| name.clone()).collect()
    }

    /// Takes the API server's list of a Job's pods.
    pub fn tell(&mut self, name: &str, pods: Vec<Pod>) {
        self.changed(name.to_owned());
        self.silent.remove(name);
        self.told.insert(name.to_owned(), pods);
    }

    /// Asks for a Job's pods again later: they could not be listed.
    pub fn ask_later(&mut self, name: &str, now: Timestamp) {
        self.silent.insert(name.to_owned(), now + PAUSE);
    }

    /// Reads what changed. Jobs of another owner than the platform with this UID are left out: those of an
    /// earlier one of the same name.
    pub fn refresh(
        &mut self,
        uid: &str,
        jobs: &BTreeMap<String, Arc<Packed<Job>>>,
        pods: &BTreeMap<(String, String), Arc<Packed<Pod>>>,
        now: Timestamp,
    ) {
        let names = match std::mem::replace(&mut self.changed, Changed::Named(BTreeSet::new())) {
            Changed::Named(names) => names,
            Changed::All => {
                jobs.keys().chain(self.written.keys()).chain(self.attempts.names()).cloned().collect()
            }
        };
        for name in names {
            let seen = jobs.get(&name).map(|job| job.unpack());
            if let (Some((job, _)), Some(seen)) = (self.written.get(&name), &seen)
                && !is_newer(job, seen)
            {
                self.written.remove(&name);
            }
            let current = self.written.get(&name).map(|(job, _)| job).or(seen.as_ref());
            let own = current.filter(|job| job.owner_references().iter().any(|owner| owner.uid == uid));
            let attempt = own.and_then(|job| {
                let told: Vec<&Pod> = self.told.get(&name).into_iter().flatten().collect();
                let watched: Vec<Pod> = pods_of(pods, &name).collect();
                let watched: Vec<&Pod> = watched.iter().collect();
                let pods = if outcome::tell(&watched) { watched } else { [watched, told].concat() };
                let is_told = self.told.contains_key(&name) || outcome::tell(&pods);
                Some((Attempt::read(job, &pods)?, is_told))
            });
            let Some((mut attempt, is_told)) = attempt else {
                self.silent.remove(&name);
                self.told.remove(&name);
                self.attempts.remove(&name);
                continue;
            };
            if is_silent(&attempt) && !is_told {
                attempt.phase = Phase::Running;
                self.silent.entry(name).or_insert(now);
            } else {
                self.silent.remove(&name);
            }
            self.attempts.insert(attempt);
        }
    }

    /// The Jobs.
    #[must_use]
    pub fn attempts(&self) -> &Attempts {
        &self.attempts
    }
}

/// The pods of a Job.
fn pods_of<'a>(
    pods: &'a BTreeMap<(String, String), Arc<Packed<Pod>>>,
    job: &'a str,
) -> impl Iterator<Item = Pod> {
    let first = (job.to_owned(), String::new());
    pods.range(first..).take_while(move |((of, _), _)| of == job).map(|(_, pod)| pod.unpack())
}

/// Whether it failed, still has to be settled, and only a pod can say why.
fn is_silent(attempt: &Attempt) -> bool {
    matches!(attempt.phase, Phase::Failed { .. }) && attempt.settled.is_none() && !attempt.aborted
}

/// Whether what was written is newer than what the watch shows.
fn is_newer(written: &Job, seen: &Job) -> bool {
    let version = |job: &Job| job.resource_version();
    written.uid() == seen.uid() && kinds::is_newer(version(written).as_deref(), version(seen).as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::tests;
    use serde_json::json;

    fn job(version: &str, settled: bool) -> Job {
        let attempt = tests::attempt("a", 1, tests::time(0));
        let mut annotations =
            super::super::attempt::annotations(&attempt.ticket, &attempt.body, &attempt.held);
        if settled {
            annotations.insert("streamingplatform.dev/settled".into(), "Succeeded".into());
        }
        serde_json::from_value(json!({
            "metadata": {"name": attempt.name, "uid": "u", "resourceVersion": version,
                         "ownerReferences": [{"apiVersion": "v", "kind": "k", "name": "tv", "uid": "platform"}],
                         "labels": {"streamingplatform.dev/attempt": "1"}, "annotations": annotations},
            "status": {"conditions": [{"type": "Complete", "status": "True"}]}
        }))
        .unwrap()
    }

    fn only(view: &View) -> &Attempt {
        let mut names = view.attempts().names();
        let only = names.next().and_then(|name| view.attempts().get(name)).unwrap();
        assert_eq!(names.next(), None);
        only
    }

    fn watched(job: Job) -> BTreeMap<String, Arc<Packed<Job>>> {
        BTreeMap::from([(job.name_any(), Arc::new(Packed::new(&job)))])
    }

    #[test]
    fn what_was_written_counts_until_the_watch_has_seen_it() {
        let mut view = View::default();
        let none = BTreeMap::new();
        view.wrote(job("12", true), tests::time(0));
        view.refresh("platform", &watched(job("11", false)), &none, tests::time(0));
        assert!(only(&view).settled.is_some());
        assert_eq!(view.doubtful(tests::time(60)).len(), 1);
        let seen = job("13", false);
        view.changed(seen.name_any());
        view.refresh("platform", &watched(seen), &none, tests::time(0));
        assert!(only(&view).settled.is_none());
        assert!(view.doubtful(tests::time(60)).is_empty());
    }

    #[test]
    fn jobs_of_an_earlier_platform_of_that_name_are_not_taken_for_ours() {
        let mut view = View::default();
        view.refresh("another", &watched(job("12", false)), &BTreeMap::new(), tests::time(0));
        assert!(view.attempts().names().next().is_none());
    }

    #[test]
    fn a_job_that_was_made_is_there_before_the_watch_shows_it_and_gone_once_forgotten() {
        let mut view = View::default();
        let none = BTreeMap::new();
        let made = job("12", false);
        view.wrote(made.clone(), tests::time(0));
        view.refresh("platform", &BTreeMap::new(), &none, tests::time(0));
        assert_eq!(view.attempts().names().count(), 1);
        view.forget(&made.name_any());
        view.refresh("platform", &BTreeMap::new(), &none, tests::time(0));
        assert!(view.attempts().names().next().is_none());
    }

    #[test]
    fn what_is_not_said_to_have_changed_is_not_read_again_and_a_job_that_is_gone_is_left_out() {
        let (mut view, none) = (View::default(), BTreeMap::new());
        view.refresh("platform", &watched(job("11", false)), &none, tests::time(0));
        let settled = job("12", true);
        view.refresh("platform", &watched(settled.clone()), &none, tests::time(0));
        assert!(only(&view).settled.is_none());
        view.changed("another".to_owned());
        view.changed(settled.name_any());
        view.refresh("platform", &watched(settled.clone()), &none, tests::time(0));
        assert!(only(&view).settled.is_some());
        view.changed(settled.name_any());
        view.refresh("platform", &BTreeMap::new(), &none, tests::time(0));
        assert!(view.attempts().names().next().is_none());
    }

    /// Pods are by the name of their Job; one Job's name may begin as another's.
    #[test]
    fn the_pods_of_a_job_are_its_own() {
        let pods: BTreeMap<_, _> = ["tc-1", "tc-1", "tc-10", "tc-2"]
            .into_iter()
            .enumerate()
            .map(|(number, of)| {
                ((of.to_owned(), format!("p{number}")), Arc::new(Packed::new(&Pod::default())))
            })
            .collect();
        let count = |job: &str| pods_of(&pods, job).count();
        assert_eq!(["tc-1", "tc-10", "tc-2", "tc-3", "tc"].map(count), [2, 1, 1, 0, 0]);
    }

    /// The watch of Jobs is ahead of the one of pods, as after both were cut.
    #[test]
    fn a_failed_job_counts_as_failed_once_its_pod_tells_why_or_is_gone() {
        let mut failed = job("12", false);
        failed.status = serde_json::from_value(json!({"conditions": [
            {"type": "Failed", "status": "True", "lastTransitionTime": "2026-11-21T03:00:00Z"}
        ]}))
        .unwrap();
        let refused: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "creationTimestamp": "2026-11-21T03:00:00Z"},
            "status": {"phase": "Failed", "containerStatuses": [
                {"name": outcome::CONTAINER, "image": "", "imageID": "", "ready": false, "restartCount": 0,
                 "state": {"terminated": {"exitCode": 65}}}]},
        }))
        .unwrap();
        for (pods, permanent) in [(vec![refused], true), (Vec::new(), false)] {
            let (mut view, none) = (View::default(), BTreeMap::new());
            let (jobs, name) = (watched(failed.clone()), failed.name_any());
            view.refresh("platform", &jobs, &none, tests::time(0));
            assert_eq!(only(&view).phase, Phase::Running);
            assert_eq!(view.silent(tests::time(0)), std::slice::from_ref(&name));
            view.ask_later(&name, tests::time(0));
            assert!(view.silent(tests::time(1)).is_empty());
            assert_eq!(view.next_doubt(), Some(tests::time(5)));
            view.tell(&name, pods);
            view.refresh("platform", &jobs, &none, tests::time(6));
            let phase = only(&view).phase.clone();
            assert!(matches!(phase, Phase::Failed { failure, .. } if failure.permanent == permanent));
            assert!(view.next_doubt().is_none());
        }
    }
}
