//! The streaming operator.
