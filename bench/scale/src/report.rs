//! Figures: percentiles, tables, and a file of them for the plot.

use anyhow::{Context, Result};
use jiff::Timestamp;
use std::{
    fs::OpenOptions,
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

/// The value below which `share` of the samples lie (nearest rank).
pub fn percentile(samples: &[f64], share: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(f64::NAN)
}

/// Seconds from `begun` to each instant.
pub fn seconds(begun: Instant, instants: &[Instant]) -> Vec<f64> {
    instants.iter().map(|at| (*at - begun).as_secs_f64()).collect()
}

/// A table in Markdown, under a line that says when and on how busy a machine it was measured.
///
/// # Errors
/// When standard output is closed.
pub fn table(title: &str, load: (&str, &str), header: &[&str], rows: &[Vec<String>]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let now = Timestamp::now().strftime("%F %H:%M UTC");
    writeln!(out, "\n{title}; {now}; load average {} before, {} after\n", load.0, load.1)?;
    writeln!(out, "| {} |\n|{}", header.join(" | "), "---|".repeat(header.len()))?;
    for row in rows {
        writeln!(out, "| {} |", row.join(" | "))?;
    }
    Ok(())
}

/// Says on standard output how far the run is.
///
/// # Errors
/// When standard output is closed.
pub fn say(text: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

/// Appends a line of figures to a CSV file, and begins the file with the names of its columns.
///
/// # Errors
/// When the file can't be written.
pub fn keep(file: &Path, columns: &[(&str, String)]) -> Result<()> {
    let is_new = !file.exists();
    let mut out = OpenOptions::new().create(true).append(true).open(file);
    let out = out.as_mut().map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))?;
    let (names, values): (Vec<_>, Vec<_>) =
        columns.iter().map(|(name, value)| (*name, value.as_str())).unzip();
    let header = if is_new { format!("{}\n", names.join(",")) } else { String::new() };
    writeln!(out, "{header}{}", values.join(",")).with_context(|| format!("write {}", file.display()))
}

/// A duration from a number of seconds or a text such as `10m`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let duration: jiff::SignedDuration = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    Duration::try_from(duration).map_err(|error| error.to_string())
}
