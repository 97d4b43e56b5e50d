//! `bowline prompt`.

pub(crate) mod diff;
pub(crate) mod list;
pub(crate) mod render;

use bowline_prompt::{CheckedPrompt, PromptFile};
use bowline_types::{PromptName, closest};

use crate::failure::{Failure, Result};
use crate::project::Loaded;

/// Returns a prompt of the working tree.
///
/// # Errors
/// There is none of this name, or it has errors.
pub(crate) fn find<'a>(loaded: &'a Loaded, name: &PromptName) -> Result<&'a CheckedPrompt> {
    if let Some(prompt) = loaded.report.prompt(name) {
        return Ok(prompt);
    }
    let is_file = |file: &str| {
        PromptFile::from_path(file)
            .filter(|prompt| !prompt.partial)
            .is_some_and(|prompt| full_name(&prompt) == name.as_str())
    };
    if loaded.report.diagnostics.iter().any(|diagnostic| is_file(&diagnostic.file)) {
        return Err(Failure::user(format!("the prompt `{name}` has errors\nhint: `bowline check` shows them")));
    }
    let near = closest(name.as_str(), loaded.report.prompts.iter().map(|prompt| prompt.name.as_str()));
    let hint = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`bowline prompt list` shows the prompts of the working tree".to_owned(),
    };
    Err(Failure::user(format!("there is no prompt `{name}` in the working tree\nhint: {hint}")))
}

/// Returns the name by which a file is called: with its variant, where it is one.
fn full_name(file: &PromptFile) -> String {
    file.variant.as_ref().map_or_else(|| file.name.clone(), |variant| format!("{}.{variant}", file.name))
}
