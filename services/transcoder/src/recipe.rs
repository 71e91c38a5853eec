//! The plan as ffmpeg's arguments. Pure.
//!
//! One process for the whole ladder: the source is decoded once and split. The traps that this avoids were
//! all met: see the comments.

use crate::{
    ffmpeg::guarded_input,
    plan::{AudioPlan, Plan, Rung, VideoPlan},
    rendition::INIT_NAME,
};
use std::{ffi::OsString, path::Path};

/// Folder of the audio rendition.
pub const AUDIO_NAME: &str = "audio";

/// Where and how a ladder is encoded.
#[derive(Clone, Debug)]
pub struct Setting<'a> {
    /// The source file.
    pub source: &'a Path,
    /// The folder that gets a folder for each rendition.
    pub folder: &'a Path,
    /// Largest frame that the decoder may allocate, in pixels.
    pub max_pixels: u64,
    /// Threads to use: the CPU limit of the container, which ffmpeg itself does not see.
    pub threads: usize,
}

impl Plan {
    /// Names of the rendition folders, tallest first, audio last.
    #[must_use]
    pub fn folders(&self) -> Vec<&str> {
        let rungs = self.video.iter().flat_map(|video| &video.rungs).map(|rung| rung.name.as_str());
        rungs.chain(self.audio.iter().map(|_| AUDIO_NAME)).collect()
    }
}

/// Arguments that encode the whole ladder into fMP4 segments, progress on standard output.
#[must_use]
pub fn ladder(plan: &Plan, setting: &Setting<'_>) -> Vec<OsString> {
    let mut args = Args::default();
    args.add("-hide_banner -nostdin -nostats -loglevel warning -y -progress pipe:1 -stats_period 0.5");
    // Damage in the source is an error, not something to play over: without this a truncated file exits 0.
    if !plan.allow_partial {
        args.add("-xerror");
    }
    // A new size in mid-stream goes to the scaler; new filters would forget how many frames they have seen.
    args.add(&format!("-threads {} -reinit_filter 0", setting.threads));
    args.0.extend(guarded_input(setting.source, setting.max_pixels));
    args.add("-filter_complex");
    args.0.push(filters(plan).into());
    if let Some(video) = &plan.video {
        for (index, rung) in video.rungs.iter().enumerate() {
            args.add(&format!("-map [v{index}]"));
            video_options(&mut args, plan, video, rung, setting.threads);
            segment_options(&mut args, plan, &setting.folder.join(&rung.name));
        }
    }
    if let Some(audio) = &plan.audio {
        args.add(&format!("-map [a] -c:a aac -b:a {}", audio.bitrate));
        segment_options(&mut args, plan, &setting.folder.join(AUDIO_NAME));
    }
    args.0
}

/// Arguments that only decode what the ladder would decode: tells a damaged source from a broken encoder.
#[must_use]
pub fn decode_only(plan: &Plan, setting: &Setting<'_>) -> Vec<OsString> {
    let mut args = Args::default();
    args.add("-hide_banner -nostdin -nostats -loglevel error -xerror");
    args.0.extend(guarded_input(setting.source, setting.max_pixels));
    let streams = plan.video.iter().map(|video| video.stream).chain(plan.audio.iter().map(|a| a.stream));
    for stream in streams {
        args.add(&format!("-map 0:{stream}"));
    }
    args.add("-f null -");
    args.0
}

fn filters(plan: &Plan) -> String {
    let video = plan.video.as_ref().map(video_filters);
    let audio = plan.audio.as_ref().map(audio_filters);
    video.into_iter().chain(audio).collect::<Vec<_>>().join(";")
}

