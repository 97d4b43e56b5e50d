use std::time::Duration;

use bowline_oci::Reference;
use bowline_types::{EnvironmentName, PromptName};
use clap::{Args, Subcommand};

use super::RegistryOptions;

/// `bowline release`.
#[derive(Args, Debug)]
#[command(
    after_help = "Where the environment is guarded, a changed prompt goes to a share of units first, and a rollout compares it \
                        with the version that is live. A version that lost there before is held."
)]
pub(crate) struct Release {
    /// The environment
    #[arg(long, value_name = "ENV")]
    pub(crate) env: EnvironmentName,
    /// Releases a bundle instead of the working tree, once the policy of the environment holds: `REGISTRY/REPOSITORY[:TAG][@DIGEST]` or
    /// `oci:PATH[:TAG]`
    #[arg(long, value_name = "REF")]
    pub(crate) bundle: Option<Reference>,
    /// Tries versions again that lost in this environment before
    #[arg(long)]
    pub(crate) retry: bool,
    /// Releases this prompt only; may be given several times [default: all]
    #[arg(long, value_name = "NAME")]
    pub(crate) prompt: Vec<PromptName>,
    #[command(flatten)]
    pub(crate) registry: RegistryOptions,
}

/// `bowline rollback`.
#[derive(Args, Debug)]
#[command(
    after_help = "A running rollout of the prompt is aborted. The version that is left is quarantined, so that the next release \
                        of the same commit does not bring it back."
)]
pub(crate) struct Rollback {
    /// The environment
    pub(crate) env: EnvironmentName,
    /// The prompt
    pub(crate) prompt: PromptName,
    /// The version to go to; the first digits of its digest are enough [default: the one before]
    #[arg(long, value_name = "VERSION")]
    pub(crate) to: Option<String>,
    /// Why, for the log
    #[arg(long, value_name = "TEXT", default_value = "no reason given")]
    pub(crate) why: String,
}

/// `bowline freeze`.
#[derive(Args, Debug)]
pub(crate) struct Freeze {
    /// The environment
    pub(crate) env: EnvironmentName,
    /// Why, for the log
    #[arg(long, value_name = "TEXT", required_unless_present = "off")]
    pub(crate) why: Option<String>,
    /// Lifts the freeze
    #[arg(long)]
    pub(crate) off: bool,
}

/// `bowline env`.
#[derive(Debug, Subcommand)]
pub(crate) enum Environment {
    /// Lists the environments, what is live in them, and what is tried or held
    List,
    /// Prints the log of an environment: every move, by whom, and why
    Log(EnvironmentLog),
    /// Makes an environment that is there for a time only, such as that of a pull request
    Create(EnvironmentCreate),
    /// Removes such an environment before its time
    Delete(EnvironmentDelete),
}

/// `bowline env create`.
#[derive(Args, Debug)]
#[command(
    after_help = "It begins with the versions that are live in the other one and reaches providers as that does; releases are live at once. It is \
                        removed by itself. What it served stays in the records, and its log can be read on."
)]
pub(crate) struct EnvironmentCreate {
    /// Its name, such as pr-123
    pub(crate) env: EnvironmentName,
    /// The environment that it is made from
    #[arg(long, value_name = "ENV")]
    pub(crate) from: EnvironmentName,
    /// How long it is there, such as 12h or 3d
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) ttl: Duration,
}

/// `bowline env delete`.
#[derive(Args, Debug)]
pub(crate) struct EnvironmentDelete {
    /// The environment
    pub(crate) env: EnvironmentName,
    /// Why, for the log
    #[arg(long, value_name = "TEXT", default_value = "no longer needed")]
    pub(crate) why: String,
}

fn duration(text: &str) -> Result<Duration, String> {
    bowline_types::parse_duration(text).ok_or_else(|| "write a number and a unit, such as 12h or 3d".to_owned())
}

/// `bowline env log`.
#[derive(Args, Debug)]
pub(crate) struct EnvironmentLog {
    /// The environment
    pub(crate) env: EnvironmentName,
    /// Only this prompt
    pub(crate) prompt: Option<PromptName>,
    /// At most this many of the newest rows
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
}
