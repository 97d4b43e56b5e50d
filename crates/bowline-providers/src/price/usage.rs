use std::fmt;

use bowline_types::TokenUsage;

use super::meter::Meter;
use super::rate::CostError;

/// How much of everything one call used. What was not reported is absent, which is not zero.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    counts: [Option<u64>; Meter::ALL.len()],
}

// === impl Usage ===

impl Usage {
    /// Returns the count of `meter`, `None` where it was not reported.
    #[must_use]
    pub const fn get(&self, meter: Meter) -> Option<u64> {
        self.counts[meter as usize]
    }

    /// Reports `count` for `meter`.
    pub const fn set(&mut self, meter: Meter, count: Option<u64>) {
        self.counts[meter as usize] = count;
    }

    /// Adds `count` to what is reported for `meter`; the largest number stands for more.
    pub fn add(&mut self, meter: Meter, count: u64) {
        self.set(meter, Some(self.get(meter).unwrap_or(0).saturating_add(count)));
    }

    /// Returns what was reported, zeros included.
    pub fn iter(&self) -> impl Iterator<Item = (Meter, u64)> {
        Meter::ALL.into_iter().filter_map(|meter| Some((meter, self.get(meter)?)))
    }

    /// Returns whether nothing was reported.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Returns the count that a price applies to: zero where nothing was reported that could be counted by `meter`.
    ///
    /// # Errors
    /// What was reported says that some of it must exist, but not how much.
    pub(super) fn billable(&self, meter: Meter) -> Result<u64, CostError> {
        if let Some(count) = self.get(meter) {
            return Ok(count);
        }
        let positive = || self.iter().filter(|(_, count)| *count > 0).map(|(meter, _)| meter);
        if let Some(part) = positive().find(|part| meter.covers(*part)) {
            return Err(CostError::Missing { meter, reported: part });
        }
        let both = |one: Meter, other: Meter| one.overlaps(other) && one.overlap(other) == Some(meter);
        match positive().find(|one| positive().any(|other| both(*one, other))) {
            Some(reported) => Err(CostError::Missing { meter, reported }),
            None => Ok(0),
        }
    }
}

impl FromIterator<(Meter, u64)> for Usage {
    fn from_iter<I: IntoIterator<Item = (Meter, u64)>>(counts: I) -> Self {
        let mut usage = Self::default();
        for (meter, count) in counts {
            usage.add(meter, count);
        }
        usage
    }
}

impl From<&TokenUsage> for Usage {
    fn from(tokens: &TokenUsage) -> Self {
        let mut usage = Self::default();
        for (meter, count) in [
            (Meter::InputTokens, tokens.input),
            (Meter::OutputTokens, tokens.output),
            (Meter::CacheReadTokens, tokens.cache_read),
            (Meter::CacheWriteTokens, tokens.cache_write),
            (Meter::CacheWrite1hTokens, tokens.cache_write_1h),
            (Meter::OutputReasoningTokens, tokens.reasoning),
            (Meter::InputAudioTokens, tokens.input_audio),
            (Meter::OutputAudioTokens, tokens.output_audio),
            (Meter::WebSearches, tokens.web_searches),
        ] {
            usage.set(meter, count);
        }
        usage
    }
}

impl fmt::Debug for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
