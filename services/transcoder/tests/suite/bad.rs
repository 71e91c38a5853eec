//! Sources that can't be transcoded: each has its reason, is recorded, and leaves nothing that looks whole.

use crate::material::{QUICK, Workshop, never, scene, small};
use contract::{JobRecord, JobState, Profile, Reason};
use std::{fs, path::Path};
use transcoder::job::Job;

/// Transcodes what must fail for good and looks at what it left.
async fn refused(shop: &Workshop, source: &str, profile: Profile) -> Reason {
    let failure = shop.transcode(source, profile).await.unwrap_err();
    assert!(failure.is_permanent(), "{failure}");
    let record: JobRecord = serde_json::from_str(&shop.read("job.json")).unwrap();
    assert_eq!(record.state, JobState::Failed);
    assert_eq!(record.failure, Some(failure.termination_message()));
    assert_eq!(playlists(&shop.out()), 0, "a refused source left playlists");
    failure.reason
}

/// How many manifests lie below a directory.
pub(crate) fn playlists(directory: &Path) -> usize {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    let count = |path: &Path| match path.extension().and_then(|extension| extension.to_str()) {
        Some("m3u8" | "mpd") => 1,
        _ => playlists(path),
    };
    entries.map(|entry| count(&entry.unwrap().path())).sum()
}

/// A video with its index in front, cut after this share of its bytes.
fn cut(shop: &Workshop, share: f64, options: &str) {
    let scene = scene("320x180", "25", 10.0);
    let path = shop.make("whole.mp4", &format!("{scene} {QUICK} -b:v 300k {options}"));
    let bytes = fs::read(path).unwrap();
    let kept = (bytes.len() as f64 * share) as usize;
    fs::write(shop.path("source.mp4"), &bytes[..kept]).unwrap();
}

#[tokio::test]
async fn nothing_and_text_and_noise_are_no_media() {
    let noise: Vec<u8> = (0..200_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let texts = "Lorem ipsum dolor sit amet.\n".repeat(500);
    for content in [Vec::new(), texts.into_bytes(), noise] {
        let shop = Workshop::new();
        fs::write(shop.path("source.mp4"), content).unwrap();
        assert_eq!(refused(&shop, "source.mp4", small()).await, Reason::NotMedia);
    }
}

#[tokio::test]
async fn still_images_are_no_media() {
    for name in ["still.png", "still.jpg", "still.mp4"] {
        let shop = Workshop::new();
        shop.make(name, "-f lavfi -i testsrc2=s=320x180:r=25 -frames:v 1");
        assert_eq!(refused(&shop, name, small()).await, Reason::NotMedia, "{name}");
    }
}

#[tokio::test]
async fn a_playlist_named_mp4_opens_nothing() {
    let shop = Workshop::new();
    let inside = shop.make("inside.ts", "-f lavfi -i testsrc2=s=320x180:r=25:d=2 -c:v libx264");
    let playlist = format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{}\n#EXT-X-ENDLIST\n",
        inside.to_str().unwrap()
    );
    fs::write(shop.path("source.mp4"), playlist).unwrap();
    assert_eq!(refused(&shop, "source.mp4", small()).await, Reason::NotMedia);
    fs::write(shop.path("other.mp4"), "ffconcat version 1.0\nfile inside.ts\n").unwrap();
    fs::remove_file(shop.out().join("job.json")).unwrap();
    assert_eq!(refused(&shop, "other.mp4", small()).await, Reason::NotMedia);
}

#[tokio::test]
async fn frames_above_the_limit_are_refused() {
    let shop = Workshop::new();
    shop.make("source.mp4", "-f lavfi -i testsrc2=s=640x360:r=25:d=1 -c:v libx264 -preset ultrafast");
    let profile = Profile { max_source_pixels: 640 * 360 - 1, ..small() };
    assert_eq!(refused(&shop, "source.mp4", profile).await, Reason::ResolutionLimit);
}

/// ffprobe tells no size of these: it is in the frames only.
#[tokio::test]
async fn frames_above_the_limit_are_refused_when_only_decoding_shows_them() {
    let shop = Workshop::new();
    shop.make("source.mov", "-f lavfi -i testsrc2=s=640x360:r=4:d=1 -c:v mjpeg -pix_fmt yuvj420p");
    let profile = Profile { max_source_pixels: 640 * 360 - 1, ..small() };
    assert_eq!(refused(&shop, "source.mov", profile).await, Reason::ResolutionLimit);
}

#[tokio::test]
async fn pixels_so_wide_that_the_shown_picture_is_above_the_limit_are_refused() {
    let shop = Workshop::new();
    let wide = "-f lavfi -i testsrc2=s=640x360:r=25:d=1 -vf setsar=255/1 -c:v libx264 -preset ultrafast";
    shop.make("source.mp4", wide);
    assert_eq!(refused(&shop, "source.mp4", small()).await, Reason::ResolutionLimit);
}

#[tokio::test]
async fn two_frames_that_are_days_apart_are_refused() {
    let shop = Workshop::new();
    let far = "-f lavfi -i testsrc2=s=160x90:r=1:d=2 -vf setpts=N*100000/TB -fps_mode passthrough";
    shop.make("source.mkv", &format!("{far} -c:v libx264 -preset ultrafast"));
    assert_eq!(refused(&shop, "source.mkv", small()).await, Reason::DurationLimit);
}

