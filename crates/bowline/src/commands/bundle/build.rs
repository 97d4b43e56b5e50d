use anyhow::Context;
use bowline_oci::{Layout, Reference, digest_of};
use bowline_prompt::{Lock, Source as _};
use bowline_registry::bundle::{Bundle, Listed};
use bowline_registry::{commit_time, provenance};
use bowline_types::{Digest, ProjectName, Timestamp};
use serde::Serialize;

use crate::bundles;
use crate::cli::{BundleBuild, Global};
use crate::failure::{Failure, Result};
use crate::findings;
use crate::output::{Format, Table, json, note};
use crate::project::{self, FolderSource, Loaded};
use crate::style::Style;

/// What is behind the tag of the image.
pub(super) const IMAGE: &str = "-image";

/// What `--output json` prints.
#[derive(Serialize)]
struct Report<'a> {
    digest: Digest,
    image: Digest,
    layout: String,
    tags: Vec<String>,
    project: &'a ProjectName,
    commit: Option<&'a str>,
    dirty: bool,
    versions: &'a [Listed],
}

/// Makes the bundle of the working tree and writes it to a layout.
///
/// # Errors
/// The project has errors, differs from its commit, or nothing can be written.
pub(crate) fn run(global: &Global, build: &BundleBuild) -> Result<()> {
    let loaded = project::load(global.dir.as_deref())?;
    let bundle = make(&loaded, build.allow_dirty)?;
    let to = bundles::local(global, build.to.as_ref())?;
    let layout = Layout::create(&to.path)?;
    let stored = bowline_delivery::write(&bundle, &layout)?;
    let tags = match &to.tag {
        Some(tag) => vec![tag.clone()],
        None => vec![commit_tag(&bundle), "latest".to_owned()],
    };
    for tag in &tags {
        layout.tag(&format!("{tag}{IMAGE}"), &stored.image)?;
        layout.tag(tag, &stored.bundle)?;
    }
    let report = Report {
        digest: digest_of(&stored.bundle)?,
        image: digest_of(&stored.image)?,
        layout: Reference::Layout(bowline_oci::LayoutReference { tag: None, digest: None, ..to }).to_string(),
        tags,
        project: &bundle.config.project,
        commit: bundle.config.provenance.commit.as_deref(),
        dirty: bundle.config.provenance.dirty,
        versions: &bundle.config.versions,
    };
    print(global, &report)
}

/// Makes the bundle of a project that was read.
fn make(loaded: &Loaded, allow_dirty: bool) -> Result<Bundle> {
    let source = FolderSource::new(&loaded.folder);
    if loaded.report.has_errors() {
        findings::rendered(&loaded.report.diagnostics, &source, Style::of_stderr()).for_each(note);
        let summary = findings::summary(&loaded.report.diagnostics, loaded.report.prompt_count);
        return Err(Failure::user(format!("nothing was bundled: {summary}")));
    }
    // A project without a lock is bundled with the one that it would have; one that says something else is not.
    let stale = source.read(Lock::FILE).is_ok() && !loaded.report.check_lock(&source).is_empty();
    if stale {
        return Err(Failure::user(format!("{} is stale\nhint: run `bowline lock` and commit it", Lock::FILE)));
    }
    let provenance = provenance(&loaded.folder).context("the commit could not be found")?;
    if !allow_dirty {
        let hint = "hint: commit, so that the bundle is one of a commit, or say --allow-dirty";
        if provenance.commit.is_none() {
            return Err(Failure::user(format!("the project is not in a Git commit\n{hint}")));
        }
        if provenance.dirty {
            return Err(Failure::user(format!("the working tree has uncommitted changes\n{hint}")));
        }
    }
    let committed_at = match &provenance.commit {
        Some(commit) => {
            let seconds = commit_time(&loaded.folder, commit).context("the time of the commit could not be found")?;
            Some(Timestamp::from_micros(seconds.saturating_mul(1_000_000)))
        }
        None => None,
    };
    Ok(Bundle::build(&loaded.report, &source, provenance, committed_at)?)
}

/// Returns the tag of a bundle that was not given one: its commit.
fn commit_tag(bundle: &Bundle) -> String {
    match &bundle.config.provenance.commit {
        Some(commit) if !bundle.config.provenance.dirty => commit.clone(),
        Some(commit) => format!("{commit}-dirty"),
        None => "no-commit".to_owned(),
    }
}

fn print(global: &Global, report: &Report<'_>) -> Result<()> {
    if global.output == Format::Json {
        return json(report);
    }
    let mut table = Table::default();
    table.row(["bundle".to_owned(), report.digest.to_string()]);
    table.row(["image".to_owned(), report.image.to_string()]);
    table.row(["in".to_owned(), format!("{}, tagged {}", report.layout, report.tags.join(", "))]);
    table.print_plain("");
    note(format!("{} of {}", count(report.versions.len(), "version"), report.project));
    Ok(())
}

/// Returns `1 version` or `2 versions`.
pub(super) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
