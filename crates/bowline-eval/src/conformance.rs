//! Reads the example configurations of promptfoo: how many load unchanged, and what the others need.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bowline_prompt::{Diagnostics, Severity, Source};
use bowline_types::conformance::{Group, Report};

use crate::suite::Suite;
use crate::suite::refuse::{ADDRESS, ENVIRONMENT, LATER, UNSUPPORTED, USER_CODE};

/// How the file of a configuration begins.
const CONFIGURATION: &str = "promptfooconfig";

/// Examples that are wrong in themselves: the path, a part of what we say of it, and the reason. promptfoo fails on them too, or
/// ignores what does not exist.
const BROKEN: [(&str, &str, &str); 10] = [
    ("amazon-bedrock/promptfooconfig.inference-profiles-simple.yaml", "unknown assertion", NO_ASSERTION),
    ("amazon-bedrock/promptfooconfig.inference-profiles.yaml", "unknown assertion", NO_ASSERTION),
    ("cerebras/promptfooconfig-structured.yaml", "unknown assertion", NO_ASSERTION),
    ("databricks/promptfooconfig.vision.yaml", "unknown assertion", NO_ASSERTION),
    ("databricks/promptfooconfig.yaml", "unknown assertion", NO_ASSERTION),
    ("external-provider-config/promptfooconfig.yaml", "`external-provider-config/gpt-4.1-mini.yaml`", NO_FILE),
    ("google-aistudio-tools/promptfooconfig.yaml", "`providers`", NO_OPTION),
    ("google-vertex-tools/promptfooconfig.yaml", "`providers`", NO_OPTION),
    ("grok-4-political-bias/promptfooconfig.yaml", "`grok-4-political-bias/political-questions.csv`", NO_FILE),
    ("sql-validation/promptfooconfig.yaml", "`sql-validation/database.sql`", NO_FILE),
];
const NO_ASSERTION: &str = "wrong in itself: an assertion that promptfoo does not have";
const NO_OPTION: &str = "wrong in itself: an option that promptfoo does not have";
const NO_FILE: &str = "wrong in itself: a file that the corpus does not have";

/// Reads every configuration below `dir`; one is a pass where it loads, and refused where it asks for something that is not there.
///
/// A configuration that is refused for anything else is a failure of the reader.
///
/// # Errors
/// When the files cannot be listed.
pub fn promptfoo_examples(dir: &Path) -> io::Result<Report> {
    let source = Folder { root: dir.to_owned() };
    let mut group = Group::new("configurations");
    for path in source.list()? {
        let name = path.rsplit('/').next().unwrap_or(&path);
        if !name.starts_with(CONFIGURATION) {
            continue;
        }
        if !["yaml", "yml", "json"].iter().any(|extension| name.ends_with(extension)) {
            group.refuse("a configuration that is a script");
            continue;
        }
        match Suite::read(&source, &path) {
            Ok(_) => group.passed += 1,
            Err(found) => match reason(&path, &found) {
                Ok(reason) => group.refuse(reason),
                Err(unexpected) => group.failed.push(format!("{path}: {unexpected}")),
            },
        }
    }
    Ok(Report { corpus: "promptfoo-examples".to_owned(), groups: vec![group] })
}

/// Returns what a configuration needs that is not there; the error is what nobody refused on purpose.
fn reason(path: &str, found: &Diagnostics) -> Result<String, String> {
    let mut needs = BTreeSet::new();
    for error in found.as_slice().iter().filter(|finding| finding.severity == Severity::Error) {
        let message = error.message.as_str();
        let broken = BROKEN.iter().find(|(file, part, _)| *file == path && message.contains(part));
        needs.insert(match (error.code, broken) {
            (UNSUPPORTED | USER_CODE, _) => message.strip_suffix(LATER).unwrap_or(message).to_owned(),
            (ADDRESS, _) => message.strip_suffix(" is an address, not a model").unwrap_or(message).to_owned(),
            (ENVIRONMENT, _) => "a template that reads the environment".to_owned(),
            (_, Some((_, _, why))) => (*why).to_owned(),
            (code, None) => {
                let line = error.span.map_or(0, |span| span.start.line);
                return Err(format!("{}:{line}: {message} ({code})", error.file));
            }
        });
    }
    Ok(needs.into_iter().collect::<Vec<_>>().join("; "))
}

/// The files below a folder.
struct Folder {
    root: PathBuf,
}

impl Source for Folder {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut files = Vec::new();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Ok(path) = path.strip_prefix(&self.root) {
                    files.push(path.to_string_lossy().replace('\\', "/"));
                }
            }
        }
        files.sort();
        Ok(files)
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        fs::read(self.root.join(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of the 157 examples load unchanged; a change of this figure is a change of what Bowline can read.
    const LOADED: u64 = 61;

    #[test]
    fn examples_of_promptfoo_load_or_are_refused_by_name() {
        let Some(dir) = bowline_testkit::conformance_data("promptfoo-examples") else { return };
        let report = promptfoo_examples(&dir).unwrap();
        assert_eq!(report.groups[0].failed, Vec::<String>::new());
        let refused: u64 = report.groups[0].refused.values().sum();
        assert_eq!((report.passed(), refused), (LOADED, 157 - LOADED), "{report:#?}");
        let document = fs::read_to_string(bowline_testkit::workspace_root().join("docs/suites.md")).unwrap();
        assert!(
            document.contains(&format!("Of the 157 example configurations of promptfoo, {LOADED} load as they are."))
        );
    }
}
