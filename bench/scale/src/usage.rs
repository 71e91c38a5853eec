//! What a process uses, as Linux counts it, and how busy the machine is.

use anyhow::{Context, Result};
use std::fs;

/// Clock ticks a second in /proc, which Linux has fixed for programs.
const TICKS: f64 = 100.0;

/// What a process uses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Seconds of a processor so far, in user and kernel mode.
    pub cpu_seconds: f64,
    /// Memory that is resident now, in MiB.
    pub rss_mib: f64,
    /// The most that ever was.
    pub peak_mib: f64,
}

impl Usage {
    /// Of a process that runs.
    ///
    /// # Errors
    /// When there is none of that id.
    pub fn of(pid: u32) -> Result<Self> {
        let read = |file: &str| {
            let path = format!("/proc/{pid}/{file}");
            fs::read_to_string(&path).with_context(|| format!("read {path}"))
        };
        let (stat, status) = (read("stat")?, read("status")?);
        // The second field, in brackets, may hold anything; utime and stime are the 14th and 15th.
        let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok());
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<f64>().ok()
        };
        Ok(Self {
            cpu_seconds: (ticks(11).context("utime")? + ticks(12).context("stime")?) / TICKS,
            rss_mib: kib("VmRSS:").context("VmRSS")? / 1024.0,
            peak_mib: kib("VmHWM:").context("VmHWM")? / 1024.0,
        })
    }
}

/// The machine's load average.
///
/// # Errors
/// Where there is no /proc.
pub fn load() -> Result<String> {
    let text = fs::read_to_string("/proc/loadavg").context("read /proc/loadavg")?;
    Ok(text.split(' ').take(3).collect::<Vec<_>>().join(" "))
}
