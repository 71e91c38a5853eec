//! The operator's own code (observe, validate, plan, apply, status) against AWS with its states and times.

mod database;
mod world;
