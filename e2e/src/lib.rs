//! Harness for tests against real clusters.

pub mod apiserver;
pub mod canary;
pub mod fakecloud;
pub mod kind;
pub mod process;
pub mod wire;
