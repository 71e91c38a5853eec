//! The ladder, decided: which renditions, at which size and rate, how long. Pure.

use crate::{
    Failure,
    probe::{Extent, Probe, Scan, VideoStream},
};
use contract::{Profile, Reason};

/// Samples per second of every audio rendition.
pub const AUDIO_RATE: u64 = 48_000;
/// Samples in one AAC frame.
pub const AAC_FRAME: u64 = 1024;
/// Below this many frames per second, frames are repeated: keyframes could not stand where they must.
const LOWEST_RATE: f64 = 5.0;
/// The longest side that x264 encodes, in pixels.
const LONGEST_SIDE: u32 = 16_384;
/// Rates that sources mean when they come near them.
const USUAL_RATES: [FrameRate; 9] = [
    FrameRate(24000, 1001),
    FrameRate(24, 1),
    FrameRate(25, 1),
    FrameRate(30000, 1001),
    FrameRate(30, 1),
    FrameRate(48, 1),
    FrameRate(50, 1),
    FrameRate(60000, 1001),
    FrameRate(60, 1),
];

/// What is encoded.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The pictures.
    pub video: Option<VideoPlan>,
    /// The sound.
    pub audio: Option<AudioPlan>,
    /// Length of a segment in seconds.
    pub segment_seconds: u32,
    /// Length of a closed group of pictures in seconds.
    pub gop_seconds: u32,
    /// x264's preset.
    pub preset: String,
    /// Go on over damage instead of stopping at it.
    pub allow_partial: bool,
}

/// How the pictures are encoded.
#[derive(Clone, Debug, PartialEq)]
pub struct VideoPlan {
    /// Index of the stream in the source.
    pub stream: u32,
    /// The rungs, tallest first, never empty.
    pub rungs: Vec<Rung>,
    /// The constant frame rate.
    pub rate: FrameRate,
    /// Exactly how many frames each rung has.
    pub frames: u64,
    /// For how many seconds the last frame is held where the decoder has fewer frames than promised; for as
    /// long as it takes where the profile takes a damaged source.
    pub hold_seconds: Option<f64>,
    /// PQ or HLG to BT.709.
    pub tone_map: bool,
    /// Interlaced to progressive.
    pub deinterlace: bool,
}

/// One rung of the ladder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rung {
    /// Its folder: the shorter side and `p`.
    pub name: String,
    /// Width in pixels, even.
    pub width: u32,
    /// Height in pixels, even.
    pub height: u32,
    /// Target bit rate in bit/s.
    pub bitrate: u32,
}

/// How the sound is encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioPlan {
    /// Index of the stream in the source.
    pub stream: u32,
    /// Bit rate in bit/s.
    pub bitrate: u32,
    /// Exactly how many samples it has: whole AAC frames.
    pub samples: u64,
}

/// Frames per second as a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRate(pub u32, pub u32);

impl FrameRate {
    /// Frames per second.
    #[must_use]
    pub fn per_second(self) -> f64 {
        f64::from(self.0) / f64::from(self.1)
    }
}

impl Plan {
    /// How long the output plays, in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        match (&self.video, &self.audio) {
            (Some(video), _) => video.frames as f64 / video.rate.per_second(),
            (None, Some(audio)) => audio.samples as f64 / AUDIO_RATE as f64,
            (None, None) => 0.0,
        }
    }

    /// About how many bytes stay on the scratch disk to the end: the lowest rung, and the copy of it that the
    /// storyboard is made of.
    #[must_use]
    pub fn kept_bytes(&self) -> u64 {
        let lowest = self.video.as_ref().and_then(|video| video.rungs.last());
        lowest.map_or(0, |rung| (2.0 * f64::from(rung.bitrate) * self.seconds() / 8.0) as u64)
    }
}

