//! Runs the ladder: one ffmpeg, and segments that are measured and stored while it goes on.

use crate::{
    Failure,
    ffmpeg::{self, ChildError},
    hls::Presentation,
    mp4::{self, Mp4Error, Segment, Track},
    plan::Plan,
    probe,
    progress::Reporter,
    recipe::{self, AUDIO_NAME, Setting},
    rendition::{INIT_NAME, Rendition, segment_name},
    store::{Content, Folder},
};
use contract::{Reason, job::Stage};
use futures::{StreamExt, stream::FuturesUnordered};
use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// How many segments are stored at the same time.
const PARALLEL_UPLOADS: usize = 8;
/// The poster is taken after this share of the duration: beginnings are often black.
pub const POSTER_SHARE: f64 = 0.1;
/// How often the scratch disk is looked at for finished segments.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// What came of a ladder.
#[derive(Debug)]
pub struct Encoded {
    /// The measured renditions.
    pub presentation: Presentation,
    /// When ffmpeg was through with the last segment.
    pub ended: Instant,
}

/// Encodes the plan into `setting.folder` and stores each segment in `output` as soon as it is whole.
///
/// Segments that [`keeps`] does not want are removed from the scratch disk once they are stored.
///
/// # Errors
/// `TRUNCATED` where the source can't be decoded to its end, `NOT_MEDIA` where no decoder knows it, `ENCODER`, `DISK_FULL`, `STORAGE`.
pub async fn encode(
    plan: &Plan,
    setting: &Setting<'_>,
    output: &Folder,
    reporter: &Reporter,
) -> Result<Encoded, Failure> {
    for name in plan.folders() {
        let folder = setting.folder.join(name);
        std::fs::create_dir_all(&folder).map_err(|error| Failure::disk("making scratch folders", &error))?;
    }
    let args = recipe::ladder(plan, setting);
    let mut harvest = Harvest::new(plan, setting.folder, output);
    let total = plan.seconds();
    {
        let child = ffmpeg::run("ffmpeg", &args, |line| {
            if let Some(seconds) = ffmpeg::progress_seconds(line) {
                reporter.report(Stage::Encoding, seconds / total);
            }
        });
        let mut child = std::pin::pin!(child);
        let mut look = tokio::time::interval(LOOK_INTERVAL);
        loop {
            tokio::select! {
                ended = &mut child => {
                    if let Err(error) = ended {
                        return Err(explain(plan, setting, error).await);
                    }
                    break;
                }
                _ = look.tick() => harvest.collect()?,
                stored = harvest.stored() => stored?,
            }
        }
    }
    let ended = Instant::now();
    harvest.collect()?;
    let presentation = harvest.finish(plan).await?;
    Ok(Encoded { presentation, ended })
}

/// Whether a segment's file is still needed once it is stored: the lowest rung makes the storyboard, one
/// segment of the tallest the poster.
#[must_use]
pub fn keeps(plan: &Plan, rendition: &str, number: usize) -> bool {
    let Some(video) = &plan.video else { return false };
    let is = |rung: Option<&crate::plan::Rung>| rung.is_some_and(|rung| rung.name == rendition);
    is(video.rungs.last()) || (is(video.rungs.first()) && number == poster_segment(plan))
}

/// Number of the segment that holds the poster, from 1.
#[must_use]
pub fn poster_segment(plan: &Plan) -> usize {
    (plan.seconds() * POSTER_SHARE / f64::from(plan.segment_seconds)) as usize + 1
}

/// A source that does not decode is the input's fault; anything else may go better next time.
async fn explain(plan: &Plan, setting: &Setting<'_>, error: ChildError) -> Failure {
    let failure = match &error {
        ChildError::Failed { .. } if error.mentions("Decoder (codec ") => return unsupported(&error),
        ChildError::Failed { .. } => error.into_failure(),
        ChildError::Start { .. } | ChildError::Signal { .. } => return error.into_failure(),
    };
    if failure.reason == Reason::DiskFull || plan.allow_partial {
        return failure;
    }
    match ffmpeg::run("ffmpeg", &recipe::decode_only(plan, setting), |_| ()).await {
        Err(damage) if probe::is_too_large(&damage) => probe::too_large("its frames"),
        Err(damage @ ChildError::Failed { .. }) => undecodable(&damage.to_string()),
        _ => failure,
    }
}

fn unsupported(error: &ChildError) -> Failure {
    Failure::new(
        Reason::NotMedia,
        format!(
            "The file's codec is not supported ({error}). Export it with another, such as H.264 and AAC, and \
             upload that."
        ),
    )
}

