//! Harness for tests against real clusters.

pub mod apiserver;
pub mod kind;
