//! The fake of ElastiCache, asked with the real SDK on a virtual clock.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod answers;
mod groups;
mod replication_group;
mod serverless;
mod setup;
mod snapshot;
mod update;
mod user;
