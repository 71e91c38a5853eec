//! worker service; see README.md.

fn main() {}
