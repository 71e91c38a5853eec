//! The streaming operator: runs a whole streaming platform on Kubernetes from one `StreamingPlatform`.
//!
//! See `ARCHITECTURE.md` for the way through the code.

pub mod admin;
pub mod api;
pub mod apply;
pub mod aws;
pub mod cli;
pub mod controller;
pub mod dispatch;
pub mod kinds;
pub mod managed;
pub mod metrics;
pub mod observe;
pub mod packed;
pub mod plan;
pub mod platform;
pub mod quantity;
pub mod queue_cli;
pub mod settings;
pub mod status;
pub mod surroundings;
pub mod validate;
