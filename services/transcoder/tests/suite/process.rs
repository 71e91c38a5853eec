//! The program itself: exit codes, the termination message, and its end at any moment.

use crate::{
    bad::playlists,
    material::{Workshop, scene},
};
use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_transcoder");
/// Far more than anything here takes, even on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

fn wait_for<T>(what: &str, mut seen: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(seen) = seen() {
            return seen;
        }
        assert!(Instant::now() < deadline, "{what} did not come within {DEADLINE:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Starts a ladder that takes much longer than the test, and waits until its first segment is stored.
fn start_long_job(shop: &Workshop) -> Child {
    shop.make("source.mp4", &format!("{} -c:v libx264 -preset ultrafast", scene("640x360", "30", 30.0)));
    let profile =
        r#"{"preset":"veryslow","segmentSeconds":2,"renditions":[{"height":360,"bitrate":500000}]}"#;
    let child = Command::new(PROGRAM)
        .arg("--local")
        .arg(shop.path("source.mp4"))
        .arg("--out")
        .arg(shop.out())
        .args(["--profile", profile])
        .env("SCRATCH_DIR", shop.path(""))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the first segment", || shop.out().join("360p/seg-00001.m4s").exists().then_some(()));
    child
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap().success());
}

/// Process ids whose command line names this directory.
fn processes_in(directory: &Path) -> Vec<String> {
    let directory = directory.to_str().unwrap();
    let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let named = |entry: &fs::DirEntry| {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(directory)
    };
    entries.filter(named).map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn sigterm_leaves_nothing_that_looks_whole() {
    let shop = Workshop::new();
    let mut child = start_long_job(&shop);
    assert!(processes_in(&shop.path("")).len() >= 2, "ffmpeg does not run");
    signal(&child, "TERM");
    let status = wait_for("the end", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(75));
    assert_eq!(playlists(&shop.out()), 0);
    assert!(!shop.out().join("job.json").exists());
    wait_for("the end of ffmpeg", || processes_in(&shop.path("")).is_empty().then_some(()));
}

#[test]
fn ffmpeg_dies_with_a_transcoder_that_is_killed() {
    let shop = Workshop::new();
    let mut child = start_long_job(&shop);
    signal(&child, "KILL");
    wait_for("the end", || child.try_wait().unwrap());
    wait_for("the end of ffmpeg", || processes_in(&shop.path("")).is_empty().then_some(()));
    assert_eq!(playlists(&shop.out()), 0);
}

#[test]
fn a_request_that_is_no_request_says_so_to_kubernetes() {
    let shop = Workshop::new();
    let log = shop.path("termination-log");
    let status = Command::new(PROGRAM)
        .env("TRANSCODE_REQUEST", r#"{"identity":"abcdefghijklmnopqrst"}"#)
        .env("TERMINATION_LOG", &log)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(65));
    let message: serde_json::Value = serde_json::from_slice(&fs::read(log).unwrap()).unwrap();
    assert_eq!(message["reason"], "INVALID_REQUEST");
    assert!(message["message"].as_str().unwrap().contains("attempt"), "{message}");
}

#[test]
fn a_log_filter_that_is_none_says_so_to_kubernetes() {
    let shop = Workshop::new();
    let log = shop.path("termination-log");
    let output = Command::new(PROGRAM)
        .env("RUST_LOG", "transcoder=loud")
        .env("TERMINATION_LOG", &log)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(75));
    assert!(String::from_utf8_lossy(&output.stderr).contains("RUST_LOG"));
    let message: serde_json::Value = serde_json::from_slice(&fs::read(log).unwrap()).unwrap();
    assert_eq!(message["reason"], "CANNOT_START");
    assert!(message["message"].as_str().unwrap().contains("RUST_LOG"), "{message}");
}

#[test]
fn the_checker_says_what_is_wrong_with_its_exit_code() {
    let shop = Workshop::new();
    fs::create_dir(shop.out()).unwrap();
    let output = Command::new(PROGRAM).arg("check").arg(shop.out()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("job.json"));
}
