//! Poster and storyboard, made of what was encoded: already turned, scaled, tone-mapped and safe to read.

use crate::{
    Failure,
    encode::{POSTER_SHARE, poster_segment},
    ffmpeg::{self, guarded_input},
    plan::{Plan, Rung},
    probe::Probe,
    recipe::Setting,
    rendition::{INIT_NAME, segment_name},
    store::{Content, Folder},
};
use contract::Reason;
use std::{
    ffi::OsString,
    fmt::Write,
    fs::File,
    io,
    path::{Path, PathBuf},
};

/// Path of the poster below the output prefix.
pub const POSTER: &str = "poster.jpg";
/// Path of the storyboard's WebVTT below the output prefix.
pub const STORYBOARD: &str = "storyboard.vtt";

/// Longer side of a thumbnail in pixels.
const THUMBNAIL_SIDE: u32 = 160;
/// Thumbnails across and down a sprite.
const GRID: u32 = 10;
/// A storyboard has about this many thumbnails at most.
const MOST_THUMBNAILS: f64 = 150.0;

/// Makes the poster of a video or, for sound alone, of its cover art or its wave form, and stores it.
///
/// # Errors
/// `ENCODER`, `DISK_FULL`, `STORAGE`.
pub async fn publish_poster(
    probe: &Probe,
    plan: &Plan,
    setting: &Setting<'_>,
    output: &Folder,
) -> Result<(), Failure> {
    let file = setting.folder.join(POSTER);
    match plan.video.as_ref().and_then(|video| video.rungs.first()) {
        Some(top) => {
            let number = poster_segment(plan);
            let mut frame = vec!["-i".into(), clip(setting.folder, top, number..=number)?.into()];
            frame.extend(["-ss".into(), format!("{:.3}", poster_offset(plan)).into()]);
            frame.extend(["-vf".into(), "scale='min(1280,iw)':-2".into()]);
            draw(frame, &file).await?;
        }
        None => draw_sound(probe, plan, setting, &file).await?,
    }
    output.put(POSTER, Content::File(file)).await
}

/// The cover art of sound; its wave form where there is none, or none that can be shown.
async fn draw_sound(probe: &Probe, plan: &Plan, setting: &Setting<'_>, file: &Path) -> Result<(), Failure> {
    let filtered = |filter: String| {
        let mut args = guarded_input(setting.source, setting.max_pixels);
        args.extend(["-filter_complex".into(), filter.into()]);
        args
    };
    if let Some(cover) = probe.cover {
        match draw(filtered(format!("[0:{cover}]scale='min(1280,iw)':-2")), file).await {
            Ok(()) => return Ok(()),
            Err(error) => tracing::warn!(%error, "the cover art was left out"),
        }
    }
    let sound = plan.audio.as_ref().map_or(0, |audio| audio.stream);
    draw(filtered(format!("[0:{sound}]showwavespic=s=1280x720:colors=0x3b82f6")), file).await
}

/// Makes one picture of an input and what is done to it.
async fn draw(input: Vec<OsString>, file: &Path) -> Result<(), Failure> {
    let mut args = quiet();
    args.extend(input);
    args.extend(["-frames:v", "1", "-q:v", "3", "-update", "1"].map(OsString::from));
    args.push(file.into());
    ffmpeg::run("ffmpeg", &args, |_| ()).await.map_err(ffmpeg::ChildError::into_failure)?;
    // ffmpeg may succeed without a picture.
    file.exists().then_some(()).ok_or_else(|| Failure::new(Reason::Encoder, "ffmpeg made no picture"))
}

/// Makes the sprites and the WebVTT that says which part of which sprite belongs to which time, and stores
/// them. `false` where there are no pictures.
///
/// # Errors
/// `ENCODER`, `DISK_FULL`, `STORAGE`.
pub async fn publish_storyboard(
    plan: &Plan,
    segments: usize,
    setting: &Setting<'_>,
    output: &Folder,
) -> Result<bool, Failure> {
    let Some(low) = plan.video.as_ref().and_then(|video| video.rungs.last()) else { return Ok(false) };
    let board = Storyboard::new(plan, low);
    let clip = clip(setting.folder, low, 1..=segments)?;
    let mut args = quiet();
    args.extend(["-skip_frame", "nokey", "-i"].map(OsString::from));
    args.push(clip.into());
    args.extend(["-vf".into(), board.filter().into()]);
    args.extend(["-fps_mode", "passthrough", "-q:v", "5", "-start_number", "1"].map(OsString::from));
    args.push(setting.folder.join("storyboard-%03d.jpg").into());
    ffmpeg::run("ffmpeg", &args, |_| ()).await.map_err(ffmpeg::ChildError::into_failure)?;
    for sprite in 1..=board.sprites() {
        let name = sprite_name(sprite);
        output.put(&name, Content::File(setting.folder.join(&name))).await?;
    }
    output.put(STORYBOARD, Content::Bytes(board.webvtt().into())).await?;
    Ok(true)
}

