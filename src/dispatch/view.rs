//! view: the Jobs of one platform as the watches show them, and newer where the dispatcher itself wrote.
//!
//! A watch lags behind what was just written. Until it catches up, the answer of the API server counts, so
//! that no step is done twice for a stale read.

use super::{attempt::Attempt, outcome};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::ResourceExt;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// How long a Job that was written may be unknown to the watch before it is asked for.
const PATIENCE: SignedDuration = SignedDuration::from_secs(30);

/// The Jobs of one platform.
#[derive(Debug, Default)]
pub struct View {
    /// In the order of their names. Lent, never copied: there are thousands, and each decision looks at all.
    attempts: Vec<Attempt>,
    /// By name: what did not change since the last time is not read again.
    versions: HashMap<String, Version>,
    written: HashMap<String, (Job, Timestamp)>,
}

/// UIDs and resource versions of a Job and its pods.
#[derive(Debug)]
struct Version(Vec<(Option<String>, Option<String>)>);

impl View {
    /// Takes what the API server answered to a write.
    pub fn wrote(&mut self, job: Job, now: Timestamp) {
        self.written.insert(job.name_any(), (job, now));
    }

    /// Forgets what was written of a Job: it is not there.
    pub fn forget(&mut self, name: &str) {
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

    /// When the next of them will be.
    #[must_use]
    pub fn next_doubt(&self) -> Option<Timestamp> {
        self.written.values().map(|(_, at)| *at + PATIENCE + SignedDuration::from_secs(1)).min()
    }

    /// Reads what changed. Jobs of another owner than the platform with this UID are left out: those of an
    /// earlier one of the same name.
    pub fn refresh(
        &mut self,
        uid: &str,
        jobs: &BTreeMap<String, Arc<Job>>,
        pods: &BTreeMap<String, Arc<Pod>>,
    ) {
        let mut pods_of: HashMap<&str, Vec<&Pod>> = HashMap::new();
        for pod in pods.values() {
            if let Some(job) = outcome::job_of(pod) {
                pods_of.entry(job).or_default().push(pod);
            }
        }
        self.written.retain(|name, (job, _)| jobs.get(name).is_none_or(|seen| is_newer(job, seen)));
        let written = self.written.iter().map(|(name, (job, _))| (name, job));
        let is_own = |job: &Job| job.owner_references().iter().any(|owner| owner.uid == uid);
        let current: BTreeMap<&String, &Job> = jobs
            .iter()
            .map(|(name, job)| (name, job.as_ref()))
            .chain(written)
            .filter(|(_, job)| is_own(job))
            .collect();
        self.attempts.retain(|attempt| current.contains_key(&attempt.name));
        self.versions.retain(|name, _| current.contains_key(name));
        for (name, job) in current {
            let pods = pods_of.get(name.as_str()).map(Vec::as_slice).unwrap_or_default();
            if self.versions.get(name).is_some_and(|known| known.is_of(job, pods)) {
                continue;
            }
            self.versions.insert(name.clone(), Version::of(job, pods));
            match (Attempt::read(job, pods), self.place(name)) {
                (Some(attempt), Ok(place)) => self.attempts[place] = attempt,
                (Some(attempt), Err(place)) => self.attempts.insert(place, attempt),
                (None, Ok(place)) => drop(self.attempts.remove(place)),
                (None, Err(_)) => {}
            }
        }
    }

    /// The Jobs.
    #[must_use]
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Attempt> {
        self.place(name).ok().map(|place| &self.attempts[place])
    }

    /// Where a Job is, or belongs.
    fn place(&self, name: &str) -> Result<usize, usize> {
        self.attempts.binary_search_by(|attempt| attempt.name.as_str().cmp(name))
    }
}

impl Version {
    fn of(job: &Job, pods: &[&Pod]) -> Self {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Self(versions(job, pods).map(|(uid, version)| (owned(uid), owned(version))).collect())
    }

    fn is_of(&self, job: &Job, pods: &[&Pod]) -> bool {
        let known = self.0.iter().map(|(uid, version)| (uid.as_deref(), version.as_deref()));
        known.eq(versions(job, pods))
    }
}

fn versions<'a>(job: &'a Job, pods: &[&'a Pod]) -> impl Iterator<Item = (Option<&'a str>, Option<&'a str>)> {
    let pods = pods.iter().map(|pod| &pod.metadata);
    std::iter::once(&job.metadata)
        .chain(pods)
        .map(|metadata| (metadata.uid.as_deref(), metadata.resource_version.as_deref()))
}

/// Whether what was written is newer than what the watch shows. Resource versions of one kind are numbers
/// that grow (KEP-5504); where they are not, what the watch shows counts.
fn is_newer(written: &Job, seen: &Job) -> bool {
    let number = |job: &Job| job.resource_version().and_then(|version| version.parse::<u128>().ok());
    written.uid() == seen.uid()
        && matches!((number(written), number(seen)), (Some(written), Some(seen)) if written > seen)
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

    fn watched(job: Job) -> BTreeMap<String, Arc<Job>> {
        BTreeMap::from([(job.name_any(), Arc::new(job))])
    }

    #[test]
    fn what_was_written_counts_until_the_watch_has_seen_it() {
        let mut view = View::default();
        let none = BTreeMap::new();
        view.wrote(job("12", true), tests::time(0));
        view.refresh("platform", &watched(job("11", false)), &none);
        assert!(view.attempts()[0].settled.is_some());
        assert_eq!(view.doubtful(tests::time(60)).len(), 1);
        view.refresh("platform", &watched(job("13", false)), &none);
        assert!(view.attempts()[0].settled.is_none());
        assert!(view.doubtful(tests::time(60)).is_empty());
    }

    #[test]
    fn jobs_of_an_earlier_platform_of_that_name_are_not_taken_for_ours() {
        let mut view = View::default();
        view.refresh("another", &watched(job("12", false)), &BTreeMap::new());
        assert!(view.attempts().is_empty());
    }

    #[test]
    fn a_job_that_was_made_is_there_before_the_watch_shows_it_and_gone_once_forgotten() {
        let mut view = View::default();
        let none = BTreeMap::new();
        let made = job("12", false);
        view.wrote(made.clone(), tests::time(0));
        view.refresh("platform", &BTreeMap::new(), &none);
        assert_eq!(view.attempts().len(), 1);
        view.forget(&made.name_any());
        view.refresh("platform", &BTreeMap::new(), &none);
        assert!(view.attempts().is_empty());
    }
}
