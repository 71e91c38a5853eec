//! Tests of the plan.

use super::*;
use crate::probe::AudioStream;
use proptest::prelude::*;
use rstest::rstest;

fn video(width: u32, height: u32) -> VideoStream {
    VideoStream {
        index: 0,
        width,
        height,
        pixel_aspect: 1.0,
        quarter_turned: false,
        frame_rate: Some((30, 1)),
        hdr: false,
        interlaced: false,
        declared_end: Some(10.0),
    }
}

fn extent(seconds: f64, rate: f64) -> Extent {
    Extent { end: seconds, packets: (seconds * rate).round() as u64, interval: 1.0 / rate }
}

fn source(stream: VideoStream, seconds: f64) -> (Probe, Scan) {
    let audio = AudioStream { index: 1, language: None, declared_end: Some(seconds) };
    let stream = VideoStream { declared_end: Some(seconds), ..stream };
    let probe = Probe { video: Some(stream), audio: Some(audio), ..Probe::default() };
    let scan =
        Scan { video: Some(extent(seconds, 30.0)), audio: Some(extent(seconds, 46.875)), end: seconds };
    (probe, scan)
}

fn rungs(stream: VideoStream) -> Vec<String> {
    let (probe, scan) = source(stream, 10.0);
    let plan = plan(&probe, &scan, &Profile::default()).unwrap();
    let text = |rung: &Rung| format!("{} {}x{}", rung.name, rung.width, rung.height);
    plan.video.unwrap().rungs.iter().map(text).collect()
}

#[rstest]
#[case::full_hd(video(1920, 1080), &["1080p 1920x1080", "720p 1280x720", "480p 854x480", "360p 640x360", "240p 426x240"])]
#[case::odd(video(641, 361), &["360p 640x360", "240p 426x240"])]
#[case::portrait(video(720, 1280), &["720p 720x1280", "480p 480x854", "360p 360x640", "240p 240x426"])]
#[case::turned(VideoStream { quarter_turned: true, ..video(640, 360) }, &["360p 360x640", "240p 240x426"])]
#[case::anamorphic(VideoStream { pixel_aspect: 4.0 / 3.0, ..video(480, 360) }, &["360p 640x360", "240p 426x240"])]
#[case::smaller_than_all(video(101, 75), &["74p 100x74"])]
#[case::even_and_smaller_than_all(video(200, 100), &["100p 200x100"])]
fn rungs_are_even_keep_the_shape_and_never_scale_up(#[case] stream: VideoStream, #[case] expected: &[&str]) {
    assert_eq!(rungs(stream), expected);
}

#[rstest]
#[case::named(Some((30000, 1001)), 29.97, FrameRate(30000, 1001))]
#[case::rounded_name(Some((2997, 100)), 29.97, FrameRate(30000, 1001))]
#[case::unusual(Some((15, 1)), 15.0, FrameRate(15, 1))]
#[case::halved(Some((120, 1)), 120.0, FrameRate(60, 1))]
#[case::divided(Some((144, 1)), 144.0, FrameRate(48, 1))]
#[case::ntsc_is_within_the_limit(Some((60000, 1001)), 59.94, FrameRate(60000, 1001))]
#[case::slide_show(Some((1, 1)), 1.0, FrameRate(5, 1))]
#[case::unnamed(None, 29.9, FrameRate(30000, 1001))]
fn the_frame_rate_is_constant_and_within_the_limit(
    #[case] named: Option<(u32, u32)>,
    #[case] usual: f64,
    #[case] expected: FrameRate,
) {
    let stream = VideoStream { frame_rate: named, ..video(640, 360) };
    assert_eq!(frame_rate(&stream, extent(60.0, usual), 0.0, 60), expected);
}

#[test]
fn a_variable_rate_becomes_the_usual_one_of_its_frames() {
    // Half of the time nothing moves and nothing is recorded: 15 frames a second on average, 30 when it moves.
    let stream = VideoStream { frame_rate: Some((15, 1)), ..video(640, 360) };
    let extent = Extent { end: 60.0, packets: 900, interval: 1.0 / 30.0 };
    assert_eq!(frame_rate(&stream, extent, 0.0, 60), FrameRate(30, 1));
}

#[test]
fn sixty_frames_in_matroska_stay_sixty() {
    let stream = VideoStream { frame_rate: Some((60, 1)), ..video(640, 360) };
    let extent = Extent { end: 60.0, packets: 3600, interval: 0.017 };
    assert_eq!(frame_rate(&stream, extent, 0.0, 60), FrameRate(60, 1));
}

#[test]
fn sound_that_goes_on_keeps_its_end_and_the_last_picture_is_held() {
    let (probe, mut scan) = source(video(640, 360), 10.0);
    scan.audio = Some(extent(20.0, 46.875));
    let plan = plan(&probe, &scan, &Profile::default()).unwrap().video.unwrap();
    assert_eq!(plan.frames, 600);
    assert!(plan.hold_seconds.unwrap() >= 10.0, "{plan:?}");
}

#[test]
fn a_source_that_ends_early_is_truncated_unless_the_profile_takes_it() {
    let (mut probe, mut scan) = source(video(640, 360), 18.0);
    scan.video = Some(extent(4.4, 30.0));
    scan.audio = Some(extent(4.4, 46.875));
    scan.end = 4.4;
    let refused = plan(&probe, &scan, &Profile::default()).unwrap_err();
    assert_eq!(refused.reason, Reason::Truncated);
    assert!(refused.message.contains("4.4 of 18.0"), "{refused}");
    let partial = Profile { allow_partial: true, ..Profile::default() };
    assert_eq!(plan(&probe, &scan, &partial).unwrap().video.unwrap().frames, 132);
    // Where no stream declares its length, the container's counts.
    probe.video.as_mut().unwrap().declared_end = None;
    probe.audio.as_mut().unwrap().declared_end = None;
    plan(&probe, &scan, &Profile::default()).unwrap();
    probe.declared_end = Some(18.0);
    assert_eq!(plan(&probe, &scan, &Profile::default()).unwrap_err().reason, Reason::Truncated);
    // It may be that of a stream which is not taken.
    scan.end = 18.0;
    plan(&probe, &scan, &Profile::default()).unwrap();
}

