//! The streaming operator.

use clap::Parser;
use std::process::ExitCode;
use streaming_operator::cli::Cli;

fn main() -> ExitCode {
    Cli::parse().run()
}
