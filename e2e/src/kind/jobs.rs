//! What became of every Job of a namespace, recorded from its first sight on.

use anyhow::{Context, Result, anyhow};
use futures::StreamExt;
use k8s_openapi::api::batch::v1::Job;
use kube::{
    Api, Client, ResourceExt,
    api::ListParams,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    time::Duration,
};
use streaming_operator::{
    api::names::{LABEL_ATTEMPT, LABEL_IDENTITY},
    dispatch::attempt::ANNOTATION_FAILURE,
};
use tokio::{sync::watch, task::JoinHandle, time::timeout};

/// Follows the Jobs of a namespace. A watch shows every change in the order in which it happened, so that
/// nothing that ever was is missed.
pub struct JobHistory {
    history: watch::Receiver<History>,
    task: JoinHandle<()>,
}

/// Every Job that ever was, by its uid.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The Jobs.
    pub jobs: BTreeMap<String, Seen>,
    /// Two Jobs of one identity that were active at the same time; nothing may stand here.
    pub overlaps: Vec<String>,
    /// Whether the watch had to begin anew, and may have missed something.
    pub gaps: u32,
}

/// A Job as it was seen last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its name.
    pub name: String,
    /// The work that it is for.
    pub identity: String,
    /// Which attempt.
    pub attempt: u32,
    /// What became of it.
    pub state: State,
    /// Why it failed, as the operator wrote on it.
    pub failure: Option<String>,
    /// Whether the object is gone.
    pub deleted: bool,
}

/// What became of a Job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not ended.
    Active,
    /// Condition Complete.
    Succeeded,
    /// Condition Failed.
    Failed,
}

impl History {
    /// Jobs that are there and have not ended.
    pub fn active(&self) -> impl Iterator<Item = &Seen> {
        self.jobs.values().filter(|job| job.state == State::Active && !job.deleted)
    }

    /// Jobs of a work, in the order of attempts.
    #[must_use]
    pub fn of(&self, identity: &str) -> Vec<&Seen> {
        let mut jobs: Vec<_> = self.jobs.values().filter(|job| job.identity == identity).collect();
        jobs.sort_by_key(|job| job.attempt);
        jobs
    }

    /// Works that succeeded.
    #[must_use]
    pub fn succeeded(&self) -> BTreeSet<&str> {
        let succeeded = self.jobs.values().filter(|job| job.state == State::Succeeded);
        succeeded.map(|job| job.identity.as_str()).collect()
    }

    /// The Jobs that are in the namespace now.
    ///
    /// # Errors
    /// When they can't be listed.
    pub async fn of_now(client: &Client, namespace: &str) -> Result<Self> {
        let mut history = Self::default();
        for job in Api::<Job>::namespaced(client.clone(), namespace).list(&ListParams::default()).await? {
            history.record(&job, false);
        }
        Ok(history)
    }

    fn record(&mut self, job: &Job, deleted: bool) {
        let Some(uid) = job.uid() else { return };
        let seen = Seen {
            name: job.name_any(),
            identity: job.labels().get(LABEL_IDENTITY).cloned().unwrap_or_default(),
            attempt: job.labels().get(LABEL_ATTEMPT).and_then(|a| a.parse().ok()).unwrap_or_default(),
            state: state(job),
            failure: job.annotations().get(ANNOTATION_FAILURE).cloned(),
            deleted,
        };
        self.jobs.insert(uid, seen.clone());
        let active = self.active().filter(|other| other.identity == seen.identity);
        let names: Vec<_> = active.map(|other| other.name.clone()).collect();
        if names.len() > 1 {
            self.overlaps.push(names.join(" and "));
        }
    }
}

fn state(job: &Job) -> State {
    let conditions = job.status.as_ref().and_then(|s| s.conditions.as_ref());
    let has =
        |kind: &str| conditions.is_some_and(|all| all.iter().any(|c| c.type_ == kind && c.status == "True"));
    if has("Complete") {
        State::Succeeded
    } else if has("Failed") {
        State::Failed
    } else {
        State::Active
    }
}

impl JobHistory {
    /// Begins to follow the Jobs of the namespace.
    #[must_use]
    pub fn follow(client: &Client, namespace: &str) -> Self {
        let (sender, history) = watch::channel(History::default());
        let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
        let task = tokio::spawn(async move {
            let mut events = pin!(watcher(jobs, watcher::Config::default()).default_backoff());
            let mut begun = false;
            while let Some(event) = events.next().await {
                sender.send_modify(|history| match event {
                    Ok(Event::Apply(job) | Event::InitApply(job)) => history.record(&job, false),
                    Ok(Event::Delete(job)) => history.record(&job, true),
                    Ok(Event::Init) => history.gaps += u32::from(std::mem::replace(&mut begun, true)),
                    Ok(Event::InitDone) | Err(_) => {}
                });
            }
        });
        Self { history, task }
    }

    /// What was seen up to now.
    #[must_use]
    pub fn now(&self) -> History {
        self.history.borrow().clone()
    }

    /// Waits until the history is as wanted.
    ///
    /// # Errors
    /// When the deadline passes; the error shows the Jobs.
    pub async fn wait(
        &self,
        what: &str,
        deadline: Duration,
        wanted: impl Fn(&History) -> bool,
    ) -> Result<History> {
        let mut history = self.history.clone();
        match timeout(deadline, history.wait_for(wanted)).await {
            Ok(found) => Ok(found.context("the watch of Jobs ended")?.clone()),
            Err(_) => {
                Err(anyhow!("after {} s still not: {what}; Jobs: {:#?}", deadline.as_secs(), self.now().jobs))
            }
        }
    }
}

impl Drop for JobHistory {
    fn drop(&mut self) {
        self.task.abort();
    }
}
