//! What a source is: what its header declares, and what its packets really hold.

use crate::{
    Failure,
    ffmpeg::{self, ChildError, guarded_input},
};
use contract::Reason;
use serde::Deserialize;
use std::{collections::HashMap, ffi::OsString, fs::File, io::Read, path::Path};

/// Containers whose header declares a duration that can be believed; others have it estimated.
const DECLARING: [&str; 6] = ["mov", "matroska", "avi", "asf", "flv", "wav"];

/// Containers whose time stamps may jump: what follows a jump is played right after what is before it.
const JUMPING: [&str; 2] = ["mpegts", "mpeg"];
/// Steps in time that count as jumps, in seconds: ffmpeg's own limits.
const CONTINUOUS: std::ops::RangeInclusive<f64> = -0.1..=10.0;

/// What ffprobe says about a source.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Probe {
    /// Time stamp at which the container begins, in seconds.
    pub start: f64,
    /// When the container says that it ends, in seconds of its own time stamps, where it can be believed.
    pub declared_end: Option<f64>,
    /// Whether time stamps may jump.
    pub jumping: bool,
    /// The pictures.
    pub video: Option<VideoStream>,
    /// The sound.
    pub audio: Option<AudioStream>,
    /// Index of an attached picture (cover art).
    pub cover: Option<u32>,
    /// Subtitles that are text.
    pub subtitles: Vec<SubtitleStream>,
}

/// A video stream.
#[derive(Clone, Debug, PartialEq)]
pub struct VideoStream {
    /// Its index in the container.
    pub index: u32,
    /// Coded width in pixels.
    pub width: u32,
    /// Coded height in pixels.
    pub height: u32,
    /// Width of a pixel by its height.
    pub pixel_aspect: f64,
    /// Whether it is shown turned by a quarter.
    pub quarter_turned: bool,
    /// Average frames per second as a fraction.
    pub frame_rate: Option<(u32, u32)>,
    /// PQ or HLG: to be tone-mapped.
    pub hdr: bool,
    /// Whether the stream says that it is interlaced.
    pub interlaced: bool,
    /// When the container says that it ends, where it can be believed.
    pub declared_end: Option<f64>,
}

impl VideoStream {
    /// Width in pixels when its pixels are made square.
    #[must_use]
    pub fn shown_width(&self) -> f64 {
        f64::from(self.width) * self.pixel_aspect
    }
}

/// An audio stream.
#[derive(Clone, Debug, PartialEq)]
pub struct AudioStream {
    /// Its index in the container.
    pub index: u32,
    /// Its language, where one is named.
    pub language: Option<String>,
    /// When the container says that it ends, where it can be believed.
    pub declared_end: Option<f64>,
}

/// A subtitle stream of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubtitleStream {
    /// Its index in the container.
    pub index: u32,
    /// Its language, where one is named.
    pub language: Option<String>,
    /// Its title, where it has one.
    pub title: Option<String>,
}

/// What the packets really hold.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scan {
    /// Of the video stream.
    pub video: Option<Extent>,
    /// Of the audio stream.
    pub audio: Option<Extent>,
    /// When the last packet of any stream ends, also of one that is not chosen, in seconds of the container's
    /// time stamps.
    pub end: f64,
}

/// The packets of one stream, in seconds of the container's time stamps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Extent {
    /// When the last packet ends.
    pub end: f64,
    /// How many there are.
    pub packets: u64,
    /// The time between two packets that is most usual: the median.
    pub interval: f64,
}

impl Extent {
    /// The part of these packets that ends by then; they began at `start`.
    fn until(self, end: f64, start: f64) -> Self {
        let share = ((end - start) / (self.end - start)).clamp(0.0, 1.0);
        let packets = (self.packets as f64 * share).round() as u64;
        Self { end: self.end.min(end), packets, ..self }
    }
}

