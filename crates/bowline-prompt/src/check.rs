//! Checks a whole project in one run, and makes the versions of its prompts.

mod closure;
mod files;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use bowline_types::{Digest, EnvironmentName, PromptName, closest};

use crate::contract::check_contract;
use crate::diagnostic::{Diagnostic, Diagnostics, Severity, Span};
use crate::fields::{CelCheck, PromptFields};
use crate::lock::Lock;
use crate::project::{Project, Reading, quoted};
use crate::prompt::{CheckContext, ParsedPrompt, check_partial, check_prompt};
use crate::source::Source;
use crate::version::{ModelIdentity, Version};
use closure::Closure;
use files::{Files, PromptText};

/// What a check of a project found.
#[derive(Clone, Debug, Default)]
pub struct CheckReport {
    /// The project file; `None` where it has errors.
    pub project: Option<Project>,
    /// The prompts without errors, by name.
    pub prompts: Vec<CheckedPrompt>,
    /// How many prompts there are, those with errors included; partials are none.
    pub prompt_count: usize,
    /// The suites that prompts name, by path: the digest of the text with LF line ends.
    pub suites: BTreeMap<String, Digest>,
    /// Everything that is wrong, ordered by file and place.
    pub diagnostics: Vec<Diagnostic>,
}

/// A prompt without errors.
#[derive(Clone, Debug)]
pub struct CheckedPrompt {
    /// The name: the path below `prompts/`, with the variant.
    pub name: PromptName,
    /// The file as it was read.
    pub parsed: ParsedPrompt,
    /// The version that it stands for.
    pub version: Version,
    /// The identity of the version.
    pub digest: Digest,
    /// Our fields; no part of the version.
    pub fields: PromptFields,
    /// The files that it is made of: its own and those of its partials.
    pub files: Vec<String>,
}

/// Checks the project in `source`: its project file, every prompt and every partial.
///
/// `cel` checks the syntax of CEL expressions. Whatever is wrong, the run goes on, so that one run tells all.
#[must_use]
pub fn check(source: &dyn Source, cel: &CelCheck<'_>) -> CheckReport {
    let mut diagnostics = Diagnostics::new();
    let Some(paths) = files::list(source, &mut diagnostics) else {
        return CheckReport { diagnostics: diagnostics.into_sorted(), ..CheckReport::default() };
    };
    let reading = files::project(source, &paths, &mut diagnostics);
    let files = Files::read(source, &paths, &mut diagnostics);
    let mut checker = Checker::new(source, cel, &reading, &files, diagnostics);
    let broken = checker.partials();
    let prompts = files.prompts.iter().filter_map(|prompt| checker.prompt(prompt, &broken)).collect();
    checker.unused_partials();
    if files.prompt_count == 0 && reading.project.is_some() {
        let warning = Diagnostic::warning("no-prompts", Project::FILE, "the project has no prompts");
        checker
            .diagnostics
            .push(warning.hint("a prompt is a file below `prompts/`, such as `prompts/support/answer.prompt`"));
    }
    let Checker { suites, diagnostics, .. } = checker;
    let wrong = |diagnostic: &Diagnostic| diagnostic.file == Project::FILE && diagnostic.severity == Severity::Error;
    let project = if diagnostics.as_slice().iter().any(wrong) { None } else { reading.project };
    let mut diagnostics = diagnostics.into_sorted();
    // What is wrong in a partial is found again by every prompt that includes it.
    diagnostics.dedup();
    CheckReport { project, prompts, prompt_count: files.prompt_count, suites, diagnostics }
}

// === impl CheckReport ===

impl CheckReport {
    /// Returns whether anything is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// Returns the prompt of this name, if it has no errors.
    #[must_use]
    pub fn prompt(&self, name: &PromptName) -> Option<&CheckedPrompt> {
        self.prompts.iter().find(|prompt| prompt.name == *name)
    }

