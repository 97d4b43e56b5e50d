//! Anytime-valid statistics of a rollout: e-processes, assignment, stages, verdicts, power.
//!
//! A rollout is described by a [`Plan`]. Before it starts, the plan and stable's history are frozen into a [`Design`].
//! Units are put on an [`Arm`](bowline_types::Arm) by [`Assignment`]; each unit gives one frozen [`Observation`]. An
//! [`Engine`] folds observations, in the order of their log, into [`Evidence`] and answers with a [`Decision`] at any
//! moment: however often one looks, the chance of a false rollback and of a false promotion stays below the plan's `alpha`.
//!
//! Where both versions answer the same cases, as at the gate, [`Pairs`] compares them with the same bets.
//!
//! Nothing here does IO, reads a clock or draws randomness that is not seeded. Decisions use only `+ − × ÷`, comparisons
//! and scaling by powers of two, and every parameter is stored in the design, so a replay gives the same bits anywhere.

mod assignment;
mod decision;
mod design;
mod engine;
mod evalue;
mod evidence;
mod explain;
mod interval;
mod observation;
mod pairs;
mod plan;
mod power;
mod process;
mod ratio;
mod share;
mod simulate;
mod span;
mod stage;

pub use assignment::Assignment;
pub use decision::{Action, Decision, Reason, Situation, decide};
pub use design::{BaselineRate, Bets, Design, StageDesign};
pub use engine::{Engine, Point, PushError, replay, trace};
pub use evalue::EValue;
pub use evidence::{ArmEvidence, Evidence, StageEvidence, TestEvidence};
pub use explain::explain;
pub use interval::{Interval, wilson};
pub use observation::{Arms, Observation, Value, ValueError};
pub use pairs::{Pairs, PairsDesign, PairsError, PairsEvidence};
pub use plan::{Alpha, Plan, PlanError, WhenUndecided};
pub use power::{Estimate, Preview, preview};
pub use share::{Share, ShareError};
pub use simulate::{Scenario, Spread, Summary, Watch, simulate};
