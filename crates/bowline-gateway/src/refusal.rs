use std::borrow::Cow;
use std::time::Duration;

use bowline_chat::{DecodeError, EncodeError, UpstreamError};
use bowline_types::{ErrorKind, chain};

/// An answer that is an error, before it is written in the client's dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// What it is; status and default code follow.
    pub(crate) kind: ErrorKind,
    /// A more exact stable code than that of the kind.
    pub(crate) code: Option<Cow<'static, str>>,
    /// The field at fault.
    pub(crate) parameter: Option<String>,
    /// What happened, and after `hint:` what to do next.
    pub(crate) message: String,
    /// How long to wait before trying again.
    pub(crate) retry_after: Option<Duration>,
    /// Whether nobody was there who could have answered: one that is stopped may be started.
    pub(crate) absent: bool,
}

// === impl Refusal ===

impl Refusal {
    /// Returns a refusal of a kind.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, code: None, parameter: None, message: message.into(), retry_after: None, absent: false }
    }

    /// Names the field at fault.
    pub(crate) fn parameter(self, parameter: impl Into<String>) -> Self {
        Self { parameter: Some(parameter.into()), ..self }
    }

    /// Gives a more exact code.
    pub(crate) fn code(self, code: &'static str) -> Self {
        Self { code: Some(Cow::Borrowed(code)), ..self }
    }

    /// Returns the stable code.
    pub(crate) fn code_str(&self) -> &str {
        self.code.as_deref().unwrap_or(self.kind.spec().code)
    }
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        let parameter = error.parameter().map(str::to_owned);
        let message = format!("the request cannot be read: {}", chain(&error));
        Self { parameter, ..Self::new(ErrorKind::InvalidRequest, message) }
    }
}

impl From<EncodeError> for Refusal {
    fn from(error: EncodeError) -> Self {
        let hint = "hint: leave it out, or route to a provider that honours it; Bowline drops nothing silently";
        Self::new(error.kind(), format!("{error}\n{hint}")).parameter(error.parameter())
    }
}

impl From<UpstreamError> for Refusal {
    fn from(error: UpstreamError) -> Self {
        let message = match error.kind {
            // The credentials are ours: the application can do nothing, and must not learn more of them.
            ErrorKind::UpstreamAuth => "the provider refused the credentials that Bowline holds\nhint: whoever runs Bowline must check `providers.*.api_key`".to_owned(),
            _ => error.message,
        };
        // Applications branch on codes such as `context_length_exceeded`; where the provider gave only a type, ours is better.
        let told = matches!(error.kind, ErrorKind::UpstreamRejected | ErrorKind::UpstreamRateLimited);
        let code = error.code.filter(|code| told && !code.ends_with("_error")).map(Cow::Owned);
        Self { code, retry_after: error.retry_after, ..Self::new(error.kind, message) }
    }
}
