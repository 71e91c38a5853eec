//! The Job contract: what a transcoding Job is given, and what it leaves behind.

use crate::{Identity, Profile};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Name of the environment variable that carries the [`TranscodeRequest`] as JSON.
pub const REQUEST_VARIABLE: &str = "TRANSCODE_REQUEST";
/// Name of the record that is written last, under the output prefix. Without it an output is not whole.
pub const JOB_RECORD: &str = "job.json";
/// Name of the progress file, under the output prefix; replaced at most every two seconds.
pub const PROGRESS_FILE: &str = "progress.json";
/// Name of the HLS multivariant playlist, under the output prefix.
pub const HLS_PLAYLIST: &str = "master.m3u8";
/// Name of the DASH manifest, under the output prefix.
pub const DASH_MANIFEST: &str = "manifest.mpd";
/// Exit code of a Job that is done.
pub const EXIT_DONE: i32 = 0;
/// Exit code for an input that no retry can help (`EX_DATAERR` of sysexits.h). Any other code is transient.
pub const EXIT_PERMANENT: i32 = 65;

/// The media type of a file of an output, by its name. Sound is in a folder named `audio`.
#[must_use]
pub fn content_type(path: &str) -> &'static str {
    let sound = path.rsplit('/').nth(1) == Some("audio");
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "m3u8" => "application/vnd.apple.mpegurl",
        "mpd" => "application/dash+xml",
        "m4s" | "mp4" if sound => "audio/mp4",
        "m4s" | "mp4" => "video/mp4",
        "m4a" => "audio/mp4",
        "vtt" => "text/vtt; charset=utf-8",
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "webp" => "image/webp",
        "json" => "application/json",
        _ => "application/octet-stream",
    }
}

/// What a Job has to do: the JSON in `TRANSCODE_REQUEST`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TranscodeRequest {
    /// Identity of the work.
    pub identity: Identity,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// What to transcode.
    pub source: Source,
    /// Where the output goes.
    pub output: Output,
    /// The ladder.
    #[serde(default)]
    pub profile: Profile,
}

/// An object in S3.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// Name of the bucket.
    pub bucket: String,
    /// The key, decoded.
    pub key: String,
    /// The version; the current one when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
}

/// Where a Job writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// Name of the bucket.
    pub bucket: String,
    /// Everything of this work goes under this prefix, which ends in `<identity>/`.
    pub prefix: String,
}

/// `progress.json`: how far a Job has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Identity of the work.
    pub identity: Identity,
    /// Which attempt wrote this.
    pub attempt: u32,
    /// What it is doing now.
    pub stage: Stage,
    /// 0 to 100 over the whole Job.
    pub percent: u8,
    /// When this was written.
    pub updated_at: Timestamp,
}

/// The stages of a Job, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stage {
    /// Bringing the source here.
    Downloading,
    /// Finding out what the source is.
    Probing,
    /// Encoding the ladder.
    Encoding,
    /// Writing manifests, poster and storyboard, and bringing the rest to S3.
    Publishing,
}

/// `job.json`: written last; its presence says that the Job of this identity is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobRecord {
    /// Identity of the work.
    pub identity: Identity,
    /// Which attempt finished.
    pub attempt: u32,
    /// How it ended.
    pub state: JobState,
    /// What was transcoded.
    pub source: Source,
    /// Length of the source, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<f64>,
    /// The renditions, tallest first; empty for a failure.
    #[serde(default)]
    pub renditions: Vec<RenditionRecord>,
    /// Path of the poster below the prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poster: Option<String>,
    /// Path of the storyboard's WebVTT below the prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storyboard: Option<String>,
    /// Wall-clock seconds of each stage.
    #[serde(default)]
    pub timings: Timings,
    /// Why it failed, for a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<TerminationMessage>,
    /// When it was written.
    pub finished_at: Timestamp,
}

/// How a Job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobState {
    /// The output is whole.
    Succeeded,
    /// The input can't be transcoded; no attempt will change that.
    Failed,
}

/// What was made, measured from the segments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RenditionRecord {
    /// Folder below the prefix.
    pub name: String,
    /// Width in pixels; 0 for audio.
    pub width: u32,
    /// Height in pixels; 0 for audio.
    pub height: u32,
    /// Peak segment bit rate, in bit/s.
    pub bandwidth: u64,
    /// Average bit rate, in bit/s.
    pub average_bandwidth: u64,
    /// RFC 6381 codecs string.
    pub codecs: String,
    /// Number of media segments.
    pub segments: u32,
}

/// Wall-clock seconds by stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Timings {
    /// Source to local disk.
    pub download_seconds: f64,
    /// Probe to last segment.
    pub ladder_seconds: f64,
    /// Poster, storyboard, manifests, upload of what is left.
    pub publish_seconds: f64,
}

/// The pod's termination message, as JSON, when a Job fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminationMessage {
    /// The cause, as a constant.
    pub reason: Reason,
    /// One sentence for a person, with what to do about it.
    pub message: String,
}

