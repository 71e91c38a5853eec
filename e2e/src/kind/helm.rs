//! Helm, as an administrator uses it on the operator's release.

use super::{OPERATOR, OPERATOR_NAMESPACE, variable};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{io::Write, path::PathBuf, process::Stdio};
use tempfile::NamedTempFile;
use tokio::process::Command;

/// The chart in the working tree.
#[must_use]
pub fn chart() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../charts/streaming-operator")
}

/// Runs a program that a variable names, and returns what it wrote.
///
/// # Errors
/// When the variable is not set or the program fails.
pub async fn run(program: &str, args: &[&str]) -> Result<String> {
    let path = variable(program)?;
    let output = Command::new(&path).args(args).stdin(Stdio::null()).output().await;
    let output = output.with_context(|| format!("start {path}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} {}: {errors}", program.to_lowercase(), args.join(" "));
    Ok(String::from_utf8(output.stdout)?)
}

/// The values that the release was installed with.
///
/// # Errors
/// When it is not installed.
pub async fn values() -> Result<Value> {
    let args = ["get", "values", OPERATOR, "--namespace", OPERATOR_NAMESPACE, "--output", "json"];
    Ok(serde_json::from_str(&run("HELM", &args).await?)?)
}

/// Installs or upgrades the release from a chart, and waits until its pods are ready.
///
/// # Errors
/// When Helm fails.
pub async fn upgrade(chart: &str, values: &Value) -> Result<()> {
    let mut file = NamedTempFile::with_suffix(".json")?;
    file.write_all(values.to_string().as_bytes())?;
    let values = file.path().to_str().context("the path of a temporary file is UTF-8")?;
    let common = ["--namespace", OPERATOR_NAMESPACE, "--create-namespace", "--wait", "--timeout", "3m"];
    let args = [&["upgrade", "--install", OPERATOR, chart, "--values", values], &common[..]].concat();
    run("HELM", &args).await?;
    Ok(())
}

/// Installs or upgrades the release from the working tree's chart.
///
/// # Errors
/// When Helm fails.
pub async fn upgrade_tree(values: &Value) -> Result<()> {
    upgrade(chart().to_str().context("the path of the chart is UTF-8")?, values).await
}

/// Removes the release, and waits until its pods are gone.
///
/// # Errors
/// When Helm fails.
pub async fn uninstall() -> Result<()> {
    run("HELM", &["uninstall", OPERATOR, "--namespace", OPERATOR_NAMESPACE, "--wait", "--timeout", "2m"])
        .await?;
    Ok(())
}

/// Waits until the operator's Deployment runs what its template says.
///
/// # Errors
/// When it does not in time.
pub async fn rolled_out() -> Result<()> {
    let deployment = format!("deployment/{OPERATOR}");
    let args = ["--namespace", OPERATOR_NAMESPACE, "rollout", "status", &deployment, "--timeout=120s"];
    run("KUBECTL", &args).await?;
    Ok(())
}

/// Takes the last change of the operator's Deployment back that Helm did not make.
///
/// # Errors
/// When there is none, or its pods do not become ready.
pub async fn undo() -> Result<()> {
    let deployment = format!("deployment/{OPERATOR}");
    run("KUBECTL", &["--namespace", OPERATOR_NAMESPACE, "rollout", "undo", &deployment]).await?;
    rolled_out().await
}
