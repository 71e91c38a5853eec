//! The ladder: which renditions are made of a source.

use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// The presets of x264 that are of use, fastest first.
const PRESETS: [&str; 9] =
    ["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"];

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
    /// Longest source accepted, in seconds.
    pub max_source_seconds: u32,
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
            max_source_seconds: 24 * 60 * 60,
        }
    }
}

/// Why no ladder can be made of a profile: the field, and what it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("profile.{0}")]
pub struct ProfileError(&'static str);

impl Profile {
    /// Whether a ladder can be made of this. Whoever takes a profile asks this, and so do the bounds in the
    /// platform's schema: what one admits no other may refuse.
    ///
    /// # Errors
    /// [`ProfileError`] for the first field that is out of bounds.
    pub fn check(&self) -> Result<(), ProfileError> {
        let rule = |holds: bool, wrong| if holds { Ok(()) } else { Err(ProfileError(wrong)) };
        let heights: HashSet<u32> = self.renditions.iter().map(|rendition| rendition.height).collect();
        rule(
            (1..=12).contains(&self.renditions.len()) && heights.len() == self.renditions.len(),
            "renditions must name 1 to 12 heights, each once",
        )?;
        rule(
            heights.iter().all(|height| height.is_multiple_of(2) && (64..=4320).contains(height)),
            "renditions[].height must be even and between 64 and 4320",
        )?;
        rule(
            self.renditions.iter().all(|rendition| (50_000..=100_000_000).contains(&rendition.bitrate)),
            "renditions[].bitrate must be between 50000 and 100000000 bit/s",
        )?;
        rule(
            (16_000..=512_000).contains(&self.audio_bitrate),
            "audioBitrate must be between 16000 and 512000 bit/s",
        )?;
        rule((1..=10).contains(&self.gop_seconds), "gopSeconds must be between 1 and 10")?;
        rule(
            (1..=20).contains(&self.segment_seconds) && self.segment_seconds.is_multiple_of(self.gop_seconds),
            "segmentSeconds must be a multiple of gopSeconds, at most 20",
        )?;
        rule((1..=120).contains(&self.max_frame_rate), "maxFrameRate must be between 1 and 120")?;
        rule(PRESETS.contains(&self.preset.as_str()), "preset must be one of x264's, ultrafast to veryslow")?;
        rule(
            (1..=1 << 30).contains(&self.max_source_pixels),
            "maxSourcePixels must be between 1 and 1073741824",
        )?;
        rule(
            (1..=604_800).contains(&self.max_source_seconds),
            "maxSourceSeconds must be between 1 and 604800 (7 days)",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_ladder_can_be_made() {
        Profile::default().check().unwrap();
    }

    #[test]
    fn a_field_out_of_bounds_is_named() {
        let rung = |height, bitrate| Rendition { height, bitrate };
        let ladder =
            |renditions: &[Rendition]| Profile { renditions: renditions.into(), ..Profile::default() };
        let default = Profile::default;
        for (profile, field) in [
            (ladder(&[]), "renditions"),
            (ladder(&[rung(720, 90_000), rung(720, 80_000)]), "renditions"),
            (ladder(&[rung(241, 90_000)]), "height"),
            (ladder(&[rung(62, 90_000)]), "height"),
            (ladder(&[rung(720, 49_999)]), "bitrate"),
            (Profile { audio_bitrate: 512_001, ..default() }, "audioBitrate"),
            (Profile { gop_seconds: 0, ..default() }, "gopSeconds"),
            (Profile { segment_seconds: 5, ..default() }, "segmentSeconds"),
            (Profile { segment_seconds: 22, ..default() }, "segmentSeconds"),
            (Profile { max_frame_rate: 121, ..default() }, "maxFrameRate"),
            (Profile { preset: "x; rm".into(), ..default() }, "preset"),
            (Profile { max_source_pixels: 0, ..default() }, "maxSourcePixels"),
            (Profile { max_source_seconds: 604_801, ..default() }, "maxSourceSeconds"),
        ] {
            let error = profile.check().unwrap_err().to_string();
            assert!(error.contains(field), "{error} does not name {field}");
        }
    }
}
