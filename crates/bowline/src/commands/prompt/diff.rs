use bowline_prompt::{DiffKind, DiffSection, Project, Version, VersionDiff};
use bowline_server::Client;
use bowline_types::{Digest, EnvironmentName, PromptName};
use serde::Serialize;

use super::find;
use crate::cli::{Global, PromptDiff};
use crate::commands::{connected, live};
use crate::failure::{Failure, Result};
use crate::output::{Format, json, line, note};
use crate::project::{self, Loaded};
use crate::style::{Paint, Style};
use crate::wording::quoted;

/// What `--output json` prints.
#[derive(Serialize)]
struct Report<'a> {
    prompt: &'a PromptName,
    from: Digest,
    to: Digest,
    sections: &'a [DiffSection],
}

/// One side of a comparison.
struct Side {
    digest: Digest,
    version: Version,
    /// Where it was found.
    place: String,
}

/// Shows what changed.
///
/// # Errors
/// There is no such prompt, environment or version.
pub(crate) async fn run(global: &Global, diff: &PromptDiff) -> Result<()> {
    let loaded = project::load(global.dir.as_deref())?;
    let (old, new) = connected(global, async |connection| {
        let old = old(&connection.client, &loaded, diff).await?;
        let new = match &diff.to {
            Some(wanted) => released(&connection.client, &diff.prompt, wanted).await?,
            None => working_tree(&loaded, &diff.prompt)?,
        };
        Ok((old, new))
    })
    .await?;
    let changes = VersionDiff::between(&old.version, &new.version);
    match global.output {
        Format::Json => {
            let Side { digest: from, .. } = old;
            json(&Report { prompt: &diff.prompt, from, to: new.digest, sections: &changes.sections })
        }
        Format::Text => {
            print(&diff.prompt, &old, &new, &changes);
            Ok(())
        }
    }
}

async fn old(client: &Client, loaded: &Loaded, diff: &PromptDiff) -> Result<Side> {
    if let Some(wanted) = &diff.from {
        return released(client, &diff.prompt, wanted).await;
    }
    let project = loaded.report.project.as_ref();
    let project =
        project.ok_or_else(|| Failure::user("the project file has errors\nhint: `bowline check` shows them"))?;
    let environment = match &diff.against {
        Some(environment) => environment,
        None => only(project)?,
    };
    live::declared(project, environment)?;
    let pointers = live::pointers(client, environment).await?;
    let Some(pointer) = pointers.iter().find(|pointer| pointer.prompt == diff.prompt) else {
        let message = format!("nothing is live in `{environment}` for the prompt `{}`", diff.prompt);
        return Err(Failure::user(format!("{message}\nhint: `bowline env list` shows what is live")));
    };
    let side = released(client, &diff.prompt, &pointer.version.hex()).await?;
    Ok(Side { place: environment.to_string(), ..side })
}

/// Returns the environment that is meant where none is named: the one beside `dev`.
fn only(project: &Project) -> Result<&EnvironmentName> {
    let mut others = project.environments.keys().filter(|name| name.as_str() != "dev");
    match (others.next(), others.next()) {
        (Some(only), None) => Ok(only),
        _ => {
            let names = quoted(project.environments.keys().map(EnvironmentName::as_str));
            let hint = format!("hint: `--against ENV` with one of {names}, or `--from VERSION`");
            Err(Failure::user(format!("which version is it to be compared with?\n{hint}")))
        }
    }
}

async fn released(client: &Client, prompt: &PromptName, wanted: &str) -> Result<Side> {
    let (digest, version) = live::version(client, prompt, wanted).await?;
    Ok(Side { digest, version, place: "released".to_owned() })
}

fn working_tree(loaded: &Loaded, prompt: &PromptName) -> Result<Side> {
    let prompt = find(loaded, prompt)?;
    let (digest, version) = (prompt.digest, prompt.version.clone());
    Ok(Side { digest, version, place: "working tree".to_owned() })
}

fn print(prompt: &PromptName, old: &Side, new: &Side, changes: &VersionDiff) {
    let side = |side: &Side| format!("{} ({})", side.digest.short(), side.place);
    let style = Style::of_stdout();
    if changes.is_empty() {
        return note(format!("{prompt} is the same: {} and {}", side(old), side(new)));
    }
    line(style.paint(Paint::Bold, &format!("{prompt}  {} → {}", side(old), side(new))));
    for section in &changes.sections {
        line(style.paint(Paint::Bold, &section.title));
        for changed in &section.lines {
            let text = format!("  {changed}");
            line(match changed.kind {
                // Nobody sees the spaces behind a line that stayed.
                DiffKind::Same => text.trim_end().to_owned(),
                DiffKind::Removed => style.paint(Paint::Red, &text),
                DiffKind::Added => style.paint(Paint::Green, &text),
                DiffKind::Gap => style.paint(Paint::Dim, &text),
            });
        }
    }
}
