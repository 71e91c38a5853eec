//! A backlog of messages, and slots that all are taken: how fast it drains, in which order, and what it costs.

use crate::{
    fleet::{self, Watch},
    messages::{self, Message},
    report::{self, percentile, say, table},
    usage::load,
    world::{Operator, World},
};
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::batch::v1::Job;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;
use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    time::{Duration, Instant},
};
use streaming_operator::api::{StreamingPlatform, names::LABEL_IDENTITY};

/// The least that the drain rate may be of the slots' own limit.
const LEAST: f64 = 0.8;
/// How often the memory is looked at.
const SAMPLES: usize = 10;

#[derive(clap::Args)]
pub struct Args {
    /// Messages.
    #[arg(long, default_value_t = 15_000)]
    messages: usize,
    /// Jobs at a time.
    #[arg(long, default_value_t = 100)]
    slots: usize,
    /// How long each Job runs.
    #[arg(long, default_value = "8s", value_parser = report::duration)]
    job: Duration,
}

/// How it went.
struct Drain {
    /// Place in the queue of each message, in the order of first starts.
    order: Vec<usize>,
    started: Vec<f64>,
    ended: Vec<f64>,
    /// Seconds from a Job's making until its slot was free.
    held: Vec<f64>,
    most_at_once: usize,
    jobs: usize,
    /// Share of messages that were done, RSS in MiB, CPU seconds.
    samples: Vec<(f64, f64, f64)>,
}

/// Measures, prints, and fails where a limit is passed.
pub async fn run(args: Args) -> Result<()> {
    let world = World::start(1, args.job).await?;
    fleet::prepare(&world).await?;
    let operator = world.operator(32).await?;
    let queue = Box::pin(platform(&world, &args)).await?;
    let places = fill(&world, &queue, args.messages).await?;
    say(&format!("{} messages are on the queue", args.messages))?;
    let load_before = load()?;
    let mut jobs = Watch::start(Api::<Job>::all(world.client.clone()));
    let api = Api::<StreamingPlatform>::namespaced(world.client.clone(), &fleet::namespace(0, &world));
    let go = Patch::Merge(json!({"spec": {"suspend": false}}));
    api.patch(&fleet::name(0), &PatchParams::default(), &go).await?;
    let drain = drain(&args, &mut jobs, &places, &operator).await?;
    print(&args, &drain, &load_before)
}

/// A platform with transcoding only, which is suspended. Gives the URL of its queue.
async fn platform(world: &World, args: &Args) -> Result<String> {
    let transcoding = json!({"maxConcurrentJobs": args.slots, "queue": {"visibilityTimeout": "1m"}});
    let queue = fleet::create_queue(world, transcoding).await?;
    let mut watch = Watch::start(Api::<StreamingPlatform>::all(world.client.clone()));
    let api = Api::<StreamingPlatform>::namespaced(world.client.clone(), &fleet::namespace(0, world));
    let stop = Patch::Merge(json!({"spec": {"suspend": true}}));
    let platform = api.patch(&fleet::name(0), &PatchParams::default(), &stop).await?;
    // Until the suspension holds, which shows in the generation that the status is about.
    let generation = platform.metadata.generation;
    loop {
        let (_, platform) = watch.next().await.context("a suspended platform")?;
        if platform.status.is_some_and(|status| status.observed_generation == generation) {
            return Ok(queue);
        }
    }
}

/// Sends the messages. Gives the place of each by its identity.
async fn fill(world: &World, queue: &str, messages: usize) -> Result<HashMap<String, usize>> {
    let sqs = world.sqs().await;
    let all = (0..messages).map(Message::of_clip).collect::<Result<Vec<_>>>()?;
    for batch in all.chunks(messages::BATCH) {
        messages::send(&sqs, queue, batch).await?;
    }
    Ok(all.into_iter().enumerate().map(|(place, message)| (message.identity, place)).collect())
}

