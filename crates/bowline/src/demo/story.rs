use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use bowline_server::Client;
use bowline_server::wire::{KeyRequest, KeyResponse, RolloutView};
use bowline_store::{RolloutRecord, RolloutState, SummaryRow};
use bowline_types::{Clock, Digest, SystemClock};
use tokio_util::sync::CancellationToken;

use crate::cli::Demo;
use crate::demo::processes::Served;
use crate::demo::repository::{BETTER, PROMPT, Repository, WORSE};
use crate::demo::traffic::Traffic;
use crate::failure::{Failure, Result};
use crate::output::{is_terminal, line};
use crate::picture;
use crate::style::{Paint, Style};
use crate::wording::percent;

/// The calls before the first change.
const FIRST_CALLS: u64 = 240;
/// How often a running rollout is drawn.
const REDRAW: Duration = Duration::from_millis(200);
/// How long a rollout of the story may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// The story and who plays in it.
pub(super) struct Story<'a> {
    pub(super) demo: &'a Demo,
    pub(super) repository: &'a Repository,
    pub(super) served: &'a Served,
    pub(super) client: &'a Client,
    pub(super) style: Style,
}

/// How the story ended, and what one needs to go on.
pub(super) struct Ending {
    pub(super) served: Addresses,
    pub(super) folder: PathBuf,
    pub(super) bowline: String,
    pub(super) key: String,
    pub(super) alpha: f64,
    pub(super) rolled_back: RolloutRecord,
    pub(super) promoted: RolloutRecord,
}

/// Where it is served.
pub(super) struct Addresses {
    pub(super) gateway: String,
    pub(super) control: String,
}

// === impl Ending ===

impl Ending {
    /// Returns whether the bad change was rolled back and the good one promoted.
    pub(super) fn as_told(&self) -> bool {
        (self.rolled_back.state, self.promoted.state) == (RolloutState::RolledBack, RolloutState::Promoted)
    }
}

// === impl Story ===

