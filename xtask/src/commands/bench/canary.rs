use bowline_canary::{Arms, BaselineRate, Design, Plan, Scenario, Share, Summary, Watch, simulate};

use crate::commands::Outcome;
use crate::machine::Machine;
use crate::stopwatch::Stopwatch;

/// Pairs, or blocks of a small share, after which a rollout counts as undecided.
const PAIRS_MAX: u64 = 4_000;
const BLOCKS_MAX: u64 = 1_500;

/// How much to play.
#[derive(clap::Args)]
pub(in crate::commands) struct Options {
    /// Rollouts per row.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// The seed; the same one gives the same error rates on every machine.
    #[arg(long, default_value_t = 20_261_124)]
    seed: u64,
}

/// One row: what is true, and what is watched for.
struct Row {
    share: Share,
    /// Stable's success rate before the rollout, in percent: what the design is made for.
    history: u64,
    stable: f64,
    candidate: f64,
    watch: Watch,
    /// Whether a verdict would be an error, whose rate must not exceed the plan's bound.
    is_error: bool,
}

/// Plays every row and prints what came out; fails where an error rate exceeds its bound. With few runs that may be chance.
pub(super) fn run(options: &Options) -> anyhow::Result<Outcome> {
    let half = Share::HALF;
    let tenth = Share::percent(10);
    let row =
        |share, history, stable, candidate, watch, is_error| Row { share, history, stable, candidate, watch, is_error };
    let rows = [
        row(half, 90, 0.9, 0.9, Watch::Rollback, true),
        row(tenth, 90, 0.9, 0.9, Watch::Rollback, true),
        // A design made for another rate is slower, never wrong more often.
        row(half, 90, 0.5, 0.5, Watch::Rollback, true),
        row(half, 90, 0.9, 0.85, Watch::Promotion, true),
        row(tenth, 90, 0.9, 0.85, Watch::Promotion, true),
        row(half, 90, 0.9, 0.85, Watch::Rollback, false),
        row(tenth, 90, 0.9, 0.85, Watch::Rollback, false),
        row(half, 60, 0.6, 0.55, Watch::Rollback, false),
        row(half, 90, 0.9, 0.9, Watch::Promotion, false),
        row(half, 90, 0.9, 0.95, Watch::Promotion, false),
    ];
    // The engine is optimised in the dev profile too.
    let machine = Machine::read(if cfg!(debug_assertions) { "dev profile" } else { "release profile" })?;
    println!("{machine}\n`cargo xtask bench canary --runs {} --seed {}`\n", options.runs, options.seed);
    println!(
        "| stable | candidate | share | watched for | verdicts | bound | pairs or blocks: mean | 80 % | candidate units: mean |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let stopwatch = Stopwatch::start();
    let mut observations = 0;
    let mut passed = true;
    for row in rows {
        let found = row.play(options)?;
        observations += found.observations;
        passed &= row.print(&found);
    }
    let seconds = stopwatch.elapsed().as_secs_f64();
    // A float holds every count of observations that can be played.
    let rate = f64::from(u32::try_from(observations / 1_000)?) / seconds / 1_000.0;
    println!("\n{rate:.1} million observations per second on one core, simulation included");
    Ok(Outcome::of(passed))
}

// === impl Row ===

impl Row {
    fn play(&self, options: &Options) -> anyhow::Result<Summary> {
        let plan = Plan { stages: vec![self.share], ..Plan::default() };
        let history = BaselineRate { pass: self.history * 10_000, total: 1_000_000 };
        Ok(simulate(&Scenario {
            design: Design::new(plan, Some(history))?,
            rates: Arms { stable: self.stable, candidate: self.candidate },
            runs: options.runs,
            units_max: u64::MAX,
            blocks_max: if self.share == Share::HALF { PAIRS_MAX } else { BLOCKS_MAX },
            watch: self.watch,
            seed: options.seed,
        }))
    }

    /// Prints the row; false where its error rate exceeds the bound.
    fn print(&self, found: &Summary) -> bool {
        let alpha = Plan::default().alpha;
        let (name, count, bound) = match self.watch {
            Watch::Rollback => ("rollback", found.rolled_back, alpha.rollback),
            Watch::Promotion | Watch::Both => ("promotion", found.promoted, alpha.promote),
        };
        let rate = f64::from(count) / f64::from(found.runs);
        let (name, bound_text) = if self.is_error {
            (format!("false {name}"), format!("{bound}"))
        } else {
            (name.to_owned(), "–".to_owned())
        };
        println!(
            "| {:.2} | {:.2} | {} | {name} | {rate:.4} | {bound_text} | {:.0} | {:.0} | {:.0} |",
            self.stable, self.candidate, self.share, found.blocks.mean, found.blocks.q80, found.candidate_units.mean
        );
        !self.is_error || rate <= bound
    }
}
