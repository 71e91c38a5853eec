//! record: which calls the tests make, for the comparison of IAM's policies with them. Debug builds only.

use std::{env, fs::OpenOptions, io::Write};

/// File that calls are appended to, one `service operation` a line; not recorded without.
const FILE: &str = "STREAMING_OPERATOR_AWS_CALLS";

/// Notes a call. A recording that can't be written fails the call, and with it the test.
pub(super) fn call(service: &str, operation: &str) -> std::io::Result<()> {
    let Some(file) = env::var_os(FILE) else { return Ok(()) };
    let mut file = OpenOptions::new().create(true).append(true).open(file)?;
    // One write, so that lines of processes side by side stay whole.
    file.write_all(format!("{service} {operation}\n").as_bytes())
}
