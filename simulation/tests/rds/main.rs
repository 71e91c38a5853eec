//! The fake of RDS, seen through the real SDK.

mod instance;
mod support;
