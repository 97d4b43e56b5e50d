//! Schemas of texts that the domain has types for.

use schemars::{Schema, SchemaGenerator, json_schema};

/// The names of projects, environments and providers (`bowline_types::ProjectName`).
pub(crate) fn segment(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[a-z0-9][a-z0-9._-]*$" })
}

/// A list of such names.
pub(crate) fn segments(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "minItems": 1, "maxItems": 16, "items": segment(generator) })
}

/// The names of prompts (`bowline_types::PromptName`).
pub(crate) fn path(_: &mut SchemaGenerator) -> Schema {
    let pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$";
    json_schema!({ "type": "string", "minLength": 1, "maxLength": 200, "pattern": pattern })
}

/// A digest (`bowline_types::Digest`).
pub(crate) fn digest(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "maxLength": 71, "pattern": "^sha256:[0-9a-f]{64}$" })
}

/// A digest, or nothing.
pub(crate) fn digest_option(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "maxLength": 71, "pattern": "^sha256:[0-9a-f]{64}$", "nullable": true })
}

/// A duration (`bowline_types::parse_duration`). Six digits, as CEL counts nanoseconds in 64 bits and 999999h still fit.
pub(crate) fn duration(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "maxLength": 8, "pattern": "^[0-9]{1,6}(ms|s|m|h|d)$" })
}

/// A sentence for people, as long as the message of a condition may be.
pub(crate) fn sentence(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "maxLength": 32768 })
}

/// A word of the control role: an id, a state, a number as text.
pub(crate) fn word(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "maxLength": 512 })
}

/// The name of an object of Kubernetes: a DNS subdomain.
pub(crate) fn object(_: &mut SchemaGenerator) -> Schema {
    let pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
    json_schema!({ "type": "string", "minLength": 1, "maxLength": 253, "pattern": pattern })
}
