use std::sync::LazyLock;

use bowline_types::{Timestamp, TokenUsage};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::extract::{ExtractError, Extracted, Extractor};
use super::model::Model;
use super::rate::{Cost, ModelPrice};

/// The prices and usage extractors of every provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    pub(super) source: Source,
    pub(super) providers: Vec<Provider>,
}

/// Where the figures of a table come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The collection.
    pub name: String,
    /// Its home.
    pub url: String,
    /// The commit of the collection.
    pub revision: String,
    /// The day of that commit: prices are as they were known then.
    pub date: String,
    /// The licence of the figures.
    pub licence: String,
    /// Who holds it.
    pub copyright: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Provider {
    pub(super) id: String,
    /// Providers whose models this one sells under the same names and prices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) resells: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) extractors: Vec<Extractor>,
    /// In order of precedence: the first whose names match is meant.
    pub(super) models: Vec<Model>,
}

/// Provider kinds of ours whose figures stand under another name.
const KINDS: [(&str, &str); 1] = [("gemini", "google")];

static EMBEDDED: LazyLock<Table> = LazyLock::new(embedded);

#[expect(clippy::expect_used, reason = "the text is compiled in, and a test reads it")]
fn embedded() -> Table {
    serde_json::from_str(include_str!("../../data/prices.json")).expect("data/prices.json is a price table")
}

// === impl Table ===

impl Table {
    /// Returns the table that is compiled in; read on first use.
    #[must_use]
    pub fn embedded() -> &'static Self {
        &EMBEDDED
    }

    /// Returns where the figures come from.
    #[must_use]
    pub const fn source(&self) -> &Source {
        &self.source
    }

    /// Returns every pair of a provider and an API flavour whose usage can be read.
    pub fn flavors(&self) -> impl Iterator<Item = (&str, &str)> {
        self.providers.iter().flat_map(|provider| {
            provider.extractors.iter().map(|extractor| (provider.id.as_str(), extractor.flavor.as_str()))
        })
    }

    /// Reads the usage that a response body of an API flavour of a provider states.
    ///
    /// # Errors
    /// The table does not know the provider or flavour, or the body is not of that form.
    pub fn usage(&self, provider: &str, flavor: &str, body: &Value) -> Result<Extracted, ExtractError> {
        let found = self.provider(provider).ok_or_else(|| ExtractError::Provider(provider.to_owned()))?;
        let extractor = found.extractors.iter().find(|extractor| extractor.flavor == flavor);
        let unknown = || ExtractError::Flavor { provider: provider.to_owned(), flavor: flavor.to_owned() };
        extractor.ok_or_else(unknown)?.extract(body)
    }

    /// Returns the entry of a model as a provider names it; `None` where the price is not known.
    ///
    /// The search takes some microseconds: keep the entry of a model that is called often.
    #[must_use]
    pub fn model(&self, provider: &str, model: &str) -> Option<&Model> {
        let provider = self.provider(provider)?;
        let resold = provider.resells.iter().filter_map(|id| self.provider(id));
        std::iter::once(provider).chain(resold).find_map(|each| each.models.iter().find(|entry| entry.is_named(model)))
    }

    /// Returns the price of a model at a time; `None` where it is not known.
    #[must_use]
    pub fn find(&self, provider: &str, model: &str, at: Timestamp) -> Option<&ModelPrice> {
        self.model(provider, model).map(|entry| entry.price(at))
    }

    /// Returns the cost of a call at a time; `None` where [it cannot be known](Model::cost).
    #[must_use]
    pub fn cost(&self, provider: &str, model: &str, at: Timestamp, tokens: &TokenUsage) -> Option<Cost> {
        self.model(provider, model)?.cost(at, tokens)
    }

    /// Returns every model with the provider it belongs to.
    pub fn models(&self) -> impl Iterator<Item = (&str, &Model)> {
        self.providers.iter().flat_map(|provider| provider.models.iter().map(|model| (provider.id.as_str(), model)))
    }

    /// Writes the table as JSON with one model per line, so that a change of price is a change of one line.
    ///
    /// # Errors
    /// A value that JSON cannot hold; there is none.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        let mut text = format!("{{\n\"source\": {},\n\"providers\": [", serde_json::to_string_pretty(&self.source)?);
        for (index, provider) in self.providers.iter().enumerate() {
            text.push_str(if index == 0 { "\n{" } else { ",\n{" });
            write_field(&mut text, "id", &provider.id)?;
            if !provider.resells.is_empty() {
                write_field(&mut text, "resells", &provider.resells)?;
            }
            write_lines(&mut text, "extractors", &provider.extractors)?;
            text.push_str(",\n");
            write_lines(&mut text, "models", &provider.models)?;
            text.push('}');
        }
        text.push_str("\n]\n}\n");
        Ok(text)
    }

    fn provider(&self, id: &str) -> Option<&Provider> {
        let id = KINDS.iter().find(|(kind, _)| *kind == id).map_or(id, |(_, id)| *id);
        self.providers.iter().find(|provider| provider.id == id)
    }
}

fn write_field(text: &mut String, name: &str, value: &impl Serialize) -> Result<(), serde_json::Error> {
    text.push_str(&format!("\"{name}\": {},\n", serde_json::to_string(value)?));
    Ok(())
}

fn write_lines<T: Serialize>(text: &mut String, name: &str, values: &[T]) -> Result<(), serde_json::Error> {
    let lines = values.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
    text.push_str(&format!("\"{name}\": [\n{}\n]", lines.join(",\n")));
    Ok(())
}
