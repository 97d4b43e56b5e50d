use std::time::Duration;

use bowline_server::Client;
use bowline_server::wire::RolloutView;
use bowline_store::{RolloutRecord, RolloutState};
use bowline_types::{Arm, Clock, SystemClock};

use crate::cli::{Global, RolloutWatch};
use crate::commands::connected;
use crate::failure::{Failure, Result};
use crate::output::{Format, is_terminal, line, note};
use crate::picture;
use crate::style::Style;
use crate::wording::{moment, percent};

/// How often a terminal is drawn anew.
const REDRAW: Duration = Duration::from_millis(250);
/// How often there may be a new line where there is no terminal.
const RELINE: Duration = Duration::from_secs(2);

/// How a rollout is shown.
enum Screen {
    /// Drawn in place; the lines of the last picture.
    Terminal(usize),
    /// A line per change; the last one, without its time.
    Lines(String),
    /// A JSON document per change, each on a line; the last one.
    Json(String),
}

/// Shows a rollout until it ends.
///
/// # Errors
/// There is no such rollout, or the control role is gone.
pub(crate) async fn run(global: &Global, watch: &RolloutWatch) -> Result<()> {
    connected(global, async |connection| {
        let client = &connection.client;
        let number = match watch.number {
            Some(number) => number,
            None => newest(client).await?,
        };
        let mut screen = Screen::new(global);
        loop {
            let view: RolloutView = client.get(&format!("/rollouts/{number}")).await?;
            screen.show(&view)?;
            if !view.rollout.state.is_active() {
                note(format!("hint: `bowline rollout explain {number}` says why"));
                return Ok(());
            }
            if connection.host.is_some() {
                note("nobody serves this project now, so nothing will change\nhint: `bowline up` serves it");
                return Ok(());
            }
            tokio::time::sleep(screen.pause()).await;
        }
    })
    .await
}

async fn newest(client: &Client) -> Result<u64> {
    let rollouts: Vec<RolloutRecord> = client.get("/rollouts").await?;
    let active = rollouts.iter().find(|rollout| rollout.state.is_active());
    let found = active.or(rollouts.first()).map(|rollout| rollout.number);
    found.ok_or_else(|| {
        Failure::user(
            "there are no rollouts\nhint: `bowline release` to a guarded environment starts one per changed prompt",
        )
    })
}

// === impl Screen ===

impl Screen {
    fn new(global: &Global) -> Self {
        match global.output {
            Format::Json => Self::Json(String::new()),
            Format::Text if is_terminal() => Self::Terminal(0),
            Format::Text => Self::Lines(String::new()),
        }
    }

    const fn pause(&self) -> Duration {
        match self {
            Self::Terminal(_) => REDRAW,
            Self::Lines(_) | Self::Json(_) => RELINE,
        }
    }

    fn show(&mut self, view: &RolloutView) -> Result<()> {
        match self {
            Self::Terminal(drawn) => {
                let picture = picture::rollout(view, SystemClock.now(), Style::of_stdout());
                line(frame(*drawn, &picture));
                *drawn = picture.len();
            }
            Self::Lines(last) => {
                let text = summary(view);
                if *last != text {
                    line(format!("{}  {text}", moment(SystemClock.now())));
                    *last = text;
                }
            }
            Self::Json(last) => {
                let text = serde_json::to_string(view).map_err(anyhow::Error::from)?;
                if *last != text {
                    line(&text);
                    *last = text;
                }
            }
        }
        Ok(())
    }
}

/// Returns what draws a picture over the last one, which had `drawn` lines.
fn frame(drawn: usize, picture: &[String]) -> String {
    // Up, clear the rest of the screen, and no line wrap meanwhile: a line that wraps would be counted wrong.
    let up = if drawn > 0 { format!("\u{1b}[{drawn}A\u{1b}[J") } else { String::new() };
    format!("{up}\u{1b}[?7l{}\u{1b}[?7h", picture.join("\n"))
}

fn summary(view: &RolloutView) -> String {
    let arm = |arm: Arm| {
        let evidence = view.evidence.arms.get(arm);
        let rate = evidence.mean().map_or_else(|| "–".to_owned(), percent);
        format!("{arm} {} units {rate}", evidence.known())
    };
    let (worse, not_worse) = (view.evidence.rollback, view.evidence.promotion);
    let record = &view.rollout;
    let end = match record.state {
        RolloutState::Running => "running".to_owned(),
        state => format!("{}: {}", state.as_str().replace('_', " "), record.why),
    };
    format!(
        "rollout {}  {}  {}  {}  worse {} of {:.0}  not worse {} of {:.0}  {end}",
        record.number,
        picture::stage(record),
        arm(Arm::Stable),
        arm(Arm::Candidate),
        worse.e_value,
        worse.threshold,
        not_worse.e_value,
        not_worse.threshold,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_drawn_over_the_last_one() {
        let picture = ["a".to_owned(), "b".to_owned()];
        assert_eq!(frame(0, &picture), "\u{1b}[?7la\nb\u{1b}[?7h");
        assert_eq!(frame(2, &picture), "\u{1b}[2A\u{1b}[J\u{1b}[?7la\nb\u{1b}[?7h");
    }
}