#[test]
fn a_source_longer_than_the_profile_admits_is_refused() {
    let profile = Profile { max_source_seconds: 60, ..Profile::default() };
    let (probe, scan) = source(video(640, 360), 60.0);
    plan(&probe, &scan, &profile).unwrap();
    let (probe, mut scan) = source(video(640, 360), 61.0);
    assert_eq!(plan(&probe, &scan, &profile).unwrap_err().reason, Reason::DurationLimit);
    // Two frames, four months apart.
    scan.video = Some(Extent { end: 1e7, packets: 2, interval: 1e7 });
    assert_eq!(plan(&probe, &scan, &Profile::default()).unwrap_err().reason, Reason::DurationLimit);
}

#[test]
fn a_shape_longer_than_the_encoder_takes_is_refused() {
    let (probe, scan) = source(video(24_000, 480), 10.0);
    assert_eq!(plan(&probe, &scan, &Profile::default()).unwrap_err().reason, Reason::ResolutionLimit);
    let low = vec![contract::profile::Rendition { height: 240, bitrate: 350_000 }];
    plan(&probe, &scan, &Profile { renditions: low, ..Profile::default() }).unwrap();
}

#[test]
fn the_lowest_rung_stays_on_the_disk_twice() {
    let (probe, scan) = source(video(640, 360), 10.0);
    let plan = plan(&probe, &scan, &Profile::default()).unwrap();
    assert_eq!(plan.kept_bytes(), 2 * 350_000 * 10 / 8);
}

#[test]
fn one_frame_without_sound_is_a_still_image() {
    let (mut probe, mut scan) = source(video(640, 360), 0.04);
    (probe.audio, scan.audio) = (None, None);
    assert_eq!(plan(&probe, &scan, &Profile::default()).unwrap_err().reason, Reason::NotMedia);
}

/// Segments and ends of sound and picture, by stepping through every frame and packet as the muxer does.
fn check_sound_beside(frames: u64, rate: FrameRate, segment: u32) -> Result<(), TestCaseError> {
    let video = VideoPlan {
        stream: 0,
        rungs: Vec::new(),
        rate,
        frames,
        hold_seconds: None,
        tone_map: false,
        deinterlace: false,
    };
    let packets = aac_frames_beside(&video, segment);
    let segments = |times: &mut dyn Iterator<Item = f64>| {
        times.fold(
            0_u32,
            |count, time| {
                if time + 1e-9 >= f64::from(count * segment) { count + 1 } else { count }
            },
        )
    };
    let gop = f64::from(segment) * rate.per_second();
    let groups = |frame: u64| (frame as f64 / gop + 1e-9).floor();
    let keyframe = |frame: &u64| *frame == 0 || groups(*frame) > groups(*frame - 1);
    let picture = segments(&mut (0..frames).filter(keyframe).map(|frame| frame as f64 / rate.per_second()));
    let aac_frame = AAC_FRAME as f64 / AUDIO_RATE as f64;
    let sound = segments(&mut (0..=packets).map(|packet| packet as f64 * aac_frame));
    prop_assert!(sound <= picture, "{} segments of sound, {} of picture", sound, picture);
    let ahead = frames as f64 / rate.per_second() - packets as f64 * aac_frame;
    let most = aac_frame + 1.0 / rate.per_second();
    prop_assert!((-1e-6..most).contains(&ahead) || packets == 1, "the picture is {} s ahead", ahead);
    Ok(())
}

#[rstest]
#[case::a_whole_number_of_everything(600, FrameRate(25, 1), 6)]
#[case::the_last_frame_ends_after_the_boundary(360, FrameRate(30000, 1001), 6)]
#[case::one_frame_more(361, FrameRate(30000, 1001), 6)]
fn sound_makes_no_segment_of_its_own(#[case] frames: u64, #[case] rate: FrameRate, #[case] segment: u32) {
    check_sound_beside(frames, rate, segment).unwrap();
}

proptest! {
    #[test]
    fn sound_ends_with_the_picture_and_makes_no_segment_of_its_own(
        seconds in 0.1_f64..500.0, rate in prop::sample::select(USUAL_RATES.to_vec()), segment in 1_u32..8
    ) {
        check_sound_beside((seconds * rate.per_second()).ceil() as u64, rate, segment)?;
    }

    #[test]
    fn any_shape_gives_even_rungs_no_larger_than_the_source(
        width in 2_u32..9000, height in 2_u32..9000, turned: bool
    ) {
        let rungs = ladder(&VideoStream { quarter_turned: turned, ..video(width, height) }, &Profile::default());
        prop_assert!(!rungs.is_empty());
        let (shown_width, shown_height) = if turned { (height, width) } else { (width, height) };
        for rung in rungs {
            prop_assert!(rung.width % 2 == 0 && rung.height % 2 == 0 && rung.width > 0 && rung.height > 0);
            // Rounding to even may add one pixel to the longer side.
            prop_assert!(rung.width <= shown_width + 1 && rung.height <= shown_height + 1, "{:?}", rung);
        }
    }
}
