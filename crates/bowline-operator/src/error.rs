use bowline_server::ClientError;
use bowline_types::chain;

/// The result of an operation of the operator.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the operator could not do something.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The API server refused, or could not be reached.
    #[error("could not {operation}: {}", brief(cause))]
    Kubernetes {
        /// What was tried.
        operation: String,
        /// The cause. In the message already: by itself it writes out the whole answer.
        cause: Box<kube::Error>,
    },
    /// The control role refused, or could not be reached.
    #[error("could not {operation}")]
    Control {
        /// What was tried.
        operation: &'static str,
        /// The cause.
        #[source]
        source: Box<ClientError>,
    },
    /// There is no way to the control role yet.
    #[error(
        "there is no token of the control role yet\nhint: it is in the Secret `bowline-tokens`, which the operator makes; `--admin-token` names its file"
    )]
    NoControl,
    /// An object of the API server lacks what every object has.
    #[error("{kind} has no {field}")]
    Incomplete {
        /// The kind of object.
        kind: &'static str,
        /// What it lacks.
        field: &'static str,
    },
    /// Something has no JSON form, or not the one that is expected.
    #[error("could not encode {what}")]
    Encode {
        /// What.
        what: &'static str,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// A certificate could not be made.
    #[error("could not make {what}")]
    Certificate {
        /// Which.
        what: &'static str,
        /// The cause.
        #[source]
        source: Box<rcgen::Error>,
    },
    /// The operating system has no randomness.
    #[error("could not make a token")]
    Token(#[source] Box<bowline_server::Error>),
    /// The API server did not answer in time.
    #[error("could not {operation}: the API server did not answer in time")]
    Timeout {
        /// What was tried.
        operation: &'static str,
    },
}

// === impl Error ===

impl Error {
    /// Returns what wraps an error of the API server.
    pub(crate) fn kubernetes(operation: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        move |cause| Self::Kubernetes { operation: operation.into(), cause: Box::new(cause) }
    }

    /// Returns what wraps an error of the control role.
    pub(crate) fn control(operation: &'static str) -> impl FnOnce(ClientError) -> Self {
        move |source| Self::Control { operation, source: Box::new(source) }
    }

    /// Returns the status that the API server answered with.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Kubernetes { cause, .. } => status(cause),
            _ => None,
        }
    }

    /// Returns whether the object, its kind or its namespace is not there (any more): nothing to be done, and nothing to be told.
    pub(crate) fn is_gone(&self) -> bool {
        self.status() == Some(404) || self.is_terminating()
    }

    /// Returns whether the API server knows no such kind (any more): then its answer names no object.
    pub(crate) fn is_kind_missing(&self) -> bool {
        let Self::Kubernetes { cause, .. } = self else { return false };
        let kube::Error::Api(status) = cause.as_ref() else { return false };
        status.code == 404 && status.details.as_ref().is_none_or(|details| details.name.is_empty())
    }

    fn is_terminating(&self) -> bool {
        let Self::Kubernetes { cause, .. } = self else { return false };
        let kube::Error::Api(status) = cause.as_ref() else { return false };
        status.code == 403 && status.message.contains("because it is being terminated")
    }
}

/// Returns the status of an answer of the API server.
pub(crate) fn status(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}

/// What people need to know of a failure.
fn brief(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("the API server answers {}: {}", status.code, status.message),
        other => chain(other),
    }
}
