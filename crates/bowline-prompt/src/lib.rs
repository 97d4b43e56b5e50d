//! Prompts as files: Dotprompt, strict checks, version closure and digest, the project file.
//!
//! Nothing here does IO: files come from a [`Source`], and what is wrong in them is a [`Diagnostic`] with its place.

mod diagnostic;
mod project;
mod source;
mod version;
pub mod yaml;

pub use diagnostic::{Diagnostic, Diagnostics, Position, Severity, Span, render as render_diagnostic};
pub use source::{MemorySource, Source};
pub use project::{
    BaseUrl, ContentCapture, EndpointOverride, Environment, EnvironmentSource, HttpUrl, Model, Otlp, Project, Provider,
    ProviderKind, RolloutPolicy, Target, Telemetry, UrlError,
};
pub use version::{
    ModelConfig, ModelIdentity, OutputFormat, Version, VersionInput, VersionModel, VersionOutput, VersionTool, canonical_json,
};
