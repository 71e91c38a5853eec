//! The whole operator, as its process runs it, in a world with a cluster and AWS.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "a test that fails shows where it was")]

mod crashes;
mod invariants;
mod life;
mod proxy;
mod refusals;
mod report;
mod requests;
mod scenarios;
#[path = "../common/servers.rs"]
mod servers;
mod transcoding;
mod unheard;
mod world;
