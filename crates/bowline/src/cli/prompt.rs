use std::path::PathBuf;

use bowline_types::{EnvironmentName, PromptName};
use clap::{Args, Subcommand, ValueEnum};

/// `bowline check`.
#[derive(Args, Debug)]
#[command(
    after_help = "Every error of the project is told in one run. The exit code is 1 where there is one, and 0 where there are \
                        warnings only."
)]
pub(crate) struct Check {
    /// Also finds what would break running applications of this environment: inputs they do not send, outputs they read
    #[arg(long, value_name = "ENV")]
    pub(crate) against: Option<EnvironmentName>,
}

/// `bowline lock`.
#[derive(Args, Debug)]
pub(crate) struct Lock {
    /// Writes nothing; the exit code is 1 where the lock is not that of the working tree
    #[arg(long)]
    pub(crate) check: bool,
}

/// `bowline schema`.
#[derive(Args, Debug)]
pub(crate) struct Schema {
    /// The files that the schema is for: `project` is bowline.yaml, `prompt` the front matter of prompts
    #[arg(value_enum, default_value_t, value_name = "OF", hide_possible_values = true)]
    pub(crate) of: SchemaOf,
}

/// Which files a schema is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaOf {
    /// bowline.yaml
    #[default]
    Project,
    /// The front matter of a prompt
    Prompt,
}

/// `bowline prompt`.
#[derive(Debug, Subcommand)]
pub(crate) enum Prompt {
    /// Lists the prompts of the working tree
    List,
    /// Prints the messages that a prompt of the working tree becomes; nothing is called
    Render(PromptRender),
    /// Shows what changed between two versions of a prompt
    Diff(PromptDiff),
}

/// `bowline prompt render`.
#[derive(Args, Debug)]
pub(crate) struct PromptRender {
    /// The prompt, such as support/answer
    pub(crate) prompt: PromptName,
    #[command(flatten)]
    pub(crate) variables: Variables,
}

/// `bowline prompt diff`.
#[derive(Args, Debug)]
#[command(after_help = "Without an option, the working tree is compared with the one environment beside `dev`.")]
pub(crate) struct PromptDiff {
    /// The prompt, such as support/answer
    pub(crate) prompt: PromptName,
    /// Compares with the version that is live in this environment
    #[arg(long, value_name = "ENV", conflicts_with = "from")]
    pub(crate) against: Option<EnvironmentName>,
    /// Compares with this version, which was released before; its first digits are enough
    #[arg(long, value_name = "DIGEST")]
    pub(crate) from: Option<String>,
    /// Shows this version as the new one, in place of the working tree
    #[arg(long, value_name = "DIGEST")]
    pub(crate) to: Option<String>,
}

/// `bowline run`.
#[derive(Args, Debug)]
pub(crate) struct Run {
    /// The prompt, such as support/answer
    pub(crate) prompt: PromptName,
    #[command(flatten)]
    pub(crate) variables: Variables,
    /// The environment whose version is called
    #[arg(long, value_name = "ENV", default_value = "dev")]
    pub(crate) env: EnvironmentName,
    /// The unit that a rollout assigns an arm by, as `x-bowline-unit` [default: the call itself]
    #[arg(long, value_name = "TEXT")]
    pub(crate) unit: Option<String>,
    /// The address of the gateway [default: that of a running `bowline up`, else one in this process]
    #[arg(long, value_name = "ADDR")]
    pub(crate) gateway: Option<String>,
}

/// The variables of a call.
#[derive(Args, Debug)]
pub(crate) struct Variables {
    /// A variable; JSON where the input schema wants no text. `@FILE` reads it from a file, `@@` is a literal `@`
    #[arg(long = "var", value_name = "NAME=VALUE")]
    pub(crate) var: Vec<String>,
    /// A file with a JSON object of variables; `--var` goes before it
    #[arg(long, value_name = "FILE")]
    pub(crate) vars: Option<PathBuf>,
}
