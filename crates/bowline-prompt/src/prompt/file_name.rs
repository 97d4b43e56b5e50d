//! What the path of a prompt file says about it.

/// The folder of a project that holds its prompts.
const FOLDER: &str = "prompts/";
const SUFFIX: &str = ".prompt";

/// The name of a prompt file, from its path: `prompts/support/answer.short.prompt` is the variant `short` of
/// `support/answer`, and `prompts/support/_tone.prompt` is the partial `support/tone`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PromptFile {
    /// The path below `prompts/` without the suffix, the variant and the underscore of a partial.
    pub name: String,
    /// The variant, if the file is one.
    pub variant: Option<String>,
    /// Whether other prompts include it and nobody calls it.
    pub partial: bool,
}

// === impl PromptFile ===

impl PromptFile {
    /// Reads a project-relative path; `None` if it is no prompt file of the project.
    #[must_use]
    pub fn from_path(path: &str) -> Option<Self> {
        let stem = path.strip_prefix(FOLDER)?.strip_suffix(SUFFIX)?;
        let (folder, file) = match stem.rsplit_once('/') {
            Some((folder, file)) => (Some(folder), file),
            None => (None, stem),
        };
        let (file, partial) = match file.strip_prefix('_') {
            Some(rest) => (rest, true),
            None => (file, false),
        };
        let (file, variant) = match file.split_once('.') {
            Some((name, variant)) => (name, Some(variant)),
            None => (file, None),
        };
        if file.is_empty() || variant == Some("") {
            return None;
        }
        let name = folder.map_or_else(|| file.to_owned(), |folder| format!("{folder}/{file}"));
        Some(Self { name, variant: variant.map(str::to_owned), partial })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_prompts_variants_and_partials() {
        let check = |path: &str, expected: Option<(&str, Option<&str>, bool)>| {
            let expected = expected.map(|(name, variant, partial)| PromptFile {
                name: name.to_owned(),
                variant: variant.map(str::to_owned),
                partial,
            });
            assert_eq!(PromptFile::from_path(path), expected, "{path}");
        };
        check("prompts/a.prompt", Some(("a", None, false)));
        check("prompts/support/answer.short.prompt", Some(("support/answer", Some("short"), false)));
        check("prompts/support/_tone.prompt", Some(("support/tone", None, true)));
        check("prompts/_tone.prompt", Some(("tone", None, true)));
        check("prompts/.prompt", None);
        check("prompts/a..prompt", None);
        check("prompts/a.txt", None);
        check("evals/a.prompt", None);
    }
}