impl Story<'_> {
    /// Plays the three acts.
    pub(super) async fn tell(&self) -> Result<Ending> {
        let key = self.key().await?;
        let mut traffic = Traffic::new(&self.served.gateway, &key, self.demo.seed)?;
        self.release()?;
        traffic.calls(FIRST_CALLS).await?;
        let (version, rate, n) = self.measured().await?;
        self.act(
            1,
            "v1 is live.",
            &format!("{PROMPT}  {}…  {} of tickets right (n {n})", version.short(), percent(rate)),
        );

        self.act(2, "A change deletes two \"redundant\" lines.", "Review approved it; nothing errors.");
        self.show(WORSE);
        self.repository.change(WORSE, "shorten the definitions")?;
        let rolled_back = self.rollout(&mut traffic).await?;
        self.verdict(&rolled_back);

        self.act(3, "A change adds examples.", "");
        self.show(BETTER);
        self.repository.revert()?;
        self.repository.change(BETTER, "add examples")?;
        let promoted = self.rollout(&mut traffic).await?;
        self.verdict(&promoted);

        let alpha = picture::design(&promoted.rollout).map_or(0.05, |design| design.plan.alpha.promote);
        Ok(Ending {
            served: Addresses { gateway: self.served.gateway.clone(), control: self.served.control.clone() },
            folder: self.repository.folder().to_owned(),
            bowline: program(&self.served.bowline),
            key,
            alpha,
            rolled_back: rolled_back.rollout,
            promoted: promoted.rollout,
        })
    }

    fn act(&self, number: u8, title: &str, rest: &str) {
        line("");
        line(format!("{}  {title}  {rest}", self.style.paint(Paint::Bold, &format!("{number}/3"))).trim_end());
    }

    /// Shows the lines that a patch takes away and adds.
    fn show(&self, patch: &str) {
        let body = patch.lines().filter(|line| !line.starts_with("---") && !line.starts_with("+++"));
        for change in body {
            // A space after the sign, as the lines of a list begin with a dash of their own.
            if let Some(gone) = change.strip_prefix('-') {
                line(format!("       {}", self.style.paint(Paint::Red, &format!("- {gone}"))));
            } else if let Some(new) = change.strip_prefix('+') {
                line(format!("       {}", self.style.paint(Paint::Green, &format!("+ {new}")).trim_end()));
            }
        }
    }

    async fn key(&self) -> Result<String> {
        let environment = "prod".parse().map_err(anyhow::Error::new)?;
        let request = KeyRequest {
            name: "story".to_owned(),
            environment,
            environments: Vec::new(),
            versions: false,
            subject: None,
            replaces: None,
        };
        let KeyResponse { key, .. } = self.client.post("/keys", &request).await?;
        Ok(key)
    }

    /// Releases the working tree as a person would, by the command line.
    fn release(&self) -> Result<()> {
        let folder = self.repository.folder();
        let mut command = Command::new(&self.served.bowline);
        command.arg("--dir").arg(folder).args(["release", "--env", "prod"]).env("BOWLINE_ACTOR", "Grace");
        let output = command.output().context("could not start `bowline release`")?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(Failure::user(format!("`bowline release --env prod` failed: {said}")))
    }

    /// Returns the live version with its success rate, once all feedback has arrived.
    async fn measured(&self) -> Result<(Digest, f64, u64)> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let rows: Vec<SummaryRow> = self.client.get("/environments/prod/summary").await?;
            let row = rows.iter().find(|row| row.prompt.as_ref().is_some_and(|prompt| prompt.as_str() == PROMPT));
            if let Some((row, version)) = row.and_then(|row| Some((row, row.version?)))
                && row.pass + row.fail >= FIRST_CALLS
            {
                let n = row.pass + row.fail;
                let part = |count: u64| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
                return Ok((version, part(row.pass) / part(n), n));
            }
            if tokio::time::Instant::now() > deadline {
                return Err(Failure::user(
                    "the first calls did not arrive in the records\nhint: this is a bug; please report it",
                ));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Releases the change and sends traffic until its rollout has ended.
    async fn rollout(&self, traffic: &mut Traffic) -> Result<RolloutView> {
        self.release()?;
        let started: Vec<RolloutRecord> = self.client.get("/rollouts?active=true").await?;
        let number = started.first().map(|rollout| rollout.number);
        let number =
            number.ok_or_else(|| Failure::user("no rollout started\nhint: this is a bug; please report it"))?;
        let stop = CancellationToken::new();
        let watched = async {
            let view = self.watch(number).await;
            stop.cancel();
            view
        };
        let (view, sent) = tokio::join!(watched, traffic.until(&stop));
        sent?;
        view
    }

    /// Draws a rollout until it ends.
    async fn watch(&self, number: u64) -> Result<RolloutView> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let mut drawn = 0;
        loop {
            let view: RolloutView = self.client.get(&format!("/rollouts/{number}")).await?;
            let ended = !view.rollout.state.is_active();
            let late = tokio::time::Instant::now() > deadline;
            if is_terminal() || ended || late {
                let picture = picture::rollout(&view, SystemClock.now(), self.style);
                let up = if drawn > 0 { format!("\u{1b}[{drawn}A\u{1b}[J") } else { String::new() };
                drawn = picture.len();
                let indented = picture.iter().map(|each| format!("     {each}")).collect::<Vec<_>>();
                line(format!("{up}{}", indented.join("\n")));
            }
            if ended || late {
                return Ok(view);
            }
            tokio::time::sleep(REDRAW).await;
        }
    }

    fn verdict(&self, view: &RolloutView) {
        let units = view.evidence.arms.candidate.known() + view.evidence.arms.stable.known();
        let rate = |arm| view.evidence.arms.get(arm).mean().map_or_else(|| "–".to_owned(), percent);
        let (candidate, stable) = (rate(bowline_types::Arm::Candidate), rate(bowline_types::Arm::Stable));
        let (paint, word) = match view.rollout.state {
            RolloutState::Promoted => (Paint::Green, "Promoted"),
            RolloutState::RolledBack => (Paint::Red, "Rolled back"),
            other => (Paint::Yellow, other.as_str()),
        };
        let exposed = view.evidence.arms.candidate.known();
        line(format!(
            "     {} after {units} units, {exposed} of them on the candidate: {candidate} against {stable}.",
            self.style.paint(paint, word)
        ));
    }
}

/// Returns how to call this program from where one is: by its path from here, if it is below.
fn program(path: &std::path::Path) -> String {
    let here = std::env::current_dir().ok();
    let below = here.and_then(|here| path.strip_prefix(here).ok());
    below.unwrap_or(path).display().to_string()
}
