use std::process::ExitCode;

use bowline_server::wire::{ReplayView, RulingReplay};

use crate::cli::{Global, RolloutNumber};
use crate::commands::connected;
use crate::failure::Result;
use crate::output::{Format, json, line};
use crate::style::{Paint, Style};
use crate::wording::{count, moment};

/// Computes every decision of a rollout anew.
///
/// # Errors
/// There is no such rollout, or its log cannot be read.
pub(crate) async fn run(global: &Global, rollout: &RolloutNumber) -> Result<ExitCode> {
    let number = rollout.number;
    let view = connected(global, async |connection| {
        Ok(connection.client.get::<ReplayView>(&format!("/rollouts/{number}/replay")).await?)
    });
    let view = view.await?;
    match global.output {
        Format::Json => json(&view)?,
        Format::Text => print(number, &view),
    }
    Ok(if view.equal { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(number: u64, view: &ReplayView) {
    let style = Style::of_stdout();
    let rulings = count(view.rulings.len(), "decision");
    line(format!("rollout {number}: {} observations, {rulings}", view.observations));
    for RulingReplay { at, recorded, equal, .. } in &view.rulings {
        let action = recorded.pointer("/decision/action/action").and_then(|action| action.as_str()).unwrap_or("?");
        line(format!("  {}  {:14}  {}", moment(*at), action.replace('_', " "), verdict(*equal, style)));
    }
    line(format!("  evidence at the end{:18}{}", "", verdict(view.recorded == view.replayed, style)));
    if !view.equal {
        line(
            "The log does not give what was recorded: it was changed, or computed by a version of Bowline with a bug.",
        );
    }
}

fn verdict(equal: bool, style: Style) -> String {
    if equal { style.paint(Paint::Green, "equal, bit for bit") } else { style.paint(Paint::Red, "DIFFERENT") }
}
