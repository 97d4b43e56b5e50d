use bowline_types::Arm;

use crate::evalue::EValue;
use crate::evidence::to_f64;
use crate::observation::Arms;
use crate::share::Share;

/// A sequential test that units arrive in the proportion of the share (Lindon and Malek, NeurIPS 2022, arXiv 2011.03567).
///
/// - Hypothesis: each unit is on the candidate with the probability of the share.
/// - Evidence: the Bayes factor of "some other proportion, all equally likely beforehand" (Dirichlet(1, 1)), an e-process.
/// - Update: `((1 + n_arm) / (2 + n)) / share_arm`, which multiplies to the closed form without a gamma function, whose last
///   bits differ between platforms.
/// - At the start: 1. Alarm: [`SampleRatio::ALARM`] at any time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SampleRatio {
    shares: Arms<f64>,
    units: Arms<u64>,
    now: EValue,
    peak: EValue,
}

impl SampleRatio {
    /// The evidence at which assignment or recording counts as broken: one false alarm in a thousand stages.
    pub(crate) const ALARM: f64 = 1_000.0;

    /// Returns the test before its first unit.
    pub(crate) fn new(share: Share) -> Self {
        let shares = Arms { stable: 1.0 - share.fraction(), candidate: share.fraction() };
        Self { shares, units: Arms::default(), now: EValue::ONE, peak: EValue::ONE }
    }

    /// Counts a unit.
    pub(crate) fn push(&mut self, arm: Arm) {
        let total = self.units.stable + self.units.candidate;
        let expected = (1.0 + to_f64(*self.units.get(arm))) / (2.0 + to_f64(total));
        self.now = self.now.times(expected / self.shares.get(arm));
        self.peak = self.peak.max(self.now);
        *self.units.get_mut(arm) += 1;
    }

    /// Returns the units counted.
    pub(crate) const fn units(&self) -> Arms<u64> {
        self.units
    }

    /// Returns the most evidence there has been.
    pub(crate) const fn peak(&self) -> EValue {
        self.peak
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(share: &str, stable: u64, candidate: u64) -> SampleRatio {
        let mut ratio = SampleRatio::new(share.parse().unwrap());
        (0..stable).for_each(|_| ratio.push(Arm::Stable));
        (0..candidate).for_each(|_| ratio.push(Arm::Candidate));
        ratio
    }

    /// Golden: the closed form with gamma functions, to the printed precision.
    #[test]
    fn bayes_factors_have_their_known_values() {
        let check = |share, stable, candidate, expected: f64| {
            let found = after(share, stable, candidate).now.log10() * std::f64::consts::LN_10;
            assert!((found - expected).abs() < 5e-5, "{stable}/{candidate} at {share}: {found}");
        };
        check("50%", 5_100, 4_900, -2.3795);
        check("50%", 5_250, 4_750, 8.1245);
        check("10%", 9_200, 800, 18.7003);
        check("10%", 9_100, 900, 0.7917);
    }

    #[test]
    fn a_lost_arm_is_found_soon() {
        let ratio = after("50%", 14, 0);
        assert!(ratio.peak().reaches(SampleRatio::ALARM), "{}", ratio.peak());
    }
}
