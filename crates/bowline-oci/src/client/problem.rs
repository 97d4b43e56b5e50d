use std::fmt;
use std::time::Duration;

use http::StatusCode;

/// An operation on a registry that failed.
#[derive(Debug, thiserror::Error)]
#[error("could not {operation} of `{repository}` at {registry}: {problem}\nhint: {}", .problem.hint())]
pub struct RegistryError {
    /// The registry, as it was named.
    pub registry: String,
    /// The repository.
    pub repository: String,
    /// The operation, as a verb phrase.
    pub operation: &'static str,
    /// What happened.
    pub problem: Problem,
}

/// What happened at a registry.
#[derive(Debug)]
pub enum Problem {
    /// No connection.
    Connect {
        /// The causes, joined.
        message: String,
        /// Whether the answer looks like that of a server without TLS.
        without_tls: bool,
    },
    /// The connection broke.
    Broken {
        /// The causes, joined.
        message: String,
    },
    /// No answer, or no more of it, in time.
    Timeout {
        /// The time that was given.
        after: Duration,
    },
    /// 401, after credentials were tried where there are any.
    Unauthenticated {
        /// Whether credentials were sent.
        with_credentials: bool,
        /// What the registry said.
        message: String,
    },
    /// 403.
    Forbidden {
        /// What the registry said.
        message: String,
    },
    /// 404.
    NotFound {
        /// What is missing.
        message: String,
    },
    /// 429, on every attempt.
    RateLimited {
        /// How long it asked to wait at last.
        retry_after: Option<Duration>,
    },
    /// Any other status.
    Status {
        /// The status.
        status: StatusCode,
        /// What the registry said.
        message: String,
    },
    /// The answer has more bytes than are read.
    TooLarge {
        /// The bound in bytes.
        limit: u64,
    },
    /// The answer is none that the specification allows.
    Protocol {
        /// What is wrong.
        reason: String,
    },
    /// Credentials could not be had.
    Credential {
        /// Why.
        reason: String,
    },
}

// === impl Problem ===

impl Problem {
    /// Returns whether the same call may succeed a little later.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Connect { without_tls, .. } => !without_tls,
            Self::Broken { .. } | Self::Timeout { .. } | Self::RateLimited { .. } => true,
            Self::Status { status, .. } => is_passing(*status),
            Self::Unauthenticated { .. }
            | Self::Forbidden { .. }
            | Self::NotFound { .. }
            | Self::TooLarge { .. }
            | Self::Protocol { .. }
            | Self::Credential { .. } => false,
        }
    }

    fn hint(&self) -> &'static str {
        match self {
            Self::Connect { without_tls: true, .. } => {
                "it answers without TLS; where that is meant, as on a laptop, say --plain-http"
            }
            Self::Connect { .. } => {
                "is the name right and the registry up? a certificate of one's own goes with --ca-file, a registry without TLS with --plain-http"
            }
            Self::Broken { .. } | Self::Timeout { .. } => "try again; what was sent already is not sent twice",
            Self::Unauthenticated { with_credentials: true, .. } => {
                "the registry refuses these credentials; `docker login` again, or see --username and --password"
            }
            Self::Unauthenticated { with_credentials: false, .. } => {
                "log in with `docker login`, or say --username and --password env:NAME"
            }
            Self::Forbidden { .. } => "the account may not do this; ask whoever owns the repository",
            Self::NotFound { .. } => {
                "check the repository and the tag; some registries say so too where one may not read"
            }
            Self::RateLimited { .. } => "wait, or log in: registries limit anonymous clients first",
            Self::Status { status, .. } if status.is_server_error() => "the registry failed; try again later",
            Self::Status { .. } => "the registry does not take it; its message says why",
            Self::TooLarge { .. } => "this is no bundle and no image that anyone should publish",
            Self::Protocol { .. } => "is this an OCI registry? a proxy between may answer instead of it",
            Self::Credential { .. } => {
                "check `docker login` and the credential helper, or say --username and --password"
            }
        }
    }
}

/// Returns whether a status says that the same call may succeed a little later.
pub(super) fn is_passing(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
        || (status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED)
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect { message, .. } => write!(f, "no connection: {message}"),
            Self::Broken { message } => write!(f, "the connection broke: {message}"),
            Self::Timeout { after } => write!(f, "no answer within {}", bowline_types::format_duration(*after)),
            Self::Unauthenticated { with_credentials, message } => {
                let how = if *with_credentials { "with" } else { "without" };
                write!(f, "not authorised {how} credentials (401){}", Tail(message))
            }
            Self::Forbidden { message } => write!(f, "forbidden (403){}", Tail(message)),
            Self::NotFound { message } => write!(f, "not found (404){}", Tail(message)),
            Self::RateLimited { retry_after } => {
                f.write_str("too many requests (429)")?;
                retry_after.map_or(Ok(()), |after| write!(f, ", asks to wait {} s", after.as_secs()))
            }
            Self::Status { status, message } => write!(f, "status {}{}", status.as_u16(), Tail(message)),
            Self::TooLarge { limit } => write!(f, "the answer has more than the {limit} bytes that are read"),
            Self::Protocol { reason } | Self::Credential { reason } => f.write_str(reason),
        }
    }
}

/// A message behind what it explains; nothing where there is none.
struct Tail<'a>(&'a str);

impl fmt::Display for Tail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ": {}", self.0) }
    }
}
