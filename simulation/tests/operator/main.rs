//! The operator's own code (observe, validate, plan, apply, status) against AWS with its states and times.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::large_futures, reason = "a test has room")]

mod cache;
mod cache_world;
mod database;
mod drill;
mod life;
mod proxy;
mod upgrade;
mod world;
