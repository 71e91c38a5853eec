//! Parameters of a server, as AWS keeps them in parameter groups: which to set, which to set back, and which
//! can't be.

use std::collections::BTreeMap;

/// A parameter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameter {
    /// Its value, where it has one.
    pub value: Option<String>,
    /// Whether someone set it: it is no default.
    pub is_set: bool,
    /// Whether it is only in force after a restart.
    pub is_static: bool,
    /// Whether AWS lets it be changed.
    pub is_modifiable: bool,
    /// The values that it may have, as AWS writes them.
    pub allowed: Option<String>,
}

/// How parameters differ from what they shall be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Those to set, and whether each is only in force after a restart.
    pub set: BTreeMap<String, (String, bool)>,
    /// Those to set back to AWS's default, likewise.
    pub reset: BTreeMap<String, bool>,
    /// Those that can't be set, each in a sentence.
    pub refused: Vec<String>,
}

/// How parameters of a group of that family differ from what is wanted. `field` is where the spec names them.
#[must_use]
pub fn difference(
    field: &str,
    family: &str,
    wanted: &BTreeMap<String, String>,
    there: &BTreeMap<String, Parameter>,
) -> Difference {
    let mut found = Difference::default();
    for (parameter, value) in wanted {
        let refuse = |why: String| format!("{field}.{parameter}: {why}");
        match there.get(parameter) {
            None => found.refused.push(refuse(format!("{family} has no such parameter; take it out"))),
            Some(known) if !known.is_modifiable => {
                found.refused.push(refuse("AWS does not let it be changed; take it out".to_owned()));
            }
            Some(known) if !admits(known.allowed.as_deref(), value) => {
                let allowed = known.allowed.as_deref().unwrap_or_default();
                found
                    .refused
                    .push(refuse(format!("{value:?} is not among the values that AWS admits: {allowed}")));
            }
            Some(known) if !is_met(value, known) => {
                found.set.insert(parameter.clone(), (value.clone(), known.is_static));
            }
            Some(_) => {}
        }
    }
    let is_surplus = |(parameter, known): &(&String, &Parameter)| {
        known.is_set && known.is_modifiable && !wanted.contains_key(*parameter)
    };
    let surplus = there.iter().filter(is_surplus);
    found.reset = surplus.map(|(parameter, known)| (parameter.clone(), known.is_static)).collect();
    found
}

/// Most parameters in one call.
const BATCH: usize = 20;

/// Parameters in parts that fit into a call each.
pub fn batches<T: Clone>(all: &BTreeMap<String, T>) -> Vec<BTreeMap<String, T>> {
    let entries: Vec<_> = all.iter().collect();
    entries
        .chunks(BATCH)
        .map(|chunk| chunk.iter().map(|(name, value)| ((*name).clone(), (*value).clone())).collect())
        .collect()
}

/// PostgreSQL takes `on`, `true` and `1` for the same.
fn is_met(wanted: &str, known: &Parameter) -> bool {
    let normal = |value: &str| match value.trim().to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" => "1".to_owned(),
        "off" | "false" | "no" => "0".to_owned(),
        other => other.to_owned(),
    };
    known.value.as_deref().is_some_and(|seen| seen == wanted || normal(seen) == normal(wanted))
}

/// Whether AWS admits a value. It writes choices as `a,b,c` and ranges as `1-100`; formulas such as
/// `{DBInstanceClassMemory/9531392}` it works out by itself.
fn admits(allowed: Option<&str>, value: &str) -> bool {
    let Some(allowed) = allowed.filter(|allowed| !allowed.is_empty()) else { return true };
    if value.contains('{') {
        return true;
    }
    let number = |text: &str| text.trim().parse::<f64>().ok();
    let range = |choice: &str| -> Option<(f64, f64)> {
        // The first number may be negative: `-1-2147483647`.
        let at = choice.char_indices().skip(1).find(|(_, c)| *c == '-')?.0;
        let most = &choice[at + 1..];
        Some((number(&choice[..at])?, if most.is_empty() { f64::INFINITY } else { number(most)? }))
    };
    let known = Parameter { value: None, ..Parameter::default() };
    allowed.split(',').map(str::trim).any(|choice| match (range(choice), number(value)) {
        (Some((low, high)), Some(value)) => (low..=high).contains(&value),
        (Some(_), None) => false,
        (None, _) => is_met(value, &Parameter { value: Some(choice.to_owned()), ..known.clone() }),
    }) || value.contains(',') && value.split(',').all(|one| admits(Some(allowed), one.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(Some("0,1"), "on", true)]
    #[case(Some("0,1"), "2", false)]
    #[case(Some("6-8388607"), "100", true)]
    #[case(Some("6-8388607"), "5", false)]
    #[case(Some("-1-2147483647"), "-1", true)]
    #[case(Some("-1-2147483647"), "-2", false)]
    #[case(Some("6-8388607"), "{DBInstanceClassMemory/9531392}", true)]
    #[case(Some("1-"), "70000", true)]
    #[case(Some("1-"), "0", false)]
    #[case(Some("none,ddl,mod,all"), "ddl", true)]
    #[case(Some("none,ddl,mod,all"), "everything", false)]
    #[case(Some("a,b,c"), "a, c", true)]
    #[case(None, "anything", true)]
    fn values_are_admitted_as_aws_writes_them(
        #[case] allowed: Option<&str>,
        #[case] value: &str,
        #[case] admitted: bool,
    ) {
        assert_eq!(admits(allowed, value), admitted);
    }
}
