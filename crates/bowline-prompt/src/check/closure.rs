//! Makes the version of a prompt.

use std::collections::{BTreeMap, BTreeSet};

use bowline_types::ModelAlias;
use serde_json::{Map, Value};

use crate::diagnostic::{Diagnostic, Diagnostics, Span};
use crate::picoschema::{self, Resolver};
use crate::project::quoted;
use crate::prompt::ParsedPrompt;
use crate::template::{CompiledTemplate, Missing};
use crate::version::{
    ModelConfig, ModelIdentity, OutputFormat, Version, VersionInput, VersionModel, VersionOutput, VersionTool,
    inexact_integer,
};
use crate::yaml::{self, Node};

/// What the version of a prompt is made of.
pub(super) struct Closure<'a> {
    pub(super) parsed: &'a ParsedPrompt,
    /// The templates of all partials of the project, by name.
    pub(super) templates: &'a BTreeMap<String, String>,
    /// Finds schemas that prompts refer to by name.
    pub(super) schemas: &'a Resolver<'a>,
    /// What is behind the alias of the prompt; `None` where that is told elsewhere.
    pub(super) identities: Option<Vec<ModelIdentity>>,
}

// === impl Closure ===

impl Closure<'_> {
    /// Makes the version with the partials that the template reaches, or says everything that hinders it.
    pub(super) fn version(
        mut self,
        partials: Option<BTreeMap<String, String>>,
        found: &mut Diagnostics,
    ) -> Option<Version> {
        let config = self.config(found);
        let input = self.input(found);
        let output = self.output(found);
        let tools = self.tools(found);
        let model = self.model(found);
        Some(Version {
            schema_version: Version::SCHEMA,
            model: model?,
            config,
            input,
            output,
            tools,
            body: self.parsed.body.clone(),
            partials: partials?,
        })
    }

    /// Returns the partials that the template reaches; `None` where it does not compile, which the check of the prompt tells.
    pub(super) fn partials(&self) -> Option<BTreeMap<String, String>> {
        let template = CompiledTemplate::compile(&self.parsed.body, self.templates, Missing::Empty).ok()?;
        let text = |name: &String| self.templates.get_key_value(name).map(|(name, text)| (name.clone(), text.clone()));
        Some(template.partials().iter().filter_map(text).collect())
    }

    fn model(&mut self, found: &mut Diagnostics) -> Option<VersionModel> {
        let model = self.parsed.model.as_ref()?;
        match ModelAlias::new(&model.value) {
            Ok(alias) => self.identities.take().map(|identities| VersionModel { alias, identities }),
            Err(error) => {
                found.push(self.error("model", model.span, error.to_string()));
                None
            }
        }
    }

    fn config(&self, found: &mut Diagnostics) -> ModelConfig {
        let Some(node) = &self.parsed.config else { return ModelConfig::default() };
        let Some(config) = found.take(yaml::decode::<ModelConfig>(&self.parsed.file, node)) else {
            return ModelConfig::default();
        };
        for error in config.out_of_range() {
            let span = node.get(error.key).map_or(node.span, |node| node.span);
            found.push(self.error("config", span, error.to_string()));
        }
        config
    }

    fn input(&self, found: &mut Diagnostics) -> VersionInput {
        let default = match &self.parsed.input.default {
            Some(node) => {
                self.exact(node, found);
                self.parsed.defaults()
            }
            None => Map::new(),
        };
        VersionInput { schema: self.schema(self.parsed.input.schema.as_ref(), found), default }
    }

    fn output(&self, found: &mut Diagnostics) -> VersionOutput {
        let format = self.parsed.output.format.as_ref().and_then(|format| {
            let known = [OutputFormat::Text, OutputFormat::Json];
            let read = known.into_iter().find(|known| known.as_str() == format.value);
            if read.is_none() {
                let error = self.error("output", format.span, format!("unknown format `{}`", format.value));
                found.push(error.hint(format!("formats are {}", quoted(&known.map(OutputFormat::as_str)))));
            }
            read
        });
        let schema = self.schema(self.parsed.output.schema.as_ref(), found);
        if let (Some(OutputFormat::Text), Some(_), Some(place)) = (format, &schema, &self.parsed.output.format) {
            let error = self.error("output", place.span, "an answer of format `text` has no schema");
            found.push(error.hint("write `format: json`, or leave `schema` out"));
        }
        VersionOutput { format, schema }
    }

    fn tools(&self, found: &mut Diagnostics) -> Vec<VersionTool> {
        let definitions = &self.parsed.tool_definitions;
        let names: Vec<&str> = definitions.iter().map(|tool| tool.name.value.as_str()).collect();
        for tool in self.parsed.tools.iter().filter(|tool| !names.contains(&tool.value.as_str())) {
            let error = self
                .error("tool", tool.span, format!("tool `{}` is not defined", tool.value))
                .label("not in `toolDefs`");
            let near = bowline_types::closest(&tool.value, names.iter().copied());
            let hint = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => "define it under `toolDefs`, with a `name` and an `inputSchema`".to_owned(),
            };
            found.push(error.hint(hint));
        }
        let mut seen = BTreeSet::new();
        for tool in definitions {
            let name = &tool.name.value;
            let valid = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
            if name.is_empty() || name.len() > 64 || !valid {
                let message = format!("`{name}` is not a name of a tool: use letters, digits, `_` and `-`, at most 64");
                found.push(self.error("tool", tool.name.span, message));
            } else if !seen.insert(name.as_str()) {
                found.push(self.error("tool", tool.name.span, format!("tool `{name}` is defined twice")));
            }
        }
        let version = |tool: &crate::prompt::ToolDefinition, found: &mut Diagnostics| VersionTool {
            name: tool.name.value.clone(),
            description: tool.description.clone(),
            input: self.schema(tool.input_schema.as_ref(), found),
            output: self.schema(tool.output_schema.as_ref(), found),
        };
        definitions.iter().map(|tool| version(tool, found)).collect()
    }

    /// Returns the JSON Schema that stands at `node`; what is wrong with it is told elsewhere.
    fn schema(&self, node: Option<&Node>, found: &mut Diagnostics) -> Option<Value> {
        let node = node?;
        self.exact(node, found);
        picoschema::compile(&self.parsed.file, node, self.schemas).ok().flatten()
    }

    fn exact(&self, node: &Node, found: &mut Diagnostics) {
        if let Some(number) = inexact_integer(&node.to_json()) {
            let error = self.error("number", node.span, format!("the integer {number} is beyond ±(2^53 - 1)"));
            found.push(
                error.hint("not every program reads it as the same number; write it with fewer digits, or as text"),
            );
        }
    }

    fn error(&self, code: &'static str, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(code, self.parsed.file.as_str(), message).at(span)
    }
}