async fn drain(
    args: &Args,
    jobs: &mut Watch<Job>,
    places: &HashMap<String, usize>,
    operator: &Operator,
) -> Result<Drain> {
    let begun = Instant::now();
    let mut drain = Drain {
        order: Vec::new(),
        started: Vec::new(),
        ended: Vec::new(),
        held: Vec::new(),
        most_at_once: 0,
        jobs: 0,
        samples: vec![(0.0, operator.usage()?.rss_mib, 0.0)],
    };
    let cpu_before = operator.usage()?.cpu_seconds;
    let mut running: HashMap<String, Instant> = HashMap::new();
    let mut over = HashSet::new();
    let mut begun_places = HashSet::new();
    while over.len() < args.messages {
        let (at, job) =
            jobs.next().await.with_context(|| format!("{} of {} done", over.len(), args.messages))?;
        let identity = job.labels().get(LABEL_IDENTITY).cloned().context("a Job without identity")?;
        let place =
            *places.get(&identity).with_context(|| format!("a Job of no message: {}", job.name_any()))?;
        let status = job.status.as_ref();
        let is_over = status.is_some_and(|status| status.completion_time.is_some());
        if over.contains(&job.name_any()) {
            continue;
        }
        if let Entry::Vacant(new) = running.entry(job.name_any()) {
            new.insert(at);
            drain.jobs += 1;
            drain.started.push((at - begun).as_secs_f64());
            if begun_places.insert(place) {
                drain.order.push(place);
            }
            drain.most_at_once = drain.most_at_once.max(running.len());
        }
        if is_over && let Some(since) = running.remove(&job.name_any()) {
            drain.held.push((at - since).as_secs_f64());
            drain.ended.push((at - begun).as_secs_f64());
            over.insert(job.name_any());
            if over.len() * SAMPLES / args.messages >= drain.samples.len() {
                let usage = operator.usage()?;
                let share = over.len() as f64 / args.messages as f64;
                drain.samples.push((share, usage.rss_mib, usage.cpu_seconds - cpu_before));
                let seconds = begun.elapsed().as_secs();
                say(&format!("{} of {} messages are done after {seconds} s", over.len(), args.messages))?;
            }
        }
    }
    Ok(drain)
}

fn print(args: &Args, drain: &Drain, load_before: &str) -> Result<()> {
    let loads = (load_before, load()?);
    let length =
        drain.ended.last().copied().unwrap_or_default() - drain.started.first().copied().unwrap_or_default();
    let rate = drain.ended.len() as f64 / length;
    let limit = args.slots as f64 / args.job.as_secs_f64();
    let held: f64 = drain.held.iter().sum::<f64>() / length / args.slots as f64;
    let displaced: Vec<f64> =
        drain.order.iter().enumerate().map(|(index, place)| index.abs_diff(*place) as f64).collect();
    let row = |what: &str, value: String| vec![what.to_owned(), value];
    table(
        &format!("{} messages, {} slots, Jobs of {:?}", args.messages, args.slots, args.job),
        (loads.0, &loads.1),
        &["", "measured"],
        &[
            row("until the last Job ended", format!("{length:.0} s")),
            row("Jobs a second; the slots' own limit", format!("{rate:.1}; {limit:.1}")),
            row("share of that limit", format!("{:.2} (at least {LEAST})", rate / limit)),
            row("share of the time that slots were taken", format!("{held:.2}")),
            row(
                "a Job's slot was taken, p50; p90",
                format!("{:.1} s; {:.1} s", percentile(&drain.held, 0.5), percentile(&drain.held, 0.9)),
            ),
            row("Jobs; at most at a time", format!("{}; {}", drain.jobs, drain.most_at_once)),
            row(
                "places between sending and first start, p50; p90; most",
                format!(
                    "{:.0}; {:.0}; {:.0}",
                    percentile(&displaced, 0.5),
                    percentile(&displaced, 0.9),
                    percentile(&displaced, 1.0)
                ),
            ),
        ],
    )?;
    let rows: Vec<_> = drain
        .samples
        .iter()
        .map(|(share, rss, cpu)| {
            vec![format!("{:.0} %", share * 100.0), format!("{rss:.0} MiB"), format!("{cpu:.1} s")]
        })
        .collect();
    table("the operator meanwhile", (loads.0, &loads.1), &["messages done", "RSS", "CPU so far"], &rows)?;
    ensure!(drain.jobs == args.messages, "{} Jobs for {} messages", drain.jobs, args.messages);
    ensure!(
        drain.most_at_once <= args.slots,
        "{} Jobs at a time in {} slots",
        drain.most_at_once,
        args.slots
    );
    ensure!(
        rate / limit >= LEAST,
        "the backlog drains at {:.2} of the slots' limit; at least {LEAST} is asked for",
        rate / limit
    );
    Ok(())
}
