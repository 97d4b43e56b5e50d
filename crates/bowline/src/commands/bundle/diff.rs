use bowline_delivery::{find, read};
use bowline_oci::{Reference, digest_of};
use bowline_registry::bundle::BundleDiff as Changes;
use bowline_types::Digest;
use serde::Serialize;

use crate::bundles;
use crate::cli::{BundleDiff, Global};
use crate::failure::Result;
use crate::output::{Format, json, line, note};
use crate::style::{Paint, Style};

/// What `--output json` prints.
#[derive(Serialize)]
struct Report<'a> {
    from: Digest,
    to: Digest,
    #[serde(flatten)]
    changes: &'a Changes,
}

/// Shows what changed from one bundle to another.
///
/// # Errors
/// One of them is not there, is damaged, or is no bundle.
pub(crate) async fn run(global: &Global, diff: &BundleDiff) -> Result<()> {
    let new = bundles::latest(global, diff.new.as_ref())?;
    let account = if matches!(diff.old, Reference::Registry(_)) { &diff.old } else { &new };
    let client = bundles::client(&diff.registry, Some(account))?;
    let old = find(&client, &diff.old).await?;
    let new = find(&client, &new).await?;
    let (from, to) = (digest_of(&old.descriptor)?, digest_of(&new.descriptor)?);
    let changes = Changes::between(&read(&old.layout, &old.descriptor)?, &read(&new.layout, &new.descriptor)?);
    match global.output {
        Format::Json => json(&Report { from, to, changes: &changes }),
        Format::Text => {
            print(&changes);
            Ok(())
        }
    }
}

fn print(changes: &Changes) {
    let style = Style::of_stdout();
    if changes.is_empty() {
        return note("both hold the same");
    }
    for change in &changes.prompts {
        line(style.paint(Paint::Bold, &format!("prompt {}  {}", change.name, moved(change.from, change.to))));
        change.diff.to_string().lines().for_each(|text| line(format!("  {text}").trim_end()));
    }
    for change in &changes.files {
        line(style.paint(Paint::Bold, &format!("{} {}  {}", change.kind, change.path, moved(change.from, change.to))));
    }
}

fn moved(from: Option<Digest>, to: Option<Digest>) -> String {
    match (from, to) {
        (Some(from), Some(to)) => format!("{} → {}", from.short(), to.short()),
        (None, Some(to)) => format!("new, {}", to.short()),
        (Some(from), None) => format!("gone, was {}", from.short()),
        (None, None) => String::new(),
    }
}
