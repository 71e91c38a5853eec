//! Messages onto a queue, and the Jobs that come of them.

use crate::{
    fleet::Watch,
    messages::{self, BATCH, Message},
    world::World,
};
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::batch::v1::Job;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};
use streaming_operator::api::names::LABEL_IDENTITY;
use tokio::time::{interval, sleep, timeout};

/// Messages of a burst in each second.
pub const RATE: usize = 500;
/// Longest until all messages of a burst have their Jobs.
const PATIENCE: Duration = Duration::from_secs(600);
/// What a Job leaves to do is done after this.
const SETTLED: Duration = Duration::from_secs(2);
/// Multiples of it, without their whole parts, lie evenly between 0 and 1: the golden ratio's.
const EVENLY: f64 = 0.618_034;

/// A queue, and the Jobs of a world.
pub struct Flow {
    queue: String,
    sqs: aws_sdk_sqs::Client,
    jobs: Watch<Job>,
    /// Names of the Jobs so far.
    seen: HashSet<String>,
    sent: usize,
}

/// A message, and when the call began that sent it.
struct Sent {
    identity: String,
    at: Instant,
}

impl Flow {
    /// With the queue of that URL. Begins to watch.
    pub async fn start(world: &World, queue: &str) -> Self {
        let jobs = Watch::start(Api::all(world.client.clone()));
        Self { queue: queue.to_owned(), sqs: world.sqs().await, jobs, seen: HashSet::new(), sent: 0 }
    }

    /// Seconds from message to Job of so many messages, one by one. Each is sent at another phase of the `period` in
    /// which a side that polls looks.
    pub async fn alone(&mut self, messages: usize, period: Duration) -> Result<Vec<f64>> {
        let mut seconds = Vec::new();
        // The first one opens connections and is not counted.
        for index in 0..=messages {
            sleep(SETTLED + period.mul_f64((index as f64 * EVENLY).fract())).await;
            let sent = self.send(1).await?;
            let latencies = self.latencies(&sent).await?;
            if index > 0 {
                seconds.extend(latencies);
            }
        }
        Ok(seconds)
    }

    /// The same of so many messages at [`RATE`], and how many a second were sent.
    pub async fn burst(&mut self, messages: usize) -> Result<(Vec<f64>, f64)> {
        sleep(SETTLED).await;
        let sent = self.send(messages).await?;
        let length = sent.iter().map(|it| it.at).max().zip(sent.first()).map(|(last, first)| last - first.at);
        // The last batch takes its part of the time, too.
        let length = length.unwrap_or_default() + Self::between_batches();
        Ok((self.latencies(&sent).await?, messages as f64 / length.as_secs_f64()))
    }

    /// All Jobs so far over all messages.
    pub fn jobs_per_message(&self) -> f64 {
        self.seen.len() as f64 / self.sent as f64
    }

    fn between_batches() -> Duration {
        Duration::from_secs(1) * BATCH as u32 / RATE as u32
    }

    /// Sends so many at [`RATE`], whatever a call takes.
    async fn send(&mut self, messages: usize) -> Result<Vec<Sent>> {
        let all = (self.sent..self.sent + messages).map(Message::of_clip).collect::<Result<Vec<_>>>()?;
        self.sent += messages;
        let mut ticks = interval(Self::between_batches());
        let mut calls = Vec::new();
        for batch in all.chunks(BATCH) {
            ticks.tick().await;
            let (sqs, queue, batch) = (self.sqs.clone(), self.queue.clone(), batch.to_vec());
            calls.push(tokio::spawn(async move {
                let at = Instant::now();
                messages::send(&sqs, &queue, &batch).await?;
                anyhow::Ok(batch.into_iter().map(move |it| Sent { identity: it.identity, at }))
            }));
        }
        let mut sent = Vec::new();
        for call in calls {
            sent.extend(call.await??);
        }
        Ok(sent)
    }

    async fn latencies(&mut self, sent: &[Sent]) -> Result<Vec<f64>> {
        let made = timeout(PATIENCE, self.made(sent)).await;
        let made = made.with_context(|| format!("not all Jobs after {} s", PATIENCE.as_secs()))??;
        Ok(made.into_iter().zip(sent).map(|(made, sent)| (made - sent.at).as_secs_f64()).collect())
    }

    /// When each message had its Job: the one with its identity. Where Jobs carry none, the n-th Job is the n-th
    /// message's; one that is older than that message is one too many of an earlier message.
    async fn made(&mut self, sent: &[Sent]) -> Result<Vec<Instant>> {
        let places: HashMap<_, _> =
            sent.iter().enumerate().map(|(place, it)| (it.identity.as_str(), place)).collect();
        let mut made = HashMap::new();
        while made.len() < sent.len() {
            let (at, job) = self
                .jobs
                .next()
                .await
                .with_context(|| format!("{} of {} messages have a Job", made.len(), sent.len()))?;
            if !self.seen.insert(job.name_any()) {
                continue;
            }
            let place = match job.labels().get(LABEL_IDENTITY) {
                Some(identity) => places.get(identity.as_str()).copied(),
                None => Some(made.len()).filter(|place| sent[*place].at <= at),
            };
            if let Some(place) = place {
                let twice = made.insert(place, at);
                ensure!(twice.is_none(), "a second Job of one message: {}", job.name_any());
            }
        }
        Ok((0..sent.len()).map(|place| made[&place]).collect())
    }
}

/// Makes a queue. Gives its URL.
///
/// # Errors
/// When SQS refuses.
pub async fn create_queue(world: &World) -> Result<String> {
    let made = world.sqs().await.create_queue().queue_name("bench").send().await?;
    made.queue_url.context("SQS names no queue")
}

/// What a Job is that nothing is asked of.
pub fn job_spec() -> Value {
    json!({"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "none", "image": "none"}]}}})
}
