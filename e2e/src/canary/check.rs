//! Seeking every value in all that was recorded, in the audit log, and on the node.

use super::{Record, Said, SecretValue, read_lines, search::Search};
use crate::kind::variable;
use anyhow::{Context, Result, ensure};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Output,
};
use tokio::process::Command;

/// Places where a value may stand, by how their names begin, with the reason.
const ALLOWED: [(&str, &str); 1] = [(
    "last-applied of Secret ",
    "an annotation of the Secret itself, where `kubectl apply` keeps what it applied",
)];
/// Kinds of places that a run always has: without one, nothing was looked at.
const KINDS: [&str; 8] =
    ["object", "log", "metrics", "audit log", "pod log on the node", "arguments", "core", "Event"];
/// Whose traces there are in a run.
const TRACED: [&str; 4] = ["streaming-operator", "frontend", "backend", "worker"];
/// Prints every log of a pod that the node keeps, those of containers before included, each with its path before.
const NODE_LOGS: &str =
    r##"find /var/log/pods -type f | while read -r file; do echo "#place $file"; cat "$file"; done"##;
/// Prints the arguments of every process.
const ARGUMENTS: &str = r##"for file in /proc/[0-9]*/cmdline; do echo "#place $file"; tr '\0' ' ' <"$file"; echo; done 2>/dev/null"##;
/// Prints every core. Containers write below /var, which is a volume of the node's. One is planted there, so that a search
/// that finds none is known to look.
const CORES: &str = r##"echo planted >/var/tmp/planted.core; find / /var -xdev -type f \( -name core -o -name 'core.[0-9]*' -o -name '*.core' \) -size +0 |
  while read -r file; do echo "#place $file"; cat "$file"; done; rm /var/tmp/planted.core"##;

/// What a check looked at and found.
#[derive(Default)]
struct Findings {
    /// How many texts of each kind of place were looked through.
    seen: BTreeMap<String, usize>,
    /// Each place with what stands there.
    found: BTreeSet<String>,
}

impl Findings {
    fn look(&mut self, search: &Search, kind: &str, place: &str, text: &[u8]) {
        *self.seen.entry(kind.to_owned()).or_default() += 1;
        if ALLOWED.iter().any(|(begin, _)| place.starts_with(begin)) {
            return;
        }
        self.found.extend(search.find(text).into_iter().map(|what| format!("{place}: {what}")));
    }
}

/// Seeks every value that a Secret had. Returns a line that says what was looked at.
///
/// # Errors
/// With every place where one stands; or when a kind of place is missing, so that nothing is proven.
pub async fn check(record: &Record) -> Result<String> {
    let mut values: BTreeSet<SecretValue> = BTreeSet::new();
    read_lines(&record.secrets(), |value| {
        values.insert(value);
    })?;
    let search = Search::new(values)?;
    let mut findings = Findings::default();
    read_lines(&record.said(), |Said { place, text }| {
        let kind = place.split(' ').next().unwrap_or_default();
        findings.look(&search, kind, &place, text.as_bytes());
        if place.starts_with("object Event ") {
            *findings.seen.entry("Event".to_owned()).or_default() += 1;
        }
        if kind == "trace" {
            *findings.seen.entry(place).or_default() += 1;
        }
    })?;
    let audit = variable("AUDIT_LOG")?;
    for line in
        fs::read(&audit).with_context(|| format!("no audit log at {audit}"))?.split(|byte| *byte == b'\n')
    {
        findings.look(&search, "audit log", "audit log", line);
    }
    for (kind, script) in [("pod log on the node", NODE_LOGS), ("arguments", ARGUMENTS), ("core", CORES)] {
        let printed = on_node(script).await?;
        for part in parts(&printed) {
            let place = part.split(|byte| *byte == b'\n').next().unwrap_or_default();
            findings.look(&search, kind, &format!("{kind}{}", String::from_utf8_lossy(place)), part);
        }
    }
    ensure!(search.sought() > 0, "no Secret was seen, so nothing was sought");
    for kind in
        KINDS.map(str::to_owned).into_iter().chain(TRACED.map(|service| format!("trace of {service}")))
    {
        ensure!(findings.seen.contains_key(&kind), "nothing was seen of the kind `{kind}`: is it recorded?");
    }
    let found: Vec<_> = findings.found.iter().take(50).map(|it| format!("  {it}")).collect();
    ensure!(found.is_empty(), "values of Secrets stand where they may not:\n{}", found.join("\n"));
    let seen: Vec<_> = findings.seen.iter().map(|(kind, number)| format!("{number} × {kind}")).collect();
    Ok(format!("{} values of Secrets in no other place; looked through {}", search.sought(), seen.join(", ")))
}

/// What follows each `#place`.
fn parts(printed: &[u8]) -> Vec<&[u8]> {
    let mark = b"#place";
    let mut begins: Vec<usize> = Vec::new();
    for (at, window) in printed.windows(mark.len()).enumerate() {
        if window == mark && (at == 0 || printed[at - 1] == b'\n') {
            begins.push(at + mark.len());
        }
    }
    let ends = begins.iter().skip(1).map(|begin| begin - mark.len()).chain([printed.len()]);
    begins.iter().zip(ends).map(|(begin, end)| &printed[*begin..end]).collect()
}

async fn on_node(script: &str) -> Result<Vec<u8>> {
    let node = format!("{}-control-plane", variable("CLUSTER")?);
    let output = Command::new("docker").args(["exec", &node, "sh", "-c", script]).output().await;
    let Output { stdout, stderr, .. } = output.context("start docker")?;
    let stderr = String::from_utf8_lossy(&stderr);
    let failed = failures(&stderr);
    ensure!(failed.is_empty(), "{node}: {}", failed.join("; "));
    Ok(stdout)
}

/// What went wrong on a node. That a file is gone when it is looked at is none: pods end all the time.
fn failures(stderr: &str) -> Vec<&str> {
    stderr.lines().filter(|line| !line.ends_with("No such file or directory")).collect()
}

#[cfg(test)]
mod tests {
    use super::{failures, parts};

    #[test]
    fn what_is_printed_is_told_apart_by_its_places() {
        let printed = b"#place /a\none #place\n#place /b\n#place /c\ntwo";
        let expected: [&[u8]; 3] = [b" /a\none #place\n", b" /b\n", b" /c\ntwo"];
        assert_eq!(parts(printed), expected);
    }

    #[test]
    fn a_file_that_is_gone_is_no_failure() {
        let gone = "find: '/var/lib/kubelet/pods/1': No such file or directory\n";
        assert!(failures(gone).is_empty());
        let stopped = "Error response from daemon: container 1 is not running";
        assert_eq!(failures(&format!("{gone}{stopped}\n")), [stopped]);
    }
}
