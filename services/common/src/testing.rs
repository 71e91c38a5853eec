//! Real dependencies for integration tests.