/// Probes a source.
///
/// # Errors
/// `NOT_MEDIA`, `TRUNCATED` where the index was cut off, `RESOLUTION_LIMIT`, or `ENCODER` where ffprobe
/// itself is at fault.
pub async fn probe(source: &Path, max_pixels: u64) -> Result<Probe, Failure> {
    let mut args: Vec<OsString> =
        ["-v", "error", "-show_streams", "-show_format", "-of", "json"].map(OsString::from).into();
    args.extend(guarded_input(source, max_pixels));
    let mut json = String::new();
    ffmpeg::run("ffprobe", &args, |line| json.push_str(line))
        .await
        .map_err(|error| refused(source, &error))?;
    let raw: RawProbe = serde_json::from_str(&json)
        .map_err(|error| Failure::new(Reason::Encoder, format!("ffprobe's answer is not JSON: {error}")))?;
    let probe = understand(raw);
    if probe.video.is_none() && probe.audio.is_none() {
        return Err(not_media("it holds neither video nor audio"));
    }
    if let Some(video) = &probe.video {
        let (width, height) = (f64::from(video.width), f64::from(video.height));
        for (width, height) in [(width, height), (video.shown_width(), height)] {
            if width * height > max_pixels as f64 {
                return Err(too_large(&format!("frames of {width:.0}x{height}")));
            }
        }
    }
    Ok(probe)
}

/// Reads every packet's time stamps without decoding: disk speed.
///
/// # Errors
/// `NOT_MEDIA` where no packet can be read, `ENCODER` where ffprobe itself is at fault.
pub async fn scan(source: &Path, probe: &Probe, max_pixels: u64) -> Result<Scan, Failure> {
    let entries = "packet=stream_index,pts_time,dts_time,duration_time,flags";
    let mut args: Vec<OsString> =
        ["-v", "error", "-show_entries", entries, "-of", "csv=p=0"].map(OsString::from).into();
    args.extend(guarded_input(source, max_pixels));
    let mut streams: HashMap<u32, Packets> = HashMap::new();
    let wanted = [probe.video.as_ref().map(|s| s.index), probe.audio.as_ref().map(|s| s.index)];
    let mut end = probe.start;
    let outcome = ffmpeg::run("ffprobe", &args, |line| {
        let Some(packet) = Packet::parse(line) else { return };
        end = end.max(packet.end());
        if wanted.contains(&Some(packet.stream)) {
            streams.entry(packet.stream).or_default().add(packet, probe.jumping);
        }
    })
    .await;
    match outcome {
        // A damaged source ends with an error as well; what was read until there is what counts.
        Ok(()) | Err(ChildError::Failed { .. }) => (),
        Err(error) => return Err(error.into_failure()),
    }
    let mut extent = |index: Option<u32>| index.and_then(|index| streams.remove(&index)?.extent());
    let (video, audio) = (extent(wanted[0]), extent(wanted[1]));
    let end = [video, audio].into_iter().flatten().fold(end, |end, extent| end.max(extent.end));
    let scan = Scan { video, audio, end };
    if scan.video.is_none() && scan.audio.is_none() {
        return Err(not_media("it holds no packet of video or audio"));
    }
    Ok(scan)
}

/// A scan cut down to what can be decoded, for a source that is taken as far as it goes: a copy that broke off
/// may have all of its packets, and nothing in the last of them.
///
/// # Errors
/// `ENCODER` where ffmpeg itself is at fault.
pub async fn decodable(source: &Path, probe: &Probe, scan: Scan, max_pixels: u64) -> Result<Scan, Failure> {
    let decoded = async |index: Option<u32>, extent: Option<Extent>| match index.zip(extent) {
        Some((index, extent)) => {
            let end = probe.start + decoded_seconds(source, index, max_pixels).await?;
            Ok::<_, Failure>(Some(extent.until(end, probe.start)))
        }
        None => Ok(None),
    };
    let video = decoded(probe.video.as_ref().map(|stream| stream.index), scan.video).await?;
    let audio = decoded(probe.audio.as_ref().map(|stream| stream.index), scan.audio).await?;
    Ok(Scan { video, audio, ..scan })
}

/// How far one stream can be decoded, in seconds from the container's start.
async fn decoded_seconds(source: &Path, index: u32, max_pixels: u64) -> Result<f64, Failure> {
    let mut args: Vec<OsString> =
        ["-hide_banner", "-nostdin", "-nostats", "-loglevel", "error", "-progress", "pipe:1"]
            .map(OsString::from)
            .into();
    args.extend(guarded_input(source, max_pixels));
    args.extend(["-map".into(), format!("0:{index}").into()]);
    args.extend(["-f", "null", "-"].map(OsString::from));
    let mut seconds = 0.0;
    let outcome = ffmpeg::run("ffmpeg", &args, |line| {
        seconds = ffmpeg::progress_seconds(line).unwrap_or(seconds);
    })
    .await;
    match outcome {
        Ok(()) | Err(ChildError::Failed { .. }) => Ok(seconds),
        Err(error) => Err(error.into_failure()),
    }
}

