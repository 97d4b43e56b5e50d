//! The sizes of bets, computed once per rollout with `+ − × ÷` only, so that a design is the same on every machine.

use super::{BaselineRate, Design, StageDesign};
use crate::evidence::to_f64;
use crate::plan::Plan;
use crate::share::Share;

/// Sixteen bets from 0.01 to 0.9, each 90^(1/15) times the one before, correctly rounded.
///
/// Written down because `powf` differs in the last bits between platforms.
pub(super) const GRID: [f64; 16] = [
    0.01,
    0.013498416798059317,
    0.018220725605412998,
    0.02459509485849363,
    0.03319948415877528,
    0.044814047465571646,
    0.06049186910982999,
    0.08165444621381347,
    0.11022057484087708,
    0.14878032589238493,
    0.20082988502465085,
    0.27108854935690685,
    0.3659266228400804,
    0.49394300726016577,
    0.6667448586484557,
    0.9,
];

/// The largest part of its wealth that a bet risks on one block; below 1, so that wealth never ends.
const RISK_MAX: f64 = 0.9;

/// Without a record, stable is taken to pass this often; with a short one, as if these many units had.
const PRIOR_RATE: f64 = 0.8;
const PRIOR_UNITS: f64 = 10.0;

/// Returns the rate that stable's record suggests, never quite 0 or 1.
pub(super) fn assumed_rate(baseline: Option<BaselineRate>) -> f64 {
    let (pass, total) = baseline.map_or((0, 0), |rate| (rate.pass.min(rate.total), rate.total));
    (to_f64(pass) + PRIOR_RATE * PRIOR_UNITS) / (to_f64(total) + PRIOR_UNITS)
}

/// Returns the rate of a candidate that is worse than `rate` by the plan's effect.
pub(super) fn worse_rate(rate: f64, plan: &Plan) -> f64 {
    // Where stable passes less often than the effect is large, the candidate still passes half as often.
    (rate - plan.effect).max(rate / 2.0)
}

/// Returns the parameters of a stage.
pub(super) fn stage(share: Share, rate: f64, plan: &Plan) -> StageDesign {
    let candidates = share.basis_points();
    let controls = ((Share::percent(100).basis_points() - candidates) / candidates).clamp(1, Design::CONTROLS_MAX);
    let worse = worse_rate(rate, plan);
    let payoffs = |candidate: f64| Payoffs::new(rate, candidate, controls);
    StageDesign {
        share,
        controls,
        rollback_bet: best_bet(&payoffs(worse), RISK_MAX),
        promotion_bet: best_bet(&payoffs(rate).promotion(plan.margin), RISK_MAX / (1.0 - plan.margin)),
    }
}

/// The sizes of the targeted bets on pairs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PairBets {
    pub(crate) worse: f64,
    pub(crate) not_worse: f64,
}

/// On one case, two versions are taken to disagree this often for no reason, each way: answers of one model to the same input.
const DISCORDANCE: f64 = 0.01;

/// Returns the bets on cases that both versions answer: against a candidate that fails more of them by the margin, and for one that
/// fails as many.
pub(crate) fn pair_bets(margin: f64) -> PairBets {
    let pairs = |lost: f64, won: f64| {
        let agree = (1.0 - lost - won).max(0.0);
        Payoffs(vec![(1.0, lost), (-1.0, won), (0.0, agree)])
    };
    PairBets {
        worse: best_bet(&pairs(DISCORDANCE + margin, DISCORDANCE), RISK_MAX),
        not_worse: best_bet(&pairs(DISCORDANCE, DISCORDANCE).promotion(margin), RISK_MAX / (1.0 - margin)),
    }
}

/// What one unit of bet wins or loses on a block, with probabilities.
struct Payoffs(Vec<(f64, f64)>);

impl Payoffs {
    /// Returns the difference of a block: the mean of `controls` units that pass with probability `stable` each, minus one
    /// that passes with probability `candidate`.
    fn new(stable: f64, candidate: f64, controls: u16) -> Self {
        let total = f64::from(controls);
        // Binomial probabilities by their one-step ratio.
        let mut probability = (0..controls).fold(1.0, |product, _| product * (1.0 - stable));
        let mut payoffs = Vec::with_capacity(2 * usize::from(controls) + 2);
        for passed in 0..=controls {
            let passes = f64::from(passed);
            payoffs.push((passes / total, probability * (1.0 - candidate)));
            payoffs.push((passes / total - 1.0, probability * candidate));
            probability *= (total - passes) / (passes + 1.0) * (stable / (1.0 - stable));
        }
        Self(payoffs)
    }

    /// Returns the payoffs of the bet that the difference is below the margin.
    fn promotion(mut self, margin: f64) -> Self {
        self.0.iter_mut().for_each(|(payoff, _)| *payoff = margin - *payoff);
        self
    }

    /// Returns the slope of the expected growth of wealth at a bet: E[x / (1 + bet·x)].
    fn slope(&self, bet: f64) -> f64 {
        self.0.iter().map(|(payoff, probability)| probability * payoff / (1.0 + bet * payoff)).sum()
    }
}

/// Returns the bet up to `most` under which wealth grows fastest. The growth is concave, so its slope crosses zero once.
fn best_bet(payoffs: &Payoffs, most: f64) -> f64 {
    let (mut low, mut high) = (0.0, most);
    if payoffs.slope(most) >= 0.0 {
        return most;
    }
    // After 60 halvings the two are neighbours.
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if payoffs.slope(middle) > 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_is_geometric() {
        for (index, bet) in (0_i32..).zip(GRID) {
            let expected = 0.01 * 90_f64.powf(f64::from(index) / 15.0);
            assert!((bet / expected - 1.0).abs() < 1e-14, "{index}: {bet} {expected}");
        }
    }

    /// In pairs, wealth grows fastest at (b - c) / (b + c), where stable alone passes with b and the candidate alone with c.
    #[test]
    fn pair_bets_have_a_closed_form() {
        for (stable, candidate) in [(0.9, 0.85), (0.6, 0.55), (0.8, 0.7)] {
            let (b, c) = (stable * (1.0 - candidate), candidate * (1.0 - stable));
            let found = best_bet(&Payoffs::new(stable, candidate, 1), RISK_MAX);
            assert!((found - (b - c) / (b + c)).abs() < 1e-12, "{found}");
        }
    }

    #[test]
    fn bets_stay_within_their_risk() {
        for (pass, total) in [(0, 0), (0, 1_000_000), (1_000_000, 1_000_000), (5, 10), (9, 3)] {
            let rate = assumed_rate(Some(BaselineRate { pass, total }));
            for share in ["0.01%", "1%", "5%", "10%", "30%", "50%"] {
                let plan = Plan { effect: 0.5, margin: 0.5, ..Plan::default() };
                let stage = stage(share.parse().unwrap(), rate, &plan);
                assert!((1..=19).contains(&stage.controls));
                assert!(stage.rollback_bet > 0.0 && stage.rollback_bet <= 0.9, "{pass}/{total} {stage:?}");
                assert!(stage.promotion_bet > 0.0 && stage.promotion_bet <= 1.8, "{pass}/{total} {stage:?}");
            }
        }
    }

    #[test]
    fn blocks_hold_the_controls_that_arrive_with_one_candidate() {
        for (share, controls) in [("50%", 1), ("40%", 1), ("30%", 2), ("20%", 4), ("10%", 9), ("5%", 19), ("1%", 19)] {
            let stage = stage(share.parse().unwrap(), 0.9, &Plan::default());
            assert_eq!(stage.controls, controls, "{share}");
        }
    }
}
