//! Runs ffmpeg and ffprobe as child processes: no shell, no standard input, and dead when we are.

use crate::Failure;
use contract::Reason;
use std::{collections::VecDeque, ffi::OsString, path::Path, process::Stdio};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::Command,
};

/// Demuxers that a source may use. Playlists, still images, scripts and network protocols are left out on
/// purpose: they open what they name.
const SOURCE_FORMATS: &str = "mov,matroska,webm,mpegts,mpeg,mpegvideo,avi,flv,asf,ogg,wav,w64,aiff,caf,mp3,\
                              aac,ac3,eac3,flac,amr,mxf,h264,hevc,obu,ivf,dv,nut,rm";

/// The signal of the kernel's out-of-memory killer.
const SIGKILL: i32 = 9;

/// How many lines of a child's standard error are kept for the message of a failure.
const KEPT_LINES: usize = 20;

/// Input options that keep a source from opening anything but itself and from exhausting the memory.
#[must_use]
pub fn guarded_input(source: &Path, max_pixels: u64) -> Vec<OsString> {
    let mut file = OsString::from("file:");
    file.push(source);
    let mut args: Vec<OsString> =
        ["-protocol_whitelist", "file", "-format_whitelist", SOURCE_FORMATS, "-max_pixels"]
            .map(OsString::from)
            .into();
    args.push(max_pixels.to_string().into());
    args.push("-i".into());
    args.push(file);
    args
}

/// How a child ended that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// It could not be started or read.
    #[error("{program} can't be run: {error}. The image must hold ffmpeg and util-linux (setpriv)")]
    Start {
        /// The program.
        program: &'static str,
        /// The cause.
        error: std::io::Error,
    },
    /// It ended with an error of its own.
    #[error("{program} failed: {}", last_line(.stderr))]
    Failed {
        /// The program.
        program: &'static str,
        /// The last lines that it wrote to standard error.
        stderr: Vec<String>,
    },
    /// A signal ended it: for lack of memory, most often.
    #[error("{program} was ended by signal {signal}")]
    Signal {
        /// The program.
        program: &'static str,
        /// The signal's number.
        signal: i32,
    },
}

impl ChildError {
    /// Whether the child complained of this.
    #[must_use]
    pub fn mentions(&self, text: &str) -> bool {
        matches!(self, Self::Failed { stderr, .. } if stderr.iter().any(|line| line.contains(text)))
    }

    /// As a failure that is not the input's.
    #[must_use]
    pub fn into_failure(self) -> Failure {
        if self.mentions("No space left on device") {
            return Failure::disk_full("encoding");
        }
        // Nobody but the kernel kills ffmpeg alone; dropping it kills it together with this process's work.
        if let Self::Signal { program, signal: SIGKILL } = self {
            let message = format!(
                "{program} was killed, as happens when memory runs out. Raise the Job's memory limit."
            );
            return Failure::new(Reason::OutOfMemory, message);
        }
        Failure::new(Reason::Encoder, self.to_string())
    }
}

/// Runs a program to its end and hands each line of its standard output to `on_line`.
///
/// Dropping the future kills the program. `setpriv --pdeathsig` has the kernel kill it when this process
/// dies without the chance to.
///
/// # Errors
/// Where it can't be started, or does not end with exit code 0.
pub async fn run(
    program: &'static str,
    args: &[OsString],
    on_line: impl FnMut(&str),
) -> Result<(), ChildError> {
    let start = |error| ChildError::Start { program, error };
    let mut child = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--", program])
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(start)?;
    let mut kept = VecDeque::new();
    let keep = |line: &str| {
        if kept.len() == KEPT_LINES {
            kept.pop_front();
        }
        kept.push_back(line.to_owned());
    };
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    tokio::join!(each_line(stdout, on_line), each_line(stderr, keep));
    let status = child.wait().await.map_err(start)?;
    if status.success() {
        return Ok(());
    }
    match std::os::unix::process::ExitStatusExt::signal(&status) {
        Some(signal) => Err(ChildError::Signal { program, signal }),
        None => Err(ChildError::Failed { program, stderr: kept.into() }),
    }
}

/// Seconds of output so far in a line of ffmpeg's `-progress`.
#[must_use]
pub fn progress_seconds(line: &str) -> Option<f64> {
    let microseconds: f64 = line.strip_prefix("out_time_us=")?.parse().ok()?;
    Some(microseconds / 1e6)
}

/// Reads until the end. A line that can't be read ends it: the exit status tells what went wrong.
async fn each_line(stream: Option<impl AsyncRead + Unpin>, mut on_line: impl FnMut(&str)) {
    let Some(stream) = stream else { return };
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
        on_line(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
}

fn last_line(lines: &[String]) -> &str {
    lines.iter().rev().find(|line| !line.is_empty()).map_or("it said nothing", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failing_program_tells_its_last_words() {
        let error = run("ls", &["/no/such/place".into()], |_| ()).await.unwrap_err();
        assert!(error.mentions("No such file"), "{error}");
        assert_eq!(error.into_failure().reason, Reason::Encoder);
    }

    #[tokio::test]
    async fn a_missing_program_is_an_error_that_names_it() {
        let error = run("no-such-program", &[], |_| ()).await.unwrap_err();
        assert!(error.to_string().contains("no-such-program"), "{error}");
    }

    #[tokio::test]
    async fn a_killed_program_ran_out_of_memory() {
        let killed = run("sh", &["-c".into(), "kill -KILL $$".into()], |_| ()).await.unwrap_err();
        assert_eq!(killed.into_failure().reason, Reason::OutOfMemory);
    }

    #[test]
    fn a_full_disk_is_recognised_in_the_words_of_ffmpeg() {
        let error = ChildError::Failed {
            program: "ffmpeg",
            stderr: vec!["av_interleaved_write_frame(): No space left on device".into()],
        };
        assert_eq!(error.into_failure().reason, Reason::DiskFull);
    }
}
