//! The transcoder's command line: the Job, a ladder on the own machine, and the checker.

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use contract::{Profile, Reason, TranscodeRequest, Work, job::Output, job::Source};
use jiff::Timestamp;
use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};
use tokio::signal::unix::{SignalKind, signal};
use transcoder::{
    Failure, check,
    job::{Job, fresh_scratch},
    request,
    store::{Folder, Store},
};

/// Transcodes one source into a CMAF ladder for HLS and DASH.
///
/// Without arguments it does the Job that TRANSCODE_REQUEST describes, S3 to S3, as docs/job-contract.md has
/// it. Exit code 0: done. 65: the input or the request is at fault. Any other: worth another attempt.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    local: Option<Local>,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read a finished output again and tell everything that is wrong with it. Exit code 1 where something is.
    Check {
        /// A directory, or s3://bucket/prefix/.
        target: String,
    },
}

#[derive(Args, Debug)]
#[group(requires_all = ["local", "out"])]
struct Local {
    /// Transcode this file instead, without S3.
    #[arg(long, value_name = "FILE", required = false)]
    local: PathBuf,
    /// Where the output of --local goes.
    #[arg(long, value_name = "DIR", required = false)]
    out: PathBuf,
    /// The ladder of --local, as JSON; the default one when left out.
    #[arg(long, value_name = "JSON", default_value = "{}")]
    profile: String,
}

#[derive(Args, Debug)]
struct Settings {
    /// What to do, as JSON.
    #[arg(long, env = contract::job::REQUEST_VARIABLE, hide_env_values = true, value_name = "JSON")]
    request: Option<String>,
    /// A directory with room for the source.
    #[arg(long, env = "SCRATCH_DIR", default_value = "/tmp", value_name = "DIR")]
    scratch: PathBuf,
    /// How much it may hold, where that is less than what the disk has free.
    #[arg(long, env = "SCRATCH_BYTES", value_name = "BYTES")]
    scratch_bytes: Option<u64>,
    /// Where the reason of a failure is written, for Kubernetes.
    #[arg(long, env = "TERMINATION_LOG", default_value = "/dev/termination-log", value_name = "FILE")]
    termination_log: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match (cli.command, cli.local) {
        (Some(Command::Check { target }), _) => check_target(&target).await,
        (None, Some(local)) => transcode_local(&local, &cli.settings).await,
        (None, None) => Ok(transcode_request(&cli.settings).await),
    };
    outcome.unwrap_or_else(|error| {
        tracing::error!(error = format!("{error:#}"), "the transcoder could not start");
        ExitCode::FAILURE
    })
}

async fn transcode_request(settings: &Settings) -> ExitCode {
    let telemetry = match service_common::telemetry::init("transcoder") {
        Ok(telemetry) => telemetry,
        Err(error) => {
            // There is no log to write it to.
            eprintln!("{error}");
            let failure = Failure::new(Reason::CannotStart, format!("{error}. Correct the Job's variables."));
            explain(&failure, &settings.termination_log);
            return conclude(Err(failure));
        }
    };
    let outcome = match request::parse(settings.request.as_deref()) {
        Ok(request) => {
            let store = s3().await;
            let output = Folder {
                store: store.clone(),
                bucket: request.output.bucket.clone(),
                prefix: request.output.prefix.clone(),
            };
            run(request, store, output, settings).await
        }
        Err(failure) => Err(failure),
    };
    if let Err(failure) = &outcome {
        explain(failure, &settings.termination_log);
    }
    let code = conclude(outcome);
    telemetry.shutdown().await;
    code
}

/// Writes the termination message.
fn explain(failure: &Failure, path: &Path) {
    if let Err(error) = std::fs::write(path, failure.termination_message_json()) {
        tracing::warn!(path = %path.display(), %error, "the termination message was not written");
    }
}

async fn transcode_local(local: &Local, settings: &Settings) -> anyhow::Result<ExitCode> {
    log_to_stderr();
    let input = std::path::absolute(&local.local)?;
    let (Some(parent), Some(name)) = (input.parent(), input.file_name()) else {
        bail!("--local {} is no file", local.local.display());
    };
    let utf8 = |path: &Path| path.to_str().map(str::to_owned).context("paths must be UTF-8");
    let out = utf8(&std::path::absolute(&local.out)?)?;
    let source = Source { bucket: utf8(parent)?, key: utf8(Path::new(name))?, version_id: None };
    let work =
        Work::Object { bucket: source.bucket.clone(), key: source.key.clone(), version: String::new() };
    let profile: Profile = serde_json::from_str(&local.profile).context("--profile is no profile")?;
    profile.check().context("--profile can't be used")?;
    let request = TranscodeRequest {
        identity: work.identity(),
        attempt: 1,
        source,
        output: Output { bucket: out.clone(), prefix: String::new() },
        profile,
    };
    let output = Folder { store: Store::Directory, bucket: out, prefix: String::new() };
    Ok(conclude(run(request, Store::Directory, output, settings).await))
}

async fn run(
    request: TranscodeRequest,
    source: Store,
    output: Folder,
    settings: &Settings,
) -> Result<(), Failure> {
    let scratch = fresh_scratch(&settings.scratch, &format!("transcode-{}", request.identity))?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let room = settings.scratch_bytes;
    let job = Job { request, source, output, scratch, room, threads, now: Timestamp::now };
    tracing::info!(identity = %job.request.identity, attempt = job.request.attempt, "begun");
    let outcome = job.run(told_to_stop()).await;
    if let Err(error) = std::fs::remove_dir_all(&job.scratch) {
        tracing::warn!(%error, "the scratch directory stays");
    }
    let record = outcome?;
    tracing::info!(timings = ?record.timings, renditions = record.renditions.len(), "done");
    Ok(())
}

/// Says how it ended to people (log) and to the caller (exit code).
fn conclude(outcome: Result<(), Failure>) -> ExitCode {
    let Err(failure) = outcome else { return ExitCode::SUCCESS };
    tracing::error!(reason = %failure.reason, permanent = failure.is_permanent(), "{}", failure.message);
    u8::try_from(failure.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

async fn check_target(target: &str) -> anyhow::Result<ExitCode> {
    log_to_stderr();
    let folder = match target.strip_prefix("s3://") {
        Some(address) => {
            let (bucket, prefix) = address.split_once('/').unwrap_or((address, ""));
            Folder { store: s3().await, bucket: bucket.to_owned(), prefix: with_slash(prefix) }
        }
        None => Folder { store: Store::Directory, bucket: target.to_owned(), prefix: String::new() },
    };
    let report = check::check(&folder).await?;
    write!(std::io::stdout(), "{report}")?;
    Ok(if report.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn with_slash(prefix: &str) -> String {
    match prefix {
        "" => String::new(),
        prefix if prefix.ends_with('/') => prefix.to_owned(),
        prefix => format!("{prefix}/"),
    }
}

async fn s3() -> Store {
    Store::S3(service_common::aws::s3_client(&service_common::aws::sdk_config().await))
}

async fn told_to_stop() {
    let terminate = signal(SignalKind::terminate());
    let interrupt = signal(SignalKind::interrupt());
    let (Ok(mut terminate), Ok(mut interrupt)) = (terminate, interrupt) else {
        tracing::warn!("signals can't be listened for");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => (),
        _ = interrupt.recv() => (),
    }
}

fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter).init();
}