    /// Returns what breaks running applications of `environment`, where `live` gives the version of a prompt that is live there.
    #[must_use]
    pub fn check_against(
        &self,
        environment: &EnvironmentName,
        live: impl Fn(&PromptName) -> Option<Version>,
    ) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        for prompt in &self.prompts {
            let Some(live) = live(&prompt.name) else { continue };
            let digest = live.digest();
            if digest != prompt.digest {
                found.extend(check_contract(&prompt.parsed, &prompt.version, &live, digest, environment));
            }
        }
        found.sort_by(Diagnostic::by_place);
        found
    }

    /// Returns the lock of the project as it is now; `None` while it has errors.
    #[must_use]
    pub fn lock(&self) -> Option<Lock> {
        let project = self.project.as_ref().filter(|_| !self.has_errors())?;
        let mut lock = Lock::default();
        for alias in project.models.keys() {
            lock.insert_model(alias, &project.identities(alias)?);
        }
        for prompt in &self.prompts {
            lock.insert_prompt(&prompt.name, prompt.digest);
        }
        for (path, digest) in &self.suites {
            lock.insert_suite(path, *digest);
        }
        Some(lock)
    }

    /// Returns everything in which the lock in `source` differs from the project; nothing while the project has errors.
    #[must_use]
    pub fn check_lock(&self, source: &dyn Source) -> Vec<Diagnostic> {
        let Some(now) = self.lock() else { return Vec::new() };
        let mut found = Diagnostics::new();
        match source.read(Lock::FILE) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let error = Diagnostic::error("lock-stale", Lock::FILE, "there is no lock");
                found.push(error.hint("run `bowline lock`, and commit what it writes"));
            }
            read => {
                let text = files::text(Lock::FILE, read, &mut found);
                match text.map(|text| Lock::parse(Lock::FILE, &text)) {
                    Some(Ok(locked)) => found.extend(locked.compare(Lock::FILE, &now)),
                    Some(Err(errors)) => found.extend(errors),
                    None => {}
                }
            }
        }
        found.into_sorted()
    }
}

/// A check under way.
struct Checker<'a> {
    source: &'a dyn Source,
    cel: &'a CelCheck<'a>,
    reading: &'a Reading,
    files: &'a Files,
    /// The templates of the partials, by name.
    templates: BTreeMap<String, String>,
    diagnostics: Diagnostics,
    suites: BTreeMap<String, Digest>,
    /// The partials that prompts reach; `None` once that is not known of one.
    reached: Option<BTreeSet<String>>,
}

// === impl Checker ===

impl<'a> Checker<'a> {
    fn new(
        source: &'a dyn Source,
        cel: &'a CelCheck<'a>,
        reading: &'a Reading,
        files: &'a Files,
        diagnostics: Diagnostics,
    ) -> Self {
        let templates =
            files.partials.iter().map(|(name, partial)| (name.clone(), partial.source().to_owned())).collect();
        let (suites, reached) = (BTreeMap::new(), Some(BTreeSet::new()));
        Self { source, cel, reading, files, templates, diagnostics, suites, reached }
    }

    /// Checks every partial, and returns the names of those that have errors.
    fn partials(&mut self) -> BTreeSet<String> {
        let mut broken = BTreeSet::new();
        for (name, partial) in &self.files.partials {
            let found = check_partial(partial);
            if found.iter().any(|diagnostic| diagnostic.severity == Severity::Error) {
                broken.insert(name.clone());
            }
            self.diagnostics.extend(found);
        }
        broken
    }

    /// Warns about partials that no prompt reaches, where all prompts could be read.
    fn unused_partials(&mut self) {
        let Some(reached) = self.reached.as_ref().filter(|_| self.files.prompts.len() == self.files.prompt_count)
        else {
            return;
        };
        for (_, partial) in self.files.partials.iter().filter(|(name, _)| !reached.contains(*name)) {
            let warning = Diagnostic::warning("unused-partial", partial.file(), "no prompt includes this partial");
            self.diagnostics.push(warning.hint("remove it, or include it"));
        }
    }

