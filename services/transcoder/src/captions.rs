//! Text subtitles of a source as WebVTT.

use crate::{
    Failure,
    ffmpeg::{self, guarded_input},
    hls,
    probe::{Probe, SubtitleStream},
    store::{Content, Folder},
};
use std::{ffi::OsString, path::Path};

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

/// Extracts and stores the captions of a source. One that can't be converted is left out with a warning: a
/// video is better without captions than not at all.
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
    let mut captions = Vec::new();
    for (index, stream) in probe.subtitles.iter().enumerate() {
        let caption = Caption::new(index + 1, stream);
        let file = scratch.join(caption.file_name());
        let mut args: Vec<OsString> =
            ["-hide_banner", "-nostdin", "-nostats", "-loglevel", "error", "-y"].map(OsString::from).into();
        args.extend(guarded_input(source, max_pixels));
        args.extend(["-map".into(), format!("0:{}", stream.index).into()]);
        args.extend(["-c:s", "webvtt", "-f", "webvtt"].map(OsString::from));
        args.push(file.clone().into());
        if let Err(error) = ffmpeg::run("ffmpeg", &args, |_| ()).await {
            tracing::warn!(stream = stream.index, %error, "subtitles were left out");
            continue;
        }
        output.put(&caption.path(), Content::File(file)).await?;
        captions.push(caption);
    }
    Ok(captions)
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