/// Decides the ladder of a source.
///
/// # Errors
/// `NOT_MEDIA` for a still image, `TRUNCATED` for a source that ends before its header says, unless the
/// profile takes it as far as it goes, `DURATION_LIMIT` for one that is too long, `RESOLUTION_LIMIT` for a
/// shape that H.264 can't hold.
pub fn plan(probe: &Probe, scan: &Scan, profile: &Profile) -> Result<Plan, Failure> {
    if !profile.allow_partial {
        refuse_truncated(probe, scan)?;
    }
    let video = probe.video.as_ref().zip(scan.video);
    if let (Some((_, extent)), None) = (&video, scan.audio)
        && extent.packets < 2
    {
        return Err(Failure::new(
            Reason::NotMedia,
            "This is a still image, not a video: it has one frame and no sound. Upload another file.",
        ));
    }
    let video = video.map(|(stream, extent)| plan_video(probe, stream, extent, scan.audio, profile));
    let audio = probe.audio.as_ref().zip(scan.audio).map(|(stream, extent)| AudioPlan {
        stream: stream.index,
        bitrate: profile.audio_bitrate,
        samples: AAC_FRAME
            * match &video {
                Some(video) => aac_frames_beside(video, profile.segment_seconds),
                None => whole_aac_frames(extent.end - probe.start),
            },
    });
    let plan = Plan {
        video,
        audio,
        segment_seconds: profile.segment_seconds,
        gop_seconds: profile.gop_seconds,
        preset: profile.preset.clone(),
        allow_partial: profile.allow_partial,
    };
    within_limits(&plan, profile)?;
    Ok(plan)
}

fn within_limits(plan: &Plan, profile: &Profile) -> Result<(), Failure> {
    let seconds = plan.seconds();
    if seconds > f64::from(profile.max_source_seconds) {
        return Err(Failure::new(
            Reason::DurationLimit,
            format!(
                "Too long: it plays for {seconds:.0} seconds, the profile's maxSourceSeconds is {}. Upload it in \
                 parts, or raise the limit.",
                profile.max_source_seconds
            ),
        ));
    }
    let top = plan.video.as_ref().and_then(|video| video.rungs.first());
    match top.filter(|top| top.width.max(top.height) > LONGEST_SIDE) {
        None => Ok(()),
        Some(top) => Err(Failure::new(
            Reason::ResolutionLimit,
            format!(
                "Too long a shape: as {} it has {}x{} pixels, and H.264 holds {LONGEST_SIDE} a side. Crop it.",
                top.name, top.width, top.height
            ),
        )),
    }
}

/// How far two lengths of the same thing may be apart: half a second, or one percent of it.
#[must_use]
pub fn tolerance(seconds: f64) -> f64 {
    (seconds * 0.01).max(0.5)
}

fn plan_video(
    probe: &Probe,
    stream: &VideoStream,
    extent: Extent,
    audio: Option<Extent>,
    profile: &Profile,
) -> VideoPlan {
    let rate = frame_rate(stream, extent, probe.start, profile.max_frame_rate);
    let shown = (extent.end - probe.start).max(0.0);
    // Sound that goes on for longer than a rounding error keeps its end; the last picture is held.
    let heard = audio.map_or(0.0, |audio| audio.end - probe.start);
    let seconds = if heard > shown + tolerance(shown) { heard } else { shown };
    VideoPlan {
        stream: stream.index,
        rungs: ladder(stream, profile),
        rate,
        frames: ((seconds * rate.per_second()).round() as u64).max(1),
        hold_seconds: (!profile.allow_partial).then(|| seconds - shown + tolerance(shown)),
        tone_map: stream.hdr,
        deinterlace: stream.interlaced,
    }
}

/// Rungs no taller than the source; the source's own size where all are.
fn ladder(stream: &VideoStream, profile: &Profile) -> Vec<Rung> {
    let (mut width, mut height) = (stream.shown_width(), f64::from(stream.height));
    if stream.quarter_turned {
        (width, height) = (height, width);
    }
    let (short, portrait) = (width.min(height), height > width);
    let aspect = width.max(height) / short;
    let rung = |side: u32, bitrate| {
        let long = even(f64::from(side) * aspect);
        let (width, height) = if portrait { (side, long) } else { (long, side) };
        Rung { name: format!("{side}p"), width, height, bitrate }
    };
    let mut wanted = profile.renditions.clone();
    wanted.sort_by_key(|rendition| std::cmp::Reverse(rendition.height));
    let mut rungs: Vec<Rung> = wanted
        .iter()
        .filter(|rendition| f64::from(rendition.height) <= short)
        .map(|rendition| rung(rendition.height, rendition.bitrate))
        .collect();
    if rungs.is_empty() {
        let lowest = wanted.last().map_or(350_000, |rendition| rendition.bitrate);
        rungs.push(rung(even(short - 1.0), lowest));
    }
    rungs
}

/// The nearest even number, at least 2.
fn even(pixels: f64) -> u32 {
    ((pixels / 2.0).round() as u32).max(1) * 2
}

