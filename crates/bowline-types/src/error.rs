use std::error::Error;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// The kind of an error that leaves Bowline, over HTTP or in a record. [`ErrorKind::spec`] is the one table of what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The body is not what the dialect describes.
    InvalidRequest,
    /// The request asks for something that cannot be honoured; it was not dropped silently.
    Unsupported,
    /// A variable of the prompt is missing, unknown or does not fit the input schema.
    PromptVariable,
    /// The key is missing, unknown or revoked.
    Unauthenticated,
    /// The key lacks the scope.
    Forbidden,
    /// The prompt, environment, version or model does not exist here.
    NotFound,
    /// The body exceeds its bound.
    TooLarge,
    /// The state changed meanwhile, or does not allow this move.
    Conflict,
    /// A limit of Bowline was reached.
    RateLimited,
    /// The provider refused the credentials that Bowline holds.
    UpstreamAuth,
    /// The provider refused the request.
    UpstreamRejected,
    /// The provider's rate limit was reached.
    UpstreamRateLimited,
    /// The provider failed or is overloaded.
    UpstreamUnavailable,
    /// The provider did not answer in time.
    UpstreamTimeout,
    /// The provider's answer could not be read.
    UpstreamInvalid,
    /// A part of Bowline is not there now; static stability ends here.
    Unavailable,
    /// A bug of Bowline.
    Internal,
}

/// Who can do something about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Whoever writes the application.
    Application,
    /// Whoever runs Bowline.
    Operator,
    /// The provider; wait and retry.
    Provider,
    /// Whoever writes Bowline.
    Bowline,
}

/// What follows from the kind of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorSpec {
    /// HTTP status.
    pub status: u16,
    /// Stable code, also the name of its page under `docs/errors/`.
    pub code: &'static str,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// Who must act.
    pub actor: Actor,
}

// === impl ErrorKind ===

impl ErrorKind {
    /// Every kind, in the order of the table.
    pub const ALL: [Self; 17] = [
        Self::InvalidRequest,
        Self::Unsupported,
        Self::PromptVariable,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::TooLarge,
        Self::Conflict,
        Self::RateLimited,
        Self::UpstreamAuth,
        Self::UpstreamRejected,
        Self::UpstreamRateLimited,
        Self::UpstreamUnavailable,
        Self::UpstreamTimeout,
        Self::UpstreamInvalid,
        Self::Unavailable,
        Self::Internal,
    ];

    /// Returns what follows from the kind: status, code, whether to retry, who must act.
    #[must_use]
    pub const fn spec(self) -> ErrorSpec {
        use Actor::{Application, Bowline, Operator, Provider};
        let (status, code, retryable, actor) = match self {
            Self::InvalidRequest => (400, "invalid_request", false, Application),
            Self::Unsupported => (400, "unsupported", false, Application),
            Self::PromptVariable => (400, "prompt_variable", false, Application),
            Self::Unauthenticated => (401, "unauthenticated", false, Application),
            Self::Forbidden => (403, "forbidden", false, Application),
            Self::NotFound => (404, "not_found", false, Application),
            Self::TooLarge => (413, "too_large", false, Application),
            Self::Conflict => (409, "conflict", false, Application),
            Self::RateLimited => (429, "rate_limited", true, Application),
            Self::UpstreamAuth => (502, "upstream_auth", false, Operator),
            Self::UpstreamRejected => (400, "upstream_rejected", false, Application),
            Self::UpstreamRateLimited => (429, "upstream_rate_limited", true, Provider),
            Self::UpstreamUnavailable => (503, "upstream_unavailable", true, Provider),
            Self::UpstreamTimeout => (504, "upstream_timeout", true, Provider),
            Self::UpstreamInvalid => (502, "upstream_invalid", true, Provider),
            Self::Unavailable => (503, "unavailable", true, Operator),
            Self::Internal => (500, "internal", false, Bowline),
        };
        ErrorSpec { status, code, retryable, actor }
    }
}

/// Returns an error and its causes in one line, `outer: inner: innermost`. A cause that was said already, as some libraries do within their own
/// messages, is not repeated.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !line.contains(&text) {
            // Writing to a String cannot fail.
            let _ = write!(line, ": {text}");
        }
        source = cause.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique() {
        let mut codes: Vec<_> = ErrorKind::ALL.iter().map(|kind| kind.spec().code).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), ErrorKind::ALL.len());
    }

    #[test]
    fn chain_joins_causes() {
        let inner = std::io::Error::other(std::io::Error::other("disk"));
        assert_eq!(chain(&inner), "disk");
    }

    #[test]
    fn chain_says_nothing_twice() {
        #[derive(Debug, thiserror::Error)]
        enum Repeats {
            #[error("no way: {0}")]
            Outer(#[source] Box<Self>),
            #[error("no file")]
            Inner(#[source] std::io::Error),
        }
        let inner = Repeats::Inner(std::io::Error::other("disk"));
        assert_eq!(chain(&Repeats::Outer(Box::new(inner))), "no way: no file: disk");
    }
}
