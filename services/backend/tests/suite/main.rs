//! The backend against a real PostgreSQL and an S3 and SQS emulator.

#![expect(clippy::unwrap_used, reason = "tests")]

mod api;
mod cache;
mod events;
mod harness;
mod media;
mod migrations;
