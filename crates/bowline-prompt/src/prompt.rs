//! One `.prompt` file: YAML front matter and a Handlebars body.

mod check;
mod file_name;
mod front_matter;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

pub use check::{CheckContext, check_partial, check_prompt};
pub use file_name::PromptFile;

use crate::diagnostic::{Diagnostic, Position, Span};
use crate::picoschema::{self, Resolver};
use crate::yaml::{self, Key, Node};

/// A parsed `.prompt` file. Every value from the front matter keeps its place.
#[derive(Clone, Debug, PartialEq)]
pub struct ParsedPrompt {
    /// The project-relative path, as diagnostics name it.
    pub file: String,
    /// `name`, where the file states one.
    pub name: Option<Spanned<String>>,
    /// `variant`, where the file states one.
    pub variant: Option<Spanned<String>>,
    /// `version`, where the file states one.
    pub version: Option<Spanned<String>>,
    /// `description`.
    pub description: Option<Spanned<String>>,
    /// `model`: the alias of the model.
    pub model: Option<Spanned<String>>,
    /// `tools`: names of tools that are defined elsewhere.
    pub tools: Vec<Spanned<String>>,
    /// `toolDefs`: tools that are defined here.
    pub tool_definitions: Vec<ToolDefinition>,
    /// `config`: parameters of the model call.
    pub config: Option<Node>,
    /// `input`.
    pub input: InputSection,
    /// `output`.
    pub output: OutputSection,
    /// `metadata`: free values for the reader.
    pub metadata: Option<Node>,
    /// Namespaced fields by namespace: `a.b.c: 1` is the field `c` of the namespace `a.b`.
    pub extensions: Vec<Extension>,
    /// The front matter as it stands, with what is not known here; null if there is none.
    pub raw: Node,
    /// The Handlebars template, with `\n` line ends.
    pub body: String,
    /// Where the body starts in the file.
    pub body_start: Position,
}

/// A value and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it stands in the file.
    pub span: Span,
}

/// `input` of a prompt.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InputSection {
    /// Values of variables that a caller leaves out.
    pub default: Option<Node>,
    /// Picoschema or JSON Schema of the variables.
    pub schema: Option<Node>,
}

/// `output` of a prompt.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OutputSection {
    /// `json`, `text` or another format of the answer.
    pub format: Option<Spanned<String>>,
    /// Picoschema or JSON Schema of the answer.
    pub schema: Option<Node>,
}

/// One tool of `toolDefs`.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolDefinition {
    /// The name by which a model calls it.
    pub name: Spanned<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Picoschema or JSON Schema of its arguments.
    pub input_schema: Option<Node>,
    /// Picoschema or JSON Schema of its result.
    pub output_schema: Option<Node>,
}

/// One namespaced field of the front matter.
#[derive(Clone, Debug, PartialEq)]
pub struct Extension {
    /// What stands before the last dot.
    pub namespace: String,
    /// What stands behind the last dot.
    pub field: String,
    /// The whole key and its place.
    pub key: Key,
    /// The value.
    pub value: Node,
}

// === impl ParsedPrompt ===

impl ParsedPrompt {
    /// Reads the text of `file`.
    ///
    /// # Errors
    /// Everything in the front matter that is not Dotprompt, each at its place. The body is not looked at here;
    /// [`check_prompt`] and [`crate::CompiledTemplate::compile`] do that.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<Diagnostic>> {
        let split = front_matter::split(file, text).map_err(|diagnostic| vec![diagnostic])?;
        let raw = yaml::parse(file, &split.front_matter, split.front_matter_line - 1);
        let raw = raw.map_err(|diagnostic| vec![diagnostic])?;
        front_matter::read(file, raw, split.body, split.body_start)
    }

    /// Returns the fields of `namespace`, such as `bowline`, in the order of the file.
    pub fn namespace(&self, namespace: &str) -> impl Iterator<Item = &Extension> {
        self.extensions.iter().filter(move |extension| extension.namespace == namespace)
    }

    /// Returns `input.default` as JSON, empty if there is none.
    #[must_use]
    pub fn defaults(&self) -> Map<String, Value> {
        match self.input.default.as_ref().map(Node::to_json) {
            Some(Value::Object(defaults)) => defaults,
            _ => Map::new(),
        }
    }

    /// Returns the JSON Schema of the variables, if the file declares them.
    ///
    /// # Errors
    /// What is neither Picoschema nor JSON Schema, at its place.
    pub fn input_schema(&self, named: &Resolver<'_>) -> Result<Option<Value>, Diagnostic> {
        let schema = self.input.schema.as_ref();
        schema.map_or(Ok(None), |schema| picoschema::compile(&self.file, schema, named))
    }

    /// Returns the JSON Schema of the answer, if the file declares it.
    ///
    /// # Errors
    /// What is neither Picoschema nor JSON Schema, at its place.
    pub fn output_schema(&self, named: &Resolver<'_>) -> Result<Option<Value>, Diagnostic> {
        let schema = self.output.schema.as_ref();
        schema.map_or(Ok(None), |schema| picoschema::compile(&self.file, schema, named))
    }
}
