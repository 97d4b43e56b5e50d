use crate::design::Bets;
use crate::evalue::{EValue, power_of_two};

/// A mixture of betting e-processes on one stream of payoffs in `[-1, 1]`.
///
/// - Hypothesis: the expected payoff is at most 0 whatever came before.
/// - Evidence: `Σ w_j Π (1 + b_j·x)`. Under the hypothesis every factor has an expectation of at most 1, so the mixture is a
///   nonnegative supermartingale from 1, and the chance that it ever reaches `1/α` is at most `α`.
/// - Bets: one targeted at an effect, whose size may differ from payoff to payoff (it is fixed by the stage beforehand), and
///   a geometric grid. Half of the stake on the grid loses a factor of 2 at worst against the best bet known in hindsight,
///   and 32 against the best of the grid.
/// - At the start: 1. No minimum sample: the bound holds at every payoff.
/// - Bits: the mantissas are scaled by powers of two only, which is exact, so they are those of one unbounded product.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    /// Sizes of the grid's bets.
    grid: Vec<f64>,
    targeted_weight: f64,
    grid_weight: f64,
    /// Wealth of the targeted bet, then of the grid: `mantissa · 2^exponent`.
    mantissas: Vec<f64>,
    exponents: Vec<i64>,
}

/// Mantissas stay within `2^±SPAN`; one payoff changes them by a factor of at most 2 and at least 1/10.
const SPAN: i64 = 256;
const LARGE: f64 = power_of_two(SPAN);
const SMALL: f64 = power_of_two(-SPAN);

/// What is smaller than the largest wealth by this power of two cannot change a sum of 53 bits.
const NEGLIGIBLE: i64 = -700;

// === impl Process ===

impl Process {
    /// Returns the process before its first payoff.
    pub(crate) fn new(bets: &Bets) -> Self {
        let count = bets.grid.len() + 1;
        Self {
            grid: bets.grid.clone(),
            targeted_weight: bets.targeted_weight,
            grid_weight: bets.grid_weight,
            mantissas: vec![1.0; count],
            exponents: vec![0; count],
        }
    }

    /// Settles every bet on one payoff and returns the evidence after it.
    pub(crate) fn settle(&mut self, targeted_bet: f64, payoff: f64) -> EValue {
        let mut outside = false;
        let sizes = std::iter::once(&targeted_bet).chain(&self.grid);
        for (mantissa, size) in self.mantissas.iter_mut().zip(sizes) {
            *mantissa *= 1.0 + size * payoff;
            outside |= *mantissa > LARGE || *mantissa < SMALL;
        }
        if outside {
            self.rescale();
        }
        self.value()
    }

    fn rescale(&mut self) {
        for (mantissa, exponent) in self.mantissas.iter_mut().zip(&mut self.exponents) {
            if *mantissa > LARGE {
                *mantissa *= SMALL;
                *exponent += SPAN;
            } else if *mantissa < SMALL {
                *mantissa *= LARGE;
                *exponent -= SPAN;
            }
        }
    }

    /// Returns the evidence: the wealth of all bets together.
    pub(crate) fn value(&self) -> EValue {
        let top = self.exponents.iter().copied().max().unwrap_or(0);
        let weights = std::iter::once(self.targeted_weight).chain(std::iter::repeat(self.grid_weight));
        let wealth = self.mantissas.iter().zip(&self.exponents).zip(weights);
        let sum = wealth.fold(0.0, |sum, ((mantissa, exponent), weight)| match exponent - top {
            0 => sum + weight * mantissa,
            below if below > NEGLIGIBLE => sum + weight * mantissa * power_of_two(below),
            _ => sum,
        });
        EValue::scaled(sum, top)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::design::Design;
    use crate::plan::Plan;

    fn bets(targeted_weight: f64) -> Bets {
        let bets = Design::new(Plan::default(), None).unwrap().rollback;
        let grid_weight = (1.0 - targeted_weight) / 16.0;
        Bets { targeted_weight, grid_weight, ..bets }
    }

    fn settle(process: &mut Process, bet: f64, payoffs: &[(f64, usize)]) -> EValue {
        let each = payoffs.iter().flat_map(|(payoff, times)| std::iter::repeat_n(*payoff, *times));
        each.fold(process.value(), |_, payoff| process.settle(bet, payoff))
    }

    /// Golden: 60 pairs that speak against the candidate and 25 for it, grid alone.
    #[test]
    fn the_grid_mixture_has_its_known_value() {
        let value = settle(&mut Process::new(&bets(0.0)), 0.5, &[(1.0, 60), (-1.0, 25)]);
        assert!((value.to_f64().ln() - 5.445_125).abs() < 1e-6, "{}", value.to_f64().ln());
    }

    #[test]
    fn a_single_bet_is_a_plain_product() {
        let value = settle(&mut Process::new(&bets(1.0)), 0.25, &[(1.0, 3), (-1.0, 2)]);
        assert_eq!(value.to_f64().to_bits(), (1.25_f64.powi(3) * 0.75_f64.powi(2)).to_bits());
    }

    /// Ties pay nothing and move nothing.
    #[test]
    fn ties_are_neutral() {
        let mut process = Process::new(&bets(0.5));
        let before = settle(&mut process, 0.2, &[(1.0, 7)]);
        assert_eq!(settle(&mut process, 0.2, &[(0.0, 1_000)]), before);
    }

    #[test]
    fn wealth_never_overflows_or_ends() {
        let mut process = Process::new(&bets(0.5));
        let high = settle(&mut process, 0.2, &[(1.0, 100_000)]);
        // The grid's largest bet rules: 1/32 · 1.9^100000.
        assert!((high.log10() - (100_000.0 * 1.9_f64.log10() - 32_f64.log10())).abs() < 1e-6, "{high}");
        let low = settle(&mut process, 0.2, &[(-1.0, 1_000_000)]);
        assert!(low.mantissa >= 1.0 && low.exponent < -10_000, "{low:?}");
    }

    proptest! {
        /// Scaling is invisible: far from 1 the same payoffs change wealth by the same factor.
        #[test]
        fn scaling_is_exact(payoffs in proptest::collection::vec(-1.0..1.0_f64, 1..200)) {
            let (mut near, mut far) = (Process::new(&bets(1.0)), Process::new(&bets(1.0)));
            // A bet of 1 on a win doubles: 2^900 is beyond two rescalings.
            let _ = settle(&mut far, 1.0, &[(1.0, 900)]);
            for payoff in payoffs {
                let (near, far) = (near.settle(0.3, payoff), far.settle(0.3, payoff));
                prop_assert_eq!(near.mantissa.to_bits(), far.mantissa.to_bits());
                prop_assert_eq!(near.exponent + 900, far.exponent);
            }
        }
    }
}
