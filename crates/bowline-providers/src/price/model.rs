use bowline_types::{Timestamp, TokenUsage};
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;
use serde::{Deserialize, Serialize};

use super::meter::Meter;
use super::pattern::Pattern;
use super::rate::{Cost, ModelPrice};
use super::usage::Usage;

/// A model of a provider with its prices over time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    id: String,
    /// The names that mean this model; none: only its id does.
    #[serde(rename = "match", default, skip_serializing_if = "Vec::is_empty")]
    patterns: Vec<Pattern>,
    rates: ModelPrice,
    /// Prices that replace `rates` at some times; the last that holds wins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    dated: Vec<DatedPrice>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DatedPrice {
    #[serde(flatten)]
    pub(super) period: Period,
    pub(super) rates: ModelPrice,
}

/// When a price holds, in UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Period {
    /// From the beginning of a day on.
    Since(Date),
    /// Every day from the first time to just before the second; over midnight where the second is the earlier one.
    Daily(Time, Time),
}

// === impl Model ===

impl Model {
    pub(super) fn new(id: String, mut patterns: Vec<Pattern>, rates: ModelPrice, dated: Vec<DatedPrice>) -> Self {
        patterns.dedup();
        if matches!(patterns.as_slice(), [only] if *only == Pattern::new(&id)) {
            patterns.clear();
        }
        Self { id, patterns, rates, dated }
    }

    /// Returns the id of the model in the table.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn is_named(&self, name: &str) -> bool {
        if self.patterns.is_empty() {
            self.id.eq_ignore_ascii_case(name)
        } else {
            self.patterns.iter().any(|pattern| pattern.matches(name))
        }
    }

    /// Returns the prices at a time.
    #[must_use]
    pub fn price(&self, at: Timestamp) -> &ModelPrice {
        if self.dated.is_empty() {
            return &self.rates;
        }
        // A time that no calendar holds is no time of a call; the prices without a date are then as good as any.
        let at = jiff::Timestamp::from_microsecond(at.as_micros()).map(|at| Offset::UTC.to_datetime(at));
        let dated = at.ok().and_then(|at| self.dated.iter().rev().find(|dated| dated.period.holds(at)));
        dated.map_or(&self.rates, |dated| &dated.rates)
    }

    /// Returns the cost of a call at a time, `None` where it cannot be known.
    ///
    /// It cannot where the model is listed without rates, where the provider did not report a count that has a rate (such as after a
    /// broken stream), and where what it reported contradicts itself.
    #[must_use]
    pub fn cost(&self, at: Timestamp, tokens: &TokenUsage) -> Option<Cost> {
        let price = self.price(at);
        let unreported = (tokens.input.is_none() && price.charges(Meter::InputTokens))
            || (tokens.output.is_none() && price.charges(Meter::OutputTokens));
        if price.is_unknown() || unreported {
            return None;
        }
        price.cost(&Usage::from(tokens)).ok()
    }
}

// === impl Period ===

impl Period {
    fn holds(&self, at: DateTime) -> bool {
        match *self {
            Self::Since(date) => at.date() >= date,
            Self::Daily(from, to) if from <= to => (from..to).contains(&at.time()),
            Self::Daily(from, to) => at.time() >= from || at.time() < to,
        }
    }
}
