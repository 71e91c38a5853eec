//! Turns one source into a CMAF ladder for HLS and DASH.
//!
//! The way of a job, one module a step:
//!
//! 1. [`request`]: what is asked for, validated.
//! 2. [`source`]: the object comes to the scratch disk.
//! 3. [`probe`]: what the source says it is, and what its packets say.
//! 4. [`plan`]: the ladder, decided (pure); [`recipe`] writes it as ffmpeg's arguments (pure).
//! 5. [`encode`]: one ffmpeg process; segments are measured ([`mp4`]) and stored while it runs.
//! 6. [`pictures`], [`captions`]: poster, storyboard, subtitles.
//! 7. [`hls`], [`dash`]: manifests, written from what was measured (pure).
//! 8. [`job`]: all of that in order, and `job.json` last.
//!
//! [`check`] reads a finished output again and tells everything that is wrong with it.

pub mod captions;
pub mod check;
pub mod dash;
pub mod encode;
pub mod failure;
pub mod ffmpeg;
pub mod hls;
pub mod job;
pub mod mp4;
pub mod pictures;
pub mod plan;
pub mod probe;
pub mod progress;
pub mod recipe;
pub mod rendition;
pub mod request;
pub mod source;
pub mod store;

pub use failure::Failure;
