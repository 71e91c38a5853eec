//! What was lived, for `make faults` to tell.

use std::{env, fs::OpenOptions, io::Write, thread};

/// The file that tests add a line to.
const FILE: &str = "STREAMING_OPERATOR_LIVES";

/// Says of the test that runs how many lives there were in it, each with one request at which the operator died or was
/// cut off, and of how many requests; in the file, too, where there is one.
pub fn lived(lives: usize, among: &str) {
    println!("{lives} lives, {among}");
    let Some(file) = env::var_os(FILE) else { return };
    let thread = thread::current();
    let line = format!("{}\t{lives}\t{among}\n", thread.name().unwrap_or_default());
    let mut file = OpenOptions::new().create(true).append(true).open(file).unwrap();
    file.write_all(line.as_bytes()).unwrap();
}
