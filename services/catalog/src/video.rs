//! What a video is, and the one place that decides which state it is in.
//!
//! A video's state is not set, it follows: from its open upload, and from the greatest outcome that was
//! reported of its latest transcode. Reports may come late, twice and in any order. Each is merged by taking a
//! maximum, so that all orders end in the same state.

use contract::{
    Identity, JobRecord, Outcome, Reason, TerminationMessage, Work, event::OutcomeData, job::Source,
};
use jiff::{Timestamp, ToSpan};
use std::{fmt, str::FromStr};
use uuid::Uuid;

/// Longest title or file name, in characters.
pub const MAX_NAME_CHARACTERS: usize = 255;

/// A video.
#[derive(Clone, Debug, PartialEq)]
pub struct Video {
    /// UUIDv7: sorts by time of creation.
    pub id: Uuid,
    /// What people call it.
    pub title: String,
    /// Name of the file that was uploaded.
    pub file_name: String,
    /// Bytes of the source; 0 where it was gone before anyone looked.
    pub size: u64,
    /// Media type that the uploader gave.
    pub content_type: String,
    /// Where the source is. Its version is not known while the upload is open.
    pub source: Source,
    /// The upload, while it is open.
    pub upload: Option<Upload>,
    /// Every transcode that was asked for.
    pub transcodes: Vec<Transcode>,
    /// When it appeared here.
    pub created_at: Timestamp,
    /// When anything of it changed last.
    pub updated_at: Timestamp,
    /// When it was deleted; such a tombstone is shown to nobody.
    pub deleted_at: Option<Timestamp>,
    /// When the objects of a deleted video were erased; unset again when a Job may have written since.
    pub erased_at: Option<Timestamp>,
}

/// An open multipart upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// The id that S3 gave.
    pub id: String,
    /// Bytes of each part but the last.
    pub part_size: u64,
    /// When it is given up.
    pub expires_at: Timestamp,
}

/// One piece of work on a video.
#[derive(Clone, Debug, PartialEq)]
pub struct Transcode {
    /// Names the work and its output folder.
    pub identity: Identity,
    /// When it was asked for, as far as is known. The latest one decides the video's state.
    pub requested_at: Timestamp,
    /// The greatest attempt reported; 0 before any.
    pub attempt: u32,
    /// The greatest outcome reported of that attempt.
    pub outcome: Option<Outcome>,
    /// How far a running attempt has come, 0 to 100.
    pub percent: u8,
    /// Why that attempt ended as it did.
    pub failure: Option<TerminationMessage>,
    /// The record of the whole output. It stays when a later attempt is reported: outputs are immutable.
    pub record: Option<JobRecord>,
}

/// The states that people see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// The source is on its way.
    Uploading,
    /// The source is there; no Job runs for it, but one will.
    Queued,
    /// A Job runs.
    Transcoding,
    /// It plays.
    Ready,
    /// No attempt follows.
    Failed,
    /// Someone cancelled it.
    Cancelled,
}

/// An outcome as the catalogue takes it: an event, and what the output says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The attempt, from 1; 0 for a message that never became a Job.
    pub attempt: u32,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, unless it runs or succeeded.
    pub failure: Option<TerminationMessage>,
    /// `job.json` of the output, for a success.
    pub record: Option<JobRecord>,
    /// When it happened.
    pub time: Timestamp,
}

/// A name that is no [`State`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected one of Uploading, Queued, Transcoding, Ready, Failed, Cancelled")]
pub struct UnknownState;

impl State {
    /// All states, in the order in which a video passes through them.
    pub const ALL: [Self; 6] =
        [Self::Uploading, Self::Queued, Self::Transcoding, Self::Ready, Self::Failed, Self::Cancelled];

    /// The name, as in the API and in the table.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Uploading => "Uploading",
            Self::Queued => "Queued",
            Self::Transcoding => "Transcoding",
            Self::Ready => "Ready",
            Self::Failed => "Failed",
            Self::Cancelled => "Cancelled",
        }
    }

    /// Whether nothing more happens by itself, so that another transcode may be asked for.
    #[must_use]
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Ready | Self::Failed | Self::Cancelled)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for State {
    type Err = UnknownState;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|state| state.as_str() == name).ok_or(UnknownState)
    }
}

