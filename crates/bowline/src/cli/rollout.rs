use bowline_types::{EnvironmentName, PromptName};
use clap::{Args, Subcommand};

/// `bowline rollout`.
#[derive(Debug, Subcommand)]
pub(crate) enum Rollout {
    /// Lists rollouts, newest first
    List(RolloutList),
    /// Shows a rollout as it goes on, until it ends
    Watch(RolloutWatch),
    /// Says where a rollout stands and why, in sentences
    Explain(RolloutNumber),
    /// Ends a rollout by your word: the candidate goes live
    Promote(RolloutEnd),
    /// Ends a rollout by your word: stable stays, the candidate is quarantined
    Abort(RolloutEnd),
    /// Computes every decision of a rollout anew from its observations; the exit code is 1 where a bit differs
    Replay(RolloutNumber),
    /// Says how many units and how much time a rollout would take, before it starts
    Plan(RolloutPlan),
}

/// `bowline rollout list`.
#[derive(Args, Debug)]
pub(crate) struct RolloutList {
    /// Only those that run or wait for a person
    #[arg(long)]
    pub(crate) active: bool,
}

/// `bowline rollout watch`.
#[derive(Args, Debug)]
pub(crate) struct RolloutWatch {
    /// The rollout [default: the newest that runs, else the newest]
    pub(crate) number: Option<u64>,
}

/// `bowline rollout explain` and `replay`.
#[derive(Args, Debug)]
pub(crate) struct RolloutNumber {
    /// The rollout, by the number that `bowline rollout list` shows
    pub(crate) number: u64,
}

/// `bowline rollout promote` and `abort`.
#[derive(Args, Debug)]
pub(crate) struct RolloutEnd {
    /// The rollout, by the number that `bowline rollout list` shows
    pub(crate) number: u64,
    /// Why, for the log
    #[arg(long, value_name = "TEXT")]
    pub(crate) why: String,
}

/// `bowline rollout plan`.
#[derive(Args, Debug)]
pub(crate) struct RolloutPlan {
    /// The prompt
    pub(crate) prompt: PromptName,
    /// The environment
    #[arg(long, value_name = "ENV")]
    pub(crate) env: EnvironmentName,
    /// The traffic to assume, in units with a known value [default: what was measured since the last move, at most a day]
    #[arg(long, value_name = "N", value_parser = units)]
    pub(crate) units_per_hour: Option<f64>,
}

fn units(text: &str) -> Result<f64, String> {
    let units: f64 = text.parse().map_err(|_| "expected a number".to_owned())?;
    if units.is_finite() && units >= 0.0 { Ok(units) } else { Err("expected a number that is not negative".to_owned()) }
}
