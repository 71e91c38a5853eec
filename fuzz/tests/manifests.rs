//! Manifests of a platform: what a user writes, what the API server stored, and what its schema accepts.

use fuzz::{
    cases, lost,
    mutation::{broken, with_unknown_field},
    schema, text,
};
use kube::CustomResourceExt;
use proptest::{prelude::*, sample::Index};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
    time::Duration,
};
use streaming_operator::{
    api::StreamingPlatform,
    plan::preview::{Preview, PreviewError, preview},
    settings::{Images, RolePattern, Settings},
};

/// Every platform of the examples and of the corpus of which the API server accepts at least the first.
static STORED: LazyLock<Vec<(String, Value)>> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut platforms = Vec::new();
    for folder in ["examples", "e2e/tests/crd_corpus/valid", "e2e/tests/crd_corpus/wrong_change"] {
        for file in files(&root.join(folder)) {
            let documents: Vec<Value> =
                serde_saphyr::from_multiple(&fs::read_to_string(&file).expect("what the test itself wrote"))
                    .expect("what the test itself wrote");
            let of_ours = documents.into_iter().filter(|document| document["kind"] == "StreamingPlatform");
            platforms.extend(of_ours.map(|document| (file.display().to_string(), document)));
        }
    }
    assert!(platforms.len() > 50, "only {} platforms", platforms.len());
    platforms
});

static SPEC_SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let mut crd = serde_json::to_value(StreamingPlatform::crd()).expect("what the test itself wrote");
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].take()
});

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("what the test itself wrote")
        .map(|entry| entry.expect("what the test itself wrote").path())
        .collect();
    files.sort();
    files
}

fn stored() -> Vec<Value> {
    STORED.iter().map(|(_, platform)| platform.clone()).collect()
}

fn platform(spec: Value) -> Value {
    json!({
        "apiVersion": "streamingplatform.dev/v1alpha1", "kind": "StreamingPlatform",
        "metadata": {"name": "tv", "namespace": "media"}, "spec": spec
    })
}

/// Specs that the schema accepts; as each is large, fields of it are left out by chance.
fn accepted() -> BoxedStrategy<Value> {
    schema::values(&SPEC_SCHEMA)
}

fn settings() -> Settings {
    Settings {
        allowed_aws_endpoints: vec!["http://172.31.240.1:4566".into()],
        operator_identity_namespaces: vec!["*".into()],
        allowed_roles: vec![RolePattern {
            namespace: "*".into(),
            role_arn: "arn:aws:iam::*:role/media-*".into(),
        }],
        ..Settings::new(Images::named(|name| format!("example.com/{name}:1")))
    }
}

/// A manifest is planned, always in the same way, or refused by the names of its fields. A debug build checks each
/// plan that is made on the way.
fn judge(manifest: &Value) -> Result<(), TestCaseError> {
    let text = manifest.to_string();
    let answer = preview("platform.yaml", &text, &settings());
    let again = preview("platform.yaml", &text, &settings());
    match (answer, again) {
        (Ok(preview), Ok(again)) => {
            prop_assert_eq!(&preview, &again, "the same manifest is planned in two ways");
            objects_hold(&preview)
        }
        (Err(error), Err(again)) => {
            prop_assert_eq!(error.to_string(), again.to_string());
            refusal_holds(&error)
        }
        (answer, again) => {
            prop_assert!(false, "{:?} and then {:?}", answer, again);
            Ok(())
        }
    }
}

fn objects_hold(preview: &Preview) -> Result<(), TestCaseError> {
    let objects: Vec<Value> = serde_saphyr::from_multiple(&preview.yaml)
        .map_err(|error| TestCaseError::fail(format!("what is shown is no YAML: {error}")))?;
    for object in objects.iter().filter(|object| !object.is_null()) {
        for field in ["/apiVersion", "/kind", "/metadata/name"] {
            prop_assert!(object.pointer(field).is_some_and(Value::is_string), "no {} in {}", field, object);
        }
    }
    Ok(())
}

fn refusal_holds(error: &PreviewError) -> Result<(), TestCaseError> {
    if let PreviewError::Invalid { findings, .. } = error {
        prop_assert!(!findings.is_empty());
        for finding in findings {
            let named = ["spec", "metadata"].iter().any(|field| finding.starts_with(field));
            prop_assert!(named, "names no field: {}", finding);
        }
    }
    Ok(())
}

/// What the schema accepts becomes our types and comes back whole.
fn round_trip(stored: &Value) -> Result<StreamingPlatform, TestCaseError> {
    let read: StreamingPlatform = serde_json::from_value(stored.clone())
        .map_err(|error| TestCaseError::fail(format!("is accepted and can't be read: {error}")))?;
    let written = serde_json::to_value(&read).expect("what the test itself wrote");
    prop_assert_eq!(lost(&stored["spec"], &written["spec"], are_one_duration), Vec::<String>::new());
    let again: StreamingPlatform =
        serde_json::from_value(written.clone()).expect("what the test itself wrote");
    let again = serde_json::to_value(&again).expect("what the test itself wrote");
    prop_assert_eq!(lost(&written, &again, are_one_duration), Vec::<String>::new());
    prop_assert_eq!(lost(&again, &written, are_one_duration), Vec::<String>::new());
    Ok(read)
}

/// `1m` is `60s`. They are read by way of `f64`, so that the longest lose their last digits.
fn are_one_duration(text: &str, other: &str) -> bool {
    let parsed = |text: &str| text.parse::<kube::core::Duration>().map(Duration::from).ok();
    let (Some(one), Some(other)) = (parsed(text), parsed(other)) else {
        return false;
    };
    (one.as_secs_f64() - other.as_secs_f64()).abs() <= one.as_secs_f64() * 1e-12 + 1e-6
}

#[test]
fn every_stored_platform_is_read_and_nothing_of_it_is_lost() {
    for (file, platform) in STORED.iter() {
        round_trip(platform).unwrap_or_else(|error| panic!("{file}: {error}"));
    }
}

proptest! {
    #![proptest_config(cases(192))]

    #[test]
    fn a_broken_manifest_is_planned_or_refused_by_field(manifest in broken(stored(), 3)) {
        judge(&manifest)?;
    }

    #[test]
    fn a_damaged_file_is_planned_or_refused(
        file in text::damaged(prop::sample::select(stored()).prop_map(|it| serde_saphyr::to_string(&it).expect("what the test itself wrote"))),
    ) {
        let answer = preview("platform.yaml", &file, &settings());
        if let Err(error) = answer {
            refusal_holds(&error)?;
        }
    }

    #[test]
    fn what_the_schema_accepts_is_planned_or_refused_by_field(spec in accepted()) {
        judge(&platform(spec))?;
    }

    #[test]
    fn what_the_schema_accepts_is_read_and_nothing_of_it_is_lost(spec in accepted()) {
        round_trip(&platform(spec))?;
    }

    #[test]
    fn a_field_of_a_later_release_changes_nothing(spec in accepted(), at in any::<Index>()) {
        let read = round_trip(&platform(spec.clone()))?;
        let later = with_unknown_field(&spec, &at, &SPEC_SCHEMA);
        let later: StreamingPlatform = serde_json::from_value(platform(later))
            .map_err(|error| TestCaseError::fail(format!("a field that nobody knows: {error}")))?;
        prop_assert_eq!(later, read);
    }
}
