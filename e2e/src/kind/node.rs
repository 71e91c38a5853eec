//! The cluster's node, as its administrator reaches it.

use super::variable;
use anyhow::{Context, Result, ensure};
use tokio::process::Command;

/// Runs a command on the cluster's node, and returns what it wrote.
///
/// # Errors
/// When it fails.
pub async fn run(args: &[&str]) -> Result<String> {
    let node = format!("{}-control-plane", variable("CLUSTER")?);
    let output = Command::new("docker").args(["exec", &node]).args(args).output().await;
    let output = output.context("start docker")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} on {node}: {errors}", args.join(" "));
    Ok(String::from_utf8(output.stdout)?)
}

/// Replaces what is in a file of the cluster's node; who holds the file open sees it.
///
/// # Errors
/// When it can't be written.
pub async fn write(path: &str, content: &str) -> Result<()> {
    run(&["sh", "-c", "printf %s \"$2\" >\"$1\"", "sh", path, content]).await?;
    Ok(())
}
