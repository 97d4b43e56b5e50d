use super::Outcome;

mod canary;

/// What to measure.
#[derive(clap::Subcommand)]
pub(super) enum Bench {
    /// The canary engine: observations per second, error rates, and units until a verdict.
    Canary(canary::Options),
}

/// Measures, and prints the figures as Markdown.
pub(super) fn run(bench: &Bench) -> anyhow::Result<Outcome> {
    match bench {
        Bench::Canary(options) => canary::run(options),
    }
}
