//! The table of connections.

use crate::world::Connection;
use anyhow::{Context, Result, bail};
use std::fmt::{self, Display};

/// Rows, of which the first that fits decides.
pub(crate) struct Table {
    pub(crate) rows: Vec<Row>,
}

/// Which connections, and whether they are admitted.
pub(crate) struct Row {
    from: String,
    to: String,
    port: String,
    pub(crate) admitted: bool,
}

impl Table {
    /// Reads a table; a row with `{p}` stands for one of each platform.
    pub(crate) fn read(text: &str, platforms: &[(&str, &str)]) -> Result<Self> {
        let mut rows = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let &[from, to, port, admitted] = line.split_whitespace().collect::<Vec<_>>().as_slice() else {
                bail!("no row: {line}");
            };
            let admitted = match admitted {
                "yes" => true,
                "no" => false,
                _ => bail!("neither yes nor no: {line}"),
            };
            let row = |platform: &str| Row {
                from: from.replace("{p}", platform),
                to: to.replace("{p}", platform),
                port: port.to_owned(),
                admitted,
            };
            if line.contains("{p}") {
                rows.extend(platforms.iter().map(|(namespace, name)| row(&format!("{namespace}/{name}"))));
            } else {
                rows.push(row(""));
            }
        }
        rows.last().context("an empty table")?;
        Ok(Self { rows })
    }

    /// The row that decides about a connection.
    pub(crate) fn decides(&self, connection: &Connection<'_>) -> Option<usize> {
        let port = connection.port();
        self.rows.iter().position(|row| {
            fits(&row.from, connection.source())
                && fits(&row.to, connection.destination())
                && fits(&row.port, &port)
        })
    }
}

impl Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, port, admitted } = self;
        write!(f, "{from} {to} {port} {}", if *admitted { "yes" } else { "no" })
    }
}

/// Rows, one a line.
pub(crate) fn lines(rows: &[&Row]) -> String {
    rows.iter().map(|row| format!("\n{row}")).collect()
}

/// Whether a pattern fits, whose last character may be a `*` for anything.
fn fits(pattern: &str, text: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == text, |prefix| text.starts_with(prefix))
}
