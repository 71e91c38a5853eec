//! The tables of fields in the docs are those that the code makes.

use std::{env, fs, path::PathBuf};
use streaming_operator::managed::{
    Setting, Value,
    elasticache::{group::GroupSetting, serverless::ServerlessSetting},
    rds::{cluster::ClusterSetting, instance::InstanceSetting, proxy::ProxySetting},
};

/// Each field and what changing it does.
fn table<S: Setting>() -> String {
    // The engine that others can become; an effect that depends on more is told in the text.
    let forward = Value::from("valkey");
    let row = |setting: &S| format!("| {} | {} |\n", setting.field(), setting.effect(None, &forward));
    let rows: String = S::ALL.iter().map(row).collect();
    format!("| field | effect of a change |\n|---|---|\n{rows}")
}

/// The text with `content` between the markers of that name.
fn with_table(text: &str, name: &str, content: &str) -> String {
    let begin = format!("<!-- table: {name} -->\n");
    let (before, rest) = text.split_once(&begin).expect("the marker of the table");
    let (_, after) = rest.split_once("<!-- end -->").expect("its end");
    format!("{before}{begin}{content}<!-- end -->{after}")
}

/// Compares the tables of a file with the code's, or writes them.
fn check(file: &str, tables: &[(&str, String)]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = fs::read_to_string(&path).expect(file);
    let made = tables.iter().fold(text.clone(), |text, (name, table)| with_table(&text, name, table));
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &made).expect(file);
        return;
    }
    assert!(text == made, "{file}: run the tests with UPDATE_DOCS=1 (or `make generate`) and commit docs/");
}

#[test]
fn the_tables_of_caches_are_up_to_date() {
    let tables = [
        ("a replication group", table::<GroupSetting>()),
        ("a serverless cache", table::<ServerlessSetting>()),
    ];
    check("docs/caches.md", &tables);
}

#[test]
fn the_tables_of_databases_are_up_to_date() {
    let tables = [
        ("an instance", table::<InstanceSetting>()),
        ("a cluster", table::<ClusterSetting>()),
        ("a proxy", table::<ProxySetting>()),
    ];
    check("docs/databases.md", &tables);
}
