use std::process::Command;
use std::time::Duration;

use bowline_types::parse_duration;

use super::{Outcome, test};
use crate::process;
use crate::workspace::Workspace;

/// What to do to it.
#[derive(clap::Args)]
pub(super) struct Options {
    /// How often a `bowline up` under traffic is killed; 0 for not at all.
    #[arg(long, default_value_t = 200)]
    kills: u32,
    /// How often the control role of three gateways is killed, while one of them is killed too, a spool is full and clocks are wrong;
    /// 0 for not at all.
    #[arg(long, default_value_t = 40)]
    role_kills: u32,
    /// How long it serves calls while providers fail; `0s` for not at all.
    #[arg(long, default_value = "60s", value_parser = duration)]
    soak: Duration,
    /// How many faults happen to pods and to the API server of a real cluster under traffic, and nothing else; needs what the step
    /// `kubernetes` of the tests needs
    #[arg(long, value_name = "FAULTS", num_args = 0..=1, default_missing_value = "40")]
    kubernetes: Option<u32>,
}

/// Kills it, in one process and in several, then lets it work among failures. All are tests that CI runs shorter or not at all.
pub(super) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<Outcome> {
    if let Some(faults) = options.kubernetes {
        return test::kubernetes::chaos(workspace, faults);
    }
    let mut passed = true;
    if options.kills > 0 {
        let mut command = cargo_test(workspace, "kill::");
        passed &= process::run(command.env("BOWLINE_KILLS", options.kills.to_string()))?;
    }
    if options.role_kills > 0 {
        let mut command = cargo_test(workspace, "roles::nothing_is_lost");
        passed &= process::run(command.env("BOWLINE_KILLS", options.role_kills.to_string()))?;
    }
    if !options.soak.is_zero() {
        let mut command = cargo_test(workspace, "soak::");
        passed &=
            process::run(command.arg("--ignored").env("BOWLINE_SOAK_SECONDS", options.soak.as_secs().to_string()))?;
    }
    Ok(Outcome::of(passed))
}

/// Returns the tests of the binary under a name, told to print what they find.
fn cargo_test(workspace: &Workspace, name: &str) -> Command {
    workspace.cargo(&["test", "--package", "bowline", "--test", "it", "--locked", "--", "--nocapture", name])
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| format!("`{text}` is no duration; such as 60s or 10m"))
}