#[tokio::test]
async fn a_codec_without_a_decoder_is_not_called_damage() {
    let shop = Workshop::new();
    let path = shop.make("source.mkv", &format!("{} {QUICK}", scene("160x90", "25", 2.0)));
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(15).position(|window| window == b"V_MPEG4/ISO/AVC").unwrap();
    bytes[at..at + 15].copy_from_slice(b"V_MPEG4/ISO/XXX");
    fs::write(path, bytes).unwrap();
    assert_eq!(refused(&shop, "source.mkv", small()).await, Reason::NotMedia);
    let record = shop.read("job.json");
    assert!(record.contains("codec is not supported"), "{record}");
}

#[tokio::test]
async fn a_ladder_that_does_not_fit_on_the_disk_is_not_begun() {
    let shop = Workshop::new();
    shop.make("source.mp4", &format!("{} {QUICK}", scene("160x90", "25", 2.0)));
    let job = Job { room: Some(1000), ..shop.job("source.mp4", small(), 1) };
    let failure = job.run(never()).await.unwrap_err();
    assert_eq!(failure.reason, Reason::DiskFull);
    assert!(!shop.out().join("90p").exists());
}

/// A copy that broke off in a file that had its whole size from the start.
#[tokio::test]
async fn a_file_that_ends_in_zeros_is_refused_or_taken_as_far_as_it_decodes() {
    let shop = Workshop::new();
    let scene = scene("320x180", "25", 10.0);
    let path = shop.make("source.mp4", &format!("{scene} {QUICK} -b:v 300k -movflags faststart"));
    let mut bytes = fs::read(&path).unwrap();
    let copied = bytes.len() * 6 / 10;
    bytes[copied..].fill(0);
    fs::write(path, bytes).unwrap();
    assert_eq!(refused(&shop, "source.mp4", small()).await, Reason::Truncated);
    fs::remove_dir_all(shop.out()).unwrap();
    let record = shop.transcode("source.mp4", Profile { allow_partial: true, ..small() }).await.unwrap();
    let seconds = record.duration_seconds.unwrap();
    assert!((4.0..8.0).contains(&seconds), "{seconds} of 10 s");
    let report = shop.check().await;
    assert!(report.findings.is_empty(), "{report}");
}

#[tokio::test]
async fn a_truncated_file_is_refused_or_taken_as_far_as_it_goes() {
    let shop = Workshop::new();
    cut(&shop, 0.4, "-movflags faststart");
    assert_eq!(refused(&shop, "source.mp4", small()).await, Reason::Truncated);
    fs::remove_dir_all(shop.out()).unwrap();
    let partial = Profile { allow_partial: true, ..small() };
    let record = shop.transcode("source.mp4", partial).await.unwrap();
    let seconds = record.duration_seconds.unwrap();
    assert!((2.0..7.0).contains(&seconds), "{seconds} of 10 s");
    let report = shop.check().await;
    assert!(report.findings.is_empty(), "{report}");
}

#[tokio::test]
async fn a_file_cut_before_its_index_is_truncated() {
    let shop = Workshop::new();
    cut(&shop, 0.4, "");
    assert_eq!(refused(&shop, "source.mp4", small()).await, Reason::Truncated);
}

#[tokio::test]
async fn a_file_that_does_not_decode_is_refused() {
    let shop = Workshop::new();
    let scene = scene("320x180", "25", 6.0);
    let path = shop.make("source.mp4", &format!("{scene} {QUICK} -b:v 300k -movflags faststart"));
    let mut bytes = fs::read(&path).unwrap();
    let (from, to) = (bytes.len() / 2, bytes.len() / 2 + 20_000);
    bytes[from..to].fill(0xff);
    fs::write(path, bytes).unwrap();
    assert_eq!(refused(&shop, "source.mp4", small()).await, Reason::Truncated);
}

#[tokio::test]
async fn a_source_that_is_not_there_is_refused() {
    let shop = Workshop::new();
    assert_eq!(refused(&shop, "nowhere.mp4", small()).await, Reason::SourceNotFound);
}

#[tokio::test]
async fn a_failure_stands_for_its_attempt_and_a_later_attempt_tries_again() {
    let shop = Workshop::new();
    assert_eq!(refused(&shop, "source.mp4", small()).await, Reason::SourceNotFound);
    shop.make("source.mp4", "-f lavfi -i testsrc2=s=160x90:r=25:d=2 -c:v libx264 -preset ultrafast");
    let same = shop.job("source.mp4", small(), 1).run(never()).await.unwrap_err();
    assert_eq!(same.reason, Reason::SourceNotFound);
    let later = shop.job("source.mp4", small(), 2).run(never()).await.unwrap();
    assert_eq!((later.state, later.attempt), (JobState::Succeeded, 2));
}

#[tokio::test]
async fn a_failure_without_a_cause_is_no_success() {
    let shop = Workshop::new();
    refused(&shop, "source.mp4", small()).await;
    let mut record: JobRecord = serde_json::from_str(&shop.read("job.json")).unwrap();
    record.failure = None;
    fs::write(shop.out().join("job.json"), serde_json::to_vec(&record).unwrap()).unwrap();
    let failure = shop.transcode("source.mp4", small()).await.unwrap_err();
    assert_eq!(failure.reason, Reason::Unknown);
}

#[tokio::test]
async fn the_output_of_other_work_is_left_alone() {
    let shop = Workshop::new();
    shop.make("source.mp4", "-f lavfi -i testsrc2=s=160x90:r=25:d=2 -c:v libx264 -preset ultrafast");
    shop.transcode("source.mp4", small()).await.unwrap();
    let before = shop.read("job.json");
    let failure = shop.transcode("other.mp4", small()).await.unwrap_err();
    assert_eq!(failure.reason, Reason::InvalidRequest);
    assert_eq!(shop.read("job.json"), before);
}
