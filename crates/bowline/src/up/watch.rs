use std::path::{Path, PathBuf};
use std::time::Duration;

use bowline_prompt::CheckReport;
use bowline_server::Client;
use notify::{RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::findings;
use crate::output::note;
use crate::project::{self, FolderSource};
use crate::style::Style;
use crate::up::release_worktree;

/// How long the folder must be quiet before it is read: an editor writes a file in several steps.
const QUIET: Duration = Duration::from_millis(60);
/// The longest wait for quiet, so that a folder that never rests is read too.
const QUIET_MAX: Duration = Duration::from_millis(500);

/// Serves every edit of the working tree. A broken one is reported, and the last good versions stay.
pub(crate) async fn run(folder: PathBuf, client: Client, shutdown: CancellationToken) {
    // One place is enough: it only says that something changed.
    let (sender, mut changes) = mpsc::channel(1);
    let root = folder.clone();
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let relevant = event
            .is_ok_and(|event| event.paths.iter().any(|path| is_of_project(&root, path)) && !event.kind.is_access());
        if relevant {
            // A full channel says already that something changed.
            let _ = sender.try_send(());
        }
    });
    let mut watcher = match watcher {
        Ok(watcher) => watcher,
        Err(error) => return warn!(%error, "the working tree cannot be watched; restart after edits"),
    };
    if let Err(error) = watcher.watch(&folder, RecursiveMode::Recursive) {
        return warn!(%error, "the working tree cannot be watched; restart after edits");
    }
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            changed = changes.recv() => if changed.is_none() { return },
        }
        let quiet = async { while let Ok(Some(())) = tokio::time::timeout(QUIET, changes.recv()).await {} };
        drop(tokio::time::timeout(QUIET_MAX, quiet).await);
        reload(&folder, &client).await;
    }
}

/// Whether a path may hold a part of the project: nothing that Git or Bowline keeps for itself.
fn is_of_project(root: &Path, path: &Path) -> bool {
    let Ok(inside) = path.strip_prefix(root) else { return false };
    !inside.components().any(|component| matches!(component.as_os_str().to_str(), Some(".git" | ".bowline" | "target")))
}

async fn reload(folder: &Path, client: &Client) {
    let loaded = match project::load(Some(folder)) {
        Ok(loaded) => loaded,
        Err(failure) => return note(format!("error: {}\nThe last good versions stay live.", failure.message())),
    };
    if loaded.report.has_errors() {
        report(folder, &loaded.report);
        return note("The last good versions stay live.");
    }
    match release_worktree(client, &loaded).await {
        Ok(()) => info!("the working tree is live in dev"),
        Err(failure) => note(format!("error: {}\nThe last good versions stay live.", failure.message())),
    }
}

/// Prints what is wrong in a project.
pub(crate) fn report(folder: &Path, report: &CheckReport) {
    findings::rendered(&report.diagnostics, &FolderSource::new(folder), Style::of_stderr()).for_each(note);
    note(findings::summary(&report.diagnostics, report.prompt_count));
}
