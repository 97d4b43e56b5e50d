//! What is wrong in a project, as people read it.

use std::collections::BTreeSet;

use bowline_prompt::{Diagnostic, PromptFile, Severity, Source, render_diagnostic};

use crate::style::{Paint, Style};
use crate::wording::{count, joined};

/// Returns each finding with the line that it is about, one text per finding.
pub(crate) fn rendered<'a>(
    diagnostics: &'a [Diagnostic],
    source: &'a dyn Source,
    style: Style,
) -> impl Iterator<Item = String> + 'a {
    diagnostics.iter().map(move |diagnostic| {
        let bytes = source.read(&diagnostic.file).ok();
        let text = bytes.as_deref().map(String::from_utf8_lossy);
        coloured(&render_diagnostic(diagnostic, text.as_deref()), style)
    })
}

/// Colours the word that begins a line: what is wrong, and what to do.
fn coloured(text: &str, style: Style) -> String {
    const WORDS: [(&str, Paint); 3] = [("error:", Paint::Red), ("warning:", Paint::Yellow), ("hint:", Paint::Cyan)];
    let line = |line: &str| {
        let word = WORDS.iter().find_map(|(word, paint)| Some((word, paint, line.strip_prefix(word)?)));
        word.map_or_else(|| line.to_owned(), |(word, paint, rest)| style.paint(*paint, word) + rest)
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n") + "\n"
}

/// Returns how many findings are errors.
pub(crate) fn errors(diagnostics: &[Diagnostic]) -> usize {
    diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count()
}

/// Returns how much is wrong and where, in one line.
pub(crate) fn summary(diagnostics: &[Diagnostic], prompts: usize) -> String {
    let errors = errors(diagnostics);
    let warnings = diagnostics.len() - errors;
    if diagnostics.is_empty() {
        return format!("{}, nothing wrong", count(prompts, "prompt"));
    }
    let found = [(errors, "error"), (warnings, "warning")].into_iter().filter(|(number, _)| *number > 0);
    let found = joined(found.map(|(number, noun)| count(number, noun)));
    format!("{found} in {}", place(diagnostics, prompts))
}

fn place(diagnostics: &[Diagnostic], prompts: usize) -> String {
    let files: BTreeSet<&str> = diagnostics.iter().map(|diagnostic| diagnostic.file.as_str()).collect();
    let is_prompt = |file: &&&str| PromptFile::from_path(file).is_some_and(|prompt| !prompt.partial);
    let broken = files.iter().filter(is_prompt).count();
    let others: Vec<String> = files.iter().filter(|file| !is_prompt(file)).map(|file| (*file).to_owned()).collect();
    let others = if others.len() > 2 { vec![count(others.len(), "other file")] } else { others };
    let broken = (broken > 0).then(|| format!("{broken} of {}", count(prompts, "prompt")));
    joined(others.into_iter().chain(broken))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_say_how_much_and_where() {
        let check = |files: &[(&str, bool)], expected: &str| {
            let diagnostic = |&(file, error): &(&str, bool)| {
                let make = if error { Diagnostic::error } else { Diagnostic::warning };
                make("code", file, "message")
            };
            let diagnostics: Vec<Diagnostic> = files.iter().map(diagnostic).collect();
            assert_eq!(summary(&diagnostics, 7), expected);
        };
        let (a, b, partial, project) = ("prompts/a.prompt", "prompts/b.prompt", "prompts/_c.prompt", "bowline.yaml");
        check(&[], "7 prompts, nothing wrong");
        check(&[(a, true), (a, true)], "2 errors in 1 of 7 prompts");
        check(&[(a, true), (b, false)], "1 error and 1 warning in 2 of 7 prompts");
        check(&[(project, true), (a, true)], "2 errors in bowline.yaml and 1 of 7 prompts");
        check(&[(project, true), (partial, true)], "2 errors in bowline.yaml and prompts/_c.prompt");
        check(
            &[(project, true), (partial, true), ("x", false), (a, true)],
            "3 errors and 1 warning in 3 other files and 1 of 7 prompts",
        );
    }
}
