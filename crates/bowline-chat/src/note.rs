/// A reported downgrade: something was sent otherwise than it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The field of the request, such as `messages[2]`.
    pub parameter: String,
    /// What was done, in the past tense.
    pub change: String,
}

impl Note {
    /// Returns a note about a field.
    #[must_use]
    pub fn new(parameter: impl Into<String>, change: impl Into<String>) -> Self {
        Self { parameter: parameter.into(), change: change.into() }
    }
}
