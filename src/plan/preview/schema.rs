//! Structural validation as the API server does it, for manifests that meet no API server.

use serde_json::Value;

/// Checks a value against a schema of OpenAPI v3, as far as CRDs use it. CEL rules are [`crate::validate`]'s.
pub(super) fn check(path: &str, value: &Value, schema: &Value, findings: &mut Vec<String>) {
    let before = findings.len();
    let mut wrong = |message: String| findings.push(format!("{path}: {message}"));
    match (schema["type"].as_str(), value) {
        (_, Value::Null) if schema["nullable"] == true => return,
        (Some("object"), Value::Object(_)) | (Some("array"), Value::Array(_)) | (None, _) => {}
        (Some("string"), Value::String(text)) => string(text, schema, &mut wrong),
        (Some("boolean"), Value::Bool(_)) => {}
        (Some("integer"), Value::Number(number)) if number.is_i64() => {
            range(number.as_f64(), schema, &mut wrong);
        }
        (Some("number"), Value::Number(number)) => range(number.as_f64(), schema, &mut wrong),
        (Some(expected), _) => {
            let article = if expected.starts_with(['a', 'i', 'o']) { "an" } else { "a" };
            wrong(format!("must be {article} {expected}"));
        }
    }
    if findings.len() > before {
        return;
    }
    match value {
        Value::Object(fields) => object(path, fields, schema, findings),
        Value::Array(elements) => {
            if schema["maxItems"].as_u64().is_some_and(|most| elements.len() as u64 > most) {
                findings.push(format!("{path}: must have at most {} entries", schema["maxItems"]));
            }
            for (index, element) in elements.iter().enumerate() {
                check(&format!("{path}[{index}]"), element, &schema["items"], findings);
            }
        }
        _ => {}
    }
}

fn object(path: &str, fields: &serde_json::Map<String, Value>, schema: &Value, findings: &mut Vec<String>) {
    for field in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(field) {
            findings.push(format!("{path}.{field}: is required"));
        }
    }
    if schema["maxProperties"].as_u64().is_some_and(|most| fields.len() as u64 > most) {
        findings.push(format!("{path}: must have at most {} entries", schema["maxProperties"]));
    }
    for (field, value) in fields {
        let known = schema["properties"].get(field).or_else(|| schema.get("additionalProperties"));
        match known {
            Some(known) => check(&format!("{path}.{field}"), value, known, findings),
            None if schema["x-kubernetes-preserve-unknown-fields"] == true => {}
            None => findings.push(format!("{path}.{field}: there is no such field")),
        }
    }
}

fn string(text: &str, schema: &Value, wrong: &mut impl FnMut(String)) {
    if let Some(choices) = schema["enum"].as_array()
        && !choices.iter().any(|choice| choice == text)
    {
        let choices: Vec<_> = choices.iter().filter_map(Value::as_str).collect();
        wrong(format!("must be one of {}", choices.join(", ")));
    }
    let length = text.chars().count() as u64;
    if schema["minLength"].as_u64().is_some_and(|least| length < least) {
        wrong(format!("must have at least {} characters", schema["minLength"]));
    }
    if schema["maxLength"].as_u64().is_some_and(|most| length > most) {
        wrong(format!("must have at most {} characters", schema["maxLength"]));
    }
    if let Some(pattern) = schema["pattern"].as_str()
        && regex_lite::Regex::new(pattern).is_ok_and(|regex| !regex.is_match(text))
    {
        wrong(format!("must match {pattern}"));
    }
}

fn range(number: Option<f64>, schema: &Value, wrong: &mut impl FnMut(String)) {
    let Some(number) = number else { return };
    if schema["minimum"].as_f64().is_some_and(|least| number < least) {
        wrong(format!("must be at least {}", schema["minimum"]));
    }
    if schema["maximum"].as_f64().is_some_and(|most| number > most) {
        wrong(format!("must be at most {}", schema["maximum"]));
    }
}
