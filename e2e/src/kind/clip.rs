//! Sources made by ffmpeg's own generators: small ones that can be transcoded, and every kind that can't.

use anyhow::{Context, Result, ensure};
use std::path::Path;
use tokio::{fs, process::Command};

/// A clip of 320×180 at 25 frames/s, with a tone where `sound`. `seed` makes its content its own.
///
/// # Errors
/// When ffmpeg fails.
pub async fn video(seconds: u32, sound: bool, seed: u32) -> Result<Vec<u8>> {
    let source = format!("testsrc2=size=320x180:rate=25:duration={seconds},hue=h={}", seed * 17 % 360);
    let mut args = vec!["-f", "lavfi", "-i", &source];
    let tone = format!("sine=frequency=440:duration={seconds}");
    if sound {
        args.extend(["-f", "lavfi", "-i", &tone, "-c:a", "aac", "-shortest"]);
    }
    args.extend([
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-pix_fmt",
        "yuv420p",
        "-movflags",
        "+faststart",
    ]);
    ffmpeg(&args, "mp4").await
}

/// A tone without a picture.
///
/// # Errors
/// When ffmpeg fails.
pub async fn audio(seconds: u32) -> Result<Vec<u8>> {
    let tone = format!("sine=frequency=440:duration={seconds}");
    ffmpeg(&["-f", "lavfi", "-i", &tone, "-c:a", "aac"], "m4a").await
}

/// A still image under a video's name.
///
/// # Errors
/// When ffmpeg fails.
pub async fn still() -> Result<Vec<u8>> {
    ffmpeg(&["-f", "lavfi", "-i", "testsrc2=size=320x180", "-frames:v", "1"], "png").await
}

/// A clip whose frames have more pixels than any profile admits.
///
/// # Errors
/// When ffmpeg fails.
pub async fn huge() -> Result<Vec<u8>> {
    let source = "color=size=8448x4352:rate=4:duration=1";
    ffmpeg(&["-f", "lavfi", "-i", source, "-c:v", "mjpeg", "-q:v", "20", "-pix_fmt", "yuvj420p"], "mov").await
}

/// A clip whose second half is missing though its header promises it.
///
/// # Errors
/// When ffmpeg fails.
pub async fn truncated() -> Result<Vec<u8>> {
    let mut clip = video(6, true, 0).await?;
    clip.truncate(clip.len() / 2);
    Ok(clip)
}

/// A playlist that calls itself a video and names a file of the transcoder's container.
#[must_use]
pub fn playlist() -> Vec<u8> {
    b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n".to_vec()
}

async fn ffmpeg(args: &[&str], extension: &str) -> Result<Vec<u8>> {
    let dir = tempfile::tempdir()?;
    let out = dir.path().join(format!("clip.{extension}"));
    run(args, &out).await?;
    fs::read(&out).await.context("read what ffmpeg wrote")
}

async fn run(args: &[&str], out: &Path) -> Result<()> {
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-loglevel", "error", "-nostdin", "-y"])
        .args(args)
        .arg(out)
        .output()
        .await
        .context("start ffmpeg")?;
    ensure!(output.status.success(), "ffmpeg: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