    /// Checks one prompt, and returns it where it has no errors.
    fn prompt(&mut self, prompt: &PromptText, broken: &BTreeSet<String>) -> Option<CheckedPrompt> {
        let parsed = match ParsedPrompt::parse(&prompt.file, &prompt.text) {
            Ok(parsed) => parsed,
            Err(errors) => {
                self.diagnostics.extend(errors);
                self.reached = None;
                return None;
            }
        };
        let schemas = |_: &str| None;
        let context = CheckContext { partials: &self.files.partials, schemas: &schemas };
        let mut found: Diagnostics = check_prompt(&parsed, &context).into_iter().collect();
        let (fields, wrong) = PromptFields::read(&parsed, self.cel);
        found.extend(wrong);
        self.suite(&fields, &parsed, &mut found);
        let identities = self.model(&parsed, &mut found);
        let closure = Closure { parsed: &parsed, templates: &self.templates, schemas: &schemas, identities };
        let partials = closure.partials();
        self.reached = self.reached.take().zip(partials.as_ref()).map(|(mut reached, partials)| {
            reached.extend(partials.keys().cloned());
            reached
        });
        let version = closure.version(partials, &mut found);
        let valid = !found.has_errors();
        self.diagnostics.extend(found);
        let version = version.filter(|version| valid && !version.partials.keys().any(|name| broken.contains(name)))?;
        let partials = version
            .partials
            .keys()
            .filter_map(|name| self.files.partials.get(name))
            .map(|partial| partial.file().to_owned());
        let files = std::iter::once(prompt.file.clone()).chain(partials).collect();
        Some(CheckedPrompt { name: prompt.name.clone(), digest: version.digest(), version, fields, files, parsed })
    }

    /// Returns what is behind the alias of a prompt, where that could be read.
    fn model(&self, parsed: &ParsedPrompt, found: &mut Diagnostics) -> Option<Vec<ModelIdentity>> {
        let models = self.reading.models.as_ref();
        let aliases: Vec<&str> = models.into_iter().flatten().map(|(alias, _)| alias.as_str()).collect();
        let declared = if aliases.is_empty() {
            "declare it under `models` in bowline.yaml".to_owned()
        } else {
            format!("bowline.yaml declares {}", quoted(&aliases))
        };
        let Some(model) = &parsed.model else {
            let start = parsed.raw.span.start;
            let error = Diagnostic::error("model", parsed.file.as_str(), "the prompt names no model")
                .at(Span::new(start, start));
            found.push(error.hint(format!("add `model: ALIAS`; {declared}")));
            return None;
        };
        match models?.get(&model.value) {
            Some(identities) => identities.clone(),
            None => {
                let message = format!("model `{}` is not in bowline.yaml", model.value);
                let near = closest(&model.value, aliases.iter().copied());
                let near = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
                let error =
                    Diagnostic::error("model", parsed.file.as_str(), message).at(model.span).label("not declared");
                found.push(error.hint(format!("{near}{declared}")));
                None
            }
        }
    }

    /// Reads the suite of a prompt, once for all that share it.
    fn suite(&mut self, fields: &PromptFields, parsed: &ParsedPrompt, found: &mut Diagnostics) {
        let Some(suite) = &fields.suite else { return };
        if self.suites.contains_key(&suite.value) {
            return;
        }
        match self.source.read(&suite.value) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let message = format!("suite `{}` does not exist", suite.value);
                let error = Diagnostic::error("suite", parsed.file.as_str(), message).at(suite.span);
                found.push(error.hint("the path starts at the root of the project"));
            }
            read => {
                if let Some(text) = files::text(&suite.value, read, found) {
                    self.suites.insert(suite.value.clone(), Digest::of(text.replace("\r\n", "\n").as_bytes()));
                }
            }
        }
    }
}
