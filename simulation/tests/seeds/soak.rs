//! Lives in processes of their own, as many at a time as there are processors.

use crate::life::{self, EPOCH, Report};
use jiff::Timestamp;
use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    fs,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Longest that a life may take: one that never ends is a bug, too.
const PATIENCE: Duration = Duration::from_secs(600);
/// How often a soak says how far it is.
const PROGRESS: Duration = Duration::from_secs(30);

/// A life that is over.
pub struct Lived {
    pub seed: u64,
    pub report: Report,
    pub trace: String,
}

/// The life of this process.
pub fn replay() {
    let seed: u64 = env::var("SEED").ok().and_then(|text| text.parse().ok()).expect("SEED is a number");
    let epoch: Timestamp = EPOCH.parse().unwrap();
    let epoch = Duration::try_from(epoch.duration_since(Timestamp::UNIX_EPOCH)).unwrap();
    let report = replay::live(seed, epoch, || life::live(seed));
    let report = Report { cpu: cpu(), ..report };
    if let Ok(path) = env::var("TRACE") {
        fs::write(path, &report.trace).unwrap();
    }
    if let Ok(path) = env::var("REPORT") {
        fs::write(path, serde_json::to_vec(&report).unwrap()).unwrap();
    }
    assert!(report.broken.is_empty(), "seed {seed}:\n{}", report.broken.join("\n"));
}

/// What this process took of the processors, in hundredths of a second: `man 5 proc_pid_stat`.
fn cpu() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // After the name, which may have blanks: utime and stime are the 14th and 15th of all.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}

/// Lives a seed in a process of its own.
pub fn live(seed: u64, traced: bool) -> Lived {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let file = |kind: &str| -> PathBuf {
        env::temp_dir().join(format!("seeds-{}-{count}-{seed}.{kind}", std::process::id()))
    };
    let (report, trace) = (file("json"), file("trace"));
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "replay", "--ignored", "--nocapture", "--test-threads", "1"]);
    command.env("SEED", seed.to_string()).env("REPORT", &report).env_remove("TRACE");
    if traced {
        command.env("TRACE", &trace);
    }
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let said = wait(child);
    let mut lived = fs::read(&report)
        .ok()
        .and_then(|json| serde_json::from_slice(&json).ok())
        .unwrap_or_else(|| Report { broken: vec![said], ..Report::default() });
    lived.trace = String::new();
    let traced = fs::read_to_string(&trace).unwrap_or_default();
    for path in [report, trace] {
        // One that failed early wrote none.
        drop(fs::remove_file(path));
    }
    Lived { seed, report: lived, trace: traced }
}

/// Waits for a life to end, and returns what it said.
fn wait(mut child: std::process::Child) -> String {
    let mut stderr = child.stderr.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut said = String::new();
        drop(std::io::Read::read_to_string(&mut stderr, &mut said));
        said
    });
    let began = Instant::now();
    let ended = loop {
        if child.try_wait().unwrap().is_some() {
            break true;
        }
        if began.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            break false;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let said = reader.join().unwrap();
    if ended { said } else { format!("it did not end within {PATIENCE:?}; {said}") }
}

/// What a run tells of its progress.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Goes {
    Quietly,
    Telling,
}

#[derive(Default)]
struct Sum {
    seeds: u64,
    requests: u64,
    cpu: u64,
    injected: BTreeMap<String, u64>,
    slowest: u64,
    busiest: u64,
    failed: Vec<(u64, Vec<String>)>,
}

impl Sum {
    fn add(&mut self, lived: Lived) {
        let Report { broken, requests, cpu, busiest, settled_after, injected, .. } = lived.report;
        self.seeds += 1;
        self.requests += requests;
        self.cpu += cpu;
        self.slowest = self.slowest.max(settled_after);
        self.busiest = self.busiest.max(busiest);
        for (kind, count) in injected {
            *self.injected.entry(kind).or_default() += count;
        }
        if !broken.is_empty() {
            self.failed.push((lived.seed, broken));
        }
    }

    fn told(&self, took: Duration) -> String {
        let hourly = self.seeds as f64 / took.as_secs_f64() * 3600.0;
        let Self { seeds, requests, slowest, busiest, .. } = self;
        let mut text = format!(
            "{seeds} seeds in {:.0} s: {hourly:.0} an hour, {:.2} s of a processor each; {requests} requests, at most \
             {busiest} a minute; settled at most {slowest} s after the calm\n",
            took.as_secs_f64(),
            self.cpu as f64 / 100.0 / self.seeds as f64
        );
        for (kind, count) in &self.injected {
            writeln!(text, "  {kind}: {count}").unwrap();
        }
        text
    }
}

/// Lives all these seeds, and fails where one does.
pub fn all(seeds: impl Iterator<Item = u64> + Send, goes: Goes) {
    let seeds = Mutex::new(seeds);
    let sum = Mutex::new(Sum::default());
    let (began, told) = (Instant::now(), Mutex::new(Instant::now()));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let Some(seed) = seeds.lock().unwrap().next() else { return };
                    let lived = live(seed, false);
                    if !lived.report.broken.is_empty() {
                        tell(&failure(seed, &lived.report.broken));
                    }
                    sum.lock().unwrap().add(lived);
                    let mut told = told.lock().unwrap();
                    if goes == Goes::Telling && told.elapsed() > PROGRESS {
                        *told = Instant::now();
                        tell(sum.lock().unwrap().told(began.elapsed()).lines().next().unwrap_or_default());
                    }
                }
            });
        }
    });
    let sum = sum.into_inner().unwrap();
    if goes == Goes::Telling {
        tell(&sum.told(began.elapsed()));
    }
    let failed: Vec<u64> = sum.failed.iter().map(|(seed, _)| *seed).collect();
    assert!(failed.is_empty(), "seeds that failed: {failed:?}");
}

fn failure(seed: u64, broken: &[String]) -> String {
    let lines: Vec<String> = broken.iter().take(5).map(|line| line.chars().take(1500).collect()).collect();
    // In the build that it failed in.
    let path = env::current_exe().unwrap_or_default();
    let profile = match path.ancestors().nth(2).and_then(|folder| folder.file_name()?.to_str()) {
        None | Some("debug") => String::new(),
        Some(profile) => format!(" --profile {profile}"),
    };
    format!(
        "seed {seed} failed:\n  {}\nreplay it: SEED={seed} TRACE=/tmp/trace cargo test{profile} -p simulation \
         --test seeds -- --ignored --exact replay --nocapture",
        lines.join("\n  ")
    )
}

fn tell(text: &str) {
    // A soak without a terminal goes on.
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}

/// Lives one seed after the other.
pub fn soak() {
    let number = |name: &str| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("SEED").unwrap_or_else(|| u64::from(rand::random::<u32>()) << 16);
    tell(&format!("from seed {first} on"));
    let last = number("SEEDS").map_or(u64::MAX, |count| first.saturating_add(count));
    all(first..last, Goes::Telling);
}
