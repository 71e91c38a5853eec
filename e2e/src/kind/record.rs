//! What `make faults` measured: a table in `docs/faults.md`, a row for each scenario.

use super::flow::Tally;
use anyhow::{Context, Result};
use jiff::Timestamp;
use std::{fs, path::PathBuf, time::Duration};

/// One scenario's row.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// What was broken.
    pub scenario: &'static str,
    /// How, and what was seen.
    pub done: String,
    /// What became of the messages.
    pub tally: Tally,
    /// From each death of a leader to the next term.
    pub takeovers: Vec<Duration>,
    /// Restarts of containers of the operator that the scenario asked for.
    pub restarts_asked: i32,
    /// All restarts of containers of the operator.
    pub restarts: i32,
}

impl Row {
    /// Puts the row into the table, in the place of the one that an earlier run wrote.
    ///
    /// # Errors
    /// When the table can't be written.
    pub fn write(&self) -> Result<()> {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/faults.md");
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let begin = format!("| {} |", self.scenario);
        let row = self.render(&begin)?;
        let mut lines: Vec<&str> = text.lines().collect();
        match lines.iter().position(|line| line.starts_with(&begin)) {
            Some(index) => lines[index] = &row,
            None => lines.push(&row),
        }
        fs::write(&path, lines.join("\n") + "\n")?;
        Ok(())
    }

    fn render(&self, begin: &str) -> Result<String> {
        let Tally { messages, works, jobs, succeeded, dead_lettered, lost, doubled } = &self.tally;
        let unasked = self.restarts - self.restarts_asked;
        let load = fs::read_to_string("/proc/loadavg")?;
        let load = load.split(' ').next().unwrap_or_default();
        let at = Timestamp::now().strftime("%Y-%m-%d %H:%M");
        Ok(format!(
            "{begin} {} | {messages} for {works} | {jobs} | {succeeded} | {dead_lettered} | {} | {} | {} | {}, {unasked} | {load} | {at} |",
            self.done,
            lost.len(),
            doubled.len(),
            seconds(&self.takeovers),
            self.restarts_asked,
        ))
    }
}

/// The longest, and the one in the middle.
fn seconds(takeovers: &[Duration]) -> String {
    let mut sorted = takeovers.to_vec();
    sorted.sort();
    match (sorted.last(), sorted.get(sorted.len() / 2)) {
        (Some(longest), Some(median)) if sorted.len() > 1 => {
            format!("{:.1} ({:.1})", longest.as_secs_f64(), median.as_secs_f64())
        }
        (Some(one), _) => format!("{:.1}", one.as_secs_f64()),
        _ => "–".to_owned(),
    }
}
