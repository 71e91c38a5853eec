//! A cache parameter group: the platform always has one of its own for each family.

use super::Call;
use crate::{
    managed::parameters::{self, Difference, Parameter, batches},
    platform::{AwsCache, Platform, cache::Nodes},
};
use std::collections::{BTreeMap, BTreeSet};

/// A parameter group as ElastiCache describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParameterGroup {
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

/// Family of the parameters, such as `valkey8`.
#[must_use]
pub fn family(cache: &AwsCache) -> String {
    match (cache.engine_name(), cache.major_version()) {
        ("redis", "6") => "redis6.x".to_owned(),
        (engine, major) => format!("{engine}{major}"),
    }
}

/// Name of the platform's group.
#[must_use]
pub fn name(platform: &Platform, cache: &AwsCache) -> String {
    format!("{}{}", prefix(platform), family(cache).replace('.', "-"))
}

/// What the names of the platform's groups, of one family each, begin with.
#[must_use]
pub fn prefix(platform: &Platform) -> String {
    platform.aws_identifier("cache-", 200)
}

/// The calls that bring a group to the wanted parameters.
#[must_use]
pub fn calls(
    platform: &Platform,
    cache: &AwsCache,
    nodes: &Nodes,
    tags: &BTreeMap<String, String>,
    observed: Option<&ParameterGroup>,
) -> Calls {
    let (name, family) = (name(platform, cache), family(cache));
    let Some(group) = observed else {
        let call = Call::CreateParameterGroup { name, family, tags: tags.clone() };
        return Calls { calls: vec![call], refused: Vec::new() };
    };
    let Some(there) = &group.parameters else { return Calls::default() };
    let mut wanted = nodes.parameters.clone();
    if nodes.shards.is_some() {
        wanted.insert("cluster-enabled".to_owned(), "yes".to_owned());
    }
    let Difference { set, reset, refused } =
        parameters::difference("cache.aws.parameters", &family, &wanted, there);
    let set = batches(&set).into_iter().map(|batch| Call::SetParameters {
        name: name.clone(),
        parameters: batch.into_iter().map(|(parameter, (value, _))| (parameter, value)).collect(),
    });
    let reset = batches(&reset).into_iter().map(|batch| Call::ResetParameters {
        name: name.clone(),
        parameters: batch.into_keys().collect::<BTreeSet<_>>(),
    });
    Calls { calls: set.chain(reset).collect(), refused }
}
