//! The command line.

use crate::{
    admin,
    api::StreamingPlatform,
    aws::iam::PolicyArgs,
    controller::{Controller, Replica, lease::Timing, rbac},
    metrics::Metrics,
    plan::preview::preview,
    queue_cli::{self, QueueArgs},
    settings::{self, Images, RolePattern, Settings},
    surroundings::Surroundings,
};
use anyhow::Context;
use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use kube::{Client, Config, CustomResourceExt};
use rand::distr::{Alphanumeric, SampleString};
use serde::Serialize;
use std::{
    fs,
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

/// Longest silence on a connection to the API server. A watch is asked for 290 s at a time, in which it may say nothing.
const SILENCE: Duration = Duration::from_secs(320);

/// Runs streaming platforms on Kubernetes, each from one StreamingPlatform manifest.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the operator, in a cluster or with the current kubeconfig
    Run(Box<Run>),
    /// Show what manifests would make, as YAML and without a cluster
    Plan(Box<PlanArgs>),
    /// Print the CustomResourceDefinition, to be applied server-side
    Crd,
    /// Print the RBAC rules that the operator needs in each watched namespace
    Rbac {
        /// Print those for leader election, in the operator's own namespace, instead
        #[arg(long)]
        leader_election: bool,
    },
    /// Print the IAM policy of the operator, or of a platform's pods, as JSON
    IamPolicy(PolicyArgs),
    /// Send messages again, cancel or retry a transcode
    Queue(Box<QueueArgs>),
    /// Print completions for a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
}

#[derive(Debug, Args)]
struct Run {
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(flatten)]
    replica: ReplicaArgs,
    /// Address of /live, /ready and /metrics
    #[arg(long, env = "STREAMING_OPERATOR_LISTEN", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
}

#[derive(Debug, Args)]
struct PlanArgs {
    /// File with a StreamingPlatform; `-` reads standard input
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// What the administrator decides for all platforms.
#[derive(Debug, Args)]
struct SettingsArgs {
    #[command(flatten)]
    images: ImageArgs,
    /// Base URLs that a platform's spec.aws.endpointURL may name; none when left out
    #[arg(
        long,
        value_name = "URL",
        value_delimiter = ',',
        env = "STREAMING_OPERATOR_ALLOWED_AWS_ENDPOINTS",
        help_heading = "Limits of platforms"
    )]
    allowed_aws_endpoints: Vec<String>,
    /// Roles that platforms may assume: `*` as namespace is any, in the ARN any characters but / and :
    #[arg(
        long,
        value_name = "NAMESPACE=ARN",
        value_delimiter = ',',
        env = "STREAMING_OPERATOR_ALLOWED_ROLE_ARNS",
        help_heading = "Limits of platforms"
    )]
    allowed_role_arns: Vec<RolePattern>,
    /// What external ids begin with by which roles are assumed: PREFIX/namespace/platform
    #[arg(
        long,
        value_name = "PREFIX",
        value_parser = settings::external_id_prefix,
        env = "STREAMING_OPERATOR_EXTERNAL_ID_PREFIX",
        default_value = settings::EXTERNAL_ID_PREFIX,
        help_heading = "Limits of platforms"
    )]
    external_id_prefix: String,
    /// Namespaces whose platforms may act in AWS as the operator itself; `*` is any; none when left out
    #[arg(
        long,
        value_name = "NAMESPACE",
        value_delimiter = ',',
        env = "STREAMING_OPERATOR_OPERATOR_IDENTITY_NAMESPACES",
        help_heading = "Limits of platforms"
    )]
    operator_identity_namespaces: Vec<String>,
    /// Namespaces whose platforms are run; all when left out
    #[arg(
        long,
        value_name = "NAMESPACE",
        value_delimiter = ',',
        env = "STREAMING_OPERATOR_WATCH_NAMESPACES",
        help_heading = "Limits of platforms"
    )]
    watch_namespaces: Vec<String>,
    /// Look at every platform at least this often, as a net below the watches
    #[arg(long, value_parser = duration, env = "STREAMING_OPERATOR_RESYNC", default_value = "10m")]
    resync: Duration,
}

