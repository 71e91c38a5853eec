//! Platforms created at once, until all are Ready; then what they cost while nothing happens.

use crate::{
    audit::{self, AuditLog, Request},
    bare,
    fleet::{self, Watch},
    report::{self, percentile, say, table},
    usage::{Usage, load},
    world::{Operator, World},
};
use anyhow::{Result, ensure};
use kube::Api;
use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    time::{Duration, Instant},
};
use streaming_operator::api::StreamingPlatform;
use tokio::time::sleep;

/// The most that the operator's time may be of the bare client's.
const RATIO: f64 = 1.3;
/// The most memory that the operator may hold, in MiB.
const MEMORY: f64 = 150.0;
/// How long the last changes may take to come back by the watches, before nothing is to happen any more.
const SETTLE: Duration = Duration::from_secs(30);

#[derive(clap::Args)]
pub struct Args {
    /// Platforms created at once.
    #[arg(long, default_value_t = 100)]
    platforms: usize,
    /// How often; the medians count.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// Platforms that are worked on at a time, by both.
    #[arg(long, default_value_t = 32)]
    concurrency: usize,
    /// How long nothing is to happen then.
    #[arg(long, default_value = "10m", value_parser = report::duration)]
    idle: Duration,
    /// CSV file that the figures are appended to.
    #[arg(long)]
    record: Option<PathBuf>,
    /// Print what was asked of Kubernetes and AWS, by verb and kind.
    #[arg(long)]
    calls: bool,
    /// Wait for Enter before the platforms are created, so that a profiler can be attached.
    #[arg(long)]
    pause: bool,
}

/// What the operator took.
#[derive(Default)]
struct Measured {
    /// Seconds until all were Ready, for each round.
    seconds: Vec<f64>,
    /// Seconds until each was Ready.
    each: Vec<f64>,
    requests: Vec<Request>,
    aws_calls: BTreeMap<String, usize>,
    after: Usage,
    cpu_seconds: f64,
}

/// What it takes while nothing happens.
struct Idle {
    seconds: f64,
    writes: BTreeMap<String, usize>,
    renewals: usize,
    aws_calls: BTreeMap<String, usize>,
    cpu_seconds: f64,
    usage: Usage,
}

/// Measures, prints, and fails where a limit is passed.
pub async fn run(args: Args) -> Result<()> {
    let (all, load_before) = (args.platforms * args.rounds, load()?);
    let (measured, idle, recorded) = {
        let world = World::start(fleet::accounts_for(all), Duration::from_secs(1)).await?;
        fleet::prepare(&world).await?;
        let operator = world.operator(args.concurrency).await?;
        if args.pause {
            say(&format!("the operator is process {}; go on with Enter", operator.pid()?))?;
            std::io::stdin().read_line(&mut String::new())?;
        }
        let mut log = AuditLog::at(&world.server.audit_log());
        let measured = by_operator(&args, &world, &operator, &mut log).await?;
        let recorded = bare::recorded(&world, &measured.requests, 0..all).await?;
        (measured, idle(&args, &world, &operator, &mut log).await?, recorded)
    };
    let world = World::start(fleet::accounts_for(all), Duration::from_secs(1)).await?;
    fleet::prepare(&world).await?;
    let bare = by_bare(&args, &world, &recorded).await?;
    let (operator_seconds, bare_seconds) = (percentile(&measured.seconds, 0.5), percentile(&bare, 0.5));
    let ratio = operator_seconds / bare_seconds;
    let report = Report { args: &args, measured: &measured, idle: &idle, bare_seconds, ratio, all };
    report.print(&load_before, &recorded)?;
    report.keep()?;
    ensure!(ratio <= RATIO, "the operator takes {ratio:.2} times as long; at most {RATIO} is allowed");
    ensure!(idle.writes.is_empty(), "the operator writes while nothing happens: {:?}", idle.writes);
    ensure!(
        idle.usage.rss_mib <= MEMORY,
        "the operator holds {:.0} MiB; at most {MEMORY} are allowed",
        idle.usage.rss_mib
    );
    Ok(())
}

