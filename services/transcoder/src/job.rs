//! One job from its request to `job.json`.

use crate::{
    Failure, captions, dash, encode, hls,
    hls::Presentation,
    pictures,
    pictures::{POSTER, STORYBOARD},
    plan, probe,
    progress::Reporter,
    recipe::Setting,
    rendition::Rendition,
    source,
    store::{Content, Folder, Store},
};
use contract::{
    JobRecord, JobState, Reason, TranscodeRequest,
    job::{DASH_MANIFEST, HLS_PLAYLIST, JOB_RECORD, Stage, Timings},
};
use jiff::Timestamp;
use std::{
    path::{Path, PathBuf},
    time::Instant,
};

/// A request with the places that it works on.
#[derive(Clone, Debug)]
pub struct Job {
    /// What is asked for, validated.
    pub request: TranscodeRequest,
    /// Where the source is.
    pub source: Store,
    /// Where the output goes.
    pub output: Folder,
    /// A directory of this job alone, which exists and is empty.
    pub scratch: PathBuf,
    /// How many bytes `scratch` may hold, where that is less than what its disk has free.
    pub room: Option<u64>,
    /// The CPU limit: how many threads to use.
    pub threads: usize,
    /// The clock.
    pub now: fn() -> Timestamp,
}

/// Everything is stored but the manifests: nothing looks whole yet.
struct Prepared {
    presentation: Presentation,
    storyboard: bool,
    timings: Timings,
    publishing_since: Instant,
}

impl Job {
    /// Does the whole job, unless an earlier attempt did.
    ///
    /// `interrupted` stops it at any point until the manifests are written; these few small writes are
    /// finished, as an output with half of its manifests is worse than one that is late.
    ///
    /// # Errors
    /// Any failure of the contract. A permanent one is recorded in the output first.
    pub async fn run(&self, interrupted: impl Future<Output = ()>) -> Result<JobRecord, Failure> {
        let mut interrupted = std::pin::pin!(interrupted);
        let earlier = tokio::select! {
            earlier = self.earlier() => earlier?,
            () = &mut interrupted => return Err(stopped()),
        };
        if let Some(record) = earlier {
            tracing::info!(attempt = record.attempt, "the output is there already");
            return match record.state {
                JobState::Succeeded => Ok(record),
                JobState::Failed => Err(record.failure.map_or_else(unexplained, Failure::from)),
            };
        }
        let prepared = tokio::select! {
            prepared = self.prepare() => prepared,
            () = interrupted => Err(stopped()),
        };
        match prepared {
            Ok(prepared) => self.commit(prepared).await,
            Err(failure) if failure.is_permanent() => {
                self.record_failure(&failure).await?;
                Err(failure)
            }
            Err(failure) => Err(failure),
        }
    }

    /// What an earlier attempt left.
    ///
    /// A failure of an earlier attempt is no answer for a later one: someone decided to try again.
    ///
    /// # Errors
    /// `STORAGE` where it can't be asked, `INVALID_REQUEST` where the output belongs to other work.
    async fn earlier(&self) -> Result<Option<JobRecord>, Failure> {
        let Some(json) = self.output.get(JOB_RECORD).await? else { return Ok(None) };
        let record: JobRecord = serde_json::from_slice(&json).map_err(|error| {
            Failure::new(
                Reason::InvalidRequest,
                format!("The output holds a {JOB_RECORD} of another kind: {error}"),
            )
        })?;
        if record.identity != self.request.identity {
            return Err(Failure::new(
                Reason::InvalidRequest,
                format!(
                    "The output belongs to other work: {}. Give this work a prefix of its own.",
                    record.identity
                ),
            ));
        }
        let settled = record.state == JobState::Succeeded || record.attempt >= self.request.attempt;
        Ok(settled.then_some(record))
    }

    /// Transcodes and stores everything but the manifests. May be dropped at any point: ffmpeg dies with it,
    /// and the output does not look whole.
    ///
    /// # Errors
    /// Any failure of the contract.
    async fn prepare(&self) -> Result<Prepared, Failure> {
        let reporter = Reporter::default();
        tokio::select! {
            prepared = Box::pin(self.transcode(&reporter)) => prepared,
            never = reporter.write(&self.request, &self.output, self.now) => match never {},
        }
    }

