//! consumer: the loop around the decisions for one platform: read, decide, act, wait.

use super::{
    Config,
    decide::{Decision, decide},
    jobs::{Jobs, build},
    memory::{Memory, Received},
    report::{Report, report},
    sqs,
    step::{Done, Step, StepError},
    view::View,
};
use crate::{kinds::PlatformKey, observe::cluster::Cluster, surroundings::Clock};
use futures::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How many receives are in flight while the queue has more than one brings.
const RECEIVES: usize = 4;
/// How many steps run at a time.
const CONCURRENCY: usize = 16;
/// Longest that a step may take. Calls of AWS give up earlier by themselves.
const LIMIT: Duration = Duration::from_secs(30);
/// Between two tries to list the Jobs.
const RETRY: Duration = Duration::from_secs(1);
/// A decision is made at least this often, as a net below the watches.
const NET: Duration = Duration::from_secs(60);
/// A report changes at most this often: each change is a reconcile of the platform.
const REPORT_INTERVAL: SignedDuration = SignedDuration::from_secs(1);

/// What a consumer needs.
pub(super) struct Consumer {
    pub key: PlatformKey,
    pub cluster: Arc<Cluster>,
    pub clock: Clock,
    pub jobs: Jobs,
    pub config: watch::Receiver<Arc<Config>>,
    /// Called with each new report.
    pub publish: Box<dyn Fn(Report) + Send + Sync>,
    pub stop: CancellationToken,
}

/// Messages that a receive brought, where from, and how many it had asked for.
struct Delivery {
    config: Arc<Config>,
    asked: usize,
    result: Result<Vec<Received>, String>,
}

/// The state of the loop.
struct State {
    memory: Memory,
    view: View,
    /// Receives in flight.
    receiving: JoinSet<Delivery>,
    /// How many messages they ask for.
    asked: usize,
    /// Whether the last receive brought half of what it had asked for, or more: there are others. (SQS may bring less
    /// than there is.)
    is_busy: bool,
    reported: Option<(Report, Timestamp)>,
}

/// What the watches tell of the Jobs of one platform.
struct Changes(mpsc::UnboundedReceiver<String>);

impl Changes {
    /// Returns when a Job changed.
    async fn any(&mut self, view: &mut View) {
        match self.0.recv().await {
            Some(name) => view.changed(name),
            None => std::future::pending().await,
        }
    }

    /// Takes what is told by now: one decision answers all of it.
    fn take(&mut self, view: &mut View) {
        while let Ok(name) = self.0.try_recv() {
            view.changed(name);
        }
    }
}

impl Consumer {
    /// Runs until it is told to stop. Then a receive in flight may end, and what it brings goes back.
    ///
    /// Mostly it waits, and there is one for each platform: what it does between is boxed, so that a consumer that waits
    /// takes no memory for it.
    pub async fn run(mut self) {
        let mut changes = Changes(self.cluster.job_changes(&self.key));
        let mut state = State {
            memory: Memory::default(),
            view: View::default(),
            receiving: JoinSet::new(),
            asked: 0,
            is_busy: false,
            reported: None,
        };
        Box::pin(self.catch_up(&mut state)).await;
        info!(platform = %self.key, "receives messages and makes Jobs");
        while !self.stop.is_cancelled() {
            let config = Arc::clone(&self.config.borrow_and_update());
            Box::pin(self.ask_for_doubtful(&mut state)).await;
            Box::pin(self.ask_for_pods(&mut state)).await;
            while let Some(ended) = state.receiving.try_join_next() {
                Box::pin(self.take(ended, &mut state)).await;
            }
            changes.take(&mut state.view);
            let decision = self.decide(&config, &mut state);
            self.receive(&config, &decision, &mut state);
            if !decision.steps.is_empty() {
                Box::pin(self.act(&config, &decision.steps, &mut state)).await;
                continue;
            }
            let wake = self.report(&config, &decision, &mut state);
            self.wait(&mut changes, wake, &mut state).await;
        }
        Box::pin(self.end(state)).await;
    }

    /// Another replica may have made Jobs a moment ago, and our watches may be behind: what there is now counts. Else there
    /// would be more Jobs than slots for a while.
    async fn catch_up(&self, state: &mut State) {
        while !self.stop.is_cancelled() {
            match answered(self.jobs.unfinished(&self.key.name)).await {
                Ok(jobs) => {
                    let now = self.clock.now();
                    jobs.into_iter().for_each(|job| state.view.wrote(job, now));
                    return;
                }
                Err(error) => {
                    warn!(platform = %self.key, %error, "can't tell which Jobs there are, and makes none");
                    tokio::select! {
                        () = self.stop.cancelled() => {}
                        () = tokio::time::sleep(RETRY) => {}
                    }
                }
            }
        }
    }

