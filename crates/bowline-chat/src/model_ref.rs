use std::fmt;
use std::str::FromStr;

use bowline_types::{Digest, DigestParseError, EnvironmentName, ModelAlias, NameError, PromptName};

/// What a client names in `model`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ModelRef {
    /// A model: `fast`.
    Alias(ModelAlias),
    /// A prompt: `prompt:support/answer`, `prompt:support/answer@staging`, `prompt:support/answer@sha256:…`.
    Prompt {
        /// The prompt.
        name: PromptName,
        /// Which version of it; `None` takes the environment of the key.
        selector: Option<Selector>,
    },
}

/// Which version of a prompt; the key needs a scope for either.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Selector {
    /// The one that is live in this environment.
    Environment(EnvironmentName),
    /// The one of this identity.
    Version(Digest),
}

/// Why a text is no reference.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ModelRefError {
    /// The name of the model or the prompt breaks a rule.
    #[error("read the name")]
    Name(#[source] NameError),
    /// What follows the `@` is no environment.
    #[error("read the environment after `@`")]
    Environment(#[source] NameError),
    /// What follows the `@` is no digest.
    #[error("read the version after `@`")]
    Version(#[source] DigestParseError),
}

// === impl ModelRef ===

impl FromStr for ModelRef {
    type Err = ModelRefError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some(prompt) = text.strip_prefix("prompt:") else {
            return text.parse().map(Self::Alias).map_err(ModelRefError::Name);
        };
        let (name, selector) = match prompt.split_once('@') {
            None => (prompt, None),
            Some((name, version)) if version.starts_with("sha256:") => {
                (name, Some(Selector::Version(version.parse().map_err(ModelRefError::Version)?)))
            }
            Some((name, environment)) => {
                (name, Some(Selector::Environment(environment.parse().map_err(ModelRefError::Environment)?)))
            }
        };
        Ok(Self::Prompt { name: name.parse().map_err(ModelRefError::Name)?, selector })
    }
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alias(alias) => write!(f, "{alias}"),
            Self::Prompt { name, selector: None } => write!(f, "prompt:{name}"),
            Self::Prompt { name, selector: Some(Selector::Environment(environment)) } => {
                write!(f, "prompt:{name}@{environment}")
            }
            Self::Prompt { name, selector: Some(Selector::Version(digest)) } => write!(f, "prompt:{name}@{digest}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_round_trip() {
        let digest = Digest::of(b"abc");
        for text in ["fast", "openai/gpt-5", "prompt:support/answer", "prompt:support/answer@staging"] {
            assert_eq!(text.parse::<ModelRef>().unwrap().to_string(), text);
        }
        let text = format!("prompt:a@{digest}");
        assert_eq!(text.parse::<ModelRef>().unwrap().to_string(), text);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "prompt:", "prompt:@prod", "prompt:a@", "prompt:a@Prod", "prompt:a@sha256:12", "a b", "a@b"] {
            assert!(text.parse::<ModelRef>().is_err(), "{text}");
        }
    }
}
