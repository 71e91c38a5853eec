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
use e2e::kind::{flow::Tally, helm, record::Row};
use serde_json::Value;
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

/// The operator with other values than the scripts installed it with.
struct Changed(Value);

/// Upgrades the release with changed values.
async fn operator_with(change: impl FnOnce(&mut Value)) -> Result<Changed> {
    let values = helm::values().await?;
    let mut changed = values.clone();
    change(&mut changed);
    helm::upgrade_tree(&changed).await?;
    Ok(Changed(values))
}

impl Changed {
    /// Upgrades the release with the values that it had.
    async fn restore(self) -> Result<()> {
        helm::upgrade_tree(&self.0).await
    }
}
