use serde::{Deserialize, Serialize};

use crate::plan::{Plan, PlanError};
use crate::share::Share;

mod bet;

pub(crate) use bet::pair_bets;

/// The frozen parameters of one rollout: its plan and every number that its statistics use.
///
/// Made once, before the first unit is assigned, and stored with the rollout: a bet that is chosen on the data it judges
/// proves nothing. A replay needs this and the observations, and nothing else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Design {
    /// The version of this form; readers accept one back.
    pub schema_version: u16,
    /// The plan.
    pub plan: Plan,
    /// Stable's record before the start, where there was one.
    pub baseline: Option<BaselineRate>,
    /// The success rate that the targeted bets assume of stable. A wrong one costs time, never the error bound.
    pub assumed_rate: f64,
    /// The bets that the candidate is worse.
    pub rollback: Bets,
    /// The bets that the candidate is not worse by the margin.
    pub promotion: Bets,
    /// One per stage of the plan, first stage first.
    pub stages: Vec<StageDesign>,
}

/// How stable did before a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaselineRate {
    /// Units that passed.
    pub pass: u64,
    /// Units with a known value.
    pub total: u64,
}

/// A portfolio of bets: one targeted at the effect in question and a grid for every other effect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bets {
    /// The evidence at which the hypothesis is rejected: 1 / alpha.
    pub threshold: f64,
    /// The stake on the targeted bet; its size differs by stage and is kept there.
    pub targeted_weight: f64,
    /// The stake on each bet of the grid.
    pub grid_weight: f64,
    /// The sizes of the grid's bets.
    pub grid: Vec<f64>,
}

/// The parameters of one stage.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageDesign {
    /// The candidate's share.
    pub share: Share,
    /// Stable units in a block, beside its one candidate unit: as many as arrive with one, at most 19.
    pub controls: u16,
    /// The size of the targeted bet for rollback.
    pub rollback_bet: f64,
    /// The size of the targeted bet for promotion.
    pub promotion_bet: f64,
}

// === impl Design ===

impl Design {
    /// The version of the stored form.
    pub const SCHEMA_VERSION: u16 = 1;

    /// Stable units in a block are at most this many: the variance of a block falls by less than 5 % beyond.
    pub const CONTROLS_MAX: u16 = 19;

    /// Freezes a plan, with stable's record where there is one.
    ///
    /// The targeted bets are those under which wealth grows fastest (Kelly) if the candidate is worse by the plan's effect,
    /// and if it is as good as stable, respectively, at the rate that stable's record suggests.
    ///
    /// # Errors
    /// Refuses a plan that is not valid.
    pub fn new(plan: Plan, baseline: Option<BaselineRate>) -> Result<Self, PlanError> {
        plan.validate()?;
        let assumed_rate = bet::assumed_rate(baseline);
        let stages = plan.stages.iter().map(|share| bet::stage(*share, assumed_rate, &plan)).collect();
        let rollback = Bets::new(plan.alpha.rollback, 1.0);
        // A promotion bet b risks b·(1 - margin) of its wealth on one block, a rollback bet b.
        let promotion = Bets::new(plan.alpha.promote, 1.0 - plan.margin);
        Ok(Self { schema_version: Self::SCHEMA_VERSION, plan, baseline, assumed_rate, rollback, promotion, stages })
    }

    /// Returns the success rate of a candidate that is worse by the plan's effect.
    #[must_use]
    pub fn worse_rate(&self) -> f64 {
        bet::worse_rate(self.assumed_rate, &self.plan)
    }
}

// === impl Bets ===

impl Bets {
    /// Returns half of the stake on the target and half on the grid, whose bets lose at most 90 % where one unit of bet
    /// loses at most `risk`.
    pub(crate) fn new(alpha: f64, risk: f64) -> Self {
        let grid: Vec<f64> = bet::GRID.iter().map(|size| size / risk).collect();
        Self { threshold: 1.0 / alpha, targeted_weight: 0.5, grid_weight: 0.5 / 16.0, grid }
    }
}
