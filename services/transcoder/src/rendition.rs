//! One rendition as it was measured: what manifests say is computed here, from segments.

use crate::mp4::{Media, Segment, Track};
use contract::job::RenditionRecord;

/// A rendition with all its segments.
#[derive(Clone, Debug)]
pub struct Rendition {
    /// Its folder below the output prefix: `720p`, `audio`.
    pub name: String,
    /// What its init segment says.
    pub track: Track,
    /// Its segments in order, never empty.
    pub segments: Vec<Segment>,
}

/// When a segment is shown, in ticks of its track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// When it begins; never before zero, as what lies before is cut off by the edit list.
    pub start: u64,
    /// How long it is shown.
    pub duration: u64,
}

impl Rendition {
    /// When each segment is shown.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        let span = |segment: &Segment| {
            let start = segment.start.max(0);
            Span { start: start as u64, duration: (segment.end - start).max(0) as u64 }
        };
        self.segments.iter().map(span).collect()
    }

    /// Ticks as seconds.
    #[must_use]
    pub fn seconds(&self, ticks: u64) -> f64 {
        ticks as f64 / f64::from(self.track.timescale)
    }

    /// When the last segment ends, in seconds.
    #[must_use]
    pub fn end_seconds(&self) -> f64 {
        self.spans().last().map_or(0.0, |last| self.seconds(last.start + last.duration))
    }

    /// Number of samples: frames of video, packets of audio.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.segments.iter().map(|segment| u64::from(segment.samples)).sum()
    }

    /// Samples per second.
    #[must_use]
    pub fn sample_rate(&self) -> f64 {
        let ticks: u64 = self.segments.iter().map(|segment| segment.duration).sum();
        if ticks == 0 { 0.0 } else { self.samples() as f64 / self.seconds(ticks) }
    }

    /// The HLS target duration in seconds: the longest segment, rounded up.
    #[must_use]
    pub fn target_duration(&self) -> u64 {
        let longest = self.spans().iter().map(|span| span.duration).max().unwrap_or_default();
        (self.seconds(longest).ceil() as u64).max(1)
    }

    /// Average bit rate in bit/s over the whole rendition.
    #[must_use]
    pub fn average_bandwidth(&self) -> u64 {
        let bytes: u64 = self.segments.iter().map(|segment| segment.bytes).sum();
        bit_rate(bytes, self.end_seconds())
    }

    /// Peak bit rate in bit/s as RFC 8216, section 4.1 (of the second edition) defines it: the highest of
    /// any run of segments that lasts between 0.5 and 1.5 target durations.
    #[must_use]
    pub fn peak_bandwidth(&self) -> u64 {
        let target = self.target_duration() as f64;
        let spans = self.spans();
        let mut peak = 0;
        for first in 0..spans.len() {
            let (mut seconds, mut bytes) = (0.0, 0);
            for (span, segment) in spans[first..].iter().zip(&self.segments[first..]) {
                seconds += self.seconds(span.duration);
                bytes += segment.bytes;
                if seconds > 1.5 * target {
                    break;
                }
                if seconds >= 0.5 * target {
                    peak = peak.max(bit_rate(bytes, seconds));
                }
            }
        }
        peak.max(self.average_bandwidth())
    }

    /// Width and height in pixels; zero for audio.
    #[must_use]
    pub fn size(&self) -> (u32, u32) {
        match self.track.media {
            Media::Video { width, height } => (width, height),
            Media::Audio { .. } => (0, 0),
        }
    }

    /// As it stands in `job.json`.
    #[must_use]
    pub fn record(&self) -> RenditionRecord {
        let (width, height) = self.size();
        RenditionRecord {
            name: self.name.clone(),
            width,
            height,
            bandwidth: self.peak_bandwidth(),
            average_bandwidth: self.average_bandwidth(),
            codecs: self.track.codecs.clone(),
            segments: u32::try_from(self.segments.len()).unwrap_or(u32::MAX),
        }
    }
}

/// The name of a media segment's file, `number` from 1.
#[must_use]
pub fn segment_name(number: usize) -> String {
    format!("seg-{number:05}.m4s")
}

/// Name of the init segment's file.
pub const INIT_NAME: &str = "init.mp4";

fn bit_rate(bytes: u64, seconds: f64) -> u64 {
    if seconds > 0.0 { (bytes as f64 * 8.0 / seconds).ceil() as u64 } else { 0 }
}

#[cfg(test)]
pub(crate) mod sample {
    //! A presentation with round numbers, for tests of manifests.

    use super::*;
    use crate::{captions::Caption, hls::Presentation};

    fn track(media: Media, timescale: u32, codecs: &str) -> Track {
        Track::for_tests(media, timescale, codecs)
    }

    /// Segments of six, six and two seconds, shown from zero on; `samples` and `bytes` a second.
    fn segments(timescale: u32, samples: u32, bytes: u64, priming: u64) -> Vec<Segment> {
        let mut decode_start = 0;
        [6, 6, 2]
            .map(|seconds| {
                let duration = seconds * u64::from(timescale);
                let start = decode_start as i64 - priming as i64;
                let segment = Segment {
                    bytes: seconds * bytes,
                    decode_start,
                    duration,
                    start,
                    end: start + duration as i64,
                    samples: seconds as u32 * samples,
                    starts_with_keyframe: true,
                };
                decode_start += duration;
                segment
            })
            .into()
    }

    pub(crate) fn presentation() -> Presentation {
        let video = |name: &str, width, height, bytes| Rendition {
            name: name.to_owned(),
            track: track(Media::Video { width, height }, 15_360, "avc1.64001f"),
            segments: segments(15_360, 30, bytes, 0),
        };
        let audio = Rendition {
            name: "audio".into(),
            track: track(Media::Audio { sample_rate: 48_000, channels: 2 }, 48_000, "mp4a.40.2"),
            segments: segments(48_000, 47, 16_000, 1024),
        };
        let caption = Caption {
            id: "captions-1".into(),
            label: "Signs \"& songs\"".into(),
            language: Some("en".into()),
        };
        Presentation {
            video: vec![video("720p", 1280, 720, 300_000), video("360p", 640, 360, 90_000)],
            audio: Some(audio),
            language: Some("de".into()),
            captions: vec![caption],
        }
    }

    #[test]
    fn the_peak_is_that_of_a_run_of_half_to_one_and_a_half_target_durations() {
        let mut rendition = presentation().video.remove(0);
        // The last two seconds alone are too short to count, however large they are; with the six before
        // they make eight, which is no more than nine.
        rendition.segments[2].bytes = 1_000_000;
        assert_eq!(rendition.peak_bandwidth(), (1_800_000 + 1_000_000) * 8 / 8);
        assert_eq!(rendition.average_bandwidth(), 2_628_572, "4.6 MB in 14 s");
    }
}
