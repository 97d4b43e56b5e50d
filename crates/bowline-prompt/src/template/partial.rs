//! Partials of a project: templates without front matter that prompts include.

use super::Unit;
use super::outline::Step;
use super::tag::TagError;

/// A partial, parsed once for the prompts that include it.
#[derive(Clone, Debug)]
pub struct Partial {
    file: String,
    source: String,
    unit: Result<Unit, TagError>,
}

// === impl Partial ===

impl Partial {
    /// Reads the text of `file`. That it is no template is told by [`crate::check_partial`].
    pub fn new(file: impl Into<String>, text: &str) -> Self {
        let source = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
        let unit = Unit::parse(&source);
        Self { file: file.into(), source, unit }
    }

    /// Returns the project-relative path.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Returns the template, with `\n` line ends.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    pub(crate) fn steps(&self) -> Result<&[Step], &TagError> {
        self.unit.as_ref().map(|unit| unit.steps.as_slice())
    }
}
