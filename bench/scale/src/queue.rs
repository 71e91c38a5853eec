//! Message to Job: how long it takes one by one, and at 500 messages a second, for the operator, for the least that could
//! do it, and for KEDA.

mod bare;
mod flow;
mod keda;

use crate::{
    fleet,
    report::{percentile, say, table},
    usage::{Usage, load},
    world::World,
};
use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use flow::{Flow, RATE};
use keda::Keda;
use serde_json::{Value, json};
use std::{fmt, time::Duration};

/// The most that the operator's median may be of the bare consumer's.
const LIMIT: f64 = 2.0;
/// How long each Job runs.
const JOB: Duration = Duration::from_secs(1);
/// Slots besides one for each message.
const SPARE: usize = 10;

#[derive(clap::Args)]
pub struct Args {
    /// Who is measured, one after the other
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Side::value_variants().iter().copied())]
    sides: Vec<Side>,
    /// Messages one by one, for each side that is not named below
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    alone: u32,
    /// Messages one by one for KEDA at its defaults, which takes up to 30 s for each
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    alone_keda_default: u32,
    /// Messages of the burst, 500 a second
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=5000))]
    burst: u32,
}

/// Who makes Jobs of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Side {
    /// One long poll and its creates, by hand
    Bare,
    /// The operator
    Operator,
    /// KEDA as fast as it can be set
    KedaFastest,
    /// KEDA as it comes
    KedaDefault,
}

/// What a side did.
struct Measured {
    side: Side,
    /// Seconds from each message to its Job.
    alone: Vec<f64>,
    burst: Vec<f64>,
    /// Messages a second of the burst, as they were sent.
    rate: f64,
    /// Jobs for each message, all in all.
    jobs: f64,
    /// What its process used; the bare consumer has none of its own.
    usage: Option<Usage>,
}

/// The samples of a phase.
type Samples = fn(&Measured) -> &[f64];

/// The phases, as errors name them.
const PHASES: [(&str, Samples); 2] = [("one by one", |it| &it.alone), ("in the burst", |it| &it.burst)];

/// Measures, prints, and fails where a limit is passed.
pub async fn run(args: Args) -> Result<()> {
    let load_before = load()?;
    let mut all = Vec::new();
    for side in &args.sides {
        say(&format!("{side}: load average {}", load()?))?;
        all.push(Box::pin(side.measure(&args)).await.with_context(|| side.to_string())?);
    }
    print(&args, &load_before, &all)?;
    check(&all)
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bare => "bare",
            Self::Operator => "operator",
            Self::KedaFastest => "KEDA, fastest",
            Self::KedaDefault => "KEDA, default",
        })
    }
}

impl Side {
    /// In a world of its own, which ends with it.
    async fn measure(self, args: &Args) -> Result<Measured> {
        let world = World::start(1, JOB).await?;
        fleet::prepare(&world).await?;
        let alone = if self == Self::KedaDefault { args.alone_keda_default } else { args.alone } as usize;
        let burst = args.burst as usize;
        let slots = alone + burst + SPARE;
        match self {
            Self::Bare => {
                let queue = flow::create_queue(&world).await?;
                let mut flow = Flow::start(&world, &queue).await;
                tokio::select! {
                    measured = self.run(&mut flow, alone, burst) => measured,
                    ended = bare::consume(&world, &queue) => {
                        let Err(error) = ended;
                        Err(error.context("the bare consumer"))
                    }
                }
            }
            Self::Operator => {
                let operator = world.operator(1).await?;
                let queue = fleet::create_queue(&world, json!({ "maxConcurrentJobs": slots })).await?;
                let mut flow = Flow::start(&world, &queue).await;
                let measured = self.run(&mut flow, alone, burst).await?;
                Ok(Measured { usage: Some(operator.usage()?), ..measured })
            }
            Self::KedaFastest | Self::KedaDefault => {
                let queue = flow::create_queue(&world).await?;
                let mut flow = Flow::start(&world, &queue).await;
                let keda = Keda::start(&world, self.flags(), &queue, self.scaling(slots)).await?;
                let measured = tokio::select! {
                    measured = self.run(&mut flow, alone, burst) => measured,
                    ended = keda::take_messages(&world, &queue) => {
                        let Err(error) = ended;
                        Err(error.context("what runs in KEDA's pods"))
                    }
                };
                let measured = measured.with_context(|| keda.log_tail())?;
                Ok(Measured { usage: Some(keda.usage()?), ..measured })
            }
        }
    }

