use bowline_prompt::{front_matter_schema, project_schema};

use crate::cli::{self, SchemaOf};
use crate::failure::Result;
use crate::output::json;

/// Prints a JSON Schema.
///
/// # Errors
/// The schema cannot be written as JSON.
pub(crate) fn run(schema: &cli::Schema) -> Result<()> {
    match schema.of {
        SchemaOf::Project => json(&project_schema()),
        SchemaOf::Prompt => json(&front_matter_schema()),
    }
}
