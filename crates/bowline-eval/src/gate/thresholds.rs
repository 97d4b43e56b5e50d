use serde::{Deserialize, Serialize};

use super::Standing;
use super::tally::InOrder;
use crate::suite::Thresholds;

/// A threshold, and what was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bound {
    /// What is bounded.
    pub quantity: Quantity,
    /// What the suite allows.
    pub bound: f64,
    /// What was measured; `None` where it cannot be known.
    pub measured: Option<f64>,
    /// Whether the bound holds; what cannot be known does not.
    pub holds: bool,
}

/// What a threshold bounds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// The share of cases that pass, from below.
    PassRate,
    /// The mean score of a metric, from below.
    Metric(String),
    /// The mean cost of a call in USD, from above.
    CostUsdMean,
    /// The 95th percentile of latency in milliseconds, from above.
    LatencyMsP95,
}

/// A sum of a thousand shares may miss the number that is meant by this much.
const ROUNDING: f64 = 1e-9;

/// Measures the candidate. Where the suite names no pass rate and there is nothing to compare with, every case must pass: otherwise
/// a suite would pass that says nothing.
pub(super) fn bounds<I: Ord>(candidate: &InOrder<I>, thresholds: &Thresholds, compared: bool) -> Vec<Bound> {
    let Thresholds { pass_rate, metrics, cost_usd_mean_max, latency_ms_p95_max, .. } = thresholds;
    let pass_rate = pass_rate.or((!compared).then_some(1.0));
    let at_least = |quantity, bound: f64, measured: Option<f64>| {
        let holds = measured.is_some_and(|measured| measured >= bound - ROUNDING);
        Bound { quantity, bound, measured, holds }
    };
    let at_most = |quantity, bound: f64, measured: Option<f64>| {
        let holds = measured.is_some_and(|measured| measured <= bound + ROUNDING);
        Bound { quantity, bound, measured, holds }
    };
    let mut bounds = Vec::new();
    if let Some(bound) = pass_rate {
        bounds.push(at_least(Quantity::PassRate, bound, Some(Standing::of(candidate).pass_rate)));
    }
    for (name, bound) in metrics {
        bounds.push(at_least(Quantity::Metric(name.clone()), *bound, candidate.sums().metric(name)));
    }
    if let Some(bound) = *cost_usd_mean_max {
        bounds.push(at_most(Quantity::CostUsdMean, bound, candidate.sums().cost_usd_mean()));
    }
    if let Some(bound) = *latency_ms_p95_max {
        bounds.push(at_most(Quantity::LatencyMsP95, bound, candidate.sums().latency_ms_p95()));
    }
    bounds
}

// === impl Bound ===

impl Bound {
    /// Returns the bound and what was measured, in words: `pass rate 91.2%, at least 95%`.
    #[must_use]
    pub fn words(&self) -> String {
        let Self { quantity, bound, measured, .. } = self;
        let percent = |rate: f64| format!("{}%", trimmed(rate * 100.0, 2));
        let (name, least, show): (String, bool, &dyn Fn(f64) -> String) = match quantity {
            Quantity::PassRate => ("pass rate".to_owned(), true, &percent),
            Quantity::Metric(name) => (format!("metric {name}"), true, &|score| trimmed(score, 4)),
            Quantity::CostUsdMean => {
                ("mean cost of a call".to_owned(), false, &|cost| format!("${}", trimmed(cost, 6)))
            }
            Quantity::LatencyMsP95 => {
                ("95th percentile of latency".to_owned(), false, &|time| format!("{} ms", trimmed(time, 1)))
            }
        };
        let relation = if least { "at least" } else { "at most" };
        let measured = match (measured, quantity) {
            (Some(measured), _) => show(*measured),
            (None, Quantity::Metric(_)) => "not known, as no assertion counts for it".to_owned(),
            (None, Quantity::CostUsdMean) => "not known, as a model has no price".to_owned(),
            (None, _) => "not known".to_owned(),
        };
        format!("{name} {measured}, {relation} {}", show(*bound))
    }
}

/// Writes a number with at most so many places, without zeros at the end.
pub(super) fn trimmed(number: f64, places: usize) -> String {
    let text = format!("{number:.places$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}
