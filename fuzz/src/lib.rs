//! Hostile inputs for everything that parses what others wrote: valid documents broken at random places, and
//! documents made of a schema.
//!
//! What must hold of each parser stands in `tests/`, one file for each kind of input. `make test` tries some
//! inputs, `make fuzz` many; `PROPTEST_CASES` says how many.

pub mod mutation;
pub mod schema;
pub mod text;

use proptest::test_runner::Config;
use serde_json::Value;
use std::env;

/// The configuration of a test that tries `cases` inputs, or as many as `PROPTEST_CASES` says.
#[must_use]
pub fn cases(cases: u32) -> Config {
    let cases = env::var("PROPTEST_CASES").ok().and_then(|number| number.parse().ok()).unwrap_or(cases);
    Config { cases, failure_persistence: None, ..Config::default() }
}

/// Whether a value says no more than its absence does.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(elements) => elements.is_empty(),
        Value::Object(fields) => fields.values().all(is_empty),
        Value::Bool(true) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Paths at which `before` says something that `after` does not. A number is the same as an equal one, and a text as one
/// of which `same` says so.
pub fn lost(before: &Value, after: &Value, same: fn(&str, &str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    compare("", before, after, same, &mut found);
    found
}

fn compare(path: &str, before: &Value, after: &Value, same: fn(&str, &str) -> bool, found: &mut Vec<String>) {
    match (before, after) {
        _ if is_empty(before) => {}
        (Value::Object(fields), Value::Object(others)) => {
            for (name, value) in fields {
                let other = others.get(name).unwrap_or(&Value::Null);
                compare(&format!("{path}.{name}"), value, other, same, found);
            }
        }
        (Value::Array(elements), Value::Array(others)) if elements.len() == others.len() => {
            for (index, (value, other)) in elements.iter().zip(others).enumerate() {
                compare(&format!("{path}[{index}]"), value, other, same, found);
            }
        }
        (Value::Number(number), Value::Number(other)) if number.as_f64() == other.as_f64() => {}
        // Quantities may be written as either.
        (Value::Number(number), Value::String(text)) if *text == number.to_string() => {}
        (Value::String(text), Value::String(other)) if text == other || same(text, other) => {}
        _ if before == after => {}
        _ => found.push(format!("{path}: {before} became {after}")),
    }
}
