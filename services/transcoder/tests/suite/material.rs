//! Sources made by ffmpeg's own generators, and a job that transcodes them from directory to directory.

use contract::{
    JobRecord, Profile, TranscodeRequest, Work,
    job::{Output, Source},
    profile::Rendition,
};
use std::{
    future::Future,
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;
use transcoder::{
    Failure, check,
    job::{Job, fresh_scratch},
    store::{Folder, Store},
};

/// A directory of its own for one test.
pub(crate) struct Workshop {
    dir: TempDir,
}

impl Workshop {
    pub(crate) fn new() -> Self {
        Self { dir: TempDir::new().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.path("out")
    }

    /// Runs ffmpeg with these words, then the name of the file that it makes.
    pub(crate) fn make(&self, name: &str, words: &str) -> PathBuf {
        let path = self.path(name);
        let status = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-y"])
            .args(words.split_whitespace())
            .arg(&path)
            .current_dir(self.dir.path())
            .status()
            .unwrap();
        assert!(status.success(), "ffmpeg {words}");
        path
    }

    pub(crate) fn job(&self, source: &str, profile: Profile, attempt: u32) -> Job {
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        let source =
            Source { bucket: text(self.dir.path().to_owned()), key: source.to_owned(), version_id: None };
        let work =
            Work::Object { bucket: source.bucket.clone(), key: source.key.clone(), version: String::new() };
        let output = Output { bucket: text(self.out()), prefix: String::new() };
        Job {
            output: self.folder(),
            request: TranscodeRequest { identity: work.identity(), attempt, source, output, profile },
            source: Store::Directory,
            scratch: fresh_scratch(self.dir.path(), "scratch").unwrap(),
            room: None,
            threads: 2,
            now: jiff::Timestamp::now,
        }
    }

    pub(crate) async fn transcode(&self, source: &str, profile: Profile) -> Result<JobRecord, Failure> {
        self.job(source, profile, 1).run(never()).await
    }

    pub(crate) fn folder(&self) -> Folder {
        let bucket = self.out().to_str().unwrap().to_owned();
        Folder { store: Store::Directory, bucket, prefix: String::new() }
    }

    pub(crate) async fn check(&self) -> check::Report {
        check::check(&self.folder()).await.unwrap()
    }

    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.out().join(path)).unwrap()
    }
}

/// Nobody interrupts.
pub(crate) fn never() -> impl Future<Output = ()> {
    std::future::pending()
}

/// A small ladder that encodes quickly: two rungs, segments of four seconds.
pub(crate) fn small() -> Profile {
    let rung = |height, bitrate| Rendition { height, bitrate };
    Profile {
        renditions: vec![rung(180, 200_000), rung(90, 80_000)],
        segment_seconds: 4,
        preset: "veryfast".into(),
        ..Profile::default()
    }
}

/// Pictures and a tone, as ffmpeg's inputs.
pub(crate) fn scene(size: &str, rate: &str, seconds: f64) -> String {
    format!("-f lavfi -i testsrc2=s={size}:r={rate}:d={seconds} -f lavfi -i sine=f=440:r=48000:d={seconds}")
}

/// Quick encoding of a source.
pub(crate) const QUICK: &str = "-c:v libx264 -preset ultrafast -c:a aac";

/// A field of ffprobe about the first stream of a kind.
pub(crate) fn stream_field(path: &Path, kind: &str, field: &str) -> String {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", kind, "-of", "csv=p=0", "-show_entries"])
        .arg(format!("stream={field}"))
        .arg(path)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().lines().next().unwrap_or_default().trim().to_owned()
}
