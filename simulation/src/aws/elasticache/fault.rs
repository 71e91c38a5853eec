//! ElastiCache's errors that several operations share.

use crate::aws::fault::Fault;

pub(super) fn invalid_value(message: impl Into<String>) -> Fault {
    Fault::bad_request("InvalidParameterValue", message)
}

pub(super) fn combination(message: impl Into<String>) -> Fault {
    Fault::bad_request("InvalidParameterCombination", message)
}

/// Refuses an identifier that ElastiCache does not take: letters, digits and hyphens, at most `longest`,
/// the first a letter, no hyphen at its end, no two in a row. Answers it in the lower case that AWS stores.
pub(super) fn identifier(name: &str, value: &str, longest: usize) -> Result<String, Fault> {
    let fits = (1..=longest).contains(&value.len())
        && value.starts_with(|first: char| first.is_ascii_alphabetic())
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !value.ends_with('-')
        && !value.contains("--");
    if fits {
        return Ok(value.to_ascii_lowercase());
    }
    Err(invalid_value(format!(
        "The parameter {name} is not a valid identifier: {value:?}. Identifiers have 1 to {longest} letters, digits or hyphens, begin with a letter, and must not end with a hyphen or contain two consecutive hyphens."
    )))
}
