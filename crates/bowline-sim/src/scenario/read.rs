//! Scenario files: YAML, read strictly.
//!
//! ```yaml
//! seed: 7
//! noise: 0.3
//! latency:
//!   first_byte: { lognormal: { median: 400ms, sigma: 0.5 } } # or 250ms, or { uniform: [200ms, 600ms] }
//!   tokens_per_second: 80
//! faults:
//!   - { kind: rate_limited, rate: 0.02, wait: 2s }
//!   - { kind: stream_cut, rate: 0.01 }
//! ```

use std::time::Duration;

use bowline_types::{closest, parse_duration};
use saphyr::{LoadableYamlNode as _, MarkedYaml, Scalar, YamlData};

use super::{Fault, FaultKind, Latency, Scenario, ScenarioError, Wait};

/// The mapping at a key, whose own keys are all known.
struct Section<'a> {
    line: usize,
    entries: Vec<(&'a str, &'a MarkedYaml<'a>)>,
}

/// A value and the key it stands at.
#[derive(Clone, Copy)]
struct Entry<'a> {
    key: &'a str,
    node: &'a MarkedYaml<'a>,
}

impl Scenario {
    /// Reads a scenario file. Whatever it leaves out is as in [`Scenario::default`].
    ///
    /// # Errors
    /// Names the line of the first thing that is not as described.
    pub fn parse(yaml: &str) -> Result<Self, ScenarioError> {
        let documents = MarkedYaml::load_from_str(yaml)
            .map_err(|error| ScenarioError::Yaml { line: error.marker().line(), problem: error.info().to_owned() })?;
        let mut scenario = Self::default();
        let node = match documents.as_slice() {
            [] => return Ok(scenario),
            [node] => node,
            [_, second, ..] => {
                let line = second.span.start.line();
                return Err(ScenarioError::Yaml { line, problem: "a file holds one scenario".to_owned() });
            }
        };
        if matches!(node.data, YamlData::Value(Scalar::Null)) {
            return Ok(scenario);
        }
        let section = Section::read(Entry { key: "scenario", node }, &["seed", "noise", "latency", "faults"])?;
        if let Some(seed) = section.entry("seed") {
            scenario.seed = seed.whole()?;
        }
        if let Some(noise) = section.entry("noise") {
            scenario.noise = noise.number("a number from 0 to 1", |noise| (0.0..=1.0).contains(&noise))?;
        }
        if let Some(latency) = section.entry("latency") {
            scenario.latency = read_latency(latency)?;
        }
        if let Some(faults) = section.entry("faults") {
            scenario.faults = faults.items()?.map(read_fault).collect::<Result<_, _>>()?;
            if scenario.faults.iter().map(|fault| fault.rate).sum::<f64>() > 1.0 {
                return Err(faults.invalid("a list whose rates add up to 1 at most, as a call meets one fault at most"));
            }
        }
        Ok(scenario)
    }
}

fn read_latency(entry: Entry<'_>) -> Result<Latency, ScenarioError> {
    let section = Section::read(entry, &["first_byte", "tokens_per_second"])?;
    let mut latency = Scenario::default().latency;
    if let Some(first_byte) = section.entry("first_byte") {
        latency.first_byte = read_wait(first_byte)?;
    }
    if let Some(speed) = section.entry("tokens_per_second") {
        latency.tokens_per_second = Some(speed.number("a number above 0", |speed| speed > 0.0)?);
    }
    Ok(latency)
}

fn read_wait(entry: Entry<'_>) -> Result<Wait, ScenarioError> {
    if !matches!(entry.node.data, YamlData::Mapping(_)) {
        return entry.duration().map(Wait::Constant);
    }
    let section = Section::read(entry, &["constant", "uniform", "lognormal"])?;
    let expected = "one of a duration, `{ constant: 250ms }`, `{ uniform: [200ms, 600ms] }`, \
                    `{ lognormal: { median: 400ms, sigma: 0.5 } }`";
    let [(key, node)] = section.entries[..] else { return Err(entry.invalid(expected)) };
    let entry = Entry { key, node };
    match key {
        "constant" => entry.duration().map(Wait::Constant),
        "uniform" => {
            let ends = entry.items()?.map(|end| end.duration()).collect::<Result<Vec<_>, _>>()?;
            match ends[..] {
                [low, high] if low <= high => Ok(Wait::Uniform(low, high)),
                _ => Err(entry.invalid("two durations, the shorter one first")),
            }
        }
        _ => {
            let section = Section::read(entry, &["median", "sigma"])?;
            let median = section.required("median")?.duration()?;
            let sigma =
                section.required("sigma")?.number("a number from 0 to 5", |sigma| (0.0..=5.0).contains(&sigma))?;
            Ok(Wait::LogNormal { median, sigma })
        }
    }
}

