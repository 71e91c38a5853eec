//! Brings an output's manifests and segments into memory, measured.

use super::{Findings, Rule, mpd};
use crate::{
    Failure,
    mp4::{self, Media},
    pictures::{POSTER, STORYBOARD},
    rendition::Rendition,
    store::Folder,
};
use bytes::Bytes;
use contract::{
    JobRecord, JobState,
    job::{DASH_MANIFEST, HLS_PLAYLIST, JOB_RECORD},
};
use m3u8_rs::{AlternativeMediaType, MasterPlaylist, MediaPlaylist, VariantStream};

/// An output with everything that can be played.
pub(super) struct Loaded {
    pub(super) record: Option<JobRecord>,
    pub(super) master: MasterPlaylist,
    pub(super) video: Vec<LoadedRendition>,
    pub(super) audio: Option<LoadedRendition>,
    pub(super) mpd: Option<mpd::Mpd>,
    pub(super) storyboard: Option<String>,
}

/// A rendition: what its playlist claims and what its segments say.
pub(super) struct LoadedRendition {
    pub(super) playlist: MediaPlaylist,
    pub(super) measured: Rendition,
    /// How the multivariant playlist describes it, where it is a variant.
    pub(super) variant: Option<VariantStream>,
}

impl Loaded {
    pub(super) fn renditions(&self) -> impl Iterator<Item = &LoadedRendition> {
        self.video.iter().chain(&self.audio)
    }

    pub(super) fn end_seconds(&self) -> f64 {
        self.renditions().map(|rendition| rendition.measured.end_seconds()).fold(0.0, f64::max)
    }
}

/// `None` where there is no multivariant playlist to begin with.
pub(super) async fn load(folder: &Folder, findings: &mut Findings) -> Result<Option<Loaded>, Failure> {
    let record = load_record(folder, findings).await?;
    let Some(bytes) = named(folder, HLS_PLAYLIST, findings).await? else { return Ok(None) };
    let master = match m3u8_rs::parse_master_playlist_res(&bytes) {
        Ok(master) => master,
        Err(error) => {
            findings.add(Rule::Readable, format!("{HLS_PLAYLIST} is no multivariant playlist: {error}"));
            return Ok(None);
        }
    };
    let (mut video, mut audio) = (Vec::new(), None);
    for variant in &master.variants {
        if let Some(mut rendition) = load_rendition(folder, &variant.uri, findings).await? {
            rendition.variant = Some(variant.clone());
            match rendition.measured.track.media {
                Media::Video { .. } => video.push(rendition),
                Media::Audio { .. } => audio = Some(rendition),
            }
        }
    }
    for media in &master.alternatives {
        match (&media.media_type, &media.uri) {
            (AlternativeMediaType::Audio, Some(uri)) => {
                audio = load_rendition(folder, uri, findings).await?;
            }
            (AlternativeMediaType::Subtitles, Some(uri)) => load_captions(folder, uri, findings).await?,
            _ => {}
        }
    }
    let mpd = match named(folder, DASH_MANIFEST, findings).await? {
        Some(bytes) => mpd::parse(&String::from_utf8_lossy(&bytes))
            .map_err(|error| findings.add(Rule::Readable, format!("{DASH_MANIFEST}: {error}")))
            .ok(),
        None => None,
    };
    named(folder, POSTER, findings).await?;
    let storyboard = if video.is_empty() { None } else { load_storyboard(folder, findings).await? };
    let loaded = Loaded { record, master, video, audio, mpd, storyboard };
    let playable = loaded.renditions().next().is_some();
    findings.require(playable, Rule::Readable, || "no rendition can be read".into());
    Ok(playable.then_some(loaded))
}

async fn load_record(folder: &Folder, findings: &mut Findings) -> Result<Option<JobRecord>, Failure> {
    let Some(json) = folder.get(JOB_RECORD).await? else {
        findings.add(Rule::Committed, format!("there is no {JOB_RECORD}: the output is not whole"));
        return Ok(None);
    };
    match serde_json::from_slice::<JobRecord>(&json) {
        Ok(record) => {
            let done = record.state == JobState::Succeeded;
            findings.require(done, Rule::Committed, || format!("{JOB_RECORD} says that the job failed"));
            Ok(Some(record))
        }
        Err(error) => {
            findings.add(Rule::Committed, format!("{JOB_RECORD} can't be read: {error}"));
            Ok(None)
        }
    }
}

async fn load_rendition(
    folder: &Folder,
    uri: &str,
    findings: &mut Findings,
) -> Result<Option<LoadedRendition>, Failure> {
    let Some(bytes) = named(folder, uri, findings).await? else { return Ok(None) };
    let playlist = match m3u8_rs::parse_media_playlist_res(&bytes) {
        Ok(playlist) => playlist,
        Err(error) => {
            findings.add(Rule::Readable, format!("{uri} is no media playlist: {error}"));
            return Ok(None);
        }
    };
    let name = uri.rsplit_once('/').map_or("", |(name, _)| name).to_owned();
    let init = playlist.segments.first().and_then(|segment| segment.map.as_ref());
    let Some(init) = init else {
        findings.add(Rule::Readable, format!("{uri} names no init segment"));
        return Ok(None);
    };
    let init = format!("{name}/{}", init.uri);
    let Some(bytes) = named(folder, &init, findings).await? else { return Ok(None) };
    let track = match mp4::read_init(&bytes) {
        Ok(track) => track,
        Err(error) => {
            findings.add(Rule::Readable, format!("{init}: {error}"));
            return Ok(None);
        }
    };
    let mut segments = Vec::new();
    for segment in &playlist.segments {
        let path = format!("{name}/{}", segment.uri);
        let Some(bytes) = named(folder, &path, findings).await? else { return Ok(None) };
        match mp4::read_segment(&track, &bytes) {
            Ok(segment) => segments.push(segment),
            Err(error) => {
                findings.add(Rule::Readable, format!("{path}: {error}"));
                return Ok(None);
            }
        }
    }
    let measured = Rendition { name, track, segments };
    Ok(Some(LoadedRendition { playlist, measured, variant: None }))
}

async fn load_captions(folder: &Folder, uri: &str, findings: &mut Findings) -> Result<(), Failure> {
    let Some(bytes) = named(folder, uri, findings).await? else { return Ok(()) };
    match m3u8_rs::parse_media_playlist_res(&bytes) {
        Ok(playlist) => {
            let parent = uri.rsplit_once('/').map_or("", |(parent, _)| parent);
            for segment in &playlist.segments {
                named(folder, &format!("{parent}/{}", segment.uri), findings).await?;
            }
        }
        Err(error) => findings.add(Rule::Readable, format!("{uri}: {error}")),
    }
    Ok(())
}

async fn load_storyboard(folder: &Folder, findings: &mut Findings) -> Result<Option<String>, Failure> {
    let Some(bytes) = named(folder, STORYBOARD, findings).await? else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let mut sprites: Vec<&str> = text.lines().filter_map(|line| Some(line.split_once("#xywh=")?.0)).collect();
    sprites.dedup();
    for sprite in sprites {
        named(folder, sprite, findings).await?;
    }
    Ok(Some(text))
}

/// A file that something names: missing is a finding.
async fn named(folder: &Folder, path: &str, findings: &mut Findings) -> Result<Option<Bytes>, Failure> {
    let bytes = folder.get(path).await?;
    findings.require(bytes.is_some(), Rule::Readable, || format!("{path} does not exist"));
    Ok(bytes)
}
