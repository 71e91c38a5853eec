//! A DB subnet group that the operator makes of the spec's subnets.

use super::Call;
use crate::platform::Platform;
use std::collections::{BTreeMap, BTreeSet};

/// A subnet group as RDS describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubnetGroup {
    /// Its name.
    pub name: String,
    /// Its subnets.
    pub subnets: BTreeSet<String>,
}

/// Name of the platform's group.
#[must_use]
pub fn name(platform: &Platform) -> String {
    platform.aws_identifier("database", 255)
}

/// The call that brings a group to the wanted subnets.
#[must_use]
pub fn call(
    name: &str,
    wanted: &BTreeSet<String>,
    tags: BTreeMap<String, String>,
    observed: Option<&SubnetGroup>,
) -> Option<Call> {
    match observed {
        None => Some(Call::CreateSubnetGroup { name: name.to_owned(), subnets: wanted.clone(), tags }),
        Some(group) if group.subnets != *wanted => {
            Some(Call::ModifySubnetGroup { name: name.to_owned(), subnets: wanted.clone() })
        }
        Some(_) => None,
    }
}