/// Numbers of the platforms of a round.
fn round(args: &Args, round: usize) -> std::ops::Range<usize> {
    round * args.platforms..(round + 1) * args.platforms
}

async fn by_operator(
    args: &Args,
    world: &World,
    operator: &Operator,
    log: &mut AuditLog,
) -> Result<Measured> {
    let mut watch = Watch::start(Api::<StreamingPlatform>::all(world.client.clone()));
    let (before, mut measured) = (operator.usage()?, Measured::default());
    log.news()?;
    for index in 0..args.rounds {
        let begun = Instant::now();
        let creating = fleet::create_all(world, round(args, index), args.concurrency);
        let first = fleet::name(round(args, index).start);
        let mine = |platform: &StreamingPlatform| platform.metadata.name.as_ref() >= Some(&first);
        let ready = watch.until(args.platforms, |platform| mine(platform) && fleet::is_ready(platform));
        let ((), ready) = tokio::try_join!(creating, ready)?;
        let each = report::seconds(begun, &ready);
        measured.seconds.extend(each.last());
        measured.each.extend(each);
    }
    measured.after = operator.usage()?;
    measured.cpu_seconds = measured.after.cpu_seconds - before.cpu_seconds;
    measured.requests = log.news()?;
    measured.aws_calls = aws_calls(world);
    say(&format!("the operator: {:.1} s", percentile(&measured.seconds, 0.5)))?;
    Ok(measured)
}

async fn by_bare(args: &Args, world: &World, recorded: &HashMap<usize, bare::Recorded>) -> Result<Vec<f64>> {
    let mut seconds = Vec::new();
    for index in 0..args.rounds {
        let indices = round(args, index).collect();
        let (begun, available) = bare::make(world, recorded, indices, args.concurrency).await?;
        seconds.extend(report::seconds(begun, &available).last());
    }
    say(&format!("the bare client: {:.1} s", percentile(&seconds, 0.5)))?;
    Ok(seconds)
}

async fn idle(args: &Args, world: &World, operator: &Operator, log: &mut AuditLog) -> Result<Idle> {
    sleep(SETTLE).await;
    log.news()?;
    let (before, calls_before) = (operator.usage()?, aws_calls(world));
    let begun = Instant::now();
    sleep(args.idle).await;
    let (usage, requests) = (operator.usage()?, log.news()?);
    let mut aws_calls = aws_calls(world);
    for (action, number) in calls_before {
        aws_calls.entry(action).and_modify(|now| *now -= number);
    }
    aws_calls.retain(|_, number| *number > 0);
    Ok(Idle {
        seconds: begun.elapsed().as_secs_f64(),
        writes: audit::counts(requests.iter().filter(|request| request.writes())),
        renewals: requests.iter().filter(|request| request.renews()).count(),
        aws_calls,
        cpu_seconds: usage.cpu_seconds - before.cpu_seconds,
        usage,
    })
}

fn aws_calls(world: &World) -> BTreeMap<String, usize> {
    let mut sum = BTreeMap::new();
    for (action, number) in world.accounts.iter().flat_map(|account| account.calls()) {
        *sum.entry(action).or_default() += number;
    }
    sum
}

struct Report<'a> {
    args: &'a Args,
    measured: &'a Measured,
    idle: &'a Idle,
    bare_seconds: f64,
    ratio: f64,
    all: usize,
}

