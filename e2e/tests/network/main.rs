//! Who may connect to whom: an evaluator judges by the planned NetworkPolicies, and by the chart's, every
//! connection between the pods of three platforms and what is around them. `flows.txt` says what must come out.

mod flows;
mod world;

use anyhow::{Context, Result, ensure};
use flows::Table;
use serde_json::{Value, json};
use std::{
    env,
    io::Write,
    process::{Command, Stdio},
};
use world::{Connection, World};

/// Pairs of platforms that a table must tell apart: two in one namespace, and one of the same name elsewhere.
const PLATFORMS: [(&str, &str); 3] = [("media", "tv"), ("media", "radio"), ("other", "tv")];
/// How many wrong connections are told of.
const SHOWN: usize = 20;

/// Which connections of a world get through by these policies.
fn judge(world: &World, policies: &[Value], connections: &[Connection<'_>]) -> Result<Vec<bool>> {
    let program = env::var("NETPOL").context("no evaluator: set NETPOL, or let `make unit` build it")?;
    let asked = json!({"policies": policies, "peers": world.peers, "connections": connections});
    let mut child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    child.stdin.take().context("standard input")?.write_all(asked.to_string().as_bytes())?;
    let done = child.wait_with_output()?;
    ensure!(done.status.success(), "the evaluator failed: {}", done.status);
    let through: Vec<bool> = serde_json::from_slice(&done.stdout)?;
    ensure!(through.len() == connections.len(), "an answer for each connection");
    Ok(through)
}

#[test]
fn exactly_the_admitted_connections_get_through() -> Result<()> {
    let (world, table) = (World::new(&PLATFORMS)?, Table::read(include_str!("flows.txt"), &PLATFORMS)?);
    let connections = world.connections();
    let mut deciding = vec![0; table.rows.len()];
    let mut wrong = Vec::new();
    for (connection, through) in connections.iter().zip(judge(&world, &world.policies, &connections)?) {
        let row = table.decides(connection).with_context(|| format!("no row decides about {connection}"))?;
        deciding[row] += 1;
        if through != table.rows[row].admitted {
            let word = if through { "gets through" } else { "is stopped" };
            wrong.push(format!("{connection} {word}, against `{}`", table.rows[row]));
        }
    }
    let some = wrong.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("\n");
    ensure!(wrong.is_empty(), "{} of {} connections are wrong:\n{some}", wrong.len(), connections.len());
    let idle: Vec<_> =
        table.rows.iter().zip(&deciding).filter(|(_, n)| **n == 0).map(|(row, _)| row).collect();
    ensure!(idle.is_empty(), "rows that decide about nothing: {}", flows::lines(&idle));
    Ok(())
}

#[test]
fn the_table_notices_the_loss_of_any_policy() -> Result<()> {
    let (world, table) = (World::new(&PLATFORMS)?, Table::read(include_str!("flows.txt"), &PLATFORMS)?);
    let connections = world.connections();
    let rows = connections.iter().map(|it| table.decides(it).context("a row")).collect::<Result<Vec<_>>>()?;
    for lost in 0..world.policies.len() {
        let mut policies = world.policies.clone();
        let policy = policies.remove(lost);
        let through = judge(&world, &policies, &connections)?;
        let noticed = rows.iter().zip(through).any(|(row, through)| table.rows[*row].admitted != through);
        ensure!(noticed, "nothing notices that {} is gone", policy["metadata"]);
    }
    Ok(())
}
