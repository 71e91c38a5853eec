//! Seeking values in texts, in every form that they take on the way.

use super::SecretValue;
use aho_corasick::AhoCorasick;
use anyhow::Result;
use base64::{Engine, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use std::collections::{BTreeMap, BTreeSet};

/// Shorter values are found everywhere by chance.
const SHORTEST: usize = 8;

/// Keys whose values are no secret, with the reason.
const PUBLIC: [(&str, &str); 12] = [
    ("host", "an address of the cluster or of AWS"),
    ("port", "a number"),
    ("dbname", "the name of a database"),
    ("username", "the name of a login"),
    ("accessKeyID", "AWS names it in every presigned URL"),
    ("ca.crt", "a certificate"),
    ("ca", "a certificate"),
    ("tls.crt", "a certificate"),
    ("auth-extra-groups", "names of groups, of a bootstrap token"),
    ("description", "of a bootstrap token"),
    ("expiration", "of a bootstrap token"),
    ("release", "Helm's record of the chart's manifests"),
];

/// The values that are sought, by every form of each.
pub struct Search {
    automaton: AhoCorasick,
    /// Of each pattern: which value in which form.
    forms: Vec<(usize, &'static str)>,
    values: Vec<SecretValue>,
}

impl Search {
    /// Seeks those of the values that are secrets.
    ///
    /// # Errors
    /// When there are more patterns than fit in memory.
    pub fn new(values: BTreeSet<SecretValue>) -> Result<Self> {
        let is_public = |value: &SecretValue| PUBLIC.iter().any(|(key, _)| value.key == *key);
        let mut patterns: BTreeMap<Vec<u8>, (usize, &'static str)> = BTreeMap::new();
        let mut sought = Vec::new();
        for value in values.into_iter().filter(|value| !is_public(value)) {
            let Ok(raw) = STANDARD.decode(&value.base64) else { continue };
            if raw.len() < SHORTEST {
                continue;
            }
            for (form, pattern) in forms(&raw) {
                patterns.entry(pattern).or_insert((sought.len(), form));
            }
            sought.push(value);
        }
        let (patterns, forms): (Vec<_>, Vec<_>) = patterns.into_iter().unzip();
        Ok(Self { automaton: AhoCorasick::new(patterns)?, forms, values: sought })
    }

    /// How many values are sought.
    #[must_use]
    pub fn sought(&self) -> usize {
        self.values.len()
    }

    /// Values in a text, each with its form. The value itself is not told.
    #[must_use]
    pub fn find(&self, text: &[u8]) -> BTreeSet<String> {
        self.automaton
            .find_overlapping_iter(text)
            .map(|found| {
                let (value, form) = self.forms[found.pattern().as_usize()];
                let SecretValue { secret, key, .. } = &self.values[value];
                format!("Secret {secret}, key {key}, {form}")
            })
            .collect()
    }
}

fn forms(raw: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut forms = vec![("as it is", raw.to_vec())];
    let percent = percent_encode(raw, NON_ALPHANUMERIC).to_string();
    forms.push(("in a URL", percent.replace("%20", "+").into_bytes()));
    // What many encoders leave as it is.
    forms
        .push(("in a URL", percent.replace("%2D", "-").replace("%5F", "_").replace("%2E", ".").into_bytes()));
    forms.push(("in a URL", percent.to_lowercase().into_bytes()));
    forms.push(("in a URL", percent.into_bytes()));
    if let Ok(text) = std::str::from_utf8(raw) {
        let json = in_json(text);
        forms.push(("in JSON in JSON", in_json(&json).into_bytes()));
        forms.push(("in JSON", json.replace('/', "\\/").into_bytes()));
        forms.push(("in JSON", json.into_bytes()));
    }
    let hexadecimal: String = raw.iter().map(|byte| format!("{byte:02x}")).collect();
    forms.push(("in hexadecimal", hexadecimal.into_bytes()));
    for before in 0..3 {
        for engine in [&STANDARD, &URL_SAFE] {
            forms.push(("in base64", base64_within(engine, raw, before)));
        }
    }
    forms.retain(|(_, pattern)| pattern.len() >= SHORTEST);
    forms
}

/// A text as it stands between the quotes of a string.
fn in_json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// The characters of a base64 text that tell of the value alone, where so many bytes (modulo 3) stand before it.
fn base64_within(engine: &impl Engine, raw: &[u8], before: usize) -> Vec<u8> {
    let padded = [vec![0; before], raw.to_vec()].concat();
    let encoded = engine.encode(&padded).trim_end_matches('=').to_owned();
    let begin = [0, 2, 3][before];
    // A last character that holds bits of the next byte is left out.
    let whole = padded.len() * 8 / 6;
    encoded.as_bytes()[begin..whole].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWORD: &str = "pa ss/w\"örd+7";

    fn value(key: &str, raw: &str) -> SecretValue {
        SecretValue { secret: "media/tv".into(), key: key.into(), base64: STANDARD.encode(raw) }
    }

    fn search() -> Search {
        Search::new(
            [value("password", PASSWORD), value("username", "streaming"), value("pin", "1234567")].into(),
        )
        .unwrap()
    }

    #[test]
    fn a_value_is_found_in_every_form_and_never_told() {
        let json = serde_json::json!({ "uri": format!("redis://:{PASSWORD}@host") });
        let within = |before: &str| STANDARD.encode(format!("{before}{PASSWORD}@host"));
        for text in [
            format!("password={PASSWORD};"),
            json.to_string(),
            serde_json::json!({ "body": json.to_string() }).to_string(),
            format!("redis://:{}@host", percent_encode(PASSWORD.as_bytes(), NON_ALPHANUMERIC)),
            "pa+ss%2Fw%22%C3%B6rd%2B7".to_owned(),
            "pa%20ss%2fw%22%c3%b6rd%2b7".to_owned(),
            within(""),
            within("u:"),
            within("u"),
        ] {
            let found = search().find(text.as_bytes());
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert!(found.iter().all(|it| it.starts_with("Secret media/tv, key password, ")));
            assert!(!found.iter().any(|it| it.contains(PASSWORD)));
        }
    }

    #[test]
    fn what_is_public_or_too_short_is_not_sought() {
        let search = search();
        assert_eq!(search.sought(), 1);
        assert_eq!(search.find(b"streaming 1234567 pa ss"), BTreeSet::new());
    }
}