    async fn transcode(&self, reporter: &Reporter) -> Result<Prepared, Failure> {
        let started = Instant::now();
        let scratch = source::Scratch { path: &self.scratch, room: self.room };
        let source = source::fetch(&self.source, &self.request.source, &scratch, reporter).await?;
        let fetched = Instant::now();
        reporter.report(Stage::Probing, 0.0);
        let profile = &self.request.profile;
        let max_pixels = profile.max_source_pixels;
        let probe = probe::probe(&source, max_pixels).await?;
        let mut scan = probe::scan(&source, &probe, max_pixels).await?;
        if profile.allow_partial {
            scan = probe::decodable(&source, &probe, scan, max_pixels).await?;
        }
        let plan = plan::plan(&probe, &scan, profile)?;
        scratch.require(plan.kept_bytes())?;
        tracing::info!(?plan, "the ladder is planned");
        let setting = Setting { source: &source, folder: &self.scratch, max_pixels, threads: self.threads };
        let encoded = encode::encode(&plan, &setting, &self.output, reporter).await?;
        reporter.report(Stage::Publishing, 0.0);
        let mut presentation = encoded.presentation;
        pictures::publish_poster(&probe, &plan, &setting, &self.output).await?;
        let segments = presentation.video.last().map_or(0, |low| low.segments.len());
        let storyboard = pictures::publish_storyboard(&plan, segments, &setting, &self.output).await?;
        presentation.captions =
            captions::publish(&probe, &source, &self.scratch, max_pixels, &self.output).await?;
        presentation.language = probe.audio.and_then(|audio| audio.language);
        let timings = Timings {
            download_seconds: (fetched - started).as_secs_f64(),
            ladder_seconds: (encoded.ended - fetched).as_secs_f64(),
            publish_seconds: 0.0,
        };
        Ok(Prepared { presentation, storyboard, timings, publishing_since: encoded.ended })
    }

    /// Stores the manifests and, last, `job.json`: a few small writes that are not to be interrupted.
    ///
    /// # Errors
    /// `STORAGE`.
    async fn commit(&self, prepared: Prepared) -> Result<JobRecord, Failure> {
        let Prepared { presentation, storyboard, mut timings, publishing_since } = prepared;
        let text = |text: String| Content::Bytes(text.into());
        for rendition in presentation.renditions() {
            let path = format!("{}/playlist.m3u8", rendition.name);
            self.output.put(&path, text(hls::media_playlist(rendition))).await?;
        }
        captions::publish_playlists(&presentation.captions, presentation.seconds(), &self.output).await?;
        self.output.put(DASH_MANIFEST, text(dash::manifest(&presentation))).await?;
        self.output.put(HLS_PLAYLIST, text(hls::multivariant_playlist(&presentation))).await?;
        timings.publish_seconds = publishing_since.elapsed().as_secs_f64();
        let record = JobRecord {
            duration_seconds: Some(presentation.seconds()),
            renditions: presentation.renditions().map(Rendition::record).collect(),
            poster: Some(POSTER.to_owned()),
            storyboard: storyboard.then(|| STORYBOARD.to_owned()),
            timings,
            ..self.record(JobState::Succeeded)
        };
        self.store_record(&record).await?;
        Ok(record)
    }

    /// Records a permanent failure, so that no attempt is made in vain.
    ///
    /// # Errors
    /// `STORAGE`.
    async fn record_failure(&self, failure: &Failure) -> Result<(), Failure> {
        let record =
            JobRecord { failure: Some(failure.termination_message()), ..self.record(JobState::Failed) };
        self.store_record(&record).await
    }

    fn record(&self, state: JobState) -> JobRecord {
        JobRecord {
            identity: self.request.identity.clone(),
            attempt: self.request.attempt,
            state,
            source: self.request.source.clone(),
            duration_seconds: None,
            renditions: Vec::new(),
            poster: None,
            storyboard: None,
            timings: Timings::default(),
            failure: None,
            finished_at: (self.now)(),
        }
    }

    async fn store_record(&self, record: &JobRecord) -> Result<(), Failure> {
        let json = serde_json::to_vec_pretty(record).expect("a job record has only plain fields");
        self.output.put(JOB_RECORD, Content::Bytes(json.into())).await
    }
}

fn stopped() -> Failure {
    Failure::new(
        Reason::Interrupted,
        "The Job was told to stop before its output was whole; it starts again.",
    )
}

/// A record of a failure that lacks its cause: the contract's own word for that. The next attempt starts anew.
fn unexplained() -> Failure {
    Failure::new(
        Reason::Unknown,
        format!("The output's {JOB_RECORD} says Failed and not why. Transcode it again."),
    )
}

/// Makes an empty scratch directory of its own, taking away what an earlier container left.
///
/// # Errors
/// A failure of the scratch disk.
pub fn fresh_scratch(parent: &Path, name: &str) -> Result<PathBuf, Failure> {
    let path = parent.join(name);
    let make = || {
        if path.exists() {
            std::fs::remove_dir_all(&path)?;
        }
        std::fs::create_dir_all(&path)
    };
    make()
        .map_err(|error| Failure::disk(format!("making the scratch directory {}", path.display()), &error))?;
    Ok(path)
}