impl Report<'_> {
    /// Requests for each platform.
    fn each(&self, number: usize) -> f64 {
        number as f64 / self.all as f64
    }

    fn writes(&self) -> impl Iterator<Item = &Request> {
        self.measured.requests.iter().filter(|request| request.writes())
    }

    fn reads(&self) -> impl Iterator<Item = &Request> {
        self.measured.requests.iter().filter(|request| !request.writes() && !request.renews())
    }

    fn print(&self, load_before: &str, recorded: &HashMap<usize, bare::Recorded>) -> Result<()> {
        let Self { args, measured, idle, bare_seconds, ratio, .. } = self;
        let loads = (load_before, load()?);
        let (objects, calls) = recorded.values().next().map(bare::Recorded::size).unwrap_or_default();
        let [p50, p90] = [0.5, 0.9].map(|share| percentile(&measured.each, share));
        table(
            &format!(
                "{} platforms at once ({} rounds), {} objects and {calls} changes of AWS each",
                args.platforms, args.rounds, objects
            ),
            (loads.0, &loads.1),
            &["", "bare client", "operator", "ratio (at most 1.3)"],
            &[
                vec![
                    "all Ready".into(),
                    format!("{bare_seconds:.2} s"),
                    format!("{:.2} s", percentile(&measured.seconds, 0.5)),
                    format!("{ratio:.2}"),
                ],
                vec![
                    "each, p50; p90".into(),
                    String::new(),
                    format!("{p50:.2} s; {p90:.2} s"),
                    String::new(),
                ],
            ],
        )?;
        let row = |what: &str, value: String| vec![what.to_owned(), value];
        let aws: usize = measured.aws_calls.values().sum();
        let receives = idle.aws_calls.get("sqs:ReceiveMessage").copied().unwrap_or_default();
        table(
            "what the operator took",
            (loads.0, &loads.1),
            &["", "operator"],
            &[
                row(
                    "writes to Kubernetes, each platform",
                    format!("{:.1}", self.each(self.writes().count())),
                ),
                row("reads of Kubernetes, each platform", format!("{:.1}", self.each(self.reads().count()))),
                row("calls of AWS, each platform", format!("{:.1}", self.each(aws))),
                row("CPU until all were Ready", format!("{:.2} s", measured.cpu_seconds)),
                row("RSS when all were Ready", format!("{:.0} MiB", measured.after.rss_mib)),
                row(
                    &format!("writes in {:.0} s of rest", idle.seconds),
                    format!("{} (limit 0)", idle.writes.values().sum::<usize>()),
                ),
                row("renewals of the Lease in that time", idle.renewals.to_string()),
                row("polls for messages in that time", receives.to_string()),
                row(
                    "other calls of AWS in that time",
                    (idle.aws_calls.values().sum::<usize>() - receives).to_string(),
                ),
                row("CPU in that time", format!("{:.2} s", idle.cpu_seconds)),
                row(
                    "RSS after it; peak",
                    format!("{:.0} MiB (limit {MEMORY}); {:.0} MiB", idle.usage.rss_mib, idle.usage.peak_mib),
                ),
            ],
        )?;
        if args.calls {
            for (title, counts) in [
                ("writes to Kubernetes", audit::counts(self.writes())),
                ("reads of Kubernetes", audit::counts(self.reads())),
                ("calls of AWS", measured.aws_calls.clone()),
                ("writes at rest", idle.writes.clone()),
                ("calls of AWS at rest", idle.aws_calls.clone()),
            ] {
                let rows: Vec<_> =
                    counts.iter().map(|(what, number)| row(what, number.to_string())).collect();
                table(title, (loads.0, &loads.1), &["", "number"], &rows)?;
            }
        }
        Ok(())
    }

    fn keep(&self) -> Result<()> {
        let Some(file) = &self.args.record else { return Ok(()) };
        let Self { args, measured, idle, bare_seconds, ratio, .. } = self;
        let aws: usize = measured.aws_calls.values().sum();
        report::keep(
            file,
            &[
                ("platforms", args.platforms.to_string()),
                ("bare_seconds", format!("{bare_seconds:.2}")),
                ("operator_seconds", format!("{:.2}", percentile(&measured.seconds, 0.5))),
                ("ratio", format!("{ratio:.2}")),
                ("writes_each", format!("{:.1}", self.each(self.writes().count()))),
                ("aws_calls_each", format!("{:.1}", self.each(aws))),
                ("cpu_seconds", format!("{:.2}", measured.cpu_seconds)),
                ("idle_cpu_percent", format!("{:.2}", 100.0 * idle.cpu_seconds / idle.seconds.max(1.0))),
                ("rss_mib", format!("{:.1}", idle.usage.rss_mib)),
            ],
        )
    }
}
