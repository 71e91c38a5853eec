//! What documents and the dashboard name is there: metrics, conditions, files, sections.

use anyhow::{Context, Result, ensure};
use contract::Reason;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use streaming_operator::{
    api::{ConditionType, FinishedDrill, RestoreDrillStatus},
    kinds::PlatformKey,
    metrics::{Load, Metrics},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(root().join(path)).with_context(|| format!("read {path}"))
}

/// Words of the text that begin with the prefix of our metrics.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("streaming_operator_"))
        .collect()
}

/// What the operator's metrics look like once each has a value; before that some are not shown.
fn rendered() -> Result<String> {
    let metrics = Metrics::default();
    metrics.reconciled("Applied", Duration::from_millis(1));
    metrics.wrote("apply", "Deployment");
    metrics.aws_call("sqs", "ReceiveMessage", "ok");
    metrics.aws_waited("sqs", Duration::ZERO);
    metrics.aws_throttled("sqs");
    metrics.load(Load::default(), Load::default());
    let at = Time("2026-07-01T12:00:00Z".parse()?);
    let last = FinishedDrill {
        slot: at.clone(),
        started_at: at.clone(),
        finished_at: at.clone(),
        passed: true,
        rto_seconds: Some(1),
        rpo_seconds: Some(1),
        message: String::new(),
    };
    let drills =
        RestoreDrillStatus { last: Some(last), last_passed_at: Some(at), ..RestoreDrillStatus::default() };
    metrics.restore_drill(&PlatformKey::new("media", "tv"), Some(&drills));
    Ok(metrics.render()?)
}

/// Names under which Prometheus keeps what the operator registers.
fn series() -> Result<BTreeSet<String>> {
    let text = rendered()?;
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    Ok(types
        .flat_map(|(name, kind)| match kind {
            "counter" => vec![format!("{name}_total")],
            "histogram" => ["", "_bucket", "_count", "_sum"].map(|suffix| format!("{name}{suffix}")).to_vec(),
            _ => vec![name.to_owned()],
        })
        .collect())
}

#[test]
fn metrics_of_documents_and_dashboard_exist_and_none_is_forgotten() -> Result<()> {
    let series = series()?;
    for path in ["docs/operations.md", "charts/streaming-operator/files/dashboard.json"] {
        let text = read(path)?;
        let named = metrics_in(&text);
        let unknown: Vec<_> = named.iter().filter(|name| !series.contains(**name)).collect();
        ensure!(unknown.is_empty(), "{path} names metrics that do not exist: {unknown:?}");
        let families = rendered()?;
        let families = families.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
        for family in families {
            let shown = named.iter().any(|name| name.starts_with(family));
            ensure!(shown, "{path} does not have {family}");
        }
    }
    Ok(())
}

#[test]
fn conditions_and_causes_of_failure_are_explained() -> Result<()> {
    let (operations, contract) = (read("docs/operations.md")?, read("docs/job-contract.md")?);
    for condition in ConditionType::ALL.map(|condition| condition.as_str()) {
        ensure!(operations.contains(&format!("`{condition}`")), "docs/operations.md lacks {condition}");
    }
    for reason in Reason::known() {
        let name = format!("`{reason}`");
        ensure!(operations.contains(&name), "docs/operations.md lacks {name}");
        ensure!(contract.contains(&name), "docs/job-contract.md lacks {name}");
    }
    Ok(())
}

#[test]
fn links_between_documents_lead_somewhere() -> Result<()> {
    let documents = documents(&root())?;
    ensure!(documents.len() > 20, "only {} documents are found", documents.len());
    for document in documents {
        let name = document.display();
        let text = fs::read_to_string(&document)?;
        for link in links(&text) {
            let (path, section) = link.split_once('#').unwrap_or((link, ""));
            let target = match path {
                "" => document.clone(),
                _ => document.with_file_name("").join(path),
            };
            ensure!(target.exists(), "{name} links to {link}: no such file");
            if !section.is_empty() {
                let sections = sections(&fs::read_to_string(&target)?);
                ensure!(sections.contains(section), "{name} links to {link}: sections are {sections:?}");
            }
        }
    }
    Ok(())
}

/// Every Markdown file below a folder, but for what is built or installed there.
fn documents(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let ours = !name.starts_with('.') && !["target", "node_modules", "dist"].contains(&&*name);
        if path.is_dir() && !path.is_symlink() && ours {
            found.extend(documents(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
    Ok(found)
}

/// Relative targets of Markdown links.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
    targets.filter(|target| !target.contains("://"))
}

/// Anchors of a document's headings, as GitHub makes them.
fn sections(text: &str) -> BTreeSet<String> {
    let headings =
        text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    headings
        .map(|heading| {
            let kept = heading.to_lowercase().replace(' ', "-");
            kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
        })
        .collect()
}
