use std::path::{Path, PathBuf};
use std::time::Duration;

use bowline_prompt::{CheckReport, Project};
use bowline_server::Client;
use notify::{RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::findings;
use crate::output::note;
use crate::project::{self, FolderSource};
use crate::style::Style;
use crate::up::settle;

/// What of the folder of a project is watched.
const PARTS: [&str; 3] = [Project::FILE, "prompts", "evals"];
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
        // Where events were lost, or went wrong, reading once more is the safe answer.
        let relevant = event.map_or(true, |event| {
            let touched = event.paths.iter().any(|path| is_of_project(&root, path));
            event.need_rescan() || (touched && !event.kind.is_access())
        });
        if relevant {
            // A full channel says already that something changed.
            let _ = sender.try_send(());
        }
    });
    let mut watcher = match watcher {
        Ok(watcher) => watcher,
        Err(error) => return warn!(%error, "the working tree cannot be watched; restart after edits"),
    };
    if let Err(error) = watch(&mut watcher, &folder) {
        return warn!(%error, "the working tree cannot be watched; restart after edits");
    }
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            changed = changes.recv() => if changed.is_none() { return },
        }
        let quiet = async { while let Ok(Some(())) = tokio::time::timeout(QUIET, changes.recv()).await {} };
        drop(tokio::time::timeout(QUIET_MAX, quiet).await);
        // Before it is read, so that no edit falls between: a folder may be new.
        if let Err(error) = watch(&mut watcher, &folder) {
            warn!(%error, "the working tree cannot be watched; restart after edits");
        }
        reload(&folder, &client).await;
    }
}

/// Watches what a project is made of, and not the store in the same folder, which is written to all the time.
fn watch(watcher: &mut impl Watcher, folder: &Path) -> notify::Result<()> {
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    let mut folders = PARTS.iter().map(|part| folder.join(part)).filter(|path| path.is_dir());
    folders.try_for_each(|path| watcher.watch(&path, RecursiveMode::Recursive))
}

/// Whether a path is one that the check of a project reads. Anything else, such as a log in the same folder, is no edit.
fn is_of_project(root: &Path, path: &Path) -> bool {
    let first = path.strip_prefix(root).ok().and_then(|inside| inside.components().next());
    first.is_some_and(|first| PARTS.iter().any(|part| first.as_os_str() == *part))
}

async fn reload(folder: &Path, client: &Client) {
    let root = folder.to_owned();
    // Reading files and asking Git is work for a thread that serves nobody.
    let loaded = match tokio::task::spawn_blocking(move || project::load(Some(&root))).await {
        Ok(Ok(loaded)) => loaded,
        Ok(Err(failure)) => return note(format!("error: {}\nThe last good versions stay live.", failure.message())),
        Err(error) => return warn!(%error, "the working tree could not be read"),
    };
    if loaded.report.has_errors() {
        report(folder, &loaded.report);
        return note("The last good versions stay live.");
    }
    let Ok(project) = loaded.project() else { return };
    match settle(client, &loaded, project).await {
        Ok(()) => info!("the working tree was taken over"),
        Err(failure) => note(format!("error: {}\nThe last good versions stay live.", failure.message())),
    }
}

/// Prints what is wrong in a project.
pub(crate) fn report(folder: &Path, report: &CheckReport) {
    findings::rendered(&report.diagnostics, &FolderSource::new(folder), Style::of_stderr()).for_each(note);
    note(findings::summary(&report.diagnostics, report.prompt_count));
}