/// Why ffprobe refused a source, in the contract's words.
fn refused(source: &Path, error: &ChildError) -> Failure {
    if is_too_large(error) {
        return too_large("its frames");
    }
    match error {
        ChildError::Failed { .. } if is_cut_mp4(source) => Failure::new(
            Reason::Truncated,
            "The file ends before its index (moov): the upload was cut off. Upload it again.",
        ),
        ChildError::Failed { .. } => not_media("ffprobe finds no media in it"),
        _ => Failure::new(Reason::Encoder, error.to_string()),
    }
}

fn not_media(why: &str) -> Failure {
    Failure::new(Reason::NotMedia, format!("This is no video or audio file: {why}. Upload another file."))
}

/// Whether ffmpeg or ffprobe ended because of `-max_pixels`. Some codecs tell their size only when they decode.
#[must_use]
pub fn is_too_large(error: &ChildError) -> bool {
    error.mentions("max pixel count")
}

/// `RESOLUTION_LIMIT`; `what` exceeds it.
#[must_use]
pub fn too_large(what: &str) -> Failure {
    Failure::new(
        Reason::ResolutionLimit,
        format!("Too large: {what} exceed the profile's maxSourcePixels. Scale it down, or raise the limit."),
    )
}

/// An MP4 whose index can't be found: it begins as one, and not as a still image in the same container.
fn is_cut_mp4(source: &Path) -> bool {
    let mut head = [0; 12];
    let read = File::open(source).and_then(|mut file| file.read_exact(&mut head));
    read.is_ok() && &head[4..8] == b"ftyp" && !matches!(&head[8..12], b"heic" | b"heix" | b"mif1" | b"avif")
}