/// Causes of failure, as constants in SCREAMING_SNAKE_CASE; images may bring their own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Reason {
    /// The source is no media file (empty, text, a still image, a playlist).
    NotMedia,
    /// The source ends before its container says, or can't be decoded.
    Truncated,
    /// The source's frames are larger than the profile admits.
    ResolutionLimit,
    /// The source plays longer than the profile admits.
    DurationLimit,
    /// The source object, or that version of it, does not exist.
    SourceNotFound,
    /// The request itself can't be understood.
    InvalidRequest,
    /// S3 could not be read or written. Transient.
    Storage,
    /// ffmpeg failed for a cause that is not the input's. Transient.
    Encoder,
    /// The disk is full. Transient.
    DiskFull,
    /// The scratch directory can't be used, for a cause other than being full. Transient.
    ScratchDisk,
    /// The Job was told to stop. Transient.
    Interrupted,
    /// Set by the operator: the container went over its memory limit.
    OutOfMemory,
    /// Set by the operator: the Job's deadline passed.
    DeadlineExceeded,
    /// Set by the operator: someone deleted the Job.
    JobDeleted,
    /// The container could not start: its image, its configuration. Transient.
    CannotStart,
    /// Set by the operator: the message on the queue can't be understood.
    InvalidMessage,
    /// Set by the operator: someone cancelled the Job.
    Cancelled,
    /// Set by the worker: the Job succeeded and left no `job.json` that can be read.
    OutputIncomplete,
    /// Set by the operator: the container ended without saying why.
    Unknown,
    /// What an image of your own may say.
    Other(String),
}

impl Reason {
    const NAMES: [(Self, &'static str); 19] = [
        (Self::NotMedia, "NOT_MEDIA"),
        (Self::Truncated, "TRUNCATED"),
        (Self::ResolutionLimit, "RESOLUTION_LIMIT"),
        (Self::DurationLimit, "DURATION_LIMIT"),
        (Self::SourceNotFound, "SOURCE_NOT_FOUND"),
        (Self::InvalidRequest, "INVALID_REQUEST"),
        (Self::Storage, "STORAGE"),
        (Self::Encoder, "ENCODER"),
        (Self::DiskFull, "DISK_FULL"),
        (Self::ScratchDisk, "SCRATCH_DISK"),
        (Self::Interrupted, "INTERRUPTED"),
        (Self::OutOfMemory, "OUT_OF_MEMORY"),
        (Self::DeadlineExceeded, "DEADLINE_EXCEEDED"),
        (Self::JobDeleted, "JOB_DELETED"),
        (Self::CannotStart, "CANNOT_START"),
        (Self::InvalidMessage, "INVALID_MESSAGE"),
        (Self::Cancelled, "CANCELLED"),
        (Self::OutputIncomplete, "OUTPUT_INCOMPLETE"),
        (Self::Unknown, "UNKNOWN"),
    ];

    /// Every reason that has a name here.
    pub fn known() -> impl Iterator<Item = Self> {
        Self::NAMES.into_iter().map(|(reason, _)| reason)
    }

    /// The constant.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Other(name) => name,
            known => {
                Self::NAMES.iter().find(|(reason, _)| reason == known).map_or("UNKNOWN", |(_, name)| name)
            }
        }
    }
}

impl From<String> for Reason {
    fn from(name: String) -> Self {
        Self::NAMES
            .iter()
            .find(|(_, known)| *known == name)
            .map_or_else(|| Self::Other(name), |(reason, _)| reason.clone())
    }
}

impl From<Reason> for String {
    fn from(reason: Reason) -> Self {
        reason.as_str().to_owned()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_named_reason_reads_back_as_itself_and_others_are_kept() {
        for (reason, name) in Reason::NAMES {
            assert_eq!(Reason::from(name.to_owned()), reason);
            assert_eq!(reason.as_str(), name);
        }
        assert_eq!(Reason::from("GPU_LOST".to_owned()).as_str(), "GPU_LOST");
    }

    #[test]
    fn the_media_type_follows_the_name_and_the_folder_of_sound() {
        for (path, expected) in [
            ("x/master.m3u8", "application/vnd.apple.mpegurl"),
            ("x/720p/seg-00001.m4s", "video/mp4"),
            ("my-audio/x/720p/seg-00001.m4s", "video/mp4"),
            ("x/audio/seg-00001.m4s", "audio/mp4"),
            ("audio/init.mp4", "audio/mp4"),
            ("job.json", "application/json"),
            ("strange", "application/octet-stream"),
        ] {
            assert_eq!(content_type(path), expected, "{path}");
        }
    }

    #[test]
    fn a_request_without_profile_has_the_default_ladder() {
        let request: TranscodeRequest = serde_json::from_str(
            r#"{"identity":"abcdefghijklmnopqrst","attempt":1,
                "source":{"bucket":"in","key":"a.mp4"},"output":{"bucket":"out","prefix":"x/"}}"#,
        )
        .unwrap();
        assert_eq!(request.profile, Profile::default());
    }
}
