//! Text subtitles of a source as WebVTT.

use crate::{
    Failure,
    ffmpeg::{self, ChildError, guarded_input},
    hls,
    probe::{Probe, SubtitleStream},
    store::{Content, Folder},
};
use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// A subtitle rendition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caption {
    /// Names its files: `captions-1`.
    pub id: String,
    /// What a player's menu shows.
    pub label: String,
    /// Its language, where the source names one.
    pub language: Option<String>,
}

/// Folder of all captions.
const FOLDER: &str = "captions";

impl Caption {
    fn new(number: usize, stream: &SubtitleStream) -> Self {
        let label = stream.title.clone().or_else(|| stream.language.clone());
        Self {
            id: format!("{FOLDER}-{number}"),
            label: label.map_or_else(|| format!("Subtitles {number}"), |label| format!("{label} ({number})")),
            language: stream.language.clone(),
        }
    }

    /// Name of the WebVTT file beside its playlist.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}.vtt", self.id)
    }

    /// Path of the WebVTT file below the output prefix.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{FOLDER}/{}", self.file_name())
    }

    /// Path of the HLS playlist below the output prefix.
    #[must_use]
    pub fn playlist_path(&self) -> String {
        format!("{FOLDER}/{}.m3u8", self.id)
    }
}

/// A caption on its way from a stream of the source to a file.
struct Track {
    caption: Caption,
    stream: u32,
    file: PathBuf,
}

/// Extracts and stores the captions of a source: all in one pass over it, or one by one where that fails. One
/// that can't be converted is left out with a warning: a video is better without captions than not at all.
///
/// # Errors
/// `STORAGE`, or a failure of the scratch disk.
pub async fn publish(
    probe: &Probe,
    source: &Path,
    scratch: &Path,
    max_pixels: u64,
    output: &Folder,
) -> Result<Vec<Caption>, Failure> {
    let track = |(index, stream): (usize, &SubtitleStream)| {
        let caption = Caption::new(index + 1, stream);
        let file = scratch.join(caption.file_name());
        Track { caption, stream: stream.index, file }
    };
    let mut tracks: Vec<Track> = probe.subtitles.iter().enumerate().map(track).collect();
    if tracks.is_empty() {
        return Ok(Vec::new());
    }
    let input = guarded_input(source, max_pixels);
    if let Err(error) = extract(&input, &tracks).await {
        tracing::warn!(%error, "subtitles are extracted one by one");
        for track in std::mem::take(&mut tracks) {
            match extract(&input, std::slice::from_ref(&track)).await {
                Ok(()) => tracks.push(track),
                Err(error) => tracing::warn!(stream = track.stream, %error, "subtitles were left out"),
            }
        }
    }
    let mut captions = Vec::new();
    for Track { caption, file, .. } in tracks {
        output.put(&caption.path(), Content::File(file)).await?;
        captions.push(caption);
    }
    Ok(captions)
}

async fn extract(input: &[OsString], tracks: &[Track]) -> Result<(), ChildError> {
    let mut args: Vec<OsString> =
        ["-hide_banner", "-nostdin", "-nostats", "-loglevel", "error", "-y"].map(OsString::from).into();
    args.extend_from_slice(input);
    for track in tracks {
        args.extend(["-map".into(), format!("0:{}", track.stream).into()]);
        args.extend(["-c:s", "webvtt", "-f", "webvtt"].map(OsString::from));
        args.push(track.file.clone().into());
    }
    ffmpeg::run("ffmpeg", &args, |_| ()).await
}

/// Stores the playlists of captions.
///
/// # Errors
/// `STORAGE`.
pub async fn publish_playlists(captions: &[Caption], seconds: f64, output: &Folder) -> Result<(), Failure> {
    for caption in captions {
        let playlist = hls::caption_playlist(caption, seconds);
        output.put(&caption.playlist_path(), Content::Bytes(playlist.into())).await?;
    }
    Ok(())
}
