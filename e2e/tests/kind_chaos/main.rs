//! The cluster and its AWS, broken on purpose while messages flow. `make faults` runs these tests and writes what they
//! counted to `docs/faults.md`.

mod api_server;
mod aws;
mod clock;
mod disk;
mod leader;
mod node;
mod token;
mod upgrade;

use anyhow::{Result, ensure};
use e2e::kind::{flow::Tally, record::Row};
use std::time::Duration;

/// The longest that the operator may be without a leader.
const TAKEOVER: Duration = Duration::from_secs(20);

/// Writes the row, and checks what all scenarios promise: nothing lost, nothing doubled, a leader in time, and no
/// restart that was not asked for.
fn judge(row: &Row) -> Result<()> {
    row.write()?;
    let Row { tally, takeovers, restarts, restarts_asked, .. } = row;
    Tally::check(tally)?;
    ensure!(takeovers.iter().all(|took| *took <= TAKEOVER), "a takeover took too long: {takeovers:?}");
    ensure!(restarts == restarts_asked, "{restarts} restarts, and {restarts_asked} were asked for");
    Ok(())
}