/// Images of what platforms leave unsaid.
#[derive(Debug, Args)]
#[command(next_help_heading = "Images of what platforms leave unsaid")]
struct ImageArgs {
    /// Frontend
    #[arg(long, env = "STREAMING_OPERATOR_FRONTEND_IMAGE", default_value = concat!("streaming-operator/frontend:", env!("CARGO_PKG_VERSION")))]
    frontend_image: String,
    /// Backend
    #[arg(long, env = "STREAMING_OPERATOR_BACKEND_IMAGE", default_value = concat!("streaming-operator/backend:", env!("CARGO_PKG_VERSION")))]
    backend_image: String,
    /// Worker
    #[arg(long, env = "STREAMING_OPERATOR_WORKER_IMAGE", default_value = concat!("streaming-operator/worker:", env!("CARGO_PKG_VERSION")))]
    worker_image: String,
    /// Transcoding Jobs
    #[arg(long, env = "STREAMING_OPERATOR_TRANSCODER_IMAGE", default_value = concat!("streaming-operator/transcoder:", env!("CARGO_PKG_VERSION")))]
    transcoder_image: String,
    /// Embedded databases: the official postgres image, or one with its contract
    #[arg(long, env = "STREAMING_OPERATOR_POSTGRES_IMAGE", default_value = "postgres:15-bookworm")]
    postgres_image: String,
    /// Embedded caches: the official redis or valkey/valkey image, or one with its contract
    #[arg(long, env = "STREAMING_OPERATOR_REDIS_IMAGE", default_value = "redis:7-bookworm")]
    redis_image: String,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Leader election")]
struct ReplicaArgs {
    /// Name of this replica among the candidates; unique; made up when left out
    #[arg(long, env = "POD_NAME")]
    identity: Option<String>,
    /// Namespace of the Lease
    #[arg(long, env = "POD_NAMESPACE", default_value = "default")]
    lease_namespace: String,
    /// Name of the Lease
    #[arg(long, env = "STREAMING_OPERATOR_LEASE_NAME", default_value = "streaming-operator")]
    lease_name: String,
    /// Platforms that are reconciled at a time
    #[arg(long, env = "STREAMING_OPERATOR_CONCURRENCY", default_value_t = 32, value_parser = positive)]
    concurrency: usize,
}

impl Cli {
    /// Does what the command line says.
    pub fn run(self) -> ExitCode {
        let done = match self.command {
            Command::Run(run) => run.run(),
            Command::Plan(plan) => plan.run(),
            Command::Crd => print_yaml(&StreamingPlatform::crd()),
            Command::Rbac { leader_election: false } => print_yaml(&rbac::rules()),
            Command::Rbac { leader_election: true } => print_yaml(&rbac::leader_election_rules()),
            Command::IamPolicy(args) => print_policy(&args),
            Command::Queue(args) => run_queue(*args),
            Command::Completions { shell } => {
                clap_complete::generate(shell, &mut Self::command(), "streaming-operator", &mut io::stdout());
                Ok(())
            }
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                // Where the log can't be: a command line that failed to start.
                drop(writeln!(io::stderr(), "error: {error:#}"));
                ExitCode::FAILURE
            }
        }
    }
}

fn print_policy(args: &PolicyArgs) -> anyhow::Result<()> {
    let policy = serde_json::to_string_pretty(&args.document()?)?;
    Ok(writeln!(io::stdout(), "{policy}")?)
}

fn run_queue(args: QueueArgs) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let client = Client::try_default().await.context("no cluster: set KUBECONFIG, or run in a pod")?;
        queue_cli::run(client, args).await
    })
}

impl PlanArgs {
    fn run(self) -> anyhow::Result<()> {
        let name = self.file.display().to_string();
        let manifests =
            if name == "-" { io::read_to_string(io::stdin()) } else { fs::read_to_string(&self.file) };
        let manifests = manifests.with_context(|| format!("can't read {name}"))?;
        let preview = preview(&name, &manifests, &self.settings.into())?;
        for warning in &preview.warnings {
            writeln!(io::stderr(), "note: {warning}")?;
        }
        Ok(io::stdout().write_all(preview.yaml.as_bytes())?)
    }
}

impl Run {
    fn run(self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(self.until_signalled())
    }

    async fn until_signalled(self) -> anyhow::Result<()> {
        let telemetry = service_common::telemetry::init("streaming-operator")?;
        let ended = self.serve().await;
        telemetry.shutdown().await;
        ended
    }

