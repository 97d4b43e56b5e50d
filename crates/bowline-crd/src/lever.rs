//! Levers: annotations by which a person on call acts with `kubectl` alone.

use bowline_types::{EnvironmentName, NameError};

/// What a person may ask for with an annotation. The value says why, in words; those of an environment name it first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lever {
    /// On a PromptRollout: end it, the pointer stays.
    Abort,
    /// On a PromptRollout: end it, the pointer moves to the candidate.
    Promote,
    /// On a Prompt: back to the version before, or to the one that is named: `prod`, `prod@sha256:…`.
    Rollback,
    /// On a PromptBundle: while it is there, nothing moves in the environment.
    Freeze,
}

/// The value of a lever that is about an environment: `prod@sha256:1a2b angry customers`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvironmentLever {
    /// The environment.
    pub environment: EnvironmentName,
    /// The version, by its digest or its first digits.
    pub version: Option<String>,
    /// Why.
    pub why: String,
}

/// A value that says no environment.
#[derive(Debug, thiserror::Error)]
#[error("`{value}` names no environment first, as in `prod` or `prod too many refunds`")]
pub struct LeverError {
    /// The value.
    pub value: String,
    /// What is wrong with the name.
    #[source]
    pub source: NameError,
}

// === impl Lever ===

impl Lever {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Abort, Self::Promote, Self::Rollback, Self::Freeze];

    /// The annotation by which a person says who they are; an admission policy holds it against who they are to the API server.
    pub const ACTOR: &str = "bowline.dev/actor";

    /// Returns its name, as conditions and events have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Abort => "abort",
            Self::Promote => "promote",
            Self::Rollback => "rollback",
            Self::Freeze => "freeze",
        }
    }

    /// Returns its annotation.
    #[must_use]
    pub const fn annotation(self) -> &'static str {
        match self {
            Self::Abort => "bowline.dev/abort",
            Self::Promote => "bowline.dev/promote",
            Self::Rollback => "bowline.dev/rollback",
            Self::Freeze => "bowline.dev/freeze",
        }
    }
}

// === impl EnvironmentLever ===

impl std::str::FromStr for EnvironmentLever {
    type Err = LeverError;

    fn from_str(value: &str) -> Result<Self, LeverError> {
        let (target, why) = value.trim().split_once(char::is_whitespace).unwrap_or((value.trim(), ""));
        let (environment, version) =
            target.split_once('@').map_or((target, None), |(name, version)| (name, Some(version)));
        let environment =
            EnvironmentName::new(environment).map_err(|source| LeverError { value: value.to_owned(), source })?;
        Ok(Self { environment, version: version.map(str::to_owned), why: why.trim().to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lever_names_an_environment_and_perhaps_a_version() {
        let read: EnvironmentLever = "prod@sha256:1a2b  angry customers ".parse().unwrap();
        assert_eq!(read.environment.as_str(), "prod");
        assert_eq!(read.version.as_deref(), Some("sha256:1a2b"));
        assert_eq!(read.why, "angry customers");
        let bare: EnvironmentLever = "prod".parse().unwrap();
        assert_eq!((bare.version, bare.why.as_str()), (None, ""));
        assert!("".parse::<EnvironmentLever>().is_err());
        assert!("Too many refunds".parse::<EnvironmentLever>().is_err());
    }
}
