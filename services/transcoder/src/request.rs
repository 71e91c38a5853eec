//! The request: read from the environment, and validated so that nothing later has to doubt it.

use crate::Failure;
use contract::{Profile, Reason, TranscodeRequest, job::REQUEST_VARIABLE};
use std::collections::HashSet;

/// The presets of x264, fastest first.
const PRESETS: [&str; 10] = [
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
    "placebo",
];

/// Reads and validates the request.
///
/// # Errors
/// `INVALID_REQUEST` that names the field.
pub fn parse(json: Option<&str>) -> Result<TranscodeRequest, Failure> {
    let json = json.ok_or_else(|| invalid(&format!("the variable {REQUEST_VARIABLE} is not set")))?;
    let request: TranscodeRequest =
        serde_json::from_str(json).map_err(|error| invalid(&format!("{REQUEST_VARIABLE}: {error}")))?;
    let expected = format!("{}/", request.identity);
    if !request.output.prefix.ends_with(&expected) {
        return Err(invalid(&format!("output.prefix must end in the identity: \"{expected}\"")));
    }
    for (field, value) in [
        ("source.bucket", &request.source.bucket),
        ("source.key", &request.source.key),
        ("output.bucket", &request.output.bucket),
    ] {
        if value.is_empty() {
            return Err(invalid(&format!("{field} is empty")));
        }
    }
    check_profile(&request.profile)?;
    Ok(request)
}

/// Whether a ladder can be made of a profile.
///
/// # Errors
/// `INVALID_REQUEST` that names the field.
pub fn check_profile(profile: &Profile) -> Result<(), Failure> {
    let rule = |holds: bool, message: &str| if holds { Ok(()) } else { Err(invalid(message)) };
    let heights: HashSet<u32> = profile.renditions.iter().map(|rendition| rendition.height).collect();
    rule(
        (1..=12).contains(&profile.renditions.len()) && heights.len() == profile.renditions.len(),
        "profile.renditions must name 1 to 12 heights, each once",
    )?;
    rule(
        heights.iter().all(|height| height % 2 == 0 && (16..=8192).contains(height)),
        "profile.renditions[].height must be even and between 16 and 8192",
    )?;
    rule(
        profile.renditions.iter().all(|rendition| (10_000..=200_000_000).contains(&rendition.bitrate)),
        "profile.renditions[].bitrate must be between 10000 and 200000000 bit/s",
    )?;
    rule(
        (16_000..=512_000).contains(&profile.audio_bitrate),
        "profile.audioBitrate must be between 16000 and 512000 bit/s",
    )?;
    rule((1..=10).contains(&profile.gop_seconds), "profile.gopSeconds must be between 1 and 10")?;
    rule(
        (1..=60).contains(&profile.segment_seconds)
            && profile.segment_seconds.is_multiple_of(profile.gop_seconds),
        "profile.segmentSeconds must be a multiple of gopSeconds, at most 60",
    )?;
    rule((1..=120).contains(&profile.max_frame_rate), "profile.maxFrameRate must be between 1 and 120")?;
    rule(PRESETS.contains(&profile.preset.as_str()), "profile.preset must be a preset of x264")?;
    rule(
        (1..=1 << 30).contains(&profile.max_source_pixels),
        "profile.maxSourcePixels must be between 1 and 1073741824",
    )
}

fn invalid(why: &str) -> Failure {
    Failure::new(
        Reason::InvalidRequest,
        format!("The request can't be used: {why}. Correct it and ask again."),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn json(change: impl FnOnce(&mut serde_json::Value)) -> String {
        let mut value = serde_json::json!({
            "identity": "abcdefghijklmnopqrst", "attempt": 1,
            "source": {"bucket": "in", "key": "a.mp4"},
            "output": {"bucket": "out", "prefix": "x/abcdefghijklmnopqrst/"},
            "profile": {}
        });
        change(&mut value);
        value.to_string()
    }

    #[test]
    fn a_whole_request_is_taken() {
        let request = parse(Some(&json(|_| ()))).unwrap();
        assert_eq!(request.profile, Profile::default());
    }

    #[rstest]
    #[case("/output/prefix", serde_json::json!("x/"), "output.prefix")]
    #[case("/source/key", serde_json::json!(""), "source.key")]
    #[case("/profile/gopSeconds", serde_json::json!(0), "gopSeconds")]
    #[case("/profile/segmentSeconds", serde_json::json!(5), "segmentSeconds")]
    #[case("/profile/preset", serde_json::json!("x; rm"), "preset")]
    #[case("/profile/renditions", serde_json::json!([]), "renditions")]
    #[case("/profile/renditions", serde_json::json!([{"height": 241, "bitrate": 90000}]), "height")]
    #[case("/profile/colour", serde_json::json!("blue"), "colour")]
    fn a_wrong_field_is_named(#[case] pointer: &str, #[case] value: serde_json::Value, #[case] named: &str) {
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        let text = json(|request| request.pointer_mut(parent).unwrap()[field] = value);
        let failure = parse(Some(&text)).unwrap_err();
        assert_eq!(failure.reason, Reason::InvalidRequest);
        assert!(failure.message.contains(named), "{failure}");
    }

    #[test]
    fn a_missing_variable_is_named() {
        assert!(parse(None).unwrap_err().message.contains(REQUEST_VARIABLE));
        assert!(parse(Some("{")).unwrap_err().message.contains(REQUEST_VARIABLE));
    }
}
