use std::process::ExitCode;

use bowline_server::ClientError;

/// Why a command failed, and whose turn it is.
#[derive(Debug)]
pub(crate) struct Failure {
    internal: bool,
    error: anyhow::Error,
}

/// The result of a command.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// Whoever typed the command can mend it.
const EXIT_USER: u8 = 1;
/// A bug of Bowline, or a machine that fails (`EX_SOFTWARE` of sysexits.h).
const EXIT_INTERNAL: u8 = 70;

// === impl Failure ===

impl Failure {
    /// Returns a failure that whoever typed the command can mend. The message may end in `hint:` lines.
    pub(crate) fn user(message: impl Into<String>) -> Self {
        Self { internal: false, error: anyhow::Error::msg(message.into()) }
    }

    /// Returns a failure of ours or of the machine.
    pub(crate) const fn internal(error: anyhow::Error) -> Self {
        Self { internal: true, error }
    }

    /// Returns the message with its causes, of which none is said twice; hints come last, each on a line of its own.
    pub(crate) fn message(&self) -> String {
        let (mut what, mut hints) = (String::new(), Vec::new());
        for text in self.error.chain().map(ToString::to_string) {
            let mut lines = text.lines();
            let first = lines.next().unwrap_or_default();
            if !what.contains(first) {
                what.push_str(if what.is_empty() { "" } else { ": " });
                what.push_str(first);
            }
            hints.extend(lines.map(str::to_owned));
        }
        hints.insert(0, what);
        hints.join("\n")
    }

    /// Returns whether another process holds the store.
    pub(crate) fn is_locked(&self) -> bool {
        matches!(self.error.downcast_ref(), Some(bowline_store_sqlite::Error::Locked { .. }))
    }

    /// Prints the failure to standard error and returns the exit code.
    #[expect(clippy::print_stderr, reason = "the one place where failures are told")]
    pub(crate) fn report(&self) -> ExitCode {
        eprintln!("error: {}", self.message());
        ExitCode::from(if self.internal { EXIT_INTERNAL } else { EXIT_USER })
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self { internal: false, error }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self { internal: false, error: error.into() }
    }
}

impl From<bowline_oci::Error> for Failure {
    fn from(error: bowline_oci::Error) -> Self {
        Self { internal: false, error: error.into() }
    }
}

impl From<bowline_oci::image::Error> for Failure {
    fn from(error: bowline_oci::image::Error) -> Self {
        Self { internal: false, error: error.into() }
    }
}

impl From<bowline_signature::Error> for Failure {
    fn from(error: bowline_signature::Error) -> Self {
        Self { internal: false, error: error.into() }
    }
}

impl From<bowline_registry::bundle::Error> for Failure {
    fn from(error: bowline_registry::bundle::Error) -> Self {
        Self { internal: false, error: error.into() }
    }
}

impl From<bowline_delivery::Error> for Failure {
    fn from(error: bowline_delivery::Error) -> Self {
        Self { internal: false, error: error.into() }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let internal = match &error {
            ClientError::Refused { status, .. } => *status >= 500,
            ClientError::Unreachable { .. } | ClientError::Address { .. } | ClientError::Token => false,
            ClientError::Answer { .. } => true,
        };
        Self { internal, error: error.into() }
    }
}

impl From<bowline_server::Error> for Failure {
    fn from(error: bowline_server::Error) -> Self {
        Self { internal: error.kind().spec().status >= 500, error: error.into() }
    }
}

impl From<bowline_store_sqlite::Error> for Failure {
    fn from(error: bowline_store_sqlite::Error) -> Self {
        use bowline_store_sqlite::Error::{Exists, File, Locked, Store, Unsound};
        let internal = match &error {
            Locked { .. } | Exists { .. } | Unsound { .. } | File { .. } => false,
            Store(_) => true,
        };
        Self { internal, error: error.into() }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn hints_come_last() {
        let inner = anyhow::anyhow!("no such file\nhint: create it");
        let failure = Failure::from(Err::<(), _>(inner).context("could not read bowline.yaml").unwrap_err());
        assert_eq!(failure.message(), "could not read bowline.yaml: no such file\nhint: create it");
    }

    #[test]
    fn a_cause_that_was_said_is_not_repeated() {
        let inner = anyhow::anyhow!("no such file").context("no way: no such file\nhint: make one");
        assert_eq!(Failure::from(inner).message(), "no way: no such file\nhint: make one");
    }
}
