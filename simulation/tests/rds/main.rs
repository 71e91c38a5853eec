//! The fake of RDS and its secrets, seen through the real SDK.

#![expect(clippy::unwrap_used, reason = "tests")]

mod cluster;
mod groups;
mod instance;
mod operations;
mod secret;
mod snapshot;
mod support;
