//! transcoder service; see README.md.

fn main() {}
