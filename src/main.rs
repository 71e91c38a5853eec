//! The streaming operator.
fn main() {}
