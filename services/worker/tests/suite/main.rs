//! The worker against a real PostgreSQL and an S3 and SQS emulator.

#![expect(clippy::unwrap_used, reason = "tests")]

mod chores;
mod harness;
mod outcomes;
