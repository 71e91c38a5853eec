//! The ladder: which renditions are made of a source.

use serde::{Deserialize, Serialize};

/// What is made of a source. Every field has a default, so that `{}` is a complete profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Profile {
    /// Video renditions. A rendition taller (for portrait: wider) than the source is left out; where all
    /// are, one is made at the source's own size. Never scales up.
    pub renditions: Vec<Rendition>,
    /// Bit rate of the AAC audio, in bit/s.
    pub audio_bitrate: u32,
    /// Length of a segment, in seconds. A multiple of the GOP.
    pub segment_seconds: u32,
    /// Length of a closed group of pictures, in seconds.
    pub gop_seconds: u32,
    /// Highest frame rate; faster sources are brought down to it.
    pub max_frame_rate: u32,
    /// x264 preset.
    pub preset: String,
    /// Take a truncated source as far as it goes, instead of refusing it.
    pub allow_partial: bool,
    /// Largest source accepted, in pixels of one frame.
    pub max_source_pixels: u64,
}

/// One rung of the ladder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rendition {
    /// The shorter side in pixels ("720" of 720p); even.
    pub height: u32,
    /// Target bit rate of the video, in bit/s. The peak is 1.07 times this.
    pub bitrate: u32,
}

impl Default for Profile {
    fn default() -> Self {
        let rung = |height, bitrate| Rendition { height, bitrate };
        Self {
            renditions: vec![
                rung(1080, 4_500_000),
                rung(720, 2_500_000),
                rung(480, 1_200_000),
                rung(360, 700_000),
                rung(240, 350_000),
            ],
            audio_bitrate: 128_000,
            segment_seconds: 6,
            gop_seconds: 2,
            max_frame_rate: 60,
            preset: "veryfast".into(),
            allow_partial: false,
            max_source_pixels: 8192 * 4320,
        }
    }
}