    async fn serve(self) -> anyhow::Result<()> {
        let stop = CancellationToken::new();
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::spawn({
            let stop = stop.clone();
            async move {
                tokio::select! {
                    _ = terminate.recv() => tracing::info!(signal = "SIGTERM", "stopping"),
                    _ = interrupt.recv() => tracing::info!(signal = "SIGINT", "stopping"),
                }
                stop.cancel();
            }
        });
        let config =
            Config::infer().await.context("no way to Kubernetes: neither in a cluster nor a kubeconfig")?;
        let client = Client::try_from(bounded(config)).context("can't make a client for Kubernetes")?;
        let listener = TcpListener::bind(self.listen)
            .await
            .with_context(|| format!("can't listen on {}", self.listen))?;
        let metrics = Metrics::default();
        let controller = Controller::new(
            Surroundings::of_process(client, metrics.clone()),
            self.settings.into(),
            self.replica.into(),
        );
        tracing::info!(version = env!("CARGO_PKG_VERSION"), listen = %self.listen, "starts");
        let admin = tokio::spawn(admin::serve(listener, metrics, controller.cluster(), stop.clone()));
        controller.run(stop.clone()).await;
        admin.await.context("the admin server panicked")?.context("the admin server failed")
    }
}

/// With a bound on how long an answer is waited for: else the list of a watch that an API server took and never
/// answered would leave the operator blind for ever.
fn bounded(mut config: Config) -> Config {
    config.read_timeout = Some(SILENCE);
    config.reset_reader_on_write = true;
    config
}

impl From<SettingsArgs> for Settings {
    fn from(args: SettingsArgs) -> Self {
        let ImageArgs {
            frontend_image,
            backend_image,
            worker_image,
            transcoder_image,
            postgres_image,
            redis_image,
        } = args.images;
        Self {
            images: Images {
                frontend: frontend_image,
                backend: backend_image,
                worker: worker_image,
                transcoder: transcoder_image,
                postgres: postgres_image,
                redis: redis_image,
            },
            allowed_aws_endpoints: args.allowed_aws_endpoints,
            allowed_roles: args.allowed_role_arns,
            external_id_prefix: args.external_id_prefix,
            operator_identity_namespaces: args.operator_identity_namespaces,
            watch_namespaces: args.watch_namespaces,
            resync: args.resync,
        }
    }
}

impl From<ReplicaArgs> for Replica {
    fn from(args: ReplicaArgs) -> Self {
        Self {
            identity: args.identity.unwrap_or_else(own_identity),
            lease_namespace: args.lease_namespace,
            lease_name: args.lease_name,
            timing: Timing::default(),
            concurrency: args.concurrency,
        }
    }
}

/// A name that no other process has.
fn own_identity() -> String {
    let suffix = Alphanumeric.sample_string(&mut rand::rng(), 10);
    format!("streaming-operator-{suffix}")
}

/// A positive duration such as `90s` or `10m`.
fn duration(text: &str) -> Result<Duration, String> {
    let duration: jiff::SignedDuration = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    Duration::try_from(duration)
        .ok()
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "expected a positive duration such as 90s or 10m".to_owned())
}

fn positive(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&number| number > 0).ok_or_else(|| "expected a number above 0".to_owned())
}

fn print_yaml(value: &impl Serialize) -> anyhow::Result<()> {
    Ok(io::stdout().write_all(serde_saphyr::to_string(value)?.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[tokio::test(start_paused = true)]
    async fn an_api_server_that_never_answers_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async move {
            let mut taken = Vec::new();
            while let Ok(connection) = listener.accept().await {
                taken.push(connection);
            }
        });
        let client = Client::try_from(bounded(Config::new(url))).unwrap();
        let platforms = kube::Api::<StreamingPlatform>::namespaced(client, "media");
        let everything = kube::api::ListParams::default();
        let answer = tokio::time::timeout(2 * SILENCE, platforms.list(&everything)).await;
        assert!(answer.expect("it is given up").is_err());
    }

    #[test]
    fn lists_are_read_from_one_value() {
        let line = [
            "streaming-operator",
            "run",
            "--allowed-role-arns",
            "media=arn:aws:iam::1:role/a,*=arn:aws:iam::2:role/*",
            "--watch-namespaces",
            "a,b",
            "--resync",
            "90s",
        ];
        let Command::Run(run) = Cli::try_parse_from(line).unwrap().command else { panic!("not run") };
        let settings = Settings::from(run.settings);
        assert_eq!(settings.watch_namespaces, ["a", "b"]);
        assert_eq!(settings.allowed_roles[1].namespace, "*");
        assert_eq!(settings.resync, Duration::from_secs(90));
    }

    #[test]
    fn nonsense_is_refused() {
        for flags in [["--resync", "0s"], ["--concurrency", "0"], ["--allowed-role-arns", "role/x"]] {
            let line = ["streaming-operator", "run", flags[0], flags[1]];
            assert!(Cli::try_parse_from(line).is_err(), "{flags:?}");
        }
    }
}