    fn decide(&self, config: &Config, state: &mut State) -> Decision {
        let (jobs, pods) = (self.cluster.jobs.of(&self.key), self.cluster.job_pods.of(&self.key));
        let now = self.clock.now();
        state.view.refresh(&config.uid, &jobs, &pods, now);
        let attempts = state.view.attempts();
        state.memory.observe(attempts, &config.policy, now);
        let mut decision = decide(&config.policy, attempts, &state.memory, now);
        decision.drained &= state.receiving.is_empty();
        decision
    }

    /// Receives what there are slots for, while other steps are done.
    fn receive(&self, config: &Arc<Config>, decision: &Decision, state: &mut State) {
        let receives = if state.is_busy { RECEIVES } else { 1 };
        let mut wanted = decision.receive.saturating_sub(state.asked);
        while wanted > 0 && state.receiving.len() < receives {
            let asked = wanted.min(sqs::BATCH);
            let (config, clock) = (Arc::clone(config), self.clock);
            state.receiving.spawn(async move {
                let Config { account, policy, .. } = config.as_ref();
                let result = sqs::receive(account, &policy.queue_url, asked, policy.visibility, clock).await;
                Delivery { config, asked, result }
            });
            state.asked += asked;
            wanted -= asked;
        }
    }

    async fn act(&self, config: &Config, steps: &[Step], state: &mut State) {
        let view = &state.view;
        let calls: Vec<_> = steps.iter().map(|step| answered(self.execute(config, step, view))).collect();
        let results: Vec<_> = stream::iter(calls).buffered(CONCURRENCY).collect().await;
        let now = self.clock.now();
        for (step, result) in steps.iter().zip(results) {
            let result = result.map(|(done, job)| {
                if let Some(job) = job {
                    state.view.wrote(job, now);
                }
                done
            });
            if let Err(error) = &result {
                warn!(platform = %self.key, %error, "a step failed and is tried again");
            }
            state.memory.fold(step, &result, config.policy.visibility, now);
        }
    }

    /// Does one step. Gives back the Job where it was written.
    async fn execute(
        &self,
        config: &Config,
        step: &Step,
        view: &View,
    ) -> Result<(Done, Option<Job>), StepError> {
        let account = &config.account;
        let known = |name: &str| {
            view.attempts()
                .get(name)
                .ok_or_else(|| StepError { message: format!("Job {name} is gone"), creation: false })
        };
        let done = match step {
            Step::Create(creation) => {
                let job = build(config.prototype.unpack(), &config.policy, &config.profile, creation);
                let (job, done) = self.jobs.create(&job).await?;
                return Ok((done, Some(job)));
            }
            Step::Hold { ghost: true, .. } | Step::Settle { ghost: true, .. } => Done::Plain,
            Step::Hold { attempt, held, .. } => {
                return Ok((Done::Plain, Some(self.jobs.hold(known(attempt)?, held).await?)));
            }
            Step::Abort { attempt, failure } => {
                return Ok((Done::Plain, Some(self.jobs.abort(known(attempt)?, failure).await?)));
            }
            Step::Settle { attempt, settlement, failure, ttl_seconds, .. } => {
                let attempt = known(attempt)?;
                let job = self.jobs.settle(attempt, *settlement, failure.as_ref(), *ttl_seconds).await?;
                info!(platform = %self.key, job = attempt.name, %settlement, "settled");
                return Ok((Done::Plain, Some(job)));
            }
            Step::Remove { attempt } => self.jobs.remove(known(attempt)?).await?,
            Step::Extend { queue_url, messages, timeout } => {
                sqs::change_visibility(account, queue_url, messages, *timeout).await?
            }
            Step::Return { queue_url, messages, delay, .. } => {
                sqs::change_visibility(account, queue_url, messages, *delay).await?
            }
            Step::Delete { queue_url, messages, .. } => sqs::delete(account, queue_url, messages).await?,
            Step::Resend { queue_url, bodies, .. } => sqs::send_all(account, queue_url, bodies).await?,
            Step::DeadLetter { body, attributes, .. } => {
                sqs::send(account, &config.dead_letter_url, body, attributes).await?
            }
            Step::Announce { event, .. } => {
                let body = super::attempt::to_json(event);
                sqs::send(account, &config.events_url, &body, &std::collections::BTreeMap::new()).await?
            }
        };
        Ok((done, None))
    }

