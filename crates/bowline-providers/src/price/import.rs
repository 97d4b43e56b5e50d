use std::collections::BTreeMap;

use bowline_types::Usd;
use jiff::civil::{Date, Time};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::extract::{Count, Extractor, Step};
use super::meter::Meter;
use super::model::{DatedPrice, Model, Period};
use super::pattern::Pattern;
use super::rate::{ModelPrice, Rate, Tier};
use super::table::{Provider, Source, Table};

/// A collection that cannot be carried over; nothing in it is skipped silently.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The text is not JSON of the expected form.
    #[error("cannot read {0}")]
    Read(String, #[source] serde_json::Error),
    /// Something of a model or provider that has no place in our table.
    #[error("{place}: {what}")]
    Unsupported {
        /// The provider or model.
        place: String,
        /// What has no place.
        what: String,
    },
}

#[derive(Deserialize)]
struct SourceProvider {
    id: String,
    #[serde(default)]
    fallback_model_providers: Vec<String>,
    #[serde(default)]
    extractors: Vec<SourceExtractor>,
    models: Vec<SourceModel>,
}

#[derive(Deserialize)]
struct SourceExtractor {
    api_flavor: String,
    root: SourcePath,
    model_path: SourcePath,
    mappings: Vec<SourceMapping>,
}

