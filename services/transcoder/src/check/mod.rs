//! Reads a finished output again and tells everything that is wrong with it.
//!
//! What it trusts is the samples' own time stamps in the segments. Manifests and `job.json` are claims about
//! them; playlists are read by `m3u8-rs`, the MPD by `quick-xml`: neither by what wrote them.

mod load;
mod mpd;
mod rules;

use crate::{Failure, store::Folder};
use std::fmt;

/// What the checker found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Everything that is wrong; empty for a good output.
    pub findings: Vec<Finding>,
    /// What was looked at, for people.
    pub summary: String,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule that is broken.
    pub rule: Rule,
    /// Where, and by how much.
    pub message: String,
}

/// The rules of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// `job.json` is there and says that the job succeeded: without it nothing may look whole.
    Committed,
    /// Every file that is named exists and can be read.
    Readable,
    /// Sound and picture begin together.
    StartTogether,
    /// Sound and picture end together.
    EndTogether,
    /// No segment holds sound alone after the last picture: hls.js would never come to its end.
    TrailingAudio,
    /// Segments begin at the same instants in all renditions.
    Boundaries,
    /// Each segment begins where the one before ends.
    Gapless,
    /// Each video segment begins with a keyframe.
    Keyframe,
    /// Bit rates in manifests are those of the segments.
    Bandwidth,
    /// Durations in manifests are those of the segments.
    Duration,
    /// Codecs, sizes and frame rates in manifests are those of the segments.
    Description,
    /// `job.json` says what the segments say.
    Record,
    /// The storyboard covers the whole time.
    Storyboard,
}

impl Report {
    /// Whether a rule was found broken.
    #[must_use]
    pub fn breaks(&self, rule: Rule) -> bool {
        self.findings.iter().any(|finding| finding.rule == rule)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.summary)?;
        for finding in &self.findings {
            writeln!(f, "{:?}: {}", finding.rule, finding.message)?;
        }
        writeln!(f, "{} finding(s)", self.findings.len())
    }
}

/// Checks the output in a folder.
///
/// # Errors
/// `STORAGE` where the store can't be asked; what is wrong with the output is in the report.
pub async fn check(folder: &Folder) -> Result<Report, Failure> {
    let mut findings = Findings::default();
    let Some(output) = load::load(folder, &mut findings).await? else {
        return Ok(Report { findings: findings.0, summary: "nothing that can be played".into() });
    };
    rules::apply(&output, &mut findings);
    let names: Vec<String> = output
        .renditions()
        .map(|rendition| {
            format!("{} ({} segments)", rendition.measured.name, rendition.measured.segments.len())
        })
        .collect();
    let summary = format!("{:.3} s: {}", output.end_seconds(), names.join(", "));
    Ok(Report { findings: findings.0, summary })
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, rule: Rule, message: impl Into<String>) {
        self.0.push(Finding { rule, message: message.into() });
    }

    fn require(&mut self, holds: bool, rule: Rule, message: impl FnOnce() -> String) {
        if !holds {
            self.add(rule, message());
        }
    }
}