    async fn run(self, flow: &mut Flow, alone: usize, burst: usize) -> Result<Measured> {
        let alone = flow.alone(alone, self.period()).await.context("one by one")?;
        let (burst, rate) = flow.burst(burst).await.context("in the burst")?;
        Ok(Measured { side: self, alone, burst, rate, jobs: flow.jobs_per_message(), usage: None })
    }

    /// How often it looks, where it does not wait for a message.
    fn period(self) -> Duration {
        Duration::from_secs(if self == Self::KedaDefault { 30 } else { 1 })
    }

    /// Flags of KEDA's operator.
    fn flags(self) -> &'static [&'static str] {
        // It asks the API server 20 times a second at most, where nothing is said.
        if self == Self::KedaFastest { &["--kube-api-qps=10000", "--kube-api-burst=10000"] } else { &[] }
    }

    /// What a `ScaledJob` says of how many Jobs are made, and when.
    fn scaling(self, slots: usize) -> Value {
        if self == Self::KedaFastest {
            json!({
                "maxReplicaCount": slots,
                "pollingInterval": self.period().as_secs(),
                // For Jobs that take their message off the queue, as these do.
                "scalingStrategy": {"strategy": "accurate"},
                // It deletes none meanwhile.
                "successfulJobsHistoryLimit": slots,
            })
        } else {
            json!({ "maxReplicaCount": slots })
        }
    }
}

fn print(args: &Args, load_before: &str, all: &[Measured]) -> Result<()> {
    let times = |samples: &[f64]| {
        let [p50, p90, p99] = [0.5, 0.9, 0.99].map(|share| percentile(samples, share));
        let digits = if p50 < 1.0 { 3 } else { 2 };
        format!("{p50:.digits$}; {p90:.digits$}; {p99:.digits$}")
    };
    let rows: Vec<_> = all
        .iter()
        .map(|it| {
            let ratio = |samples: Samples| {
                ratio(all, it.side, samples).map_or_else(String::new, |ratio| format!("{ratio:.2}"))
            };
            vec![
                it.side.to_string(),
                it.alone.len().to_string(),
                times(&it.alone),
                ratio(|it| &it.alone),
                format!("{:.0}", it.rate),
                times(&it.burst),
                ratio(|it| &it.burst),
                format!("{:.3}", it.jobs),
                it.usage.map_or_else(String::new, |it| {
                    format!("{:.1} s; {:.0} MiB", it.cpu_seconds, it.peak_mib)
                }),
            ]
        })
        .collect();
    table(
        &format!(
            "message → Job in seconds, p50; p90; p99: one by one, and {} at {RATE} a second",
            args.burst
        ),
        (load_before, &load()?),
        &[
            "",
            "n",
            "one by one",
            "× bare",
            "sent a second",
            "in the burst",
            "× bare",
            "Jobs a message",
            "CPU; peak RSS",
        ],
        &rows,
    )
}

/// A side's median over that of the bare consumer, where both were measured.
fn ratio(all: &[Measured], side: Side, samples: Samples) -> Option<f64> {
    let median = |side| all.iter().find(|it| it.side == side).map(|it| percentile(samples(it), 0.5));
    Some(median(side)? / median(Side::Bare)?)
}

fn check(all: &[Measured]) -> Result<()> {
    for (when, samples) in PHASES {
        if let Some(ratio) = ratio(all, Side::Operator, samples) {
            ensure!(
                ratio <= LIMIT,
                "{when} the operator takes {ratio:.2} times as long; at most {LIMIT} is allowed"
            );
        }
    }
    Ok(())
}
