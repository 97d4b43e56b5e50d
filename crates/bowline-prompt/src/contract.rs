//! Whether running applications can live with a new version of a prompt.

mod compare;
mod place;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use bowline_types::{Digest, EnvironmentName};
use serde_json::Value;

use crate::diagnostic::{Diagnostic, Severity};
use crate::prompt::ParsedPrompt;
use crate::version::{OutputFormat, Version, VersionOutput};
use compare::{Comparison, Direction, Finding};

/// Returns what in `candidate`, which `prompt` compiles to, breaks applications that were written for `live`.
///
/// Applications still send what the input schema of `live` accepts, and still read what its output schema promises. So an
/// input may accept more, and an output may promise more, but not less: a new required input, a removed one that is refused
/// now, a narrower type, enum or bound of an input; a removed or no longer certain field, a wider type, enum or bound of an
/// output. Where two schemas cannot be compared, a warning says so.
#[must_use]
pub fn check_contract(
    prompt: &ParsedPrompt,
    candidate: &Version,
    live: &Version,
    live_digest: Digest,
    environment: &EnvironmentName,
) -> Vec<Diagnostic> {
    let against = Against { prompt, digest: live_digest, environment };
    let input = input_findings(candidate, live).into_iter().map(|finding| against.diagnostic("input", finding));
    let output = output_findings(&candidate.output, &live.output).into_iter();
    input.chain(output.map(|finding| against.diagnostic("output", finding))).collect()
}

fn input_findings(candidate: &Version, live: &Version) -> Vec<Finding> {
    let defaults: BTreeSet<String> = candidate.input.default.keys().cloned().collect();
    Comparison::run(Direction::Input, &live.input.accepted(), &candidate.input.accepted(), defaults)
}

fn output_findings(candidate: &VersionOutput, live: &VersionOutput) -> Vec<Finding> {
    let is_json = |output: &VersionOutput| output.schema.is_some() || output.format == Some(OutputFormat::Json);
    match (is_json(live), is_json(candidate)) {
        (true, false) => vec![Finding::whole("the answer was JSON and is text now")],
        (false, true) => vec![Finding::whole("the answer was text and is JSON now")],
        (false, false) => Vec::new(),
        (true, true) => match (&live.schema, &candidate.schema) {
            (None, _) => Vec::new(),
            (Some(_), None) => vec![Finding::whole("the output schema is gone, and with it what was promised")],
            (Some(live), Some(candidate)) => Comparison::run(Direction::Output, live, candidate, BTreeSet::new()),
        },
    }
}

/// What a candidate is compared with.
struct Against<'a> {
    prompt: &'a ParsedPrompt,
    digest: Digest,
    environment: &'a EnvironmentName,
}

// === impl Against ===

impl Against<'_> {
    fn diagnostic(&self, section: &'static str, finding: Finding) -> Diagnostic {
        let Finding { path, severity, label, hint } = finding;
        let with = format!("against {}, version {}…", self.environment, self.digest.short());
        let file = self.prompt.file.as_str();
        let diagnostic = match severity {
            Severity::Error => {
                Diagnostic::error("contract", file, format!("breaking for running applications ({with})"))
            }
            Severity::Warning => Diagnostic::warning(
                "contract",
                file,
                format!("cannot tell whether this breaks running applications ({with})"),
            ),
        };
        let diagnostic = diagnostic.at(place::of(self.prompt, section, &path)).label(label);
        let release = "release the application first and pin it with `@sha256:…`";
        match (severity, hint) {
            (Severity::Error, Some(hint)) => diagnostic.hint(format!("{hint}, or {release}")),
            (Severity::Error, None) => diagnostic.hint(release),
            (Severity::Warning, _) => {
                diagnostic.hint("compare the two schemas by hand: `bowline prompt diff` shows them")
            }
        }
    }
}

/// One step from a schema to a schema inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A property.
    Property(String),
    /// The items of an array.
    Items,
}

/// Returns the properties of an object schema.
fn properties(schema: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flatten().map(|(name, schema)| (name.as_str(), schema))
}
