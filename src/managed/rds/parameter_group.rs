//! A parameter group: the platform always has one of its own, so that its first parameter needs no other group
//! and no restart.

use super::Call;
pub use crate::managed::parameters::Parameter;
use crate::{
    managed::parameters::{Difference, batches, difference},
    platform::{
        Platform,
        database::{AwsDatabase, Engine},
    },
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

/// What a group needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Calls {
    /// Calls.
    pub calls: Vec<Call>,
    /// Parameters that can't be set, each in a sentence.
    pub refused: Vec<String>,
}

/// Family of the parameters, such as `postgres16`.
#[must_use]
pub fn family(database: &AwsDatabase) -> String {
    family_of(database, database.major_version())
}

fn family_of(database: &AwsDatabase, major: &str) -> String {
    let engine = match database.engine {
        Engine::Instance { .. } => "postgres",
        Engine::Aurora { .. } => "aurora-postgresql",
    };
    format!("{engine}{major}")
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

/// Whether a name is that of a group of the platform, of this or another major version.
#[must_use]
pub fn is_ours(platform: &Platform, database: &AwsDatabase, name: &str) -> bool {
    let major = name.strip_prefix(&platform.aws_identifier(&family_of(database, ""), 255));
    major.is_some_and(|major| major.parse::<u32>().is_ok())
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
    let Difference { set, reset, refused } =
        difference("database.aws.parameters", &family, &database.parameters, there);
    found.refused = refused;
    for batch in batches(&set) {
        found.calls.push(Call::SetParameters { kind, name: name.clone(), parameters: batch });
    }
    for batch in batches(&reset) {
        found.calls.push(Call::ResetParameters { kind, name: name.clone(), parameters: batch });
    }
    found
}
