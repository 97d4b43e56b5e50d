use std::collections::BTreeMap;
use std::process::ExitCode;

use bowline_prompt::{Diagnostic, Version};
use bowline_types::{EnvironmentName, PromptName};
use serde::Serialize;

use super::{connected, live};
use crate::cli::{self, Global};
use crate::failure::Result;
use crate::findings;
use crate::output::{Format, json, line, note};
use crate::project::{self, FolderSource, Loaded};
use crate::style::Style;
use crate::suites;
use crate::wording::count;

/// What `--output json` prints.
#[derive(Serialize)]
struct Report<'a> {
    errors: usize,
    warnings: usize,
    prompts: usize,
    diagnostics: &'a [Diagnostic],
}

/// Finds everything that is wrong.
///
/// # Errors
/// There is no project, or the environment to compare with cannot be asked.
pub(crate) async fn run(global: &Global, check: &cli::Check) -> Result<ExitCode> {
    let loaded = project::load(global.dir.as_deref())?;
    let mut diagnostics = loaded.report.diagnostics.clone();
    let files = suites::files(&loaded)?;
    diagnostics.extend(suites::read(&loaded, &files).diagnostics);
    diagnostics.sort_by(Diagnostic::by_place);
    if let Some(environment) = &check.against {
        diagnostics.extend(against(global, &loaded, environment).await?);
        diagnostics.sort_by(Diagnostic::by_place);
    }
    print(global, &loaded, files.len(), &diagnostics)
}

async fn against(global: &Global, loaded: &Loaded, environment: &EnvironmentName) -> Result<Vec<Diagnostic>> {
    let Some(project) = &loaded.report.project else {
        note(format!("not compared with `{environment}`, as the project file has errors"));
        return Ok(Vec::new());
    };
    live::declared(project, environment)?;
    let versions = connected(global, async |connection| {
        let mut versions: BTreeMap<PromptName, Version> = BTreeMap::new();
        for pointer in live::pointers(&connection.client, environment).await? {
            if loaded.report.prompt(&pointer.prompt).is_some_and(|prompt| prompt.digest != pointer.version) {
                let wanted = pointer.version.hex();
                let (_, version) = live::version(&connection.client, &pointer.prompt, &wanted).await?;
                versions.insert(pointer.prompt, version);
            }
        }
        Ok(versions)
    });
    let versions = versions.await?;
    Ok(loaded.report.check_against(environment, |name| versions.get(name).cloned()))
}

fn print(global: &Global, loaded: &Loaded, suites: usize, diagnostics: &[Diagnostic]) -> Result<ExitCode> {
    let errors = findings::errors(diagnostics);
    let prompts = loaded.report.prompt_count;
    match global.output {
        Format::Json => json(&Report { errors, warnings: diagnostics.len() - errors, prompts, diagnostics })?,
        Format::Text => {
            let source = FolderSource::new(&loaded.folder);
            findings::rendered(diagnostics, &source, Style::of_stdout()).for_each(line);
            if diagnostics.is_empty() && suites > 0 {
                line(format!("{} and {}, nothing wrong", count(prompts, "prompt"), count(suites, "suite")));
            } else {
                line(findings::summary(diagnostics, prompts));
            }
        }
    }
    Ok(if errors > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
