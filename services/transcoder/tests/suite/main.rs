//! The transcoder with the real ffmpeg on generated material.

#![expect(clippy::unwrap_used, reason = "a test that can't prepare its material must stop")]

mod bad;
mod controls;
mod good;
mod material;
mod process;
mod s3;
