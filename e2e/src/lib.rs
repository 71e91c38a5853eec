//! Harness for tests against real clusters.

pub mod kind;
