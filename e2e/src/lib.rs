//! Harness for tests against real clusters.
