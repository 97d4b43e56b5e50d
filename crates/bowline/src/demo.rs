//! `bowline demo`: the whole story on this machine, with real processes, real HTTP requests and real statistics. Only the model is
//! simulated.

mod processes;
mod repository;
mod story;
mod traffic;

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use bowline_server::Client;
use tokio_util::sync::CancellationToken;

use crate::cli::Demo;
use crate::demo::processes::Processes;
use crate::demo::repository::Repository;
use crate::demo::story::{Ending, Story};
use crate::failure::{Failure, Result};
use crate::output::{line, note};
use crate::style::{Paint, Style};
use crate::up::signals;

/// The verdicts did not come out as the story says.
const EXIT_OTHER_VERDICTS: u8 = 1;

/// Plays the story; stays up until a signal, or ends at once with `--exit`.
///
/// # Errors
/// Git is not there, a port or a folder is taken, or a process ends early.
pub(crate) async fn run(demo: &Demo) -> Result<ExitCode> {
    let folder = folder(demo)?;
    let shutdown = signals()?;
    let played = play(demo, &folder, &shutdown).await;
    if demo.keep.is_none() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("could not remove {}", folder.display()))?;
    }
    played
}

async fn play(demo: &Demo, folder: &Path, shutdown: &CancellationToken) -> Result<ExitCode> {
    let style = Style::of_stdout();
    note("Starting a simulated provider, a gateway and a control role, and a Git repository with one prompt …");
    let mut processes = Processes::start(folder)?;
    let told = tokio::select! {
        told = tell(demo, folder, &mut processes, style) => told,
        () = shutdown.cancelled() => Ok(None),
    };
    if let Ok(Some(ending)) = &told {
        closing(ending, style);
        if !demo.exit {
            line(style.paint(Paint::Dim, "Still serving, so that you can look around. Ctrl-C ends it."));
            shutdown.cancelled().await;
        }
    }
    processes.stop();
    Ok(match told? {
        Some(ending) if ending.as_told() => ExitCode::SUCCESS,
        Some(_) => ExitCode::from(EXIT_OTHER_VERDICTS),
        None if demo.exit => ExitCode::from(EXIT_OTHER_VERDICTS),
        None => ExitCode::SUCCESS,
    })
}

async fn tell(demo: &Demo, folder: &Path, processes: &mut Processes, style: Style) -> Result<Option<Ending>> {
    processes.simulator_wait().await?;
    let repository = Repository::create(folder.join("support-desk"), processes.simulator())?;
    let served = processes.serve(repository.folder()).await?;
    let client = Client::network(served.control.clone(), repository::project()?, served.token.clone());
    let story = Story { demo, repository: &repository, served: &served, client: &client, style };
    story.tell().await.map(Some)
}

/// Returns a new folder for the story.
fn folder(demo: &Demo) -> Result<PathBuf> {
    let folder = match &demo.keep {
        Some(folder) => std::path::absolute(folder)?,
        None => std::env::temp_dir().join(format!("bowline-demo-{}", std::process::id())),
    };
    // For this user only, as the logs in it hold a key; an existing folder may be somebody else's.
    std::fs::DirBuilder::new().mode(0o700).create(&folder).map_err(|error| {
        let hint = "hint: name a folder that does not exist yet, in one that does";
        Failure::user(format!("could not create {}: {error}\n{hint}", folder.display()))
    })?;
    Ok(folder)
}

fn closing(ending: &Ending, style: Style) {
    let Ending { served, folder, alpha, bowline, key, .. } = ending;
    let bound = format!("{:.0}", 1.0 / alpha);
    line("");
    line(format!(
        "Each verdict is wrong at most 1 time in {bound}, however often it is looked at. Simulated model, real gateway and statistics."
    ));
    let next = |what: &str, how: &str| line(format!("{}  {how}", style.paint(Paint::Cyan, &format!("{what:9}"))));
    let command = format!("{bowline} -C {}", folder.display());
    next("Why?", &format!("{command} rollout explain {}", ending.rolled_back.number));
    next("Undo?", &format!("{command} rollback prod {}", repository::PROMPT));
    next("Watch", &format!("http://{}", served.control));
    let body =
        format!("{{\"model\":\"prompt:{}\",\"variables\":{{\"ticket\":\"I was charged twice\"}}}}", repository::PROMPT);
    let curl = format!(
        "curl -s http://{}/v1/chat/completions -H 'authorization: Bearer {key}' -H 'content-type: application/json' -d '{body}'",
        served.gateway
    );
    next("Call it", &curl);
}
