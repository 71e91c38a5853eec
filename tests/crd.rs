//! The committed CRD is the one that the code makes, and `kubectl explain` has a word on each field.

use kube::CustomResourceExt;
use serde_json::Value;
use std::{env, fs, path::PathBuf};
use streaming_operator::api::StreamingPlatform;

fn crd_file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("crds/streamingplatforms.yaml")
}

fn crd() -> Value {
    serde_json::to_value(StreamingPlatform::crd()).expect("a CRD is JSON")
}

#[test]
fn the_committed_crd_is_up_to_date() {
    if env::var_os("UPDATE_CRDS").is_some() {
        fs::write(crd_file(), serde_saphyr::to_string(&crd()).unwrap()).unwrap();
    }
    let committed: Value = serde_saphyr::from_str(&fs::read_to_string(crd_file()).unwrap()).unwrap();
    assert!(committed == crd(), "run the tests with UPDATE_CRDS=1 (or `make generate`) and commit crds/");
}

/// Fields without a description, and lists, maps and strings of our own without a bound.
fn gaps(path: &str, schema: &Value, found: &mut Vec<String>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        if property["description"].as_str().is_none_or(str::is_empty) {
            found.push(format!("{path} has no description"));
        }
        gaps(&path, property, found);
    }
    if schema["type"] == "array" && schema["maxItems"].is_null() {
        found.push(format!("{path} has no maxItems"));
    }
    for inner in ["items", "additionalProperties"].into_iter().filter_map(|field| schema.get(field)) {
        gaps(&format!("{path}[]"), inner, found);
    }
}

#[test]
fn every_field_is_described_and_every_list_bounded() {
    let crd = crd();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    let mut found = Vec::new();
    gaps("spec", &schema["spec"], &mut found);
    gaps("status", &schema["status"], &mut found);
    // Types of Kubernetes' own bring no bounds.
    let borrowed = [".env[]", ".envFrom[]", ".probes.", ".resources.", ".tolerations[]"];
    found.retain(|gap| !borrowed.iter().any(|part| gap.contains(part)));
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn every_rule_of_ours_has_a_message() {
    fn rules(value: &Value, found: &mut Vec<Value>) {
        found.extend(value["x-kubernetes-validations"].as_array().into_iter().flatten().cloned());
        match value {
            Value::Object(fields) => fields.values().for_each(|value| rules(value, found)),
            Value::Array(elements) => elements.iter().for_each(|value| rules(value, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    rules(&crd(), &mut found);
    assert!(found.len() > 30, "only {} rules", found.len());
    assert!(found.iter().all(|rule| rule["message"].as_str().is_some_and(|message| message.len() > 10)));
}