fn undecodable(why: &str) -> Failure {
    Failure::new(
        Reason::Truncated,
        format!("The file is damaged and can't be decoded to its end ({why}). Export or upload it again."),
    )
}

/// Finds finished segments, measures them and stores them, a bounded number at a time.
struct Harvest<'a> {
    plan: &'a Plan,
    output: &'a Folder,
    rungs: Vec<Growing>,
    waiting: VecDeque<Upload>,
    running: FuturesUnordered<futures::future::BoxFuture<'a, Result<(), Failure>>>,
}

/// A rendition whose segments still come.
struct Growing {
    name: String,
    folder: PathBuf,
    track: Option<Track>,
    segments: Vec<Segment>,
}

struct Upload {
    file: PathBuf,
    path: String,
    keep: bool,
}

impl<'a> Harvest<'a> {
    fn new(plan: &'a Plan, folder: &Path, output: &'a Folder) -> Self {
        let growing = |name: &str| Growing {
            name: name.to_owned(),
            folder: folder.join(name),
            track: None,
            segments: Vec::new(),
        };
        Self {
            plan,
            output,
            rungs: plan.folders().into_iter().map(growing).collect(),
            waiting: VecDeque::new(),
            running: FuturesUnordered::new(),
        }
    }

    /// Takes what is new. ffmpeg writes each segment beside its name and renames it, so what is there is whole.
    fn collect(&mut self) -> Result<(), Failure> {
        for rung in &mut self.rungs {
            loop {
                let number = rung.segments.len() + 1;
                let file = rung.folder.join(segment_name(number));
                if !file.exists() {
                    break;
                }
                if rung.track.is_none() {
                    let init = rung.folder.join(INIT_NAME);
                    let track = mp4::read_init(&read(&init)?);
                    rung.track = Some(track.map_err(|error| unmeasurable(&init, &error))?);
                    let path = format!("{}/{INIT_NAME}", rung.name);
                    self.waiting.push_back(Upload { file: init, path, keep: true });
                }
                if let Some(track) = &rung.track {
                    let segment = mp4::read_segment(track, &read(&file)?);
                    rung.segments.push(segment.map_err(|error| unmeasurable(&file, &error))?);
                }
                let path = format!("{}/{}", rung.name, segment_name(number));
                let keep = keeps(self.plan, &rung.name, number);
                self.waiting.push_back(Upload { file, path, keep });
            }
        }
        self.start_uploads();
        Ok(())
    }

    fn start_uploads(&mut self) {
        while self.running.len() < PARALLEL_UPLOADS {
            let Some(upload) = self.waiting.pop_front() else { return };
            let output = self.output;
            self.running.push(Box::pin(async move {
                output.put(&upload.path, Content::File(upload.file.clone())).await?;
                if !upload.keep {
                    tokio::fs::remove_file(&upload.file)
                        .await
                        .map_err(|error| Failure::disk("removing a stored segment", &error))?;
                }
                Ok(())
            }));
        }
    }

    /// Waits for one upload; for ever where none runs.
    async fn stored(&mut self) -> Result<(), Failure> {
        match self.running.next().await {
            Some(outcome) => {
                self.start_uploads();
                outcome
            }
            None => std::future::pending().await,
        }
    }

    async fn finish(mut self, plan: &Plan) -> Result<Presentation, Failure> {
        while !self.running.is_empty() {
            self.stored().await?;
        }
        let mut presentation = Presentation::default();
        for rung in self.rungs {
            let Some(track) = rung.track else {
                return Err(undecodable("nothing of it could be shown"));
            };
            let rendition = Rendition { name: rung.name, track, segments: rung.segments };
            if rendition.name == AUDIO_NAME {
                presentation.audio = Some(rendition);
            } else {
                presentation.video.push(rendition);
            }
        }
        complete(plan, &presentation)?;
        Ok(presentation)
    }
}

/// The decoder may give up early without an error: then frames are missing.
fn complete(plan: &Plan, presentation: &Presentation) -> Result<(), Failure> {
    let Some(video) = &plan.video else { return Ok(()) };
    match presentation.video.iter().find(|rendition| rendition.samples() != video.frames) {
        None => Ok(()),
        Some(short) => {
            let found = short.samples();
            Err(undecodable(&format!("{found} of {} frames could be decoded", video.frames)))
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path)
        .map_err(|error: io::Error| Failure::disk(format!("reading {}", path.display()), &error))
}

fn unmeasurable(path: &Path, error: &Mp4Error) -> Failure {
    Failure::new(
        Reason::Encoder,
        format!("ffmpeg wrote a segment that can't be read, {}: {error}", path.display()),
    )
}
