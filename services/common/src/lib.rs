//! What every service image shares, so that all of them start, log, report and stop in the same way.
//!
//! A service's `main` is [`service::run`], which starts [`telemetry`] and a [`Shutdown`] on the signals that
//! Kubernetes sends. The service reads its settings from [`Env`], wraps its routes with [`http::Operations`]
//! and hands them to [`http::serve`].

pub mod aws;
pub mod env;
pub mod http;
pub mod problem;
pub mod service;
pub mod shutdown;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;

pub use env::{Env, EnvError};
pub use shutdown::Shutdown;
