use std::collections::BTreeMap;

use bowline_types::Usd;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::meter::Meter;
use super::usage::Usage;

/// What a call cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cost {
    /// The tokens of the request.
    pub input: Usd,
    /// The tokens of the answer.
    pub output: Usd,
    /// Both, and what is charged by the search and by the call.
    pub total: Usd,
}

/// A usage that no cost follows from.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum CostError {
    /// A count is needed that was not reported.
    #[error("`{meter}` was not reported, though `{reported}` was")]
    Missing {
        /// The count that is needed.
        meter: Meter,
        /// A reported count which says that it is not zero.
        reported: Meter,
    },
    /// The parts of a count are more than the whole.
    #[error("`{meter}` is {count}, but its parts add up to {parts}")]
    Parts {
        /// The whole.
        meter: Meter,
        /// Its reported count.
        count: u64,
        /// The sum of its parts.
        parts: u64,
    },
    /// The amount exceeds what a decimal number can hold.
    #[error("the amount for {count} `{meter}` is too large")]
    Overflow {
        /// What was counted.
        meter: Meter,
        /// Its count.
        count: u64,
    },
}

/// The rates of one model at one time, in US dollars: per million of tokens, else per thousand.
///
/// A part without a rate of its own is charged as the whole it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ModelPrice(BTreeMap<Meter, Rate>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Rate {
    /// The same for every call.
    Flat(Usd),
    /// By the size of the request: the last tier that its input exceeds holds for the whole call, else the base.
    Tiered {
        base: Usd,
        /// From small to large.
        tiers: Vec<Tier>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tier {
    /// The tier holds for requests of more than this many tokens.
    pub(super) above: u64,
    pub(super) rate: Usd,
}

// === impl ModelPrice ===

impl ModelPrice {
    pub(super) const fn new(rates: BTreeMap<Meter, Rate>) -> Self {
        Self(rates)
    }

    /// Returns whether the model is listed without any rate: its price is not known.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether `meter` has a rate of its own.
    #[must_use]
    pub fn charges(&self, meter: Meter) -> bool {
        self.0.contains_key(&meter)
    }

    /// Returns the meters that have a rate of their own.
    pub(super) fn meters(&self) -> impl Iterator<Item = Meter> {
        self.0.keys().copied()
    }

    /// Returns what a call of this usage costs; nothing where the model [is listed without rates](Self::is_unknown).
    ///
    /// # Errors
    /// The usage contradicts itself or leaves out a count that a rate needs.
    pub fn cost(&self, usage: &Usage) -> Result<Cost, CostError> {
        let tiered = self.0.values().any(|rate| matches!(rate, Rate::Tiered { .. }));
        let size = if tiered { usage.billable(Meter::InputTokens)? } else { 0 };
        // What each meter counts alone, without its parts, which come first and have been charged at their own rates.
        let mut alone = [0_u64; Meter::ALL.len()];
        let (mut input, mut output, mut other) = (Decimal::ZERO, Decimal::ZERO, Decimal::ZERO);
        for (&meter, rate) in &self.0 {
            let count = if meter == Meter::Requests { 1 } else { usage.billable(meter)? };
            let parts = self.meters().filter(|part| meter.covers(*part)).map(|part| alone[part as usize]);
            let parts = parts.fold(0, u64::saturating_add);
            let rest = count.checked_sub(parts).ok_or(CostError::Parts { meter, count, parts })?;
            alone[meter as usize] = rest;
            let side = match meter {
                _ if meter.is_input() => &mut input,
                _ if meter.is_output() => &mut output,
                _ => &mut other,
            };
            let amount = amount(rate.at(size), rest, meter.rate_places());
            *side = amount.and_then(|amount| side.checked_add(amount)).ok_or(CostError::Overflow { meter, count })?;
        }
        let (input, output) = (Usd::new(input), Usd::new(output));
        Ok(Cost { input, output, total: input + output + Usd::new(other) })
    }
}

/// Returns `count` times the rate, moved down by its decimal places; exact, since only the scale changes.
fn amount(rate: Usd, count: u64, places: u32) -> Option<Decimal> {
    let mut amount = rate.amount().checked_mul(Decimal::from(count))?;
    amount.set_scale(amount.scale().checked_add(places)?).ok()?;
    Some(amount)
}

// === impl Rate ===

impl Rate {
    /// Returns the rate of a call whose request has `size` tokens.
    fn at(&self, size: u64) -> Usd {
        match self {
            Self::Flat(rate) => *rate,
            Self::Tiered { base, tiers } => {
                tiers.iter().rev().find(|tier| size > tier.above).map_or(*base, |tier| tier.rate)
            }
        }
    }
}
