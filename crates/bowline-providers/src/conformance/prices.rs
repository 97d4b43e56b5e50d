use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use bowline_types::conformance::{Group, Report};
use bowline_types::{Timestamp, Usd, chain};
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::price::{Extracted, Meter, Model, Table, import};

/// The time for which the corpus states its prices: 2025-11-06T12:00:00Z, the fixed clock of the collection's own tests.
const PRICED_AT: Timestamp = Timestamp::from_micros(1_762_430_400_000_000);

/// One response body and everything that can be read from it.
#[derive(Deserialize)]
struct Line {
    body: Value,
    model: Option<String>,
    extracted: Vec<Expected>,
}

#[derive(Deserialize)]
struct Expected {
    usage: BTreeMap<Meter, u64>,
    extractors: Vec<Reading>,
}

/// A flavour that reads the body so, and what the call costs there.
#[derive(Deserialize)]
struct Reading {
    provider_id: String,
    api_flavor: String,
    #[serde(default, deserialize_with = "amount")]
    input_price: Option<Usd>,
    #[serde(default, deserialize_with = "amount")]
    output_price: Option<Usd>,
    #[serde(default, deserialize_with = "amount")]
    total_price: Option<Usd>,
}

/// Reads an amount as the corpus writes it: `0.00006` or `6E-7`.
fn amount<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Usd>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let amount = Decimal::from_str_exact(&text).or_else(|_plain| Decimal::from_scientific(&text));
    amount.map(|amount| Some(Usd::new(amount))).map_err(serde::de::Error::custom)
}

/// Holds the embedded price table against the corpus `prices` in `folder`.
///
/// The group `figures` compares the table with `genai-prices.json`, model by model. The other groups, one per provider, read each
/// body of `usages.jsonl` by each flavour that is said to read it: usage, model, and where they are stated the prices must be equal;
/// where none are stated no price may be found. No other flavour may read the body.
///
/// # Errors
/// A file cannot be read or is not of its form.
pub fn prices(folder: &Path) -> io::Result<Report> {
    let table = Table::embedded();
    let mut groups: BTreeMap<&str, Group> = table.flavors().map(|(id, _)| (id, Group::new(id))).collect();
    for (index, line) in fs::read_to_string(folder.join("usages.jsonl"))?.lines().enumerate() {
        let line: Line = serde_json::from_str(line)?;
        for (provider, flavor) in table.flavors() {
            let Some(group) = groups.get_mut(provider) else { continue };
            let read = table.usage(provider, flavor, &line.body).map_err(|error| error.to_string());
            let place = format!("line {}, flavour {flavor}", index + 1);
            match (line.reading(provider, flavor), read) {
                (None, Err(_)) => {}
                (None, Ok(_)) => group.failed.push(format!("{place}: reads what is not of its form")),
                (Some(_), Err(error)) => group.failed.push(format!("{place}: {error}")),
                (Some((usage, reading)), Ok(read)) => match compare(table, &line, usage, reading, &read) {
                    Ok(()) => group.passed += 1,
                    Err(difference) => group.failed.push(format!("{place}: {difference}")),
                },
            }
        }
        for reading in line.extracted.iter().flat_map(|expected| &expected.extractors) {
            if !table.flavors().any(|known| known == (&reading.provider_id, &reading.api_flavor)) {
                let group = groups.entry("unknown").or_insert_with(|| Group::new("unknown"));
                group.failed.push(format!("line {}: {}/{}", index + 1, reading.provider_id, reading.api_flavor));
            }
        }
    }
    let figures = figures(table, &fs::read_to_string(folder.join("genai-prices.json"))?);
    let groups = std::iter::once(figures).chain(groups.into_values()).collect();
    Ok(Report { corpus: "prices".to_owned(), groups })
}

// === impl Line ===

impl Line {
    /// Returns what a flavour is said to read from the body.
    fn reading(&self, provider: &str, flavor: &str) -> Option<(&BTreeMap<Meter, u64>, &Reading)> {
        self.extracted.iter().find_map(|expected| {
            let reads = |reading: &&Reading| reading.provider_id == provider && reading.api_flavor == flavor;
            Some((&expected.usage, expected.extractors.iter().find(reads)?))
        })
    }
}

fn compare(
    table: &Table,
    line: &Line,
    usage: &BTreeMap<Meter, u64>,
    reading: &Reading,
    read: &Extracted,
) -> Result<(), String> {
    // The corpus leaves zeros out.
    let found: BTreeMap<Meter, u64> = read.usage.iter().filter(|(_, count)| *count > 0).collect();
    if found != *usage {
        return Err(format!("usage {found:?}, not {usage:?}"));
    }
    if read.model != line.model {
        return Err(format!("model {:?}, not {:?}", read.model, line.model));
    }
    let price = read.model.as_deref().and_then(|model| table.find(&reading.provider_id, model, PRICED_AT));
    match (price, reading.input_price, reading.output_price) {
        (None, None, None) => Ok(()),
        (Some(price), Some(input), Some(output)) => {
            let cost = price.cost(&read.usage).map_err(|error| error.to_string())?;
            let total = reading.total_price.unwrap_or_else(|| input + output);
            let equal = (cost.input, cost.output, cost.total) == (input, output, total);
            if equal { Ok(()) } else { Err(format!("{cost:?}, not {input} + {output}, {total}")) }
        }
        (found, ..) => {
            let found = if found.is_some() { "a" } else { "no" };
            Err(format!("{found} price of {:?}, not {:?}", read.model, reading.input_price))
        }
    }
}

fn figures(table: &Table, genai_prices: &str) -> Group {
    let mut group = Group::new("figures");
    let fresh = match import(genai_prices) {
        Ok(fresh) => fresh,
        Err(error) => {
            group.failed.push(chain(&error));
            return group;
        }
    };
    let by_id = |table: &'_ Table| -> BTreeMap<(String, String), Model> {
        table.models().map(|(id, model)| ((id.to_owned(), model.id().to_owned()), model.clone())).collect()
    };
    let (ours, theirs) = (by_id(table), by_id(&fresh));
    for key in ours.keys().chain(theirs.keys().filter(|key| !ours.contains_key(*key))) {
        if ours.get(key) == theirs.get(key) {
            group.passed += 1;
        } else {
            group.failed.push(format!("{}/{} differs from the collection", key.0, key.1));
        }
    }
    if group.failed.is_empty() && *table != fresh {
        group.failed.push("the order of models or the extractors differ from the collection".to_owned());
    }
    group
}
