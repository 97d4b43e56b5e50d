use std::time::Duration;

use bowline_types::ErrorKind;

use crate::Dialect;

/// Why a body could not be read. Paths are written as OpenAI writes its `param`: `messages[0].content`.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not JSON.
    #[error("the body is not valid JSON")]
    Json(#[source] serde_json::Error),
    /// A key of the top level came twice, so that readers may disagree about its value.
    #[error("the key `{key}` appears more than once")]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// A field that must be there is not.
    #[error("`{path}` is missing")]
    Missing {
        /// The field.
        path: String,
    },
    /// A field has a value that it cannot have.
    #[error("`{path}` must be {expected}")]
    Invalid {
        /// The field.
        path: String,
        /// What it must be, such as `a string`.
        expected: &'static str,
    },
    /// The value of `model` is no reference to a model or a prompt.
    #[error("`model` is not a reference to a model or a prompt")]
    ModelRef(#[source] crate::ModelRefError),
    /// The answer reports a failure, in spite of its status.
    #[error("the provider answered with an error")]
    Upstream(#[source] UpstreamError),
    /// An event of a stream exceeds its bound.
    #[error("an event of the stream is larger than {bytes_max} bytes")]
    EventTooLarge {
        /// The bound.
        bytes_max: usize,
    },
}

/// Why a request or an answer cannot be written in a dialect.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum EncodeError {
    /// A piece that only its own dialect understands.
    #[error("`{path}` is specific to {from} and cannot be expressed in {to}")]
    Opaque {
        /// The piece.
        path: String,
        /// Where it comes from.
        from: Dialect,
        /// Where it cannot go.
        to: Dialect,
    },
    /// A parameter that the provider cannot honour.
    #[error("{provider} cannot honour `{parameter}`")]
    Unsupported {
        /// The parameter, with its value where only that one is the problem.
        parameter: String,
        /// The kind of the provider.
        provider: &'static str,
    },
    /// A part that cannot stand where it stands.
    #[error("`{path}` {problem}")]
    Invalid {
        /// The part.
        path: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// A failure that a provider reported.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{message}")]
pub struct UpstreamError {
    /// What it means for the client.
    pub kind: ErrorKind,
    /// The HTTP status; `None` within a stream that did not state one.
    pub status: Option<u16>,
    /// The provider's own code or type.
    pub code: Option<String>,
    /// The provider's message; the text of the body where it was no JSON, shortened.
    pub message: String,
    /// How long the provider asks to wait.
    pub retry_after: Option<Duration>,
}

// === impl DecodeError ===

impl DecodeError {
    /// Returns the field at fault, for the `param` of OpenAI's error envelope.
    #[must_use]
    pub fn parameter(&self) -> Option<&str> {
        match self {
            Self::DuplicateKey { key: path } | Self::Missing { path } | Self::Invalid { path, .. } => Some(path),
            Self::ModelRef(_) => Some("model"),
            Self::Json(_) | Self::Upstream(_) | Self::EventTooLarge { .. } => None,
        }
    }
}

// === impl EncodeError ===

impl EncodeError {
    /// Returns the kind under which the error reaches the client.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Opaque { .. } | Self::Unsupported { .. } => ErrorKind::Unsupported,
            Self::Invalid { .. } => ErrorKind::InvalidRequest,
        }
    }

    /// Returns the field at fault, for the `param` of OpenAI's error envelope.
    #[must_use]
    pub fn parameter(&self) -> &str {
        match self {
            Self::Opaque { path, .. } | Self::Invalid { path, .. } => path,
            Self::Unsupported { parameter, .. } => parameter,
        }
    }
}

/// Returns the kind of a failure of a provider that only its HTTP status tells.
#[must_use]
pub const fn kind_of_status(status: u16) -> ErrorKind {
    match status {
        401 | 403 => ErrorKind::UpstreamAuth,
        408 | 504 => ErrorKind::UpstreamTimeout,
        429 => ErrorKind::UpstreamRateLimited,
        400..=499 => ErrorKind::UpstreamRejected,
        500..=599 => ErrorKind::UpstreamUnavailable,
        _ => ErrorKind::UpstreamInvalid,
    }
}

/// Cuts a message of a provider to a length that fits a record; pages of HTML are not worth more.
#[must_use]
pub fn shortened(message: &str) -> String {
    const CHARS_MAX: usize = 1000;
    let message = message.trim();
    match message.char_indices().nth(CHARS_MAX) {
        None => message.to_owned(),
        Some((end, _)) => format!("{}…", message.get(..end).unwrap_or_default()),
    }
}
