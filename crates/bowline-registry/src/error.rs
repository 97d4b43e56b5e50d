use bowline_types::{Digest, EnvironmentName, PromptName};

/// The result of a registry operation.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a change was refused. Every text says what to do next, after `hint:`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The project file has no such environment.
    #[error("environment `{environment}` is not in bowline.yaml\nhint: it declares {declared}")]
    EnvironmentUnknown {
        /// The environment asked for.
        environment: EnvironmentName,
        /// The environments that exist, joined.
        declared: String,
    },
    /// The environment takes its versions from elsewhere.
    #[error(
        "environment `{environment}` takes its versions from `{source_name}`, not from `{given}`\nhint: {}",
        way_in(.environment, .source_name)
    )]
    SourceRefused {
        /// The environment.
        environment: EnvironmentName,
        /// The source it declares.
        source_name: String,
        /// The source of this release.
        given: String,
    },
    /// The working tree differs from its commit, and the environment is protected.
    #[error(
        "the working tree has uncommitted changes, and `{environment}` is protected\nhint: commit them, then release again"
    )]
    Dirty {
        /// The environment.
        environment: EnvironmentName,
    },
    /// The project is in no Git repository, and the environment is protected.
    #[error(
        "the project is not in a Git commit, and `{environment}` is protected\nhint: run `git init`, commit the project, then release again"
    )]
    NoCommit {
        /// The environment.
        environment: EnvironmentName,
    },
    /// The environment is frozen.
    #[error("`{environment}` is frozen by {actor} ({why})\nhint: `bowline freeze {environment} --off` lifts it")]
    Frozen {
        /// The environment.
        environment: EnvironmentName,
        /// Who froze it.
        actor: String,
        /// Why.
        why: String,
    },
    /// A later release of the same holder came first.
    #[error(
        "revision {revision} of {holder} came too late for `{environment}`, which has revision {seen}\nhint: read what is wanted again; where nothing newer is, this one needs a larger revision"
    )]
    Fenced {
        /// The environment.
        environment: EnvironmentName,
        /// Whose releases are in order.
        holder: String,
        /// The revision of this release.
        revision: u64,
        /// The largest one so far.
        seen: u64,
    },
    /// The environment has no such prompt.
    #[error("`{environment}` serves no prompt `{prompt}`\nhint: `bowline env list` shows what it serves")]
    PromptUnknown {
        /// The environment.
        environment: EnvironmentName,
        /// The prompt.
        prompt: PromptName,
    },
    /// The prompt has never been at another version in this environment.
    #[error(
        "`{prompt}` has no earlier version in `{environment}`\nhint: `bowline env log {environment} {prompt}` shows where it has been"
    )]
    NothingBefore {
        /// The environment.
        environment: EnvironmentName,
        /// The prompt.
        prompt: PromptName,
    },
    /// The version has never been in this environment.
    #[error(
        "version {version} of `{prompt}` has never been in `{environment}`\nhint: `bowline env log {environment} {prompt}` shows where it has been"
    )]
    VersionUnknown {
        /// The environment.
        environment: EnvironmentName,
        /// The prompt.
        prompt: PromptName,
        /// The version asked for.
        version: String,
    },
    /// A version does not hash to the digest it was sent with.
    #[error(
        "version of `{prompt}` hashes to {computed}, not to {given}\nhint: the client and the control role run different versions of Bowline; upgrade the older one"
    )]
    DigestMismatch {
        /// The prompt.
        prompt: PromptName,
        /// The digest sent.
        given: Digest,
        /// The digest computed here.
        computed: Digest,
    },
    /// A new environment has the name of one that is there.
    #[error(
        "environment `{environment}` is there already\nhint: choose another name, or `bowline env delete {environment}` where it is a temporary one"
    )]
    EnvironmentExists {
        /// The environment.
        environment: EnvironmentName,
    },
    /// A temporary environment with a life that is too short or too long.
    #[error("`{environment}` can be there for 60 seconds to 90 days\nhint: one that stays belongs into bowline.yaml")]
    TtlInvalid {
        /// The environment.
        environment: EnvironmentName,
    },
    /// Too many temporary environments.
    #[error(
        "the project has {most} temporary environments, which is the most\nhint: `bowline env delete` removes one before its time"
    )]
    EnvironmentsTooMany {
        /// The bound.
        most: usize,
    },
    /// An environment that is not temporary was to be removed.
    #[error("`{environment}` is declared in bowline.yaml\nhint: remove it there")]
    NotTemporary {
        /// The environment.
        environment: EnvironmentName,
    },
    /// The rollout has ended.
    #[error("rollout {number} has ended: {state}\nhint: `bowline rollout explain {number}` says why")]
    RolloutEnded {
        /// The number.
        number: u64,
        /// Its state.
        state: &'static str,
    },
    /// The plan of a rollout is not valid.
    #[error(
        "the rollout plan of `{prompt}` is not valid: {reason}\nhint: see `environments.{environment}.rollout` in bowline.yaml and `bowline.rollout` in the prompt"
    )]
    PlanInvalid {
        /// The environment.
        environment: EnvironmentName,
        /// The prompt.
        prompt: PromptName,
        /// What is wrong.
        reason: String,
    },
    /// A stored document cannot be read.
    #[error("a stored {noun} cannot be read")]
    Corrupt {
        /// The noun.
        noun: &'static str,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// The store failed.
    #[error("could not use the store")]
    Store(#[from] bowline_store::Error),
}

/// Returns what to do where an environment refused a source, so that two authorities never fight over it.
fn way_in(environment: &EnvironmentName, source: &str) -> String {
    let way = match source {
        "bundle" => "release a bundle with `--bundle REF`",
        "cli" => "release the working tree, without `--bundle`",
        _ => "edit the files, which are live there as they are",
    };
    format!("{way}; or change `environments.{environment}.source` in bowline.yaml")
}
