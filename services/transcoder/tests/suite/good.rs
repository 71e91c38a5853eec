//! Sources that must play, each checked by the checker and by ffprobe.

use crate::material::{QUICK, Workshop, scene, small, stream_field};
use contract::{JobRecord, JobState, Profile};
use std::process::Command;
use transcoder::{captions, probe};

/// Transcodes, checks that the checker finds nothing, and hands the record on.
async fn plays(shop: &Workshop, source: &str, profile: Profile) -> JobRecord {
    let record = shop.transcode(source, profile).await.unwrap();
    assert_eq!(record.state, JobState::Succeeded);
    let report = shop.check().await;
    assert!(report.findings.is_empty(), "{report}");
    record
}

fn renditions(record: &JobRecord) -> Vec<(&str, u32, u32, u32)> {
    record.renditions.iter().map(|r| (r.name.as_str(), r.width, r.height, r.segments)).collect()
}

/// Time stamps of all packets of a kind, as ffprobe reads them through the multivariant playlist.
fn packet_times(shop: &Workshop, kind: &str) -> Vec<f64> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", kind, "-show_entries", "packet=pts_time", "-of", "csv=p=0"])
        .arg(shop.out().join("master.m3u8"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut times: Vec<f64> =
        text.lines().filter_map(|line| line.trim_end_matches(',').parse().ok()).collect();
    times.sort_by(f64::total_cmp);
    times
}

#[tokio::test]
async fn a_landscape_video_of_fourteen_seconds() {
    let shop = Workshop::new();
    shop.make("source.mp4", &format!("{} {QUICK}", scene("320x180", "30", 14.0)));
    let record = plays(&shop, "source.mp4", small()).await;
    assert_eq!(renditions(&record), [("180p", 320, 180, 4), ("90p", 160, 90, 4), ("audio", 0, 0, 4)]);
    assert_eq!(record.duration_seconds, Some(14.0));
    // ffprobe as a second opinion on the time stamps: the picture from 0 to 14 s, the sound with it, one
    // frame of encoder priming before.
    let (pictures, sounds) = (packet_times(&shop, "v:0"), packet_times(&shop, "a:0"));
    assert_eq!(pictures.len(), 420);
    assert!(pictures[0].abs() < 1e-6 && (pictures[419] - 13.966_667).abs() < 1e-4, "{pictures:?}");
    assert!((sounds[0] + 1024.0 / 48000.0).abs() < 1e-4, "sound begins at {}", sounds[0]);
    let end = sounds.last().unwrap() + 1024.0 / 48000.0;
    assert!(end <= 14.0 && end > 14.0 - 1024.0 / 48000.0, "sound ends at {end}");
    let master = shop.read("master.m3u8");
    assert!(master.contains("CODECS=\"avc1.6400") && master.contains(",mp4a.40.2\""), "{master}");
    assert!(master.contains("FRAME-RATE=30.000"), "{master}");
    assert_eq!(std::fs::read_dir(shop.out()).unwrap().count(), 10, "files beside the contract's");
}

#[tokio::test]
async fn a_portrait_video_turned_by_its_header() {
    let shop = Workshop::new();
    shop.make("flat.mp4", &format!("{} {QUICK}", scene("320x180", "25", 3.0)));
    shop.make("source.mp4", "-i flat.mp4 -c copy -metadata:s:v:0 rotate=90");
    let record = plays(&shop, "source.mp4", small()).await;
    assert_eq!(renditions(&record), [("180p", 180, 320, 1), ("90p", 90, 160, 1), ("audio", 0, 0, 1)]);
}

#[tokio::test]
async fn odd_sizes_and_a_fractional_rate() {
    let shop = Workshop::new();
    // 240 frames: the last one ends just after two segments, where sound could make a third.
    let scene = scene("641x361", "30000/1001", 8.008);
    shop.make("source.mp4", &format!("{scene} {QUICK} -pix_fmt yuv444p"));
    let record = plays(&shop, "source.mp4", small()).await;
    assert_eq!(renditions(&record)[0], ("180p", 320, 180, 2));
    assert!(shop.read("master.m3u8").contains("FRAME-RATE=29.970"));
    assert!(shop.read("manifest.mpd").contains("frameRate=\"30000/1001\""));
}

#[tokio::test]
async fn a_video_without_sound() {
    let shop = Workshop::new();
    shop.make("source.mp4", "-f lavfi -i testsrc2=s=320x180:r=24:d=5 -c:v libx264 -preset ultrafast");
    let record = plays(&shop, "source.mp4", small()).await;
    assert_eq!(renditions(&record), [("180p", 320, 180, 2), ("90p", 160, 90, 2)]);
    assert!(!shop.read("master.m3u8").contains("EXT-X-MEDIA"));
}

#[tokio::test]
async fn sound_alone_gets_a_poster_and_no_storyboard() {
    let shop = Workshop::new();
    shop.make("source.mp3", "-f lavfi -i sine=f=440:r=44100:d=9");
    let record = plays(&shop, "source.mp3", small()).await;
    assert_eq!(renditions(&record), [("audio", 0, 0, 3)]);
    assert_eq!(record.storyboard, None);
    let master = shop.read("master.m3u8");
    assert!(master.contains("CODECS=\"mp4a.40.2\"") && master.contains("audio/playlist.m3u8"), "{master}");
    assert_eq!(stream_field(&shop.out().join("poster.jpg"), "v:0", "width"), "1280");
}

#[tokio::test]
async fn a_variable_frame_rate_becomes_constant() {
    let shop = Workshop::new();
    let scene = scene("320x180", "30", 8.0);
    let thinned = "-vf select='lt(n,90)+not(mod(n,7))' -fps_mode vfr -video_track_timescale 90000";
    shop.make("source.mp4", &format!("{scene} {thinned} {QUICK}"));
    plays(&shop, "source.mp4", small()).await;
    let times = packet_times(&shop, "v:0");
    let steps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // The last frame that was kept is number 238.
    assert_eq!(times.len(), 239);
    assert!(steps.iter().all(|step| (step - 1.0 / 30.0).abs() < 1e-4), "{steps:?}");
}

#[tokio::test]
async fn hdr10_is_tone_mapped() {
    let shop = Workshop::new();
    shop.make(
        "source.mp4",
        "-f lavfi -i testsrc2=s=320x180:r=24:d=3 -c:v libx265 -preset ultrafast -pix_fmt yuv420p10le \
         -x265-params log-level=none:hdr10=1:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc \
         -color_primaries bt2020 -color_trc smpte2084 -colorspace bt2020nc -tag:v hvc1",
    );
    plays(&shop, "source.mp4", small()).await;
    let playlist = shop.out().join("180p/playlist.m3u8");
    assert_eq!(stream_field(&playlist, "v:0", "pix_fmt"), "yuv420p");
    assert_eq!(stream_field(&playlist, "v:0", "color_transfer"), "bt709");
}

#[tokio::test]
async fn a_transport_stream_that_begins_late_with_sound_even_later() {
    let shop = Workshop::new();
    shop.make(
        "source.ts",
        &format!(
            "-f lavfi -i testsrc2=s=320x180:r=25:d=6 -itsoffset 0.7 -f lavfi -i sine=r=48000:d=4 {QUICK} \
             -output_ts_offset 100"
        ),
    );
    let record = plays(&shop, "source.ts", small()).await;
    assert_eq!(record.duration_seconds, Some(6.0));
}

#[tokio::test]
async fn a_transport_stream_that_begins_anew_at_another_size_plays_to_its_end() {
    let shop = Workshop::new();
    let part = |size, flags| format!("{} {QUICK} {flags}", scene(size, "25", 3.0));
    let mut whole = std::fs::read(shop.make("first.ts", &part("320x180", ""))).unwrap();
    let marked = part("240x180", "-mpegts_flags +initial_discontinuity");
    whole.extend(std::fs::read(shop.make("second.ts", &marked)).unwrap());
    std::fs::write(shop.path("source.ts"), whole).unwrap();
    let record = plays(&shop, "source.ts", small()).await;
    assert!((record.duration_seconds.unwrap() - 6.0).abs() < 0.1, "{record:?}");
}

#[tokio::test]
async fn sound_that_goes_on_after_the_picture_is_kept() {
    let shop = Workshop::new();
    shop.make(
        "source.mp4",
        &format!("-f lavfi -i testsrc2=s=320x180:r=25:d=3 -f lavfi -i sine=r=48000:d=8 {QUICK}"),
    );
    let record = plays(&shop, "source.mp4", small()).await;
    assert!((record.duration_seconds.unwrap() - 8.0).abs() < 0.05, "{record:?}");
}

/// A video of three seconds with two tracks of subtitles.
fn with_subtitles(shop: &Workshop) {
    for (name, line) in [("en.srt", "Good morning"), ("de.srt", "Guten Morgen")] {
        std::fs::write(shop.path(name), format!("1\n00:00:00,500 --> 00:00:02,000\n{line}\n")).unwrap();
    }
    let scene = scene("320x180", "25", 3.0);
    let maps = "-map 0 -map 1 -map 2 -map 3 -c:s srt -metadata:s:s:0 language=eng";
    shop.make("source.mkv", &format!("{scene} -i en.srt -i de.srt {QUICK} {maps}"));
}

#[tokio::test]
async fn text_subtitles_become_captions() {
    let shop = Workshop::new();
    with_subtitles(&shop);
    plays(&shop, "source.mkv", small()).await;
    let master = shop.read("master.m3u8");
    assert!(master.contains("TYPE=SUBTITLES") && master.contains("LANGUAGE=\"eng\""), "{master}");
    assert!(shop.read("captions/captions-1.vtt").contains("Good morning"));
    assert!(shop.read("captions/captions-2.vtt").contains("Guten Morgen"));
    assert!(shop.read("manifest.mpd").contains("captions/captions-1.vtt"));
}

#[tokio::test]
async fn a_subtitle_that_can_t_be_extracted_leaves_the_others() {
    let shop = Workshop::new();
    with_subtitles(&shop);
    let source = shop.path("source.mkv");
    let mut probe = probe::probe(&source, 1 << 20).await.unwrap();
    probe.subtitles[0].index = 99;
    let captions = captions::publish(&probe, &source, &shop.path(""), 1 << 20, &shop.folder()).await.unwrap();
    assert_eq!(captions.len(), 1);
    assert!(shop.read(&captions[0].path()).contains("Guten Morgen"));
}

#[tokio::test]
async fn a_track_that_is_not_taken_may_end_later_than_those_that_are() {
    let scene = scene("320x180", "25", 3.0);
    let late = "1\n00:00:04,500 --> 00:00:06,000\nThe end\n";
    for (other, codec) in [("-f lavfi -i sine=r=48000:d=6", "-c:a aac"), ("-i late.srt", "-c:s srt")] {
        let shop = Workshop::new();
        std::fs::write(shop.path("late.srt"), late).unwrap();
        shop.make("source.mkv", &format!("{scene} {other} {QUICK} -map 0 -map 1 -map 2 {codec}"));
        let record = plays(&shop, "source.mkv", small()).await;
        assert!((record.duration_seconds.unwrap() - 3.0).abs() < 0.1, "{record:?}");
    }
}

#[tokio::test]
async fn a_cover_that_can_t_be_shown_is_no_reason_to_refuse_the_sound() {
    let shop = Workshop::new();
    shop.make("cover.jpg", "-f lavfi -i testsrc2=s=600x600 -frames:v 1");
    let maps = "-map 0 -map 1 -c:v copy -disposition:v attached_pic";
    let sound = shop.make("source.mp3", &format!("-f lavfi -i sine=r=44100:d=3 -i cover.jpg {maps}"));
    let poster = shop.out().join("poster.jpg");
    plays(&shop, "source.mp3", small()).await;
    assert_eq!(stream_field(&poster, "v:0", "width"), "600");

    std::fs::remove_dir_all(shop.out()).unwrap();
    plays(&shop, "source.mp3", Profile { max_source_pixels: 600 * 600 - 1, ..small() }).await;
    assert_eq!(stream_field(&poster, "v:0", "width"), "1280");

    std::fs::remove_dir_all(shop.out()).unwrap();
    let mut bytes = std::fs::read(&sound).unwrap();
    let cover = bytes.windows(3).position(|window| window == [0xff, 0xd8, 0xff]).unwrap();
    bytes[cover + 3..cover + 4000].fill(b'A');
    std::fs::write(&sound, bytes).unwrap();
    plays(&shop, "source.mp3", small()).await;
    assert_eq!(stream_field(&poster, "v:0", "width"), "1280");
}

#[tokio::test]
async fn what_is_there_already_is_not_made_again() {
    let shop = Workshop::new();
    shop.make("source.mp4", "-f lavfi -i testsrc2=s=160x90:r=25:d=2 -c:v libx264 -preset ultrafast");
    let first = shop.transcode("source.mp4", small()).await.unwrap();
    std::fs::remove_file(shop.out().join("90p/init.mp4")).unwrap();
    let again = shop.job("source.mp4", small(), 2).run(crate::material::never()).await.unwrap();
    assert_eq!(again, first);
    assert!(!shop.out().join("90p/init.mp4").exists(), "a finished output was written to");
}
