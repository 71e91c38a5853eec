//! Further builds of the operator's image, for upgrades to something else.

use super::{OPERATOR, variable};
use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use std::{fs, path::Path};
use tempfile::TempDir;
use tokio::process::Command;

/// Builds an image upon the one that the operator runs, and gives it to the cluster's node. `lines` are of a
/// Dockerfile, whose context is the folder. Gives back the tag.
///
/// # Errors
/// When it can't be built.
pub async fn upon(operator: &Deployment, tag: &str, lines: &str, files: &[&Path]) -> Result<String> {
    let base = container_image(operator)?;
    let context = TempDir::new()?;
    fs::write(context.path().join("Dockerfile"), format!("FROM {base}\n{lines}\n"))?;
    for file in files {
        let name = file.file_name().context("a file has a name")?;
        fs::copy(file, context.path().join(name)).with_context(|| format!("copy {}", file.display()))?;
    }
    let image = format!("{}:{tag}", base.rsplit_once(':').context("an image has a tag")?.0);
    let path = context.path().to_str().context("a path in UTF-8")?;
    run("docker", &["build", "--quiet", "--tag", &image, path]).await?;
    run(&variable("KIND")?, &["load", "docker-image", "--name", &variable("CLUSTER")?, &image]).await?;
    Ok(tag.to_owned())
}

/// The image of the operator's container.
fn container_image(operator: &Deployment) -> Result<String> {
    let pod = operator.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    let image = pod.and_then(|pod| pod.containers.first()?.image.clone());
    image.with_context(|| format!("Deployment {OPERATOR} names an image"))
}

async fn run(program: &str, args: &[&str]) -> Result<()> {
    let output = Command::new(program).args(args).output().await;
    let output = output.with_context(|| format!("start {program}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {}: {errors}", args.join(" "));
    Ok(())
}
