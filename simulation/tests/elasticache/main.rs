//! The fake of ElastiCache, asked with the real SDK on a virtual clock.

mod replication_group;
mod setup;
