//! The operator under load, against the least that could do the same, in one run: a thousand platforms at once, one
//! edited among them, messages one by one and in a burst, a backlog of them, and the API under many readers.
//!
//! Kubernetes is an API server with its controllers, a scheduler and nodes that kwok plays; AWS is the simulation's.
//! All of it ends with the run.

mod accounts;
mod api;
mod audit;
mod backlog;
mod bare;
mod converge;
mod edit;
mod fleet;
mod messages;
mod plot;
mod queue;
mod report;
mod usage;
mod world;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Benchmarks of the operator and the API, each against a limit that is measured in the same run.
///
/// Needs etcd, Kubernetes' binaries and kwok, and `queue` KEDA: the targets `bench-*` of the Makefile build them and name
/// them.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Platforms created at once until all are Ready, against a bare client that applies the same objects
    Converge(converge::Args),
    /// One platform edited among many, against a bare client's apply
    Edit(edit::Args),
    /// Message to Job, one by one and at 500 messages a second, against a bare long poll and create, and against KEDA
    Queue(queue::Args),
    /// A backlog of messages, against the limit of its slots
    Backlog(backlog::Args),
    /// The list of videos and live events under many readers, against bare handlers
    Api(api::Args),
    /// Draw what `converge --record` kept
    Plot(plot::Args),
}

#[tokio::main]
async fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Converge(args) => Box::pin(converge::run(args)).await,
        Command::Edit(args) => Box::pin(edit::run(args)).await,
        Command::Queue(args) => Box::pin(queue::run(args)).await,
        Command::Backlog(args) => Box::pin(backlog::run(args)).await,
        Command::Api(args) => Box::pin(api::run(args)).await,
        Command::Plot(args) => plot::run(&args),
    }
}