#[derive(Deserialize)]
struct RawProbe {
    #[serde(default)]
    streams: Vec<RawStream>,
    #[serde(default)]
    format: RawFormat,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawFormat {
    format_name: String,
    start_time: Option<String>,
    duration: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawStream {
    index: u32,
    codec_type: String,
    codec_name: String,
    width: u32,
    height: u32,
    sample_aspect_ratio: Option<String>,
    avg_frame_rate: Option<String>,
    color_transfer: Option<String>,
    field_order: Option<String>,
    start_time: Option<String>,
    duration: Option<String>,
    disposition: HashMap<String, u8>,
    tags: HashMap<String, String>,
    side_data_list: Vec<RawSideData>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawSideData {
    rotation: Option<f64>,
}

impl RawStream {
    fn has(&self, disposition: &str) -> bool {
        self.disposition.get(disposition) == Some(&1)
    }

    fn tag(&self, name: &str) -> Option<String> {
        self.tags.get(name).filter(|value| !value.is_empty() && *value != "und").cloned()
    }

    fn declared_end(&self, declares: bool) -> Option<f64> {
        let duration = number(self.duration.as_ref())?;
        declares.then(|| number(self.start_time.as_ref()).unwrap_or_default() + duration)
    }
}

fn understand(raw: RawProbe) -> Probe {
    let is_one_of = |names: &[&str]| raw.format.format_name.split(',').any(|name| names.contains(&name));
    let declares = is_one_of(&DECLARING);
    let start = number(raw.format.start_time.as_ref()).unwrap_or_default();
    let of_kind = |kind: &'static str| raw.streams.iter().filter(move |stream| stream.codec_type == kind);
    let video = of_kind("video")
        .filter(|stream| !stream.has("attached_pic"))
        .max_by_key(|stream| (u64::from(stream.width) * u64::from(stream.height), stream.has("default")))
        .map(|stream| VideoStream {
            index: stream.index,
            width: stream.width,
            height: stream.height,
            pixel_aspect: ratio(stream.sample_aspect_ratio.as_deref(), ':')
                .map_or(1.0, |(width, height)| f64::from(width) / f64::from(height)),
            quarter_turned: stream
                .side_data_list
                .iter()
                .filter_map(|data| data.rotation)
                .any(|angle| (angle.rem_euclid(180.0) - 90.0).abs() < 45.0),
            frame_rate: ratio(stream.avg_frame_rate.as_deref(), '/'),
            hdr: matches!(stream.color_transfer.as_deref(), Some("smpte2084" | "arib-std-b67")),
            interlaced: matches!(stream.field_order.as_deref(), Some("tt" | "bb" | "tb" | "bt")),
            declared_end: stream.declared_end(declares),
        });
    let audio = of_kind("audio")
        .find(|stream| stream.has("default"))
        .or_else(|| of_kind("audio").next())
        .map(|stream| AudioStream {
            index: stream.index,
            language: stream.tag("language"),
            declared_end: stream.declared_end(declares),
        });
    Probe {
        start,
        declared_end: number(raw.format.duration.as_ref()).filter(|_| declares).map(|length| start + length),
        jumping: is_one_of(&JUMPING),
        video,
        audio,
        cover: of_kind("video").find(|stream| stream.has("attached_pic")).map(|stream| stream.index),
        subtitles: of_kind("subtitle")
            .filter(|stream| {
                matches!(
                    stream.codec_name.as_str(),
                    "subrip" | "ass" | "ssa" | "mov_text" | "webvtt" | "text"
                )
            })
            .map(|stream| SubtitleStream {
                index: stream.index,
                language: stream.tag("language"),
                title: stream.tag("title"),
            })
            .collect(),
    }
}

fn number(text: Option<&String>) -> Option<f64> {
    text?.parse().ok().filter(|number: &f64| number.is_finite())
}

fn ratio(text: Option<&str>, separator: char) -> Option<(u32, u32)> {
    let (numerator, denominator) = text?.split_once(separator)?;
    let (numerator, denominator) = (numerator.parse().ok()?, denominator.parse().ok()?);
    (numerator > 0 && denominator > 0).then_some((numerator, denominator))
}

struct Packet {
    stream: u32,
    pts: Option<f64>,
    dts: Option<f64>,
    duration: Option<f64>,
}

impl Packet {
    /// A line of ffprobe: index, presentation, decode time, duration, flags. Packets flagged D are decoded
    /// but never shown.
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(',');
        let stream = fields.next()?.parse().ok()?;
        let mut time = || fields.next().map(|field| field.parse().ok().filter(|time: &f64| time.is_finite()));
        let (pts, dts, duration) = (time()?, time()?, time()?);
        let shown = !fields.next()?.contains('D');
        shown.then_some(Self { stream, pts, dts, duration })
    }

    fn end(&self) -> f64 {
        self.pts.or(self.dts).map_or(f64::NEG_INFINITY, |shown| shown + self.duration.unwrap_or_default())
    }
}

#[derive(Default)]
struct Packets {
    times: Vec<f64>,
    end: f64,
    /// Where the next packet is expected, and what is added to time stamps after jumps.
    next: Option<f64>,
    shift: f64,
}

impl Packets {
    fn add(&mut self, packet: Packet, jumping: bool) {
        let duration = packet.duration.unwrap_or_default();
        let (Some(shown), Some(decoded)) = (packet.pts.or(packet.dts), packet.dts.or(packet.pts)) else {
            return;
        };
        if let Some(next) = self.next.filter(|_| jumping)
            && !CONTINUOUS.contains(&(decoded + self.shift - next))
        {
            self.shift = next - decoded;
        }
        self.next = Some(decoded + self.shift + duration);
        self.times.push(shown + self.shift);
        self.end = self.end.max(shown + self.shift + duration);
    }

    fn extent(mut self) -> Option<Extent> {
        self.times.sort_by(f64::total_cmp);
        let mut intervals: Vec<f64> =
            self.times.windows(2).map(|pair| pair[1] - pair[0]).filter(|interval| *interval > 0.0).collect();
        intervals.sort_by(f64::total_cmp);
        let interval = intervals.get(intervals.len() / 2).copied().unwrap_or_default();
        let last = *self.times.last()?;
        // Not every container gives the last packet a duration.
        let end = if self.end > last { self.end } else { last + interval };
        Some(Extent { end, packets: self.times.len() as u64, interval })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    #[test]
    fn packets_that_are_not_shown_do_not_count() {
        assert!(Packet::parse("1,-0.021333,-0.021333,0.021333,KD,").is_none());
        assert!(Packet::parse("").is_none());
        let packet = Packet::parse("0,0.100000,N/A,0.033333,K_").unwrap();
        assert_eq!((packet.stream, packet.pts, packet.dts), (0, Some(0.1), None));
    }

    #[test]
    fn an_extent_has_the_usual_interval_and_an_end() {
        let mut packets = Packets::default();
        for pts in [0.0, 0.2, 0.1, 0.3, 1.0] {
            packets.add(Packet { stream: 0, pts: Some(pts), dts: None, duration: None }, false);
        }
        let extent = packets.extent().unwrap();
        assert!((extent.interval - 0.1).abs() < 1e-9, "{extent:?}");
        assert!((extent.end - 1.1).abs() < 1e-9, "{extent:?}");
        assert_eq!(extent.packets, 5);
    }

    #[test]
    fn what_follows_a_jump_in_time_is_played_right_after_what_is_before_it() {
        let mut packets = Packets::default();
        for dts in [100.0, 100.5, 0.0, 0.5, 5000.0, 5000.5] {
            packets.add(Packet { stream: 0, pts: None, dts: Some(dts), duration: Some(0.5) }, true);
        }
        let extent = packets.extent().unwrap();
        assert!((extent.end - 103.0).abs() < 1e-9, "{extent:?}");
    }

    #[test]
    fn cover_art_is_no_video_and_a_turned_phone_is_portrait() {
        let raw = r#"{"format": {"format_name": "mov,mp4", "duration": "3.0"}, "streams": [
            {"index": 0, "codec_type": "video", "width": 600, "height": 600, "disposition": {"attached_pic": 1}},
            {"index": 1, "codec_type": "audio", "tags": {"language": "deu"}}]}"#;
        let probe = understand(serde_json::from_str(raw).unwrap());
        assert_eq!((probe.video, probe.cover), (None, Some(0)));
        assert_eq!(probe.audio.unwrap().language.as_deref(), Some("deu"));
        let raw = r#"{"format": {}, "streams": [{"index": 0, "codec_type": "video", "width": 1920, "height": 1080,
            "sample_aspect_ratio": "1:1", "avg_frame_rate": "30000/1001", "side_data_list": [{"rotation": -90}]}]}"#;
        let video = understand(serde_json::from_str(raw).unwrap()).video.unwrap();
        assert!(video.quarter_turned);
        assert_eq!(video.frame_rate, Some((30000, 1001)));
    }

    /// A line of ffprobe about a packet, or what looks like one.
    fn packet_line() -> impl Strategy<Value = String> {
        let time = || {
            prop_oneof![
                "-?[0-9]{1,9}\\.[0-9]{6}",
                Just("N/A".to_owned()),
                Just("nan".to_owned()),
                "-?[0-9e.]{0,8}"
            ]
        };
        (0..3_u8, time(), time(), time(), "[KD_]{0,3}").prop_map(
            |(index, shown, decoded, duration, flags)| {
                format!("{index},{shown},{decoded},{duration},{flags}")
            },
        )
    }

    proptest! {
        #[test]
        fn packets_of_a_strange_file_are_read(lines in vec(packet_line(), 0..60), jumping in any::<bool>()) {
            let mut packets = Packets::default();
            for packet in lines.iter().filter_map(|line| Packet::parse(line)) {
                packets.add(packet, jumping);
            }
            if let Some(extent) = packets.extent() {
                prop_assert!(extent.packets > 0);
                prop_assert!(extent.end.is_finite() && extent.interval >= 0.0, "{:?}", extent);
            }
        }

        #[test]
        fn streams_of_a_strange_file_are_understood(
            (width, height) in (any::<u32>(), any::<u32>()),
            texts in vec(prop_oneof![".{0,12}", "-?[0-9]{0,12}[:/.]-?[0-9]{0,12}"], 6),
            rotation in prop::option::of(any::<f64>()),
        ) {
            let mut side_data = serde_json::json!([]);
            if let Some(rotation) = rotation.filter(|angle| angle.is_finite()) {
                side_data = serde_json::json!([{ "rotation": rotation }]);
            }
            let stream = serde_json::json!({
                "index": 0, "codec_type": "video", "codec_name": texts[0], "width": width, "height": height,
                "sample_aspect_ratio": texts[1], "avg_frame_rate": texts[2], "start_time": texts[3],
                "duration": texts[4], "tags": {"rotate": texts[5]}, "side_data_list": side_data
            });
            let raw = serde_json::json!({"streams": [stream], "format": {"start_time": texts[3], "duration": texts[4]}});
            let video = understand(serde_json::from_value(raw).unwrap()).video.unwrap();
            prop_assert!(video.pixel_aspect.is_finite() && video.pixel_aspect > 0.0, "{:?}", video);
            prop_assert!(video.shown_width().is_finite());
        }
    }
}
