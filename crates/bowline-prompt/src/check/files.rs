//! Reads the files of a project.

use std::collections::BTreeMap;
use std::io;

use bowline_types::PromptName;

use crate::diagnostic::{Diagnostic, Diagnostics, Position, Span};
use crate::project::{Project, Reading};
use crate::prompt::PromptFile;
use crate::source::Source;
use crate::template::Partial;

/// The prompts and partials of a project.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// The prompts, by name.
    pub(super) prompts: Vec<PromptText>,
    /// How many prompts there are, those that cannot be read included.
    pub(super) prompt_count: usize,
    /// The partials, by name.
    pub(super) partials: BTreeMap<String, Partial>,
}

/// The text of a prompt.
#[derive(Debug)]
pub(super) struct PromptText {
    pub(super) name: PromptName,
    pub(super) file: String,
    pub(super) text: String,
}

/// Returns the paths of the project, sorted; `None`, and why, where they cannot be listed.
pub(super) fn list(source: &dyn Source, diagnostics: &mut Diagnostics) -> Option<Vec<String>> {
    match source.list() {
        Ok(mut paths) => {
            paths.sort_unstable();
            Some(paths)
        }
        Err(error) => {
            diagnostics.push(Diagnostic::error("io", ".", format!("the files cannot be listed: {error}")));
            None
        }
    }
}

/// Reads the project file.
pub(super) fn project(source: &dyn Source, paths: &[String], diagnostics: &mut Diagnostics) -> Reading {
    let mut reading = Reading { project: None, models: None, diagnostics: Diagnostics::new() };
    if !paths.iter().any(|path| path == Project::FILE) {
        let error = Diagnostic::error("project", Project::FILE, "there is no project file");
        diagnostics.push(error.hint("a project is a folder with a `bowline.yaml`; start it with `project: NAME`"));
    } else if let Some(text) = text(Project::FILE, source.read(Project::FILE), diagnostics) {
        reading = Reading::of(Project::FILE, &text);
        diagnostics.extend(std::mem::take(&mut reading.diagnostics));
    }
    reading
}

/// Returns the text of a file, or says why there is none.
pub(super) fn text(file: &str, bytes: io::Result<Vec<u8>>, diagnostics: &mut Diagnostics) -> Option<String> {
    let bytes = match bytes {
        Ok(bytes) => bytes,
        Err(error) => {
            diagnostics.push(Diagnostic::error("io", file, format!("the file cannot be read: {error}")));
            return None;
        }
    };
    match String::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) => {
            let offset = error.utf8_error().valid_up_to();
            let before = error.as_bytes().get(..offset).map(String::from_utf8_lossy).unwrap_or_default();
            let byte = error.as_bytes().get(offset).copied().unwrap_or_default();
            let place = Position::of_offset(&before, before.len());
            let message = format!("not UTF-8: the byte 0x{byte:02x} at offset {offset}");
            let error = Diagnostic::error("utf-8", file, message).at(Span::new(place, place));
            diagnostics.push(error.hint("save the file as UTF-8"));
            None
        }
    }
}

// === impl Files ===

impl Files {
    /// Reads every prompt and partial among `paths`.
    pub(super) fn read(source: &dyn Source, paths: &[String], diagnostics: &mut Diagnostics) -> Self {
        let mut files = Self::default();
        let mut folded: BTreeMap<String, &str> = BTreeMap::new();
        for path in paths.iter().filter(|path| path.starts_with("prompts/") && path.ends_with(".prompt")) {
            let name = |message: String| Diagnostic::error("name", path.as_str(), message);
            let Some(file) = PromptFile::from_path(path) else {
                diagnostics.push(name("the name of a prompt is empty".to_owned()));
                continue;
            };
            if let Some(other) = folded.insert(path.to_lowercase(), path) {
                let error = name(format!("differs from `{other}` in upper and lower case only"));
                diagnostics.push(error.hint("rename one: not every machine can hold both"));
            }
            files.prompt_count += usize::from(!file.partial);
            let Some(text) = text(path, source.read(path), diagnostics) else { continue };
            if file.partial {
                files.add_partial(file, path, &text, diagnostics);
                continue;
            }
            let full = file.variant.map_or_else(|| file.name.clone(), |variant| format!("{}.{variant}", file.name));
            match PromptName::new(&full) {
                Ok(name) => files.prompts.push(PromptText { name, file: path.clone(), text }),
                Err(error) => diagnostics.push(name(error.to_string())),
            }
        }
        files.prompts.sort_by(|left, right| left.name.cmp(&right.name));
        files
    }

    fn add_partial(&mut self, file: PromptFile, path: &str, text: &str, diagnostics: &mut Diagnostics) {
        if let Some(variant) = &file.variant {
            let error =
                Diagnostic::error("name", path, format!("a partial has no variants, and this is one: `{variant}`"));
            diagnostics.push(error.hint("name it without a dot, and let a prompt include the one it needs"));
            return;
        }
        self.partials.insert(file.name, Partial::new(path, text));
    }
}