/// How far into its segment the poster's frame is, in seconds. The segment may be a frame shorter than planned.
fn poster_offset(plan: &Plan) -> f64 {
    let segment = f64::from(plan.segment_seconds);
    (plan.seconds() * POSTER_SHARE % segment).min(segment * 0.9)
}

fn quiet() -> Vec<OsString> {
    ["-hide_banner", "-nostdin", "-nostats", "-loglevel", "error", "-y"].map(OsString::from).into()
}

/// Init and media segments of a rung as one file.
fn clip(folder: &Path, rung: &Rung, numbers: std::ops::RangeInclusive<usize>) -> Result<PathBuf, Failure> {
    let path = folder.join(format!("clip-{}.mp4", rung.name));
    let write = || {
        let mut clip = File::create(&path)?;
        let rung = folder.join(&rung.name);
        io::copy(&mut File::open(rung.join(INIT_NAME))?, &mut clip)?;
        for number in numbers {
            io::copy(&mut File::open(rung.join(segment_name(number)))?, &mut clip)?;
        }
        io::Result::Ok(())
    };
    write().map_err(|error| Failure::disk("joining segments for pictures", &error))?;
    Ok(path)
}

fn sprite_name(number: u32) -> String {
    format!("storyboard-{number:03}.jpg")
}

/// Which thumbnail stands where.
#[derive(Clone, Debug)]
struct Storyboard {
    seconds: f64,
    /// Every so many keyframes one thumbnail; keyframes stand exactly a GOP apart.
    every: u32,
    interval: u32,
    width: u32,
    height: u32,
}

impl Storyboard {
    fn new(plan: &Plan, rung: &Rung) -> Self {
        let seconds = plan.seconds();
        let every = (seconds / MOST_THUMBNAILS / f64::from(plan.gop_seconds)).ceil().max(1.0) as u32;
        let longer = f64::from(rung.width.max(rung.height));
        let side = |pixels: u32| {
            let scaled = f64::from(pixels) * f64::from(THUMBNAIL_SIDE) / longer;
            ((scaled / 2.0).round() as u32).max(1) * 2
        };
        Self {
            seconds,
            every,
            interval: every * plan.gop_seconds,
            width: side(rung.width),
            height: side(rung.height),
        }
    }

    fn thumbnails(&self) -> u32 {
        ((self.seconds / f64::from(self.interval)).ceil() as u32).max(1)
    }

    fn sprites(&self) -> u32 {
        self.thumbnails().div_ceil(GRID * GRID)
    }

    fn filter(&self) -> String {
        format!("select=not(mod(n\\,{})),scale={}:{},tile={GRID}x{GRID}", self.every, self.width, self.height)
    }

    /// One cue a thumbnail, the place in the sprite as a media fragment `xywh`.
    fn webvtt(&self) -> String {
        let mut text = String::from("WEBVTT\n");
        for index in 0..self.thumbnails() {
            let from = f64::from(index * self.interval);
            let until = f64::from((index + 1) * self.interval).min(self.seconds);
            let sprite = sprite_name(index / (GRID * GRID) + 1);
            let place = index % (GRID * GRID);
            let (x, y) = (place % GRID * self.width, place / GRID * self.height);
            write!(
                text,
                "\n{} --> {}\n{sprite}#xywh={x},{y},{},{}\n",
                timestamp(from),
                timestamp(until),
                self.width,
                self.height
            )
            .expect("writing to a String does not fail");
        }
        text
    }
}

fn timestamp(seconds: f64) -> String {
    let milliseconds = (seconds * 1000.0).round() as u64;
    let (whole, rest) = (milliseconds / 1000, milliseconds % 1000);
    format!("{:02}:{:02}:{:02}.{rest:03}", whole / 3600, whole / 60 % 60, whole % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storyboard_covers_the_whole_time_without_gap() {
        let board = Storyboard { seconds: 443.5, every: 2, interval: 4, width: 160, height: 90 };
        assert_eq!((board.thumbnails(), board.sprites()), (111, 2));
        let text = board.webvtt();
        let cues: Vec<&str> = text.lines().filter(|line| line.contains("-->")).collect();
        assert_eq!(cues.len(), 111);
        assert_eq!(cues[0], "00:00:00.000 --> 00:00:04.000");
        assert_eq!(cues[110], "00:07:20.000 --> 00:07:23.500");
        assert!(text.contains("storyboard-002.jpg#xywh=0,0,160,90"), "{text}");
        assert!(text.contains("storyboard-001.jpg#xywh=1440,810,160,90"), "{text}");
    }
}
