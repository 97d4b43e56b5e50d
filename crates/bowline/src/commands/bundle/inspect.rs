use bowline_oci::{Descriptor, digest_of};
use bowline_registry::bundle::{Bundle, Kind, Listed};
use bowline_signature::PREDICATE_ANNOTATION;
use bowline_types::{Digest, ProjectName, Timestamp};
use serde::Serialize;

use crate::bundles;
use crate::cli::{BundleInspect, Global};
use crate::failure::Result;
use crate::output::{Format, Table, json};

/// What `--output json` prints.
#[derive(Serialize)]
struct Report<'a> {
    digest: Digest,
    project: &'a ProjectName,
    commit: Option<&'a str>,
    author: Option<&'a str>,
    dirty: bool,
    committed_at: Option<Timestamp>,
    versions: &'a [Listed],
    files: Vec<Held<'a>>,
    attached: Vec<Attached>,
}

/// A file in the bundle.
#[derive(Serialize)]
struct Held<'a> {
    kind: &'static str,
    path: &'a str,
    digest: Digest,
}

/// Something attached; nobody's signature was checked.
#[derive(Serialize)]
struct Attached {
    digest: Digest,
    artifact_type: Option<String>,
    predicate_type: Option<String>,
}

/// Shows what is in a bundle and what is attached to it.
///
/// # Errors
/// It is not there, is damaged, or is no bundle.
pub(crate) async fn run(global: &Global, inspect: &BundleInspect) -> Result<()> {
    let reference = bundles::latest(global, inspect.bundle.as_ref())?;
    let client = bundles::client(&inspect.registry, Some(&reference))?;
    let found = bowline_delivery::find(&client, &reference).await?;
    let bundle = bowline_delivery::read(&found.layout, &found.descriptor)?;
    let digest = digest_of(&found.descriptor)?;
    let attached = found.layout.referrers(digest)?.iter().map(attached).collect::<Result<_>>()?;
    let report = Report {
        digest,
        project: &bundle.config.project,
        commit: bundle.config.provenance.commit.as_deref(),
        author: bundle.config.provenance.author.as_deref(),
        dirty: bundle.config.provenance.dirty,
        committed_at: bundle.config.committed_at,
        versions: &bundle.config.versions,
        files: bundle.files.iter().map(|(kind, file)| held(kind, file)).collect(),
        attached,
    };
    if global.output == Format::Json {
        return json(&report);
    }
    print(&bundle, &report);
    Ok(())
}

fn held(kind: Kind, file: &bowline_registry::bundle::File) -> Held<'_> {
    Held { kind: kind.as_str(), path: &file.path, digest: file.digest }
}

fn attached(descriptor: &Descriptor) -> Result<Attached> {
    let annotations = descriptor.annotations().as_ref();
    Ok(Attached {
        digest: digest_of(descriptor)?,
        artifact_type: descriptor.artifact_type().as_ref().map(ToString::to_string),
        predicate_type: annotations.and_then(|annotations| annotations.get(PREDICATE_ANNOTATION).cloned()),
    })
}

fn print(bundle: &Bundle, report: &Report<'_>) {
    let mut table = Table::default();
    table.row(["bundle".to_owned(), report.digest.to_string()]);
    table.row(["project".to_owned(), report.project.to_string()]);
    let changes = if report.dirty { ", with uncommitted changes" } else { "" };
    let commit = report.commit.map_or_else(|| "none".to_owned(), |commit| format!("{commit}{changes}"));
    table.row(["commit".to_owned(), commit]);
    for version in &bundle.config.versions {
        table.row(["version".to_owned(), format!("{}  {}", version.digest, version.name)]);
    }
    for file in &report.files {
        table.row([file.kind.to_owned(), format!("{}  {}", file.digest, file.path)]);
    }
    for each in &report.attached {
        let what = each.predicate_type.as_ref().or(each.artifact_type.as_ref()).map_or("unknown", String::as_str);
        table.row(["attached".to_owned(), format!("{}  {what}", each.digest)]);
    }
    table.print_plain("");
}
