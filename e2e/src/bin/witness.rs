//! `witness record FOLDER ADDRESS` follows the cluster of KUBECONFIG and receives traces at the address; `witness check
//! FOLDER` then seeks every value of a Secret in what was recorded. `e2e/test.sh cluster` runs both.

use anyhow::{Context, Result, bail};
use e2e::canary::{Record, check::check, record::follow};
use kube::Client;
use std::{
    env,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

/// Tells what went wrong in one line, without a backtrace after it: the tests' summary quotes it.
#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            writeln!(io::stderr(), "error: {error:#}").ok();
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["record", folder, traces] => {
            let client = Client::try_default().await.context("connect to the cluster of KUBECONFIG")?;
            follow(client, &Record::at(Path::new(folder)), traces.parse()?).await
        }
        ["check", folder] => {
            let said = check(&Record::at(Path::new(folder))).await?;
            writeln!(io::stdout(), "{said}")?;
            Ok(())
        }
        _ => bail!("usage: witness record FOLDER ADDRESS | witness check FOLDER"),
    }
}
