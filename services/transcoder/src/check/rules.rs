//! The rules, applied to what was loaded. Pure.

use super::{
    Findings, Rule,
    load::{Loaded, LoadedRendition},
};
use crate::{
    mp4::Media,
    plan::{AAC_FRAME, AUDIO_RATE},
    rendition::Rendition,
};

/// Two instants are the same within this many seconds: less than a sample of a picture can show.
const SAME: f64 = 0.001;
/// Bit rates agree within this share.
const RATE_SHARE: f64 = 0.01;

pub(super) fn apply(output: &Loaded, findings: &mut Findings) {
    for rendition in output.renditions() {
        gapless(&rendition.measured, findings);
        playlist(rendition, findings);
    }
    for video in &output.video {
        keyframes(&video.measured, findings);
    }
    boundaries(output, findings);
    if let (Some(video), Some(audio)) = (output.video.first(), &output.audio) {
        together(&video.measured, &audio.measured, findings);
    }
    for rendition in output.renditions() {
        variant(rendition, output.audio.as_ref(), findings);
    }
    dash(output, findings);
    record(output, findings);
    storyboard(output, findings);
}

fn gapless(rendition: &Rendition, findings: &mut Findings) {
    for (index, pair) in rendition.segments.windows(2).enumerate() {
        let [before, after] = pair else { continue };
        let holds = after.start == before.end && after.decode_start == before.decode_start + before.duration;
        findings.require(holds, Rule::Gapless, || {
            format!(
                "{}: segment {} begins at tick {}, the one before ends at {}",
                rendition.name,
                index + 2,
                after.start,
                before.end
            )
        });
    }
}

fn keyframes(rendition: &Rendition, findings: &mut Findings) {
    for (index, segment) in rendition.segments.iter().enumerate() {
        findings.require(segment.starts_with_keyframe, Rule::Keyframe, || {
            format!("{}: segment {} does not begin with a keyframe", rendition.name, index + 1)
        });
    }
}

/// When each segment is shown, in seconds.
fn starts(rendition: &Rendition) -> Vec<f64> {
    rendition.spans().iter().map(|span| rendition.seconds(span.start)).collect()
}

/// Video boundaries are equal; audio boundaries differ by less than one AAC frame and one video frame.
fn boundaries(output: &Loaded, findings: &mut Findings) {
    let Some(first) = output.video.first().map(|video| &video.measured) else { return };
    let slack = |other: &Rendition| match other.track.media {
        Media::Video { .. } => SAME,
        Media::Audio { .. } => aac_frame() + frame(first) + SAME,
    };
    let expected = starts(first);
    for other in output.renditions().skip(1).map(|rendition| &rendition.measured) {
        let found = starts(other);
        let video = matches!(other.track.media, Media::Video { .. });
        findings.require(!video || found.len() == expected.len(), Rule::Boundaries, || {
            format!("{} has {} segments, {} has {}", other.name, found.len(), first.name, expected.len())
        });
        let apart = expected.iter().zip(&found).position(|(a, b)| (a - b).abs() > slack(other));
        if let Some(index) = apart {
            findings.add(
                Rule::Boundaries,
                format!(
                    "segment {} begins at {:.3} s in {} and at {:.3} s in {}",
                    index + 1,
                    found[index],
                    other.name,
                    expected[index],
                    first.name
                ),
            );
        }
    }
}

fn together(video: &Rendition, audio: &Rendition, findings: &mut Findings) {
    let (video_starts, audio_starts) = (starts(video), starts(audio));
    let first = |starts: &[f64]| starts.first().copied().unwrap_or_default();
    let offset = first(&audio_starts) - first(&video_starts);
    findings.require(offset.abs() <= SAME, Rule::StartTogether, || {
        format!("sound begins {:.1} ms after the picture", offset * 1000.0)
    });
    let (video_end, audio_end) = (video.end_seconds(), audio.end_seconds());
    let ahead = video_end - audio_end;
    let most = aac_frame() + frame(video) + SAME;
    findings.require((-SAME..most).contains(&ahead), Rule::EndTogether, || {
        format!("sound ends at {audio_end:.3} s, the picture at {video_end:.3} s")
    });
    for (index, start) in audio_starts.iter().enumerate() {
        let beside = index < video_starts.len() && *start < video_end - SAME;
        findings.require(beside, Rule::TrailingAudio, || {
            format!("audio segment {}, from {start:.3} s on, has no picture beside it", index + 1)
        });
    }
}

/// How long one sample is, in seconds.
fn frame(rendition: &Rendition) -> f64 {
    1.0 / rendition.sample_rate().max(1.0)
}

fn aac_frame() -> f64 {
    AAC_FRAME as f64 / AUDIO_RATE as f64
}

fn playlist(rendition: &LoadedRendition, findings: &mut Findings) {
    let LoadedRendition { playlist, measured, .. } = rendition;
    let name = &measured.name;
    findings.require(playlist.end_list, Rule::Duration, || format!("{name}: the playlist has no ENDLIST"));
    for (index, (claimed, span)) in playlist.segments.iter().zip(measured.spans()).enumerate() {
        let (claimed, found) = (f64::from(claimed.duration), measured.seconds(span.duration));
        findings.require((claimed - found).abs() <= SAME, Rule::Duration, || {
            format!("{name}: EXTINF of segment {} is {claimed:.3} s, it lasts {found:.3} s", index + 1)
        });
        findings.require(claimed.round() as u64 <= playlist.target_duration, Rule::Duration, || {
            format!("{name}: segment {} is longer than the target duration", index + 1)
        });
    }
}

