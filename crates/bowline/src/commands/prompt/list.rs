use bowline_prompt::CheckedPrompt;
use bowline_types::{Digest, ModelAlias, PromptName};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::cli::Global;
use crate::failure::Result;
use crate::output::{Format, Table, json, note};
use crate::project;
use crate::wording::{count, plural};

/// A prompt as `--output json` prints it.
#[derive(Serialize)]
struct Row<'a> {
    name: &'a PromptName,
    version: Digest,
    model: &'a ModelAlias,
    inputs: Vec<Input<'a>>,
    owners: &'a [String],
    files: &'a [String],
}

/// A variable that applications send.
#[derive(Serialize)]
struct Input<'a> {
    name: &'a str,
    required: bool,
}

/// Lists the prompts of the working tree.
///
/// # Errors
/// There is no project.
pub(crate) fn run(global: &Global) -> Result<()> {
    let loaded = project::load(global.dir.as_deref())?;
    let rows: Vec<Row<'_>> = loaded.report.prompts.iter().map(row).collect();
    match global.output {
        Format::Json => json(&rows)?,
        Format::Text => {
            let mut table = Table::new(&["prompt", "version", "model", "inputs", "owners"]);
            for Row { name, version, model, inputs, owners, .. } in &rows {
                let inputs: Vec<String> = inputs.iter().map(Input::word).collect();
                table.row([name.to_string(), version.short(), model.to_string(), inputs.join(" "), owners.join(" ")]);
            }
            table.print("the project has no prompts without errors");
        }
    }
    let broken = loaded.report.prompt_count.saturating_sub(rows.len());
    if broken > 0 {
        let (prompts, verb) = (count(broken, "prompt"), plural(broken, "has", "have"));
        note(format!("{prompts} not shown {verb} errors\nhint: `bowline check` shows them"));
    }
    Ok(())
}

fn row(prompt: &CheckedPrompt) -> Row<'_> {
    let version = &prompt.version;
    Row {
        name: &prompt.name,
        version: prompt.digest,
        model: &version.model.alias,
        inputs: version.input.schema.as_ref().map(|schema| inputs(schema, &version.input.default)).unwrap_or_default(),
        owners: &prompt.fields.owners,
        files: &prompt.files,
    }
}

fn inputs<'a>(schema: &'a Value, defaults: &Map<String, Value>) -> Vec<Input<'a>> {
    let required: Vec<&str> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let input = |(name, _): (&'a String, _)| Input {
        name,
        required: required.contains(&name.as_str()) && !defaults.contains_key(name),
    };
    properties.map(input).collect()
}

// === impl Input ===

impl Input<'_> {
    /// Writes the variable as Picoschema does: with a question mark where it may be left out.
    fn word(&self) -> String {
        if self.required { self.name.to_owned() } else { format!("{}?", self.name) }
    }
}
