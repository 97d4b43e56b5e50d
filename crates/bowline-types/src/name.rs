use std::borrow::{Borrow, Cow};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A name that does not follow its rule.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{name}` is not a name of a {what}: {rule}")]
pub struct NameError {
    /// The text.
    pub name: String,
    /// The noun.
    pub what: &'static str,
    /// The rule, in words.
    pub rule: &'static str,
}

/// A prompt environment inside a project: what a pointer, a log row and a rollout belong to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Scope {
    /// The project.
    pub project: ProjectName,
    /// The environment.
    pub environment: EnvironmentName,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.project, self.environment)
    }
}

const SEGMENT: &str =
    "use lower-case letters, digits, `-`, `_` and `.`, starting with a letter or a digit, at most 64 bytes";
const PATH: &str = "use segments of letters, digits, `-`, `_` and `.`, joined by `/`, at most 200 bytes";

const SUBJECT: &str = "use the user name of a service account, `system:serviceaccount:NAMESPACE:NAME`";

/// The user name that Kubernetes gives a service account; <https://kubernetes.io/docs/reference/access-authn-authz/authentication/>, read
/// 2026-11-25. A namespace is a label of DNS, a service account a name of several.
fn is_subject(text: &str) -> bool {
    let label = |part: &str| {
        let inner = part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        inner && !part.is_empty() && !part.starts_with('-') && !part.ends_with('-')
    };
    let account = text.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
    account.is_some_and(|(namespace, name)| {
        label(namespace) && namespace.len() <= 63 && name.len() <= 253 && name.split('.').all(label)
    })
}

fn is_segment(text: &str) -> bool {
    let first = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let rest = text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.'));
    first && rest && text.len() <= 64
}

fn is_path(text: &str) -> bool {
    let segment = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    !text.is_empty() && text.len() <= 200 && text.split('/').all(segment)
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident, $what:literal, $valid:ident, $rule:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// Checks and wraps a name.
            ///
            /// # Errors
            /// Says which rule the name breaks.
            pub fn new(name: impl AsRef<str>) -> Result<Self, NameError> {
                let name = name.as_ref();
                if $valid(name) {
                    Ok(Self(name.into()))
                } else {
                    Err(NameError { name: name.to_owned(), what: $what, rule: $rule })
                }
            }

            /// Returns the text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(name: &str) -> Result<Self, NameError> {
                Self::new(name)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(Cow::<'de, str>::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }
    )*};
}

names! {
    /// A project: a folder in Git with a `bowline.yaml`.
    ProjectName, "project", is_segment, SEGMENT;
    /// An environment: `dev`, `staging`, `prod`, …
    EnvironmentName, "environment", is_segment, SEGMENT;
    /// A provider as `bowline.yaml` names it; not its kind.
    ProviderName, "provider", is_segment, SEGMENT;
    /// A prompt: the path of its file under `prompts/` without `.prompt`, and with the variant where it has one.
    PromptName, "prompt", is_path, PATH;
    /// A model as applications and prompts name it; an alias that routes to provider models.
    ModelAlias, "model", is_path, PATH;
    /// Who a key belongs to that is no secret but an identity somebody else vouches for: a service account of a Kubernetes cluster.
    Subject, "subject", is_subject, SUBJECT;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_their_rules() {
        assert!(PromptName::new("support/classify.v2").is_ok());
        assert!(EnvironmentName::new("prod").is_ok());
        for name in ["", "/a", "a/", "a//b", "../a", "a b", "a@b", "é"] {
            assert!(PromptName::new(name).is_err(), "{name}");
        }
        for name in ["", "Prod", "a/b", "-a"] {
            assert!(EnvironmentName::new(name).is_err(), "{name}");
        }
        for account in ["support-desk", "0", "a.b-c.d"] {
            assert!(Subject::new(format!("system:serviceaccount:shop:{account}")).is_ok(), "{account}");
        }
        let long = format!("system:serviceaccount:{}:a", "n".repeat(64));
        for name in [
            "",
            "shop:app",
            "system:serviceaccount:shop",
            "system:serviceaccount:shop:",
            "system:serviceaccount::app",
            "system:serviceaccount:shop:app:more",
            "system:serviceaccount:shop.x:app",
            "system:serviceaccount:Shop:app",
            "system:serviceaccount:shop:app..b",
            "system:serviceaccount:shop:-app",
            "system:node:shop:app",
            "system:admin",
            long.as_str(),
        ] {
            assert!(Subject::new(name).is_err(), "{name}");
        }
    }
}
