//! The tables of fields in the docs are those that the code makes.

use std::{env, fs, path::PathBuf};
use streaming_operator::managed::{
    Setting, Value,
    elasticache::{group::GroupSetting, serverless::ServerlessSetting},
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

#[test]
fn the_tables_of_caches_are_up_to_date() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/caches.md");
    let text = fs::read_to_string(&file).expect("docs/caches.md");
    let mut made = with_table(&text, "a replication group", &table::<GroupSetting>());
    made = with_table(&made, "a serverless cache", &table::<ServerlessSetting>());
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, &made).expect("docs/caches.md can be written");
        return;
    }
    assert!(text == made, "run the tests with UPDATE_DOCS=1 (or `make generate`) and commit docs/");
}
