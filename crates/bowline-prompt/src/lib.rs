//! Prompts as files: Dotprompt, strict checks, version closure and digest, the project file.
//!
//! Nothing here does IO: files come from a [`Source`], and what is wrong in them is a [`Diagnostic`] with its place.

mod check;
pub mod conformance;
mod contract;
mod diagnostic;
mod diff;
mod fields;
mod input_schema;
mod lock;
pub mod picoschema;
mod project;
mod prompt;
mod render;
mod schema_files;
mod source;
mod template;
mod version;
pub mod yaml;

pub use check::{CheckReport, CheckedPrompt, check};
pub use contract::check_contract;
pub use diagnostic::{Diagnostic, Diagnostics, Position, Severity, Span, render as render_diagnostic};
pub use diff::{DiffKind, DiffLine, DiffSection, VersionDiff};
pub use fields::{CelCheck, PromptFields};
pub use input_schema::{InputSchema, SchemaError, VariableError, compile_schema};
pub use lock::Lock;
pub use project::{
    BaseUrl, ContentCapture, EndpointOverride, Environment, EnvironmentSource, GatePolicy, HttpUrl, Model,
    OnInconclusive, Otlp, Project, Provider, ProviderKind, ReleasePolicy, RolloutPolicy, Target, Telemetry, UrlError,
};
pub use prompt::{
    CheckContext, Extension, InputSection, OutputSection, ParsedPrompt, PromptFile, Spanned, ToolDefinition,
    check_partial, check_prompt,
};
pub use render::{Media, Message, Part, Role, ToolRequest, ToolResponse};
pub use schema_files::{front_matter_schema, project_schema};
pub use source::{MemorySource, Source};
pub use template::{CompileError, CompiledTemplate, Missing, Partial, RenderError, RenderInput};
pub use version::{
    ModelConfig, ModelIdentity, OutputFormat, Version, VersionInput, VersionModel, VersionOutput, VersionTool,
    canonical_json,
};