/// Constant rate from time zero, exactly so many frames, one branch a rung.
fn video_filters(video: &VideoPlan) -> String {
    let mut chain = Vec::new();
    if video.deinterlace {
        chain.push("bwdif=mode=send_frame:deint=interlaced".to_owned());
    }
    chain.push(format!("fps={}/{}:start_time=0", video.rate.0, video.rate.1));
    if let (true, Some(top)) = (video.tone_map, video.rungs.first()) {
        chain.push(tone_map(top));
    }
    let hold = video.hold_seconds.map_or("stop=-1".to_owned(), |most| format!("stop_duration={most:.3}"));
    chain.push(format!("tpad=stop_mode=clone:{hold}"));
    chain.push(format!("trim=end_frame={}", video.frames));
    let outputs: String = (0..video.rungs.len()).map(|index| format!("[s{index}]")).collect();
    chain.push(format!("split={}{outputs}", video.rungs.len()));
    let mut filters = format!("[0:{}]{}", video.stream, chain.join(","));
    for (index, rung) in video.rungs.iter().enumerate() {
        filters.push_str(&format!(
            ";[s{index}]scale={}:{}:out_range=tv,setsar=1,format=yuv420p[v{index}]",
            rung.width, rung.height
        ));
    }
    filters
}

/// PQ or HLG to BT.709 with 100 nit as white, at the size of the tallest rung, as it works on floats.
fn tone_map(top: &Rung) -> String {
    format!(
        "scale={}:{},zscale=t=linear:npl=100,format=gbrpf32le,zscale=p=bt709,tonemap=hable:desat=0,\
         zscale=t=bt709:m=bt709:r=tv,format=yuv420p",
        top.width, top.height
    )
}

/// Sound from time zero without gaps, exactly so many samples.
fn audio_filters(audio: &AudioPlan) -> String {
    format!(
        "[0:{}]aresample=48000:async=1:first_pts=0,aformat=sample_fmts=fltp:sample_rates=48000:\
         channel_layouts=stereo,apad,atrim=end_sample={}[a]",
        audio.stream, audio.samples
    )
}

fn video_options(args: &mut Args, plan: &Plan, video: &VideoPlan, rung: &Rung, threads: usize) {
    let rate = u64::from(rung.bitrate);
    // 1.5 threads a processor is what x264 takes by itself; it must not count a whole node's processors.
    args.add(&format!(
        "-c:v libx264 -preset {} -profile:v high -threads {} -b:v {rate} -maxrate {} -bufsize {}",
        plan.preset,
        (threads * 3).div_ceil(2),
        rate * 107 / 100,
        rate * 120 / 100
    ));
    if video.tone_map {
        args.add("-colorspace bt709 -color_primaries bt709 -color_trc bt709");
    }
    // Closed groups of pictures at the same instants in every rung. -g must not cut in between.
    let longest = (f64::from(plan.gop_seconds) * video.rate.per_second()).ceil();
    args.add(&format!("-sc_threshold 0 -forced-idr 1 -flags +cgop -g {longest} -fps_mode passthrough"));
    args.add(&format!("-force_key_frames expr:gte(t,n_forced*{})", plan.gop_seconds));
}

fn segment_options(args: &mut Args, plan: &Plan, folder: &Path) {
    args.add("-map_metadata -1 -map_chapters -1");
    // Each output would be shifted by its own encoder's delay, and sound and picture begin 45 ms apart. An
    // edit list says where the presentation begins instead.
    args.add("-avoid_negative_ts disabled");
    args.add(&format!("-f hls -hls_segment_type fmp4 -hls_time {} -start_number 1", plan.segment_seconds));
    args.add("-hls_flags temp_file -hls_segment_options movflags=+cmaf+skip_sidx:use_editlist=1");
    args.add(&format!("-hls_fmp4_init_filename {INIT_NAME} -hls_segment_filename"));
    args.0.push(folder.join("seg-%05d.m4s").into());
    // ffmpeg's own playlist says ENDLIST even when it was interrupted. It never leaves the scratch disk.
    args.0.push(folder.join("ffmpeg.m3u8").into());
}

#[derive(Default)]
struct Args(Vec<OsString>);

impl Args {
    /// Adds words that are separated by blanks.
    fn add(&mut self, words: &str) {
        self.0.extend(words.split(' ').map(OsString::from));
    }
}
