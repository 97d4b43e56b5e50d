use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::meter::Meter;
use super::usage::Usage;

/// A body whose usage cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ExtractError {
    /// The table has no such provider.
    #[error("the price table has no provider `{0}`")]
    Provider(String),
    /// The provider has no such API flavour.
    #[error("provider `{provider}` has no API flavour `{flavor}`")]
    Flavor {
        /// The provider.
        provider: String,
        /// The flavour.
        flavor: String,
    },
    /// The body holds no usage where this flavour has it.
    #[error("no object at `{0}`")]
    Absent(String),
    /// A count is missing or is not a whole number.
    #[error("no whole number at `{0}`")]
    Count(String),
    /// The usage of the body has no count that this flavour knows.
    #[error("no count at `{0}`")]
    Empty(String),
}

/// What a response body says about the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extracted {
    /// The model as the provider names it, where the body does.
    pub model: Option<String>,
    /// The usage.
    pub usage: Usage,
}

/// Where the bodies of one API flavour of a provider state their usage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Extractor {
    pub(super) flavor: String,
    pub(super) model: Vec<Step>,
    /// The object that the paths of the counts start from.
    pub(super) root: Vec<Step>,
    /// The counts; several of one meter are added up.
    pub(super) counts: Vec<Count>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Count {
    pub(super) meter: Meter,
    pub(super) path: Vec<Step>,
    /// Whether a body without this count is not of this flavour.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) required: bool,
}

/// One step into a JSON value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Step {
    /// The value of a key.
    Key(String),
    /// The first item of an array that has a text in a field.
    Item { field: String, is: String },
}

// === impl Extractor ===

impl Extractor {
    pub(super) fn extract(&self, body: &Value) -> Result<Extracted, ExtractError> {
        let root = walk(body, &self.root).filter(|root| root.is_object());
        let root = root.ok_or_else(|| ExtractError::Absent(self.place(&[])))?;
        let mut usage = Usage::default();
        for count in &self.counts {
            match walk(root, &count.path) {
                None | Some(Value::Null) if !count.required => {}
                found => {
                    let number = found.and_then(Value::as_u64);
                    usage.add(count.meter, number.ok_or_else(|| ExtractError::Count(self.place(&count.path)))?);
                }
            }
        }
        if usage.is_empty() {
            return Err(ExtractError::Empty(self.place(&[])));
        }
        let model = walk(body, &self.model).and_then(Value::as_str).map(str::to_owned);
        Ok(Extracted { model, usage })
    }

    fn place(&self, path: &[Step]) -> String {
        let steps = self.root.iter().chain(path).map(|step| match step {
            Step::Key(key) => key.as_str(),
            Step::Item { is, .. } => is,
        });
        steps.collect::<Vec<_>>().join(".")
    }
}

fn walk<'a>(value: &'a Value, path: &[Step]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, step| match step {
        Step::Key(key) => value.get(key),
        Step::Item { field, is } => {
            let of_field = |item: &&Value| item.get(field).and_then(Value::as_str) == Some(is);
            value.as_array()?.iter().find(of_field)
        }
    })
}
