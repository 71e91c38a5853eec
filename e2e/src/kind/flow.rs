//! Messages that flow to a platform whose Jobs run on played nodes, while something is broken; and the count of what
//! became of each of them.

use super::{
    Check, Cluster, Platform, eventually,
    jobs::{History, JobHistory, State},
    kwok::{self, Kwok},
    platform::Transcoding,
    replicas::Replicas,
    spec,
};
use anyhow::{Context, Result, ensure};
use contract::{
    event::{Outcome, OutcomeEvent},
    job::Source,
    message::ExplicitMessage,
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::{task::JoinHandle, time::interval};

/// How long a platform may take until it receives messages.
const SOON: Duration = Duration::from_secs(90);
/// How long hundreds of Jobs and their pods may take to be gone.
const CLEARED: Duration = Duration::from_secs(300);

/// How the Job of a message ends, which the first folder of its key tells kwok (`cluster/kwok.yaml`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It succeeds.
    Good,
    /// It fails once, and succeeds.
    Flaky,
    /// It is refused for good.
    Bad,
}

impl End {
    /// One in twenty is bad, and one is flaky. Never so many flaky ones in a row that the breaker opens.
    fn of(number: u32) -> Self {
        match number % 20 {
            7 => Self::Bad,
            13 => Self::Flaky,
            _ => Self::Good,
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Flaky => "flaky",
            Self::Bad => "bad",
        }
    }

    fn attempts(self) -> usize {
        if self == Self::Flaky { 2 } else { 1 }
    }
}

/// One in ten is sent twice, as S3 may do with its events.
fn is_sent_twice(number: u32) -> bool {
    number % 10 == 3
}

/// A platform under a flow of messages.
pub struct Flow {
    /// The platform.
    pub platform: Platform,
    /// Its queues and buckets.
    pub aws: Transcoding,
    /// Its Jobs.
    pub jobs: JobHistory,
    /// The operator.
    pub replicas: Replicas,
    /// The nodes of its Jobs.
    pub kwok: Kwok,
}

/// What became of messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages sent, those that came twice counted twice.
    pub messages: usize,
    /// Pieces of work that they ask for.
    pub works: usize,
    /// Jobs made.
    pub jobs: usize,
    /// Works whose Job succeeded.
    pub succeeded: usize,
    /// Works that are on the dead-letter queue.
    pub dead_lettered: usize,
    /// Works that did not end as they had to, or whose end was not announced.
    pub lost: Vec<String>,
    /// Works that had more Jobs than they had to, two at once, or succeeded twice; and Jobs for no work.
    pub doubled: Vec<String>,
}