impl Report {
    /// The report of an event, with what was found in its output.
    ///
    /// A success whose output has no record of success is a failure in the eyes of the viewer, and says so.
    #[must_use]
    pub fn new(data: &OutcomeData, record: Option<JobRecord>, time: Timestamp) -> Self {
        let unexplained =
            |message: &str| TerminationMessage { reason: Reason::Unknown, message: message.into() };
        let given = data.failure.clone();
        let (failure, record) = match (data.outcome, record) {
            (Outcome::Running, _) => (None, None),
            (Outcome::Succeeded, Some(record)) => match record.state {
                contract::JobState::Succeeded => (None, Some(record)),
                contract::JobState::Failed => {
                    let failure = record.failure.or(given);
                    (Some(failure.unwrap_or_else(|| unexplained("The Job recorded a failure."))), None)
                }
            },
            (Outcome::Succeeded, None) => (Some(missing_record()), None),
            (Outcome::Retrying | Outcome::DeadLettered | Outcome::Cancelled, _) => {
                (Some(given.unwrap_or_else(|| unexplained("The Job ended without saying why."))), None)
            }
        };
        Self { attempt: data.attempt, outcome: data.outcome, failure, record, time }
    }

    /// The report that an output itself makes, for when its event was lost. `attempt` is the last one known: one
    /// that found a whole output had nothing to do.
    #[must_use]
    pub fn of_record(record: JobRecord, attempt: u32) -> Self {
        let whole = record.state == contract::JobState::Succeeded;
        let time = record.finished_at;
        let data = OutcomeData {
            outcome: Outcome::Succeeded,
            attempt: if whole { record.attempt.max(attempt) } else { record.attempt },
            source: None,
            output: None,
            failure: None,
            explicit_id: None,
        };
        Self::new(&data, Some(record), time)
    }
}

fn missing_record() -> TerminationMessage {
    TerminationMessage {
        reason: Reason::OutputIncomplete,
        message: "The Job ended well but left no job.json, so its output is not whole. Transcode it again."
            .into(),
    }
}

impl Transcode {
    /// Work that was asked for at that time, of which nothing was reported yet.
    #[must_use]
    pub fn requested(identity: Identity, requested_at: Timestamp) -> Self {
        Self { identity, requested_at, attempt: 0, outcome: None, percent: 0, failure: None, record: None }
    }

    /// Merges a report; late ones and repetitions change nothing.
    pub fn merge(&mut self, report: Report) {
        self.requested_at = self.requested_at.min(report.time);
        if (report.attempt, Some(report.outcome)) > (self.attempt, self.outcome) {
            self.attempt = report.attempt;
            self.outcome = Some(report.outcome);
            self.failure = report.failure;
            self.percent = if report.outcome == Outcome::Succeeded { 100 } else { 0 };
        }
        self.record = self.record.take().or(report.record);
        if self.outcome == Some(Outcome::Succeeded) && self.record.is_some() {
            self.failure = None;
        }
    }

    /// Takes the progress of an attempt, if that is the one that runs. Says whether it came further.
    pub fn advance(&mut self, attempt: u32, percent: u8) -> bool {
        let further = self.outcome == Some(Outcome::Running)
            && self.attempt == attempt
            && percent.min(100) > self.percent;
        if further {
            self.percent = percent.min(100);
        }
        further
    }

    /// The state that this work alone gives.
    #[must_use]
    pub fn state(&self) -> State {
        match self.outcome {
            None | Some(Outcome::Retrying) => State::Queued,
            Some(Outcome::Running) => State::Transcoding,
            Some(Outcome::DeadLettered) => State::Failed,
            Some(Outcome::Cancelled) => State::Cancelled,
            Some(Outcome::Succeeded) if self.failure.is_none() => State::Ready,
            Some(Outcome::Succeeded) => State::Failed,
        }
    }

    /// Whether its Job is over, so that nothing more is written to its output.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.outcome, Some(Outcome::DeadLettered | Outcome::Cancelled | Outcome::Succeeded))
    }
}

impl Video {
    /// A video whose source someone begins to upload.
    #[must_use]
    pub fn uploading(id: Uuid, about: About, source: Source, upload: Upload, now: Timestamp) -> Self {
        Self { upload: Some(upload), ..Self::found(id, about, source, now) }
    }

