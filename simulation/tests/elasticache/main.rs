//! The fake of ElastiCache, asked with the real SDK on a virtual clock.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod replication_group;
mod setup;
