//! frontend service; see README.md.

fn main() {}