    /// A video whose source is there already.
    #[must_use]
    pub fn found(id: Uuid, about: About, source: Source, now: Timestamp) -> Self {
        Self {
            id,
            title: about.title,
            file_name: about.file_name,
            size: about.size,
            content_type: about.content_type,
            source,
            upload: None,
            transcodes: Vec::new(),
            created_at: now,
            updated_at: now,
            deleted_at: None,
            erased_at: None,
        }
    }

    /// What is known of the source.
    #[must_use]
    pub fn about(&self) -> About {
        About {
            title: self.title.clone(),
            file_name: self.file_name.clone(),
            size: self.size,
            content_type: self.content_type.clone(),
        }
    }

    /// The state that people see.
    #[must_use]
    pub fn state(&self) -> State {
        if self.upload.is_some() {
            return State::Uploading;
        }
        self.latest().map_or(State::Queued, Transcode::state)
    }

    /// The transcode that decides the state: the one that was asked for last.
    #[must_use]
    pub fn latest(&self) -> Option<&Transcode> {
        self.transcodes.iter().max_by_key(|t| (t.requested_at, &t.identity))
    }

    /// The transcode whose output plays: the last one that succeeded, whatever a later one is doing.
    #[must_use]
    pub fn playable(&self) -> Option<&Transcode> {
        self.transcodes.iter().filter(|t| t.record.is_some()).max_by_key(|t| (t.requested_at, &t.identity))
    }

    /// Whether nobody may see it any more.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.deleted_at.is_some()
    }

    /// The upload is complete, and S3 gave the object this version.
    pub fn finish_upload(&mut self, version_id: Option<String>) {
        self.upload = None;
        self.source.version_id = self.source.version_id.take().or(version_id);
    }

    /// Asks for a transcode of its own, under an id that nobody else uses.
    ///
    /// It counts as later than all others even where clocks disagree.
    pub fn request(&mut self, explicit_id: &str, now: Timestamp) -> Identity {
        let identity = Work::Explicit { id: explicit_id.to_owned() }.identity();
        let after_all = self.latest().map_or(now, |t| now.max(t.requested_at + 1.microsecond()));
        self.transcodes.push(Transcode::requested(identity.clone(), after_all));
        identity
    }

    /// Merges a report of one of its transcodes, which may be the first that is heard of it.
    pub fn merge(&mut self, identity: &Identity, source: &Source, report: Report) {
        // A Job runs only for an object that exists: an upload that looks open was completed.
        self.finish_upload(source.version_id.clone());
        let time = report.time;
        match self.transcodes.iter_mut().find(|t| t.identity == *identity) {
            Some(transcode) => transcode.merge(report),
            None => {
                let mut transcode = Transcode::requested(identity.clone(), time);
                transcode.merge(report);
                self.transcodes.push(transcode);
            }
        }
        let written_since = self.transcodes.iter().any(|t| t.identity == *identity && t.is_over());
        if self.is_deleted() && written_since {
            self.erased_at = None;
        }
    }

    /// Hides it for good. What is left in S3 is erased afterwards.
    pub fn delete(&mut self, now: Timestamp) {
        self.deleted_at.get_or_insert(now);
    }
}

/// What is known of a source before it is looked into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// What people call it.
    pub title: String,
    /// Name of the file.
    pub file_name: String,
    /// Bytes.
    pub size: u64,
    /// Media type.
    pub content_type: String,
}

impl About {
    /// What the key of an object tells that was put there by other means than an upload.
    #[must_use]
    pub fn from_key(key: &str, size: u64, content_type: String) -> Self {
        let name = key.rsplit('/').find(|part| !part.is_empty()).unwrap_or("unnamed");
        let file_name: String = name.chars().take(MAX_NAME_CHARACTERS).collect();
        Self { title: title_of(&file_name), file_name, size, content_type }
    }
}

/// The title that a file name gives: the name without its extension.
#[must_use]
pub fn title_of(file_name: &str) -> String {
    match file_name.rsplit_once('.') {
        Some((stem, _)) if !stem.trim().is_empty() => stem.to_owned(),
        _ => file_name.to_owned(),
    }
}

#[cfg(test)]
#[path = "video_tests.rs"]
mod tests;