fn read_fault(entry: Entry<'_>) -> Result<Fault, ScenarioError> {
    let section = Section::read(entry, &["kind", "rate", "wait"])?;
    let kind = section.required("kind")?;
    let word = kind.text();
    let found = FaultKind::ALL.into_iter().find(|kind| Some(kind.as_str()) == word);
    let found = found.ok_or_else(|| {
        let words = FaultKind::ALL.map(FaultKind::as_str);
        let meant = word.and_then(|word| closest(word, words));
        let expected = words.map(|word| format!("`{word}`")).join(", ");
        let meant = meant.map(|meant| format!(" (did you mean `{meant}`?)")).unwrap_or_default();
        kind.invalid(&format!("one of {expected}{meant}"))
    })?;
    let rate = section.required("rate")?.number("a number from 0 to 1", |rate| (0.0..=1.0).contains(&rate))?;
    let wait = section.entry("wait").map(|wait| wait.duration()).transpose()?;
    Ok(Fault { kind: found, rate, wait })
}

// === impl Section ===

impl<'a> Section<'a> {
    fn read(entry: Entry<'a>, known: &[&str]) -> Result<Self, ScenarioError> {
        let YamlData::Mapping(mapping) = &entry.node.data else { return Err(entry.invalid("a mapping")) };
        let mut entries = Vec::new();
        for (key, node) in mapping {
            let line = key.span.start.line();
            let expected = || known.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
            match &key.data {
                YamlData::Value(Scalar::String(text)) if known.contains(&text.as_ref()) => {
                    entries.push((text.as_ref(), node));
                }
                YamlData::Value(Scalar::String(text)) => {
                    let closest = closest(text, known.iter().copied()).map(str::to_owned);
                    let key = text.clone().into_owned();
                    return Err(ScenarioError::UnknownKey { line, key, closest, expected: expected() });
                }
                _ => {
                    let problem = format!("a key is not a text (expected {})", expected());
                    return Err(ScenarioError::Yaml { line, problem });
                }
            }
        }
        Ok(Self { line: entry.line(), entries })
    }

    fn entry(&self, key: &str) -> Option<Entry<'a>> {
        self.entries.iter().find(|(candidate, _)| *candidate == key).map(|(key, node)| Entry { key, node })
    }

    fn required(&self, key: &str) -> Result<Entry<'a>, ScenarioError> {
        self.entry(key).ok_or_else(|| ScenarioError::Missing { line: self.line, key: key.to_owned() })
    }
}

// === impl Entry ===

impl<'a> Entry<'a> {
    fn line(&self) -> usize {
        self.node.span.start.line()
    }

    fn invalid(&self, expected: &str) -> ScenarioError {
        ScenarioError::Invalid { line: self.line(), key: self.key.to_owned(), expected: expected.to_owned() }
    }

    fn text(&self) -> Option<&'a str> {
        match &self.node.data {
            YamlData::Value(Scalar::String(text)) => Some(text),
            _ => None,
        }
    }

    fn items(&self) -> Result<impl Iterator<Item = Self> + use<'a>, ScenarioError> {
        let YamlData::Sequence(items) = &self.node.data else { return Err(self.invalid("a list")) };
        let key = self.key;
        Ok(items.iter().map(move |node| Self { key, node }))
    }

    fn whole(&self) -> Result<u64, ScenarioError> {
        let number = match self.node.data {
            YamlData::Value(Scalar::Integer(number)) => u64::try_from(number).ok(),
            _ => None,
        };
        number.ok_or_else(|| self.invalid("a whole number from 0"))
    }

    fn number(&self, expected: &str, fits: impl Fn(f64) -> bool) -> Result<f64, ScenarioError> {
        let number = match self.node.data {
            YamlData::Value(Scalar::Integer(number)) => i32::try_from(number).ok().map(f64::from),
            YamlData::Value(Scalar::FloatingPoint(number)) => Some(number.0),
            _ => None,
        };
        number.filter(|number| number.is_finite() && fits(*number)).ok_or_else(|| self.invalid(expected))
    }

    fn duration(&self) -> Result<Duration, ScenarioError> {
        self.text().and_then(parse_duration).ok_or_else(|| self.invalid("a duration such as `250ms` or `2s`"))
    }
}
