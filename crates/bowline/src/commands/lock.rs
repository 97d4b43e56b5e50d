use std::fs;
use std::process::ExitCode;

use anyhow::Context;
use bowline_prompt::{Diagnostic, Lock};

use crate::cli::{self, Global};
use crate::failure::{Failure, Result};
use crate::findings;
use crate::output::{Format, json, line, note};
use crate::project::{self, FolderSource, Loaded};
use crate::style::Style;

/// Writes the lock of the working tree, or checks the one that is there.
///
/// # Errors
/// The project has errors, or the file cannot be written.
pub(crate) fn run(global: &Global, lock: &cli::Lock) -> Result<ExitCode> {
    let loaded = project::load(global.dir.as_deref())?;
    let has_errors = || Failure::user("the project has errors\nhint: `bowline check` shows them");
    let now = loaded.report.lock().ok_or_else(has_errors)?;
    if lock.check {
        return check(global, &loaded);
    }
    let path = loaded.folder.join(Lock::FILE);
    let text = now.to_string();
    let same = fs::read_to_string(&path).is_ok_and(|before| before == text);
    if !same {
        fs::write(&path, text).with_context(|| format!("could not write {}", path.display()))?;
    }
    note(format!("{} {}", Lock::FILE, if same { "is up to date" } else { "is written; commit it" }));
    Ok(ExitCode::SUCCESS)
}

fn check(global: &Global, loaded: &Loaded) -> Result<ExitCode> {
    let source = FolderSource::new(&loaded.folder);
    let diagnostics: Vec<Diagnostic> = loaded.report.check_lock(&source);
    match global.output {
        Format::Json => json(&diagnostics)?,
        Format::Text => findings::rendered(&diagnostics, &source, Style::of_stdout()).for_each(line),
    }
    if diagnostics.is_empty() {
        note(format!("{} is up to date", Lock::FILE));
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}
