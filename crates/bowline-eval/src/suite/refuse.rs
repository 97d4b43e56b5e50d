//! What promptfoo has and Bowline has not: refused by name, never skipped.

use bowline_prompt::Diagnostic;
use bowline_types::closest;

use super::files::At;

/// The code of a diagnostic about what may come later.
pub(crate) const UNSUPPORTED: &str = "unsupported";
/// The code of a diagnostic about code of the user.
pub(crate) const USER_CODE: &str = "user-code";
/// The code of a diagnostic about an address in a suite.
pub(crate) const ADDRESS: &str = "address";
/// The code of a diagnostic about the environment of the process in a suite.
pub(crate) const ENVIRONMENT: &str = "environment";
/// How the message of what may come later ends.
pub(crate) const LATER: &str = " is not there yet";

/// Returns the error about something of promptfoo that is not there yet.
pub(crate) fn unsupported(at: At<'_>, what: impl AsRef<str>) -> Diagnostic {
    at.error(UNSUPPORTED, format!("{}{LATER}", what.as_ref())).label("not there yet")
}

/// Returns the error about something that would run code of the user.
pub(crate) fn user_code(at: At<'_>, what: impl AsRef<str>) -> Diagnostic {
    let error = at.error(USER_CODE, format!("{}{LATER}", what.as_ref())).label("runs code");
    error.hint("JavaScript and Python come later; until then, say it with a declarative assertion or with `cel`")
}

/// Returns the error about an address where the name of a model belongs.
pub(crate) fn address(at: At<'_>, what: impl AsRef<str>) -> Diagnostic {
    let error = at.error(ADDRESS, format!("{} is an address, not a model", what.as_ref())).label("an address");
    error.hint("declare the endpoint as a provider in bowline.yaml, and name its model here")
}

/// Returns the error about a key that nobody knows.
pub(crate) fn unknown_key(at: At<'_>, key: &str, known: &[&str]) -> Diagnostic {
    let error = at.error("unknown-field", format!("unknown key `{key}`")).label("not known here");
    let list = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match closest(key, known.iter().copied()) {
        Some(near) => error.hint(format!("did you mean `{near}`? known here: {list}")),
        None => error.hint(format!("known here: {list}")),
    }
}

/// Returns the error about a value of another type.
pub(crate) fn wrong_type(at: At<'_>, what: &str, expected: &str, found: &str) -> Diagnostic {
    at.error("type", format!("{what} is {expected}, not {found}"))
}
