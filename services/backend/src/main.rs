//! backend service; see README.md.

fn main() {}