impl Flow {
    /// Applies a platform in a namespace of its own, and waits until it receives messages.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn begin(cluster: &Cluster, name: &str, aws: Value) -> Result<Self> {
        let namespace = cluster.namespace(name).await?;
        let kwok = Kwok::start(cluster, name).await?;
        let platform = cluster.platform(&namespace, name);
        let jobs = JobHistory::follow(&cluster.client, &namespace);
        let replicas = Replicas::follow(&cluster.client);
        platform.apply(&spec_of(name, aws)).await?;
        let aws = Box::pin(platform.transcoding(SOON)).await?;
        Ok(Self { platform, aws, jobs, replicas, kwok })
    }

    /// Sends the messages `numbers` one after the other, evenly over a time.
    pub fn send(&self, numbers: std::ops::Range<u32>, over: Duration) -> JoinHandle<Result<()>> {
        let (aws, queue, input) =
            (self.platform.cluster.aws.clone(), self.aws.queue.clone(), self.aws.input.clone());
        tokio::spawn(async move {
            let mut turns = interval(over / numbers.len().try_into().unwrap_or(1));
            for number in numbers {
                turns.tick().await;
                let body = serde_json::to_string(&message(&input, number))?;
                aws.send(&queue, &body).await?;
                if is_sent_twice(number) {
                    aws.send(&queue, &body).await?;
                }
            }
            Ok(())
        })
    }

    /// Waits until that many works have succeeded.
    ///
    /// # Errors
    /// When they have not in time.
    pub async fn succeeded(&self, count: usize) -> Result<()> {
        let what = format!("{count} Jobs succeeded");
        self.jobs.wait(&what, SOON, |history| history.succeeded().len() >= count).await?;
        Ok(())
    }

    /// Waits until the works of that many messages, from the first on, have ended, and tells what became of them.
    ///
    /// # Errors
    /// When some have not ended in time.
    pub async fn settled(&self, count: u32, deadline: Duration) -> Result<Tally> {
        let aws = &self.platform.cluster.aws;
        let (queue, letters) = (&self.aws.queue, &self.aws.dead_letters);
        let bad = (0..count).filter(|number| End::of(*number) == End::Bad).count();
        let good = count as usize - bad;
        eventually("every message has come to its end", deadline, async || {
            let (succeeded, depth, dead) =
                (self.jobs.now().succeeded().len(), aws.depth(queue).await?, aws.depth(letters).await?);
            let empty = depth.visible + depth.in_flight + depth.delayed == 0;
            Ok(if succeeded >= good && empty && usize::try_from(dead.visible)? >= bad {
                Check::Done(())
            } else {
                Check::NotYet(format!("{succeeded} of {good} succeeded, {depth:?}; of {bad} dead {dead:?}"))
            })
        })
        .await?;
        self.tally(count).await
    }

    async fn tally(&self, count: u32) -> Result<Tally> {
        let aws = &self.platform.cluster.aws;
        let history = History::of_now(&self.platform.cluster.client, &self.platform.namespace).await?;
        let dead: BTreeSet<String> = aws
            .drain(&self.aws.dead_letters)
            .await?
            .iter()
            .map(|body| Ok(serde_json::from_str::<ExplicitMessage>(body)?.identity().to_string()))
            .collect::<Result<_>>()?;
        let ends = ends(&aws.drain(&self.aws.events).await?)?;
        let mut tally = Tally { works: count as usize, jobs: history.jobs.len(), ..Tally::default() };
        let mut wanted = 0;
        for number in 0..count {
            let end = End::of(number);
            tally.messages += if is_sent_twice(number) { 2 } else { 1 };
            let identity = message(&self.aws.input, number).identity().to_string();
            let attempts = history.of(&identity);
            wanted += attempts.len();
            let succeeded = attempts.iter().filter(|job| job.state == State::Succeeded).count();
            let (is_dead, announced) = (dead.contains(&identity), ends.get(&identity));
            tally.succeeded += usize::from(succeeded > 0);
            tally.dead_lettered += usize::from(is_dead);
            let due = if end == End::Bad { Outcome::DeadLettered } else { Outcome::Succeeded };
            let ended = is_dead == (end == End::Bad) && (succeeded > 0) == (end != End::Bad);
            if !ended || announced != Some(&due) {
                tally
                    .lost
                    .push(format!("{number} {end:?}: {attempts:?}, dead {is_dead}, told {announced:?}"));
            }
            if succeeded > 1 || attempts.len() > end.attempts() {
                tally.doubled.push(format!("{number} {end:?}: {attempts:?}"));
            }
        }
        if history.jobs.len() > wanted {
            tally.doubled.push(format!("{} Jobs for no work", history.jobs.len() - wanted));
        }
        tally.doubled.extend(self.jobs.now().overlaps);
        Ok(tally)
    }

    /// Takes everything away.
    ///
    /// # Errors
    /// When something stays.
    pub async fn end(self) -> Result<()> {
        let Platform { cluster, namespace, .. } = &self.platform;
        self.platform.delete().await?;
        self.platform.gone(CLEARED).await?;
        cluster.delete_namespace_within(namespace, CLEARED).await?;
        self.kwok.end().await
    }
}

impl Tally {
    /// Nothing may be lost, nothing doubled.
    ///
    /// # Errors
    /// With what was.
    pub fn check(&self) -> Result<()> {
        ensure!(self.lost.is_empty(), "lost: {:#?}", self.lost);
        ensure!(self.doubled.is_empty(), "doubled: {:#?}", self.doubled);
        ensure!(self.succeeded + self.dead_lettered == self.works, "{self:?}");
        Ok(())
    }
}

fn spec_of(name: &str, aws: Value) -> Value {
    let mut transcoding = spec::transcoding();
    transcoding["maxConcurrentJobs"] = json!(60);
    transcoding["job"]["scheduling"] = kwok::scheduling(name);
    json!({"aws": aws, "transcoding": transcoding})
}

fn message(bucket: &str, number: u32) -> ExplicitMessage {
    let key = format!("{}/{number}.mp4", End::of(number).folder());
    ExplicitMessage::with_id(Source { bucket: bucket.to_owned(), key, version_id: None }, number.to_string())
}

/// The greatest outcome that was announced of each work.
fn ends(events: &[String]) -> Result<BTreeMap<String, Outcome>> {
    let mut ends: BTreeMap<String, Outcome> = BTreeMap::new();
    for event in events {
        let event: OutcomeEvent =
            serde_json::from_str(event).with_context(|| format!("an outcome: {event}"))?;
        let end = ends.entry(event.subject.to_string()).or_insert(event.data.outcome);
        *end = (*end).max(event.data.outcome);
    }
    Ok(ends)
}
