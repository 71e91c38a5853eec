//! A parameter group: the platform always has one of its own, so that its first parameter needs no other group
//! and no restart.

use super::Call;
use crate::platform::{
    Platform,
    database::{AwsDatabase, Engine},
};
use std::collections::BTreeMap;

/// Whose parameters a group holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupKind {
    /// Instances.
    #[default]
    Instance,
    /// Aurora clusters.
    Cluster,
}

/// A parameter group as RDS describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParameterGroup {
    /// Its name.
    pub name: String,
    /// Its parameters, with AWS's defaults; none: they were not read yet.
    pub parameters: Option<BTreeMap<String, Parameter>>,
}

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

/// What a group needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Calls {
    /// Calls.
    pub calls: Vec<Call>,
    /// Parameters that can't be set, each in a sentence.
    pub refused: Vec<String>,
}

/// Most parameters in one call.
const BATCH: usize = 20;

/// Family of the parameters, such as `postgres16`.
#[must_use]
pub fn family(database: &AwsDatabase) -> String {
    let engine = match database.engine {
        Engine::Instance { .. } => "postgres",
        Engine::Aurora { .. } => "aurora-postgresql",
    };
    format!("{engine}{}", database.major_version())
}

/// Of what kind the platform's group is.
#[must_use]
pub fn kind(database: &AwsDatabase) -> GroupKind {
    match database.engine {
        Engine::Instance { .. } => GroupKind::Instance,
        Engine::Aurora { .. } => GroupKind::Cluster,
    }
}

/// Name of the platform's group. Each major version has its own, as each has its own family.
#[must_use]
pub fn name(platform: &Platform, database: &AwsDatabase) -> String {
    platform.aws_identifier(&family(database), 255)
}

/// The calls that bring a group to the wanted parameters.
#[must_use]
pub fn calls(
    platform: &Platform,
    database: &AwsDatabase,
    tags: BTreeMap<String, String>,
    observed: Option<&ParameterGroup>,
) -> Calls {
    let (kind, name, family) = (kind(database), name(platform, database), family(database));
    let mut found = Calls::default();
    let Some(group) = observed else {
        found.calls.push(Call::CreateParameterGroup { kind, name, family, tags });
        return found;
    };
    let Some(there) = &group.parameters else { return found };
    let mut set = BTreeMap::new();
    for (parameter, value) in &database.parameters {
        let refuse = |why: String| format!("database.aws.parameters.{parameter}: {why}");
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
                set.insert(parameter.clone(), (value.clone(), known.is_static));
            }
            Some(_) => {}
        }
    }
    let reset = there
        .iter()
        .filter(|(parameter, known)| {
            known.is_set && known.is_modifiable && !database.parameters.contains_key(*parameter)
        })
        .map(|(parameter, known)| (parameter.clone(), known.is_static));
    let reset: BTreeMap<_, _> = reset.collect();
    for batch in batches(&set) {
        found.calls.push(Call::SetParameters { kind, name: name.clone(), parameters: batch });
    }
    for batch in batches(&reset) {
        found.calls.push(Call::ResetParameters { kind, name: name.clone(), parameters: batch });
    }
    found
}

fn batches<T: Clone>(all: &BTreeMap<String, T>) -> Vec<BTreeMap<String, T>> {
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
        Some((number(&choice[..at])?, number(&choice[at + 1..])?))
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
