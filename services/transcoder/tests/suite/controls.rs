//! Negative controls: each breaks a good output in one way, and the checker must turn red for that.

use crate::material::{QUICK, Workshop, scene, small};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process,
    time::UNIX_EPOCH,
};
use tokio::sync::OnceCell;
use transcoder::check::Rule;

/// A good output of nine seconds, three segments: encoded once for a build of this binary, copied for each
/// control. Processes that make it at the same time agree by a rename.
async fn good() -> Workshop {
    static MADE: OnceCell<PathBuf> = OnceCell::const_new();
    let made = MADE.get_or_init(|| async {
        let built = fs::metadata(env::current_exe().unwrap()).unwrap().modified().unwrap();
        let built = built.duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("good-output-{built}"));
        if kept.exists() {
            return kept;
        }
        let shop = Workshop::new();
        shop.make("source.mp4", &format!("{} {QUICK}", scene("320x180", "25", 9.0)));
        shop.transcode("source.mp4", small()).await.unwrap();
        let report = shop.check().await;
        assert!(report.findings.is_empty(), "{report}");
        let own = kept.with_extension(process::id().to_string());
        copy(&shop.out(), &own);
        if fs::rename(&own, &kept).is_err() {
            assert!(kept.exists());
            fs::remove_dir_all(&own).unwrap();
        }
        kept
    });
    let shop = Workshop::new();
    copy(made.await, &shop.out());
    shop
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

async fn broken(shop: &Workshop, rule: Rule) {
    let report = shop.check().await;
    assert!(report.breaks(rule), "{rule:?} is not among: {report}");
}

fn file(shop: &Workshop, path: &str) -> PathBuf {
    shop.out().join(path)
}

fn replace(shop: &Workshop, path: &str, from: &str, to: &str) {
    let text = shop.read(path);
    assert!(text.contains(from), "{path} has no {from}: {text}");
    fs::write(file(shop, path), text.replace(from, to)).unwrap();
}

/// Moves a segment in time by changing its base media decode time, a 64-bit number in the tfdt box.
fn shift(shop: &Workshop, path: &str, ticks: i64) {
    let mut bytes = fs::read(file(shop, path)).unwrap();
    let at = bytes.windows(4).position(|window| window == b"tfdt").unwrap() + 8;
    let time = i64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
    bytes[at..at + 8].copy_from_slice(&(time + ticks).to_be_bytes());
    fs::write(file(shop, path), bytes).unwrap();
}

#[tokio::test]
async fn sound_45_milliseconds_late() {
    let shop = good().await;
    for number in 1..=3 {
        shift(&shop, &format!("audio/seg-0000{number}.m4s"), 45 * 48);
    }
    broken(&shop, Rule::StartTogether).await;
    broken(&shop, Rule::EndTogether).await;
}

#[tokio::test]
async fn a_segment_of_sound_alone_at_the_end() {
    let shop = good().await;
    fs::copy(file(&shop, "audio/seg-00003.m4s"), file(&shop, "audio/seg-00004.m4s")).unwrap();
    shift(&shop, "audio/seg-00004.m4s", 48_000);
    replace(
        &shop,
        "audio/playlist.m3u8",
        "#EXT-X-ENDLIST",
        "#EXTINF:1.000000,\nseg-00004.m4s\n#EXT-X-ENDLIST",
    );
    broken(&shop, Rule::TrailingAudio).await;
}

#[tokio::test]
async fn an_end_without_a_job_record() {
    let shop = good().await;
    fs::remove_file(file(&shop, "job.json")).unwrap();
    let report = shop.check().await;
    assert!(shop.read("180p/playlist.m3u8").contains("#EXT-X-ENDLIST"));
    assert!(report.breaks(Rule::Committed) && report.findings.len() == 1, "{report}");
}

#[tokio::test]
async fn a_picture_segment_out_of_place() {
    let shop = good().await;
    shift(&shop, "90p/seg-00002.m4s", 512);
    broken(&shop, Rule::Boundaries).await;
    broken(&shop, Rule::Gapless).await;
}

#[tokio::test]
async fn a_segment_that_begins_with_no_keyframe() {
    let shop = good().await;
    let path = file(&shop, "180p/seg-00002.m4s");
    let mut bytes = fs::read(&path).unwrap();
    let media = bytes.windows(4).position(|window| window == b"mdat").unwrap() + 4;
    // The header of the IDR slice: nal_ref_idc 3, type 5. Type 1 is an ordinary slice.
    let slice = media + bytes[media..].windows(2).position(|pair| pair == [0x65, 0x88]).unwrap();
    bytes[slice] = 0x61;
    fs::write(path, bytes).unwrap();
    broken(&shop, Rule::Keyframe).await;
}

#[tokio::test]
async fn claims_that_are_not_measured() {
    let shop = good().await;
    replace(&shop, "master.m3u8", "AVERAGE-BANDWIDTH=", "AVERAGE-BANDWIDTH=1");
    broken(&shop, Rule::Bandwidth).await;
    replace(&shop, "master.m3u8", "mp4a.40.2", "mp4a.40.5");
    broken(&shop, Rule::Description).await;
    replace(&shop, "90p/playlist.m3u8", "#EXTINF:4.000000", "#EXTINF:4.100000");
    broken(&shop, Rule::Duration).await;
    replace(&shop, "job.json", "\"durationSeconds\": 9.0", "\"durationSeconds\": 9.5");
    broken(&shop, Rule::Record).await;
    replace(&shop, "storyboard.vtt", "--> 00:00:02.000", "--> 00:00:03.000");
    broken(&shop, Rule::Storyboard).await;
}

#[tokio::test]
async fn a_timeline_that_is_not_the_segments() {
    let shop = good().await;
    replace(&shop, "manifest.mpd", "<S t=\"0\"", "<S t=\"1\"");
    let report = shop.check().await;
    assert!(report.breaks(Rule::Duration) && !report.breaks(Rule::Boundaries), "{report}");
}

#[tokio::test]
async fn files_that_are_missing() {
    for path in ["180p/seg-00002.m4s", "poster.jpg", "storyboard-001.jpg", "manifest.mpd", "audio/init.mp4"] {
        let shop = good().await;
        fs::remove_file(file(&shop, path)).unwrap();
        broken(&shop, Rule::Readable).await;
    }
}