/// A constant rate: the container's where frames come evenly, else the usual distance of two frames.
/// Divided by a whole number where it is above the limit, so that motion stays even.
fn frame_rate(stream: &VideoStream, extent: Extent, start: f64, limit: u32) -> FrameRate {
    let average = extent.packets as f64 / (extent.end - start).max(extent.interval).max(1e-3);
    let usual = if extent.interval > 0.0 { 1.0 / extent.interval } else { average };
    let near = |a: f64, b: f64, share: f64| (a - b).abs() <= share * b;
    // Time stamps rounded to milliseconds (Matroska, FLV) blur the distance of two frames.
    let blur = (0.0006 * usual).max(0.02);
    let named = stream.frame_rate.filter(|&(frames, seconds)| {
        near(average, usual, blur) && near(FrameRate(frames, seconds).per_second(), usual, blur)
    });
    let rate = match named {
        Some((frames, seconds)) => FrameRate(frames, seconds),
        None => FrameRate((usual * 1000.0).round().clamp(1.0, 1e9) as u32, 1000),
    };
    let limit = f64::from(limit);
    let divisor = (rate.per_second() / (limit * 1.001)).ceil().max(1.0) as u32;
    let rate = FrameRate(rate.0, rate.1.saturating_mul(divisor));
    let value = rate.per_second().max(LOWEST_RATE.min(limit));
    let share = if named.is_some() { 0.0005 } else { blur };
    USUAL_RATES
        .into_iter()
        .filter(|usual| near(value, usual.per_second(), share))
        .min_by(|a, b| (a.per_second() - value).abs().total_cmp(&(b.per_second() - value).abs()))
        .unwrap_or_else(|| reduced(rate, value))
}

/// The fraction in lowest terms, or a whole number where the rate was raised.
fn reduced(rate: FrameRate, value: f64) -> FrameRate {
    if rate.per_second() < value {
        return FrameRate(value.ceil() as u32, 1);
    }
    let divisor = gcd(rate.0, rate.1).max(1);
    FrameRate(rate.0 / divisor, rate.1 / divisor)
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Whole AAC frames that fit into this time.
fn whole_aac_frames(seconds: f64) -> u64 {
    // The small amount keeps a whole number of frames whole in floating point.
    let frames = (seconds * AUDIO_RATE as f64 / AAC_FRAME as f64 + 1e-6).floor() as u64;
    frames.max(1)
}

/// Whole AAC frames that end no later than the picture and make no more segments than it: a segment of sound
/// alone at the end would keep hls.js from ever coming to the end.
///
/// The picture's segment `n` begins with the first frame at or after `n` segment lengths, the sound's with the
/// first packet. Packets are counted from the encoder's priming, so the last of `k` begins after `k` frames.
fn aac_frames_beside(video: &VideoPlan, segment_seconds: u32) -> u64 {
    let fitting = whole_aac_frames(video.frames as f64 / video.rate.per_second());
    let frames_a_segment = f64::from(segment_seconds) * video.rate.per_second();
    let segments = ((video.frames - 1) as f64 / frames_a_segment + 1e-9).floor() as u64 + 1;
    let in_segments = (segments * u64::from(segment_seconds) * AUDIO_RATE - 1) / AAC_FRAME;
    fitting.min(in_segments).max(1)
}

/// A stream that ends before its header says is cut off. Where no stream declares its length, the
/// container's counts against the stream that goes on longest: a second sound or subtitles, it may be.
fn refuse_truncated(probe: &Probe, scan: &Scan) -> Result<(), Failure> {
    let video = probe.video.as_ref().and_then(|stream| stream.declared_end);
    let audio = probe.audio.as_ref().and_then(|stream| stream.declared_end);
    let found = |extent: Option<Extent>| extent.map_or(probe.start, |extent| extent.end);
    let mut claims: Vec<(f64, f64)> = [(video, found(scan.video)), (audio, found(scan.audio))]
        .into_iter()
        .filter_map(|(declared, found)| Some((declared?, found)))
        .collect();
    if claims.is_empty() {
        claims.extend(probe.declared_end.map(|declared| (declared, scan.end)));
    }
    let cut = |(declared, found): &(f64, f64)| declared - found > tolerance(declared - probe.start);
    match claims.into_iter().find(cut) {
        None => Ok(()),
        Some((declared, found)) => Err(Failure::new(
            Reason::Truncated,
            format!(
                "The file ends after {:.1} of {:.1} seconds: the upload was cut off. Upload it again, or set \
                 allowPartial in the profile.",
                found - probe.start,
                declared - probe.start
            ),
        )),
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
