//! Videos as the API shows them.

use catalog::{State, Transcode};
use contract::job::{DASH_MANIFEST, HLS_PLAYLIST};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// A video.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Video {
    /// Its id.
    pub id: Uuid,
    /// What people call it.
    pub title: String,
    /// Name of the file that was uploaded.
    pub file_name: String,
    /// Bytes of the source.
    pub size: u64,
    /// Media type of the source.
    pub content_type: String,
    /// What happens to it.
    pub state: VideoState,
    /// How far transcoding has come; 100 when ready. The progress of an upload is not in it.
    #[schema(maximum = 100)]
    pub percent: u8,
    /// Why it failed, was cancelled, or why the last attempt is made again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// The attempt that `state` speaks of, from 1; 0 before any.
    pub attempt: u32,
    /// When it appeared.
    pub created_at: Timestamp,
    /// When anything of it changed last.
    pub updated_at: Timestamp,
    /// Length in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<f64>,
    /// Where it plays: the last output that is whole, even while another is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub playback: Option<Playback>,
    /// What there is to choose from, tallest first; left out before it plays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renditions: Option<Vec<Rendition>>,
}

/// What happens to a video.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub enum VideoState {
    /// The source is on its way.
    Uploading,
    /// It waits for a Job.
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

/// Why something failed.
#[derive(Debug, Serialize, ToSchema)]
pub struct Failure {
    /// The cause as a constant, such as `NOT_MEDIA`.
    pub reason: String,
    /// One sentence for people.
    pub message: String,
}

/// Paths of an output, on the host of this API.
#[derive(Debug, Serialize, ToSchema)]
pub struct Playback {
    /// The HLS multivariant playlist.
    pub hls: String,
    /// The DASH manifest.
    pub dash: String,
    /// A still image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub poster: Option<String>,
    /// Thumbnails for scrubbing, as WebVTT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storyboard: Option<String>,
}

/// One quality.
#[derive(Debug, Serialize, ToSchema)]
pub struct Rendition {
    /// Its name, such as `720p`.
    pub name: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Peak bit rate, in bit/s.
    pub bandwidth: u64,
}

impl From<State> for VideoState {
    fn from(state: State) -> Self {
        match state {
            State::Uploading => Self::Uploading,
            State::Queued => Self::Queued,
            State::Transcoding => Self::Transcoding,
            State::Ready => Self::Ready,
            State::Failed => Self::Failed,
            State::Cancelled => Self::Cancelled,
        }
    }
}

impl From<&catalog::Video> for Video {
    fn from(video: &catalog::Video) -> Self {
        let latest = video.latest();
        let failure = latest.and_then(|t| t.failure.as_ref());
        let playable = video.playable();
        let record = playable.and_then(|t| t.record.as_ref());
        Self {
            id: video.id,
            title: video.title.clone(),
            file_name: video.file_name.clone(),
            size: video.size,
            content_type: video.content_type.clone(),
            state: video.state().into(),
            percent: latest.map_or(0, |t| t.percent),
            failure: failure.map(|f| Failure { reason: f.reason.to_string(), message: f.message.clone() }),
            attempt: latest.map_or(0, |t| t.attempt),
            created_at: video.created_at,
            updated_at: video.updated_at,
            duration_seconds: record.and_then(|r| r.duration_seconds),
            playback: playable.map(Playback::of),
            renditions: record.map(|record| {
                let with_picture = record.renditions.iter().filter(|r| r.height > 0);
                with_picture
                    .map(|r| Rendition {
                        name: r.name.clone(),
                        width: r.width,
                        height: r.height,
                        bandwidth: r.bandwidth,
                    })
                    .collect()
            }),
        }
    }
}

impl Playback {
    fn of(transcode: &Transcode) -> Self {
        let path = |file: &str| format!("/media/{}/{file}", transcode.identity);
        let record = transcode.record.as_ref();
        Self {
            hls: path(HLS_PLAYLIST),
            dash: path(DASH_MANIFEST),
            poster: record.and_then(|r| r.poster.as_deref()).map(path),
            storyboard: record.and_then(|r| r.storyboard.as_deref()).map(path),
        }
    }
}

/// A video as JSON text.
#[must_use]
pub fn to_json(video: &catalog::Video) -> String {
    serde_json::to_string(&Video::from(video)).expect("a struct of text and numbers is JSON")
}
