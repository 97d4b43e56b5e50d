//! The suites of a project: which there are, and what is wrong in them.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bowline_eval::{Prompt, Suite};
use bowline_prompt::{Diagnostic, Source};
use bowline_types::closest;

use crate::failure::{Failure, Result};
use crate::project::{FolderSource, Loaded};

/// What files of suites end in: YAML, and JSON, which is some.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];
/// Where suites are, where nothing else is said.
const FOLDER: &str = "evals/";

/// The suites that were read, and everything that is wrong in them or odd.
pub(crate) struct Suites {
    /// Those without errors, in the order of their files.
    pub(crate) read: Vec<Suite>,
    /// What was found, ordered by file and place.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// Returns the files of the suites of a project: every YAML file in `evals/`, and those that prompts name.
///
/// # Errors
/// The folder cannot be read.
pub(crate) fn files(loaded: &Loaded) -> Result<Vec<String>> {
    let is_suite = |path: &String| {
        let name = path.strip_prefix(FOLDER).filter(|name| !name.contains('/'));
        name.is_some_and(|name| [".yaml", ".yml"].iter().any(|ending| name.ends_with(ending)))
    };
    let found = FolderSource::new(&loaded.folder).list()?.into_iter().filter(is_suite);
    let files: BTreeSet<String> = found.chain(loaded.report.suites.keys().cloned()).collect();
    Ok(files.into_iter().collect())
}

/// Returns files that were typed as paths inside of the project.
///
/// # Errors
/// One is not there, is no suite, or is outside.
pub(crate) fn named(loaded: &Loaded, typed: &[PathBuf]) -> Result<Vec<String>> {
    typed.iter().map(|path| named_one(loaded, path)).collect()
}

fn named_one(loaded: &Loaded, typed: &Path) -> Result<String> {
    // From where the command was typed, else from the project.
    let places = [std::path::absolute(typed)?, loaded.folder.join(typed)];
    let Some(place) = places.into_iter().find(|place| place.is_file()) else {
        let hint = "hint: suites are files such as evals/support.yaml";
        return Err(Failure::user(format!("there is no suite {}\n{hint}", typed.display())));
    };
    let ending = place.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase).unwrap_or_default();
    if !ENDINGS.contains(&ending.as_str()) {
        let name = place.file_name().unwrap_or_default().display();
        let hint = format!("hint: a suite is a YAML file; one with `tests: file://{name}` has the cases of this file");
        return Err(Failure::user(format!("{} is no suite\n{hint}", typed.display())));
    }
    let inside = place.strip_prefix(&loaded.folder).ok().and_then(Path::to_str);
    inside.map(|inside| inside.replace('\\', "/")).ok_or_else(|| {
        let hint = "hint: move it there; what a suite refers to is looked for in the project";
        Failure::user(format!("the suite {} is outside of the project\n{hint}", typed.display()))
    })
}

/// Reads suites. A file that another one uses as its cases is no suite.
pub(crate) fn read(loaded: &Loaded, files: &[String]) -> Suites {
    let source = FolderSource::new(&loaded.folder);
    let (mut read, mut broken) = (Vec::new(), Vec::new());
    for file in files {
        match Suite::read(&source, file) {
            Ok(suite) => read.push(suite),
            Err(diagnostics) => broken.push((file, diagnostics)),
        }
    }
    let used: BTreeSet<&str> = read.iter().flat_map(|suite| &suite.datasets).map(|data| data.path.as_str()).collect();
    let mut diagnostics: Vec<Diagnostic> = Vec::new();
    for (_, found) in broken.into_iter().filter(|(file, _)| !used.contains(file.as_str())) {
        diagnostics.extend(found);
    }
    for suite in &mut read {
        diagnostics.extend(std::mem::take(&mut suite.warnings));
        diagnostics.extend(unusable(suite));
    }
    diagnostics.extend(unlinked(loaded, &read));
    diagnostics.sort_by(Diagnostic::by_place);
    Suites { read, diagnostics }
}

/// Returns what is wrong between suites and prompts: a prompt that is not there, a suite that does not test the prompt that names it.
fn unlinked(loaded: &Loaded, suites: &[Suite]) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for suite in suites {
        let unknown =
            |tested: &&Prompt| matches!(tested, Prompt::Project(name) if loaded.report.prompt(name).is_none());
        // Where prompts have errors, it is them that must be mended first.
        for prompt in suite.prompts.iter().filter(unknown).filter(|_| !loaded.report.has_errors()) {
            let Prompt::Project(name) = prompt else { continue };
            let known = loaded.report.prompts.iter().map(|prompt| prompt.name.as_str());
            let hint = closest(name.as_str(), known).map_or_else(
                || "`bowline prompt list` shows the prompts".to_owned(),
                |near| format!("did you mean `prompt:{near}`?"),
            );
            let message = format!("the suite tests the prompt `{name}`, which is not there");
            found.push(Diagnostic::error("unknown-prompt", suite.file.clone(), message).hint(hint));
        }
    }
    for prompt in &loaded.report.prompts {
        let Some(named) = &prompt.fields.suite else { continue };
        let Some(suite) = suites.iter().find(|suite| suite.file == named.value) else { continue };
        let tests = |tested: &Prompt| matches!(tested, Prompt::Project(name) if *name == prompt.name);
        if !suite.prompts.iter().any(tests) {
            let file = prompt.files.first().cloned().unwrap_or_default();
            let message = format!("the suite `{}` does not test this prompt", suite.file);
            let warning = Diagnostic::warning("suite-prompt", file, message).at(named.span);
            found.push(warning.hint(format!("add `prompt:{}` to its `prompts`", prompt.name)));
        }
    }
    found
}

/// Returns the assertions of a suite that could grade no answer, such as one with an expression that is none.
fn unusable(suite: &Suite) -> Vec<Diagnostic> {
    let (mut seen, mut found) = (HashSet::new(), Vec::new());
    for case in &suite.cases {
        let is_new = seen.insert(Arc::as_ptr(&case.rules).addr());
        let shared: &[_] = if is_new { &case.rules.assertions } else { &[] };
        // Cases share equal assertions, and each is told once.
        let shared = bowline_eval::assertions(shared).filter(|shared| seen.insert(std::ptr::from_ref(*shared).addr()));
        let own = case.own_assertions();
        for assertion in shared.chain(bowline_eval::assertions(&own)) {
            if let Err(reason) = bowline_eval::check(assertion) {
                let error = Diagnostic::error("assertion", assertion.file.as_ref(), reason);
                found.push(match assertion.span {
                    Some(span) => error.at(span),
                    None => error,
                });
            }
        }
    }
    found
}
