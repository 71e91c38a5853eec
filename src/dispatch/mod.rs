//! dispatch: the queue consumer, from message to Job and from Job to settlement.
//!
//! `decide` and what it calls are pure: from Jobs, memory and the time to steps. `consumer` reads and acts.

pub mod attempt;
pub mod backoff;
pub mod breaker;
pub mod decide;
pub mod inbound;
pub mod memory;
pub mod message;
pub mod outcome;
pub mod report;
pub mod settle;
pub mod step;

#[cfg(test)]
mod tests;

pub use report::Report;
