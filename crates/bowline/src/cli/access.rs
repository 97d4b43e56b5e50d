use bowline_types::{EnvironmentName, KeyId, PromptName, Subject};
use clap::{Args, Subcommand};

/// `bowline key`.
#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Makes a key and prints it, this one time
    Create(KeyCreate),
    /// Lists the keys; never the keys themselves
    List(KeyList),
    /// Revokes a key: gateways refuse it within a second
    Revoke(KeyRevoke),
}

/// `bowline key create`.
#[derive(Args, Debug)]
pub(crate) struct KeyCreate {
    /// What people call it, such as the name of the application
    pub(crate) name: String,
    /// The environment of prompts that are named without one
    #[arg(long, value_name = "ENV")]
    pub(crate) env: EnvironmentName,
    /// Another environment that the key may name, as in `prompt:NAME@ENV`; may be given several times
    #[arg(long, value_name = "ENV")]
    pub(crate) environment: Vec<EnvironmentName>,
    /// Lets the key name versions, as in `prompt:NAME@sha256:…`
    #[arg(long)]
    pub(crate) versions: bool,
    /// Whose key it is, where it is to be no secret: the tokens of this service account are, `system:serviceaccount:NAMESPACE:NAME`
    #[arg(long, value_name = "SUBJECT")]
    pub(crate) subject: Option<Subject>,
}

/// `bowline key list`.
#[derive(Args, Debug)]
pub(crate) struct KeyList {
    /// Revoked ones too
    #[arg(long)]
    pub(crate) all: bool,
}

/// `bowline key revoke`.
#[derive(Args, Debug)]
pub(crate) struct KeyRevoke {
    /// The id that `bowline key list` shows
    pub(crate) id: KeyId,
}

/// `bowline inference`.
#[derive(Debug, Subcommand)]
pub(crate) enum Inference {
    /// Lists inferences, newest first
    List(InferenceList),
    /// Shows one inference with its checks and outcomes
    Show(InferenceShow),
    /// Prints inferences as they come
    Tail(InferenceTail),
}

/// `bowline inference list`.
#[derive(Args, Debug)]
pub(crate) struct InferenceList {
    /// Only this environment
    #[arg(long, value_name = "ENV")]
    pub(crate) env: Option<EnvironmentName>,
    /// Only this prompt
    #[arg(long, value_name = "NAME")]
    pub(crate) prompt: Option<PromptName>,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
}

/// `bowline inference show`.
#[derive(Args, Debug)]
pub(crate) struct InferenceShow {
    /// The id, as `bowline inference list` or the header `x-bowline-inference` shows it
    pub(crate) id: String,
}

/// `bowline inference tail`.
#[derive(Args, Debug)]
pub(crate) struct InferenceTail {
    /// Only this environment
    #[arg(long, value_name = "ENV")]
    pub(crate) env: Option<EnvironmentName>,
    /// Only this prompt
    #[arg(long, value_name = "NAME")]
    pub(crate) prompt: Option<PromptName>,
}