fn variant(rendition: &LoadedRendition, audio: Option<&LoadedRendition>, findings: &mut Findings) {
    let LoadedRendition { measured, variant: Some(variant), .. } = rendition else { return };
    let name = &measured.name;
    let video = matches!(measured.track.media, Media::Video { .. });
    let audio = audio.filter(|_| video).map(|audio| &audio.measured);
    let sum = |of: fn(&Rendition) -> u64| of(measured) + audio.map_or(0, of);
    rate(findings, name, "BANDWIDTH", variant.bandwidth, sum(Rendition::peak_bandwidth));
    let average = variant.average_bandwidth.unwrap_or_default();
    rate(findings, name, "AVERAGE-BANDWIDTH", average, sum(Rendition::average_bandwidth));
    let codecs: Vec<&str> =
        [Some(measured), audio].into_iter().flatten().map(|part| part.track.codecs.as_str()).collect();
    findings.require(variant.codecs.as_deref() == Some(&codecs.join(",")), Rule::Description, || {
        format!("{name}: CODECS is {:?}, it is {codecs:?}", variant.codecs)
    });
    if let Media::Video { width, height } = measured.track.media {
        let size = variant.resolution.map(|size| (size.width, size.height));
        let found = (u64::from(width), u64::from(height));
        findings.require(size == Some(found), Rule::Description, || {
            format!("{name}: RESOLUTION is {size:?}, it is {found:?}")
        });
        let (claimed, found) = (variant.frame_rate.unwrap_or_default(), measured.sample_rate());
        findings.require((claimed - found).abs() < 0.01, Rule::Description, || {
            format!("{name}: FRAME-RATE is {claimed:.3}, it is {found:.3}")
        });
    }
}

fn rate(findings: &mut Findings, name: &str, attribute: &str, claimed: u64, measured: u64) {
    let apart = claimed.abs_diff(measured) as f64;
    findings.require(apart <= measured as f64 * RATE_SHARE, Rule::Bandwidth, || {
        format!("{name}: {attribute} is {claimed}, measured are {measured} bit/s")
    });
}

fn dash(output: &Loaded, findings: &mut Findings) {
    let Some(mpd) = &output.mpd else { return };
    let end = output.end_seconds();
    findings.require((mpd.seconds - end).abs() <= SAME, Rule::Duration, || {
        format!("the MPD lasts {:.3} s, the segments last {end:.3} s", mpd.seconds)
    });
    for rendition in output.renditions().map(|rendition| &rendition.measured) {
        let name = &rendition.name;
        let Some(claim) = mpd.representations.iter().find(|claim| claim.id == *name) else {
            findings.add(Rule::Description, format!("{name} is not in the MPD"));
            continue;
        };
        rate(findings, name, "MPD bandwidth", claim.bandwidth, rendition.peak_bandwidth());
        findings.require(claim.codecs == rendition.track.codecs, Rule::Description, || {
            format!("{name}: MPD codecs are {}, it is {}", claim.codecs, rendition.track.codecs)
        });
        let same =
            claim.timescale == u64::from(rendition.track.timescale) && claim.timeline == rendition.spans();
        findings.require(same, Rule::Duration, || format!("{name}: the MPD's timeline is not the segments'"));
    }
}

fn record(output: &Loaded, findings: &mut Findings) {
    let Some(record) = &output.record else { return };
    let (claimed, found) = (record.duration_seconds.unwrap_or_default(), output.end_seconds());
    findings.require((claimed - found).abs() <= SAME, Rule::Record, || {
        format!("job.json lasts {claimed:.3} s, the segments last {found:.3} s")
    });
    let measured: Vec<_> = output.renditions().map(|rendition| rendition.measured.record()).collect();
    findings.require(record.renditions == measured, Rule::Record, || {
        format!("job.json has {:?}, measured are {measured:?}", record.renditions)
    });
    let variants = output.master.variants.len();
    let expected = output.video.len().max(usize::from(output.video.is_empty()));
    findings.require(variants == expected, Rule::Description, || {
        format!("the multivariant playlist has {variants} variants, {expected} can be played")
    });
}

/// Cues follow each other from zero to the end.
fn storyboard(output: &Loaded, findings: &mut Findings) {
    let Some(text) = &output.storyboard else { return };
    let mut reached = 0.0;
    for (from, until) in text.lines().filter_map(|line| line.split_once(" --> ")) {
        let (Some(from), Some(until)) = (seconds(from), seconds(until)) else {
            findings.add(Rule::Storyboard, format!("{from} --> {until} can't be read"));
            return;
        };
        findings.require((from - reached).abs() <= SAME, Rule::Storyboard, || {
            format!("a cue begins at {from:.3} s, the one before ends at {reached:.3} s")
        });
        reached = until;
    }
    let end = output.end_seconds();
    findings.require((reached - end).abs() <= SAME, Rule::Storyboard, || {
        format!("the storyboard ends at {reached:.3} s, the video at {end:.3} s")
    });
}

/// `hh:mm:ss.mmm` in seconds.
fn seconds(timestamp: &str) -> Option<f64> {
    timestamp.trim().split(':').try_fold(0.0, |sum, part| Some(sum * 60.0 + part.parse::<f64>().ok()?))
}
