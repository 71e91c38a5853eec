//! Schemas that derive can't express.

use schemars::{Schema, SchemaGenerator, json_schema};

/// An object whose fields the API server keeps as they are: a fragment of a type of Kubernetes' own, which
/// Kubernetes checks when the operator applies the result.
pub(super) fn kubernetes_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// A positive duration as Kubernetes writes it, such as `90s`, `10m` or `1h30m`. Its digits are counted, for the parser of
/// [`kube::core::Duration`] panics at more than 2^64 s.
pub(super) fn duration(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 32,
        "pattern": r"^([0-9]{1,10}(\.[0-9]{1,9})?(ms|s|m|h)){1,4}$",
    })
}
