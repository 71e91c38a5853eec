//! Documents that a CRD's schema accepts.

use crate::text;
use proptest::{collection::vec, prelude::*, string::string_regex};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Fewer than one in five fields that may be left out are there, so that a document stays small.
const OPTIONAL: f64 = 0.18;
/// Entries of a list or map.
const MOST_ENTRIES: usize = 3;

/// Values that the schema accepts, as far as it says so by types, bounds, choices and patterns. CEL rules are
/// not looked at.
pub fn values(schema: &Value) -> BoxedStrategy<Value> {
    if let Some(choices) = schema["enum"].as_array() {
        return prop::sample::select(choices.clone()).boxed();
    }
    if schema["x-kubernetes-int-or-string"] == true {
        return prop_oneof![(0..100_000_i64).prop_map(Value::from), Just(json!("100m")), Just(json!("1Gi"))]
            .boxed();
    }
    match schema["type"].as_str() {
        Some("object") => object(schema),
        Some("array") => array(schema),
        Some("string") => string(schema),
        Some("boolean") => any::<bool>().prop_map(Value::from).boxed(),
        Some("integer") => {
            let (least, most) = if schema["format"] == "int32" {
                (i64::from(i32::MIN), i64::from(i32::MAX))
            } else {
                (i64::MIN, i64::MAX)
            };
            let least = schema["minimum"].as_f64().map_or(least, |bound| bound as i64);
            let most = schema["maximum"].as_f64().map_or(most, |bound| bound as i64);
            prop_oneof![Just(least), Just(most), least..=most].prop_map(Value::from).boxed()
        }
        Some("number") => (-1e6..1e6).prop_map(Value::from).boxed(),
        _ => text::value().boxed(),
    }
}

fn object(schema: &Value) -> BoxedStrategy<Value> {
    if let Some(each) = schema.get("additionalProperties") {
        let entries = vec(("[a-z]{1,8}", values(each)), 0..=MOST_ENTRIES);
        return entries.prop_map(|entries| Value::Object(entries.into_iter().collect())).boxed();
    }
    let Some(properties) = schema["properties"].as_object() else {
        return prop_oneof![Just(json!({})), text::value().prop_map(|value| json!({ "metadata": value }))]
            .boxed();
    };
    let required: BTreeSet<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let fields: Vec<BoxedStrategy<Option<(String, Value)>>> = properties
        .iter()
        .map(|(name, schema)| {
            let name = name.clone();
            let required = required.contains(name.as_str());
            let field = values(schema).prop_map(move |value| (name.clone(), value));
            if required {
                field.prop_map(Some).boxed()
            } else {
                prop::option::weighted(OPTIONAL, field).boxed()
            }
        })
        .collect();
    fields.prop_map(|fields| Value::Object(fields.into_iter().flatten().collect::<Map<_, _>>())).boxed()
}

fn array(schema: &Value) -> BoxedStrategy<Value> {
    let most = schema["maxItems"].as_u64().map_or(MOST_ENTRIES, |most| MOST_ENTRIES.min(most as usize));
    let least = schema["minItems"].as_u64().map_or(0, |least| least as usize);
    let keys: Vec<String> = schema["x-kubernetes-list-map-keys"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|key| key.as_str().map(str::to_owned))
        .collect();
    vec(values(&schema["items"]), least..=most.max(least))
        .prop_map(move |mut elements| {
            let mut seen = BTreeSet::new();
            elements.retain(|element| {
                keys.is_empty()
                    || seen.insert(keys.iter().map(|key| element[key].to_string()).collect::<Vec<_>>())
            });
            Value::Array(elements)
        })
        .boxed()
}

fn string(schema: &Value) -> BoxedStrategy<Value> {
    let least = schema["minLength"].as_u64().unwrap_or(0);
    let most = schema["maxLength"].as_u64().unwrap_or(u64::MAX);
    let fits = move |text: &String| (least..=most).contains(&(text.chars().count() as u64));
    if schema["format"] == "date-time" {
        return (2000..2100, 1..=28_u8, 0..24_u8)
            .prop_map(|(year, day, hour)| format!("{year}-02-{day:02}T{hour:02}:59:00Z").into())
            .boxed();
    }
    if let Some(pattern) = schema["pattern"].as_str() {
        let pattern = pattern.trim_start_matches('^').trim_end_matches('$');
        let texts = string_regex(pattern).expect("the patterns of the CRD are regular expressions");
        return texts
            .prop_filter("of the length that the schema asks for", fits)
            .prop_map(Value::from)
            .boxed();
    }
    let plain =
        prop_oneof!["[a-z][a-z0-9-]{0,12}", Just("1h".to_owned()), Just("10Gi".to_owned()), text::string()];
    plain.prop_filter("of the length that the schema asks for", fits).prop_map(Value::from).boxed()
}