#[derive(Deserialize)]
struct SourceMapping {
    path: SourcePath,
    dest: String,
    required: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum SourcePath {
    One(String),
    Many(Vec<SourceStep>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum SourceStep {
    Key(String),
    Item { field: String, r#match: Clause },
}

#[derive(Deserialize)]
struct SourceModel {
    id: String,
    r#match: Clause,
    prices: Box<RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Clause {
    Or(Vec<Self>),
    Equals(String),
    StartsWith(String),
    EndsWith(String),
    Contains(String),
    Regex(String),
}

#[derive(Deserialize)]
struct SourceDated {
    constraint: Option<Constraint>,
    prices: SourceRates,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Constraint {
    start_date: Option<Date>,
    start_time: Option<String>,
    end_time: Option<String>,
}

/// Numbers stay text: read as binary fractions they would no longer be the figures that were published.
type SourceRates = BTreeMap<String, Box<RawValue>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceTiers {
    base: Box<RawValue>,
    tiers: Vec<SourceTier>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceTier {
    start: u64,
    price: Box<RawValue>,
}

/// Carries the figures of `genai-prices` (the JSON file of all its providers) over into a table of ours.
///
/// What is left out on purpose: descriptions, links, context windows, and the rules that guess a provider from a URL or a model
/// name, since Bowline knows the provider of each call.
///
/// # Errors
/// The text is not of the expected form or holds a figure, condition or rule that our table cannot express.
pub fn import(genai_prices: &str) -> Result<Table, ImportError> {
    let providers: Vec<SourceProvider> =
        serde_json::from_str(genai_prices).map_err(|error| ImportError::Read("the collection".to_owned(), error))?;
    let source = Source {
        name: "genai-prices".to_owned(),
        url: "https://github.com/pydantic/genai-prices".to_owned(),
        revision: "47df840".to_owned(),
        date: "2026-08-21".to_owned(),
        licence: "MIT".to_owned(),
        copyright: "Copyright (c) Pydantic Services Inc. 2025 to present".to_owned(),
    };
    Ok(Table { source, providers: providers.into_iter().map(provider).collect::<Result<_, _>>()? })
}

fn provider(source: SourceProvider) -> Result<Provider, ImportError> {
    let place = &source.id;
    let extractors = source.extractors.into_iter().map(|each| extractor(place, each)).collect::<Result<_, _>>()?;
    let models = source.models.into_iter().map(|each| model(place, each)).collect::<Result<_, _>>()?;
    Ok(Provider { id: source.id, resells: source.fallback_model_providers, extractors, models })
}

fn extractor(place: &str, source: SourceExtractor) -> Result<Extractor, ImportError> {
    let count = |mapping: SourceMapping| {
        let meter =
            mapping.dest.parse().map_err(|_unknown| unsupported(place, &format!("count `{}`", mapping.dest)))?;
        Ok(Count { meter, path: path(place, mapping.path)?, required: mapping.required })
    };
    Ok(Extractor {
        flavor: source.api_flavor,
        model: path(place, source.model_path)?,
        root: path(place, source.root)?,
        counts: source.mappings.into_iter().map(count).collect::<Result<_, _>>()?,
    })
}

fn path(place: &str, source: SourcePath) -> Result<Vec<Step>, ImportError> {
    let step = |step| match step {
        SourceStep::Key(key) => Ok(Step::Key(key)),
        SourceStep::Item { field, r#match: Clause::Equals(is) } => Ok(Step::Item { field, is }),
        SourceStep::Item { field, .. } => Err(unsupported(place, &format!("rule for items by `{field}`"))),
    };
    match source {
        SourcePath::One(key) => Ok(vec![Step::Key(key)]),
        SourcePath::Many(steps) => steps.into_iter().map(step).collect(),
    }
}

fn model(provider: &str, source: SourceModel) -> Result<Model, ImportError> {
    let place = format!("{provider}/{}", source.id);
    let mut patterns = Vec::new();
    clause(&place, source.r#match, &mut patterns)?;
    let text = source.prices.get();
    let unreadable = |error| ImportError::Read(place.clone(), error);
    if text.starts_with('{') {
        let price = price(&place, serde_json::from_str(text).map_err(unreadable)?)?;
        return Ok(Model::new(source.id, patterns, price, Vec::new()));
    }
    let mut prices: Vec<SourceDated> = serde_json::from_str(text).map_err(unreadable)?;
    if prices.iter().position(|dated| dated.constraint.is_none()) != Some(0) {
        return Err(unsupported(&place, "dated prices that do not start with one for all other times"));
    }
    let rates = price(&place, prices.remove(0).prices)?;
    let dated = prices.into_iter().map(|dated| {
        let period = period(&place, dated.constraint)?;
        Ok(DatedPrice { period, rates: price(&place, dated.prices)? })
    });
    Ok(Model::new(source.id, patterns, rates, dated.collect::<Result<_, _>>()?))
}

fn period(place: &str, constraint: Option<Constraint>) -> Result<Period, ImportError> {
    let time = |text: &str| text.strip_suffix('Z').and_then(|text| text.parse::<Time>().ok());
    let period = match constraint {
        Some(Constraint { start_date: Some(date), start_time: None, end_time: None }) => Some(Period::Since(date)),
        Some(Constraint { start_date: None, start_time: Some(from), end_time: Some(to) }) => {
            time(&from).zip(time(&to)).map(|(from, to)| Period::Daily(from, to))
        }
        _ => None,
    };
    period.ok_or_else(|| unsupported(place, "condition of a price"))
}

fn price(place: &str, source: SourceRates) -> Result<ModelPrice, ImportError> {
    let mut rates = BTreeMap::new();
    for (key, value) in source {
        let meter = rate_meter(&key).ok_or_else(|| unsupported(place, &format!("price `{key}`")))?;
        rates.insert(meter, rate(place, value.get())?);
    }
    let price = ModelPrice::new(rates);
    // Where two priced counts share tokens, the shared ones need a price too, or they would be taken off the whole twice.
    for one in price.meters() {
        for other in price.meters().filter(|other| one.overlaps(*other)) {
            if !one.overlap(other).is_some_and(|both| price.charges(both)) {
                return Err(unsupported(place, &format!("no price for what is both `{one}` and `{other}`")));
            }
        }
    }
    Ok(price)
}

/// Returns the meter that a price is for: `input_mtok` is per million `input_tokens`, `web_searches_kcount` per thousand.
fn rate_meter(key: &str) -> Option<Meter> {
    let tokens = key.strip_suffix("_mtok").map(|stem| format!("{stem}_tokens"));
    let meter: Meter = tokens.as_deref().or_else(|| key.strip_suffix("_kcount"))?.parse().ok()?;
    let per_million = meter.rate_places() == 6;
    (per_million == tokens.is_some()).then_some(meter)
}

fn rate(place: &str, text: &str) -> Result<Rate, ImportError> {
    let usd = |text: &str| {
        let amount = text.parse::<Usd>().ok().filter(|amount| *amount >= Usd::ZERO);
        amount.ok_or_else(|| unsupported(place, &format!("figure `{text}`")))
    };
    if !text.starts_with('{') {
        return usd(text).map(Rate::Flat);
    }
    let source: SourceTiers = serde_json::from_str(text).map_err(|error| ImportError::Read(place.to_owned(), error))?;
    let tier = |tier: &SourceTier| Ok(Tier { above: tier.start, rate: usd(tier.price.get())? });
    let tiers = source.tiers.iter().map(tier).collect::<Result<Vec<_>, _>>()?;
    if !tiers.is_sorted_by(|one, next| one.above < next.above) {
        return Err(unsupported(place, "tiers out of order"));
    }
    Ok(Rate::Tiered { base: usd(source.base.get())?, tiers })
}

fn clause(place: &str, clause: Clause, patterns: &mut Vec<Pattern>) -> Result<(), ImportError> {
    let (before, text, after) = match clause {
        Clause::Or(clauses) => return clauses.into_iter().try_for_each(|each| self::clause(place, each, patterns)),
        Clause::Regex(regex) => {
            let pattern = regex_pattern(&regex).ok_or_else(|| unsupported(place, &format!("rule `{regex}`")))?;
            patterns.push(Pattern::new(&pattern));
            return Ok(());
        }
        Clause::Equals(text) => ("", text, ""),
        Clause::StartsWith(text) => ("", text, "*"),
        Clause::EndsWith(text) => ("*", text, ""),
        Clause::Contains(text) => ("*", text, "*"),
    };
    if text.contains(['*', '#']) {
        return Err(unsupported(place, &format!("name `{text}`")));
    }
    patterns.push(Pattern::new(&format!("{before}{text}{after}")));
    Ok(())
}

/// Returns the pattern of the few regular expressions in use: anchors, literal characters, `\d` and `\d{N}`.
fn regex_pattern(regex: &str) -> Option<String> {
    let mut pattern = String::new();
    let rest = regex.strip_prefix('^');
    pattern.push_str(if rest.is_some() { "" } else { "*" });
    let rest = rest.unwrap_or(regex);
    let body = rest.strip_suffix('$');
    let mut characters = body.unwrap_or(rest).chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next()? {
                'd' if characters.next_if_eq(&'{').is_some() => {
                    let digits: String = characters.by_ref().take_while(|each| *each != '}').collect();
                    pattern.push_str(&"#".repeat(digits.parse().ok()?));
                }
                'd' => pattern.push('#'),
                '.' => pattern.push('.'),
                _ => return None,
            },
            _ if character.is_ascii_alphanumeric() || "-_/:".contains(character) => pattern.push(character),
            _ => return None,
        }
    }
    pattern.push_str(if body.is_some() { "" } else { "*" });
    Some(pattern)
}

fn unsupported(place: &str, what: &str) -> ImportError {
    ImportError::Unsupported { place: place.to_owned(), what: what.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regular_expressions_become_patterns() {
        let check = |regex: &str, expected: Option<&str>| assert_eq!(regex_pattern(regex).as_deref(), expected);
        check(r"^gpt-5\.6-sol-\d{4}-\d{2}-\d{2}$", Some("gpt-5.6-sol-####-##-##"));
        check(r"^gemini-3\.5-flash-\d", Some("gemini-3.5-flash-#*"));
        check("turbo$", Some("*turbo"));
        for regex in ["^o[134]", "(?:mi|code)stral", "a+", r"\w", r"\d{x}", "a.c"] {
            check(regex, None);
        }
    }

    #[test]
    fn what_has_no_place_is_refused() {
        let check = |models: &str, expected: &str| {
            let error = import(&format!(r#"[{{"id": "p", "models": [{models}]}}]"#)).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        };
        check(r#"{"id": "m", "match": {"equals": "m"}, "prices": {"smell_mtok": 1}}"#, "p/m: price `smell_mtok`");
        check(r#"{"id": "m", "match": {"equals": "m"}, "prices": {"web_searches_mtok": 1}}"#, "web_searches_mtok");
        check(r#"{"id": "m", "match": {"equals": "m"}, "prices": {"input_mtok": -1}}"#, "figure `-1`");
        check(r#"{"id": "m", "match": {"regex": "a|b"}, "prices": {}}"#, "rule `a|b`");
        check(
            r#"{"id": "m", "match": {"equals": "m"}, "prices": {"input_mtok": 1, "cache_read_mtok": 1, "input_audio_mtok": 2}}"#,
            "no price for what is both `cache_read_tokens` and `input_audio_tokens`",
        );
        check(
            r#"{"id": "m", "match": {"equals": "m"}, "prices": [{"constraint": {"start_date": "2026-01-01"}, "prices": {}}]}"#,
            "dated prices",
        );
    }
}
