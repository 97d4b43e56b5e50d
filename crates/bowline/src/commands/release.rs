mod bundle;

use anyhow::Context;
use bowline_registry::{ReleaseResult, ReleaseStatus, Source, provenance};
use bowline_server::wire::{ReleaseRequest, ReleaseResponse};
use bowline_types::EnvironmentName;

use super::{connected, prompt};
use crate::cli::{self, Global};
use crate::failure::{Failure, Result};
use crate::findings;
use crate::output::{Format, Table, json, note};
use crate::project::{self, FolderSource};
use crate::settings;
use crate::style::{Paint, Style};

/// Releases the working tree or a bundle to an environment.
///
/// # Errors
/// The project has errors, or the registry refuses.
pub(crate) async fn run(global: &Global, release: &cli::Release) -> Result<()> {
    let request = match &release.bundle {
        Some(reference) => bundle::request(global, release, reference).await?,
        None => worktree(global, release)?,
    };
    let request = ReleaseRequest { retry: release.retry, ..request };
    let whole = release.prompt.is_empty();
    let response = connected(global, async |connection| {
        Ok(connection.client.post::<ReleaseResponse>("/releases", &request).await?)
    });
    print(global, &release.env, &response.await?, whole)
}

/// Returns the request that releases the working tree.
fn worktree(global: &Global, release: &cli::Release) -> Result<ReleaseRequest> {
    let loaded = project::load(global.dir.as_deref())?;
    if loaded.report.has_errors() {
        let source = FolderSource::new(&loaded.folder);
        findings::rendered(&loaded.report.diagnostics, &source, Style::of_stderr()).for_each(note);
        let summary = findings::summary(&loaded.report.diagnostics, loaded.report.prompt_count);
        return Err(Failure::user(format!("nothing was released: {summary}")));
    }
    for name in &release.prompt {
        prompt::find(&loaded, name)?;
    }
    let provenance = provenance(&loaded.folder).context("the commit could not be found")?;
    loaded.release(release.env.clone(), Source::Cli, provenance, settings::actor(), &release.prompt)
}

fn print(global: &Global, environment: &EnvironmentName, response: &ReleaseResponse, whole: bool) -> Result<()> {
    if global.output == Format::Json {
        return json(response);
    }
    let mut table = Table::default();
    for ReleaseResult { prompt, version, status } in &response.results {
        table.row([prompt.to_string(), version.short(), words(environment, status)]);
    }
    table.print_plain("the project has no prompts, so nothing was released");
    // Where one prompt was asked for, it is no news that the others are not in the release.
    for text in response.notes.iter().filter(|text| whole || text.starts_with("rollout")) {
        note(format!("note: {text}"));
    }
    let statuses = response.results.iter().map(|result| &result.status);
    let started = statuses.clone().find_map(|status| match status {
        ReleaseStatus::Started { number, .. } => Some(*number),
        _ => None,
    });
    if let Some(number) = started {
        hint(&format!("`bowline rollout watch {number}` shows it as it goes on"));
    }
    if statuses.clone().any(|status| matches!(status, ReleaseStatus::Held { .. })) {
        hint(&format!("change the prompt, or try it again with `bowline release --env {environment} --retry`"));
    }
    Ok(())
}

fn hint(text: &str) {
    note(format!("{} {text}", Style::of_stderr().paint(Paint::Cyan, "hint:")));
}

fn words(environment: &EnvironmentName, status: &ReleaseStatus) -> String {
    match status {
        ReleaseStatus::Unchanged => format!("unchanged, live in {environment}"),
        ReleaseStatus::InRollout { number } => format!("unchanged, in rollout {number}"),
        ReleaseStatus::Moved { from: None } => format!("live in {environment}, the first version there"),
        ReleaseStatus::Moved { from: Some(from) } => format!("live in {environment}, was {}", from.short()),
        ReleaseStatus::Started { number, stable, superseded } => {
            let superseded = superseded.map_or_else(String::new, |number| format!("; rollout {number} is superseded"));
            format!("rollout {number} started against {}{superseded}", stable.short())
        }
        ReleaseStatus::Withdrawn { number } => {
            format!("unchanged, live in {environment}; rollout {number} is withdrawn")
        }
        ReleaseStatus::Held { why } => format!("held: {why}"),
    }
}