    /// Tells the report where it changed. Returns when to look again.
    fn report(&self, config: &Config, decision: &Decision, state: &mut State) -> Option<Timestamp> {
        let now = self.clock.now();
        let wake = decision.wake.into_iter().chain(state.view.next_doubt()).min();
        if let Some((last, at)) = &state.reported
            && *at + REPORT_INTERVAL > now
            && last.drained == decision.drained
        {
            return wake.into_iter().chain([*at + REPORT_INTERVAL]).min();
        }
        let report = report(&config.policy, state.view.attempts(), &state.memory, decision, now);
        if state.reported.as_ref().is_none_or(|(last, _)| *last != report) {
            (self.publish)(report.clone());
            state.reported = Some((report, now));
        }
        wake
    }

    /// Waits for something to happen.
    async fn wait(&mut self, changes: &mut Changes, wake: Option<Timestamp>, state: &mut State) {
        let until = wake.map_or(NET, |wake| {
            Duration::try_from(wake.duration_since(self.clock.now())).unwrap_or_default().min(NET)
        });
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(until) => {}
            changed = self.config.changed() => {
                if changed.is_err() {
                    self.stop.cancel();
                }
            }
            () = changes.any(&mut state.view) => {}
            Some(ended) = state.receiving.join_next() => Box::pin(self.take(ended, state)).await,
        }
    }

    /// Takes what a receive brought.
    async fn take(&self, ended: Result<Delivery, tokio::task::JoinError>, state: &mut State) {
        let now = self.clock.now();
        let Ok(received) = ended else {
            state.asked = 0;
            state.memory.receive_failed("the receive ended in a panic".into(), now);
            return;
        };
        state.asked = state.asked.saturating_sub(received.asked);
        state.is_busy = received.result.as_ref().is_ok_and(|messages| 2 * messages.len() >= received.asked);
        let current = Arc::clone(&self.config.borrow());
        match received.result {
            Ok(messages) if received.config.policy.queue_url == current.policy.queue_url => {
                state.memory.receive(messages, current.policy.visibility, now);
            }
            Ok(messages) => give_back(&received.config, messages).await,
            Err(error) => {
                warn!(platform = %self.key, %error, "receiving failed and is tried again");
                state.memory.receive_failed(error, now);
            }
        }
    }

    /// Jobs that were written and never seen by the watch are asked for by name.
    async fn ask_for_doubtful(&self, state: &mut State) {
        let now = self.clock.now();
        for name in state.view.doubtful(now) {
            match answered(self.jobs.get(&name)).await {
                Ok(Some(job)) => state.view.wrote(job, now),
                Ok(None) => state.view.forget(&name),
                Err(error) => {
                    warn!(platform = %self.key, %error, "can't tell whether a Job is there");
                    state.view.postpone(&name, now);
                }
            }
        }
    }

    /// Jobs that failed, and of which the watch shows no pod that tells why: their pods are asked for.
    async fn ask_for_pods(&self, state: &mut State) {
        let now = self.clock.now();
        for name in state.view.silent(now) {
            match answered(self.jobs.pods(&name)).await {
                Ok(pods) => state.view.tell(&name, pods),
                Err(error) => {
                    warn!(platform = %self.key, %error, "can't tell why a Job failed");
                    state.view.ask_later(&name, now);
                }
            }
        }
    }

    /// Lets receives in flight end, and gives back what it and the inbox hold: another replica leads.
    async fn end(self, mut state: State) {
        let config = Arc::clone(&self.config.borrow());
        let inbox = std::mem::take(&mut state.memory.inbox);
        give_back(&config, inbox.into_iter().map(|it| it.message).collect()).await;
        while let Some(ended) = state.receiving.join_next().await {
            if let Ok(Delivery { config, result: Ok(messages), .. }) = ended {
                give_back(&config, messages).await;
            }
        }
        info!(platform = %self.key, "receives no more");
    }
}

/// A call, given up after [`LIMIT`], so that one that hangs holds up nothing else.
async fn answered<T>(call: impl Future<Output = Result<T, StepError>>) -> Result<T, StepError> {
    let no_answer = |_| StepError { message: format!("no answer within {LIMIT:?}"), creation: false };
    tokio::time::timeout(LIMIT, call).await.map_err(no_answer)?
}

async fn give_back(config: &Config, messages: Vec<Received>) {
    let held: Vec<_> = messages.into_iter().map(|it| it.held).collect();
    let url = &config.policy.queue_url;
    if !held.is_empty()
        && let Err(error) = sqs::change_visibility(&config.account, url, &held, SignedDuration::ZERO).await
    {
        warn!(%error, "messages could not be given back; they are visible again after their timeout");
    }
}
