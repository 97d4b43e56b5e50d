use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::str::FromStr;

use bowline_eval::{Format, FormatError};
use bowline_types::{EnvironmentName, Usd};
use clap::{Args, ValueEnum};

/// `bowline test`.
#[derive(Args, Debug)]
#[command(
    after_help = "Answers are cached in .bowline/cache/eval, by version, input and model. Results are kept as they come, so that a run \
                        that was interrupted goes on with --resume.\n\nThe exit code is 0 where everything passed, 100 where a case or the \
                        gate failed, 101 where the gate cannot decide and that counts as failing, and 1 where the run did not come to \
                        its end."
)]
pub(crate) struct Test {
    /// Decides as the gate does: must-pass cases, thresholds, and no case that passes in the environment and fails now
    #[arg(long)]
    pub(crate) gate: bool,
    /// The environment: its addresses and credentials of providers and, for the gate, what is live there [default: `dev`; for the
    /// gate, the only one that is not `dev`]
    #[arg(long, value_name = "ENV")]
    pub(crate) env: Option<EnvironmentName>,
    /// A suite; may be given several times [default: every evals/*.yaml]
    #[arg(long = "suite", value_name = "FILE")]
    pub(crate) suites: Vec<PathBuf>,
    /// Only cases that have this text in their description, id or metadata
    #[arg(long, value_name = "TEXT")]
    pub(crate) filter: Option<String>,
    /// How often each case is called, whatever the suite says
    #[arg(long, value_name = "N")]
    pub(crate) repeat: Option<NonZeroU32>,
    /// The most calls at once; a provider that answers 429 is asked less
    #[arg(long, value_name = "N", default_value = "32")]
    pub(crate) max_concurrency: NonZeroUsize,
    /// Makes every call, and keeps no answer; a run whose report is attested does so anyway
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Ends the run before a call that would cost more than is left of so many dollars if it were as dear as the dearest so far; what
    /// the run cost before `--resume` counts
    #[arg(long, value_name = "USD")]
    pub(crate) budget: Option<Usd>,
    /// What follows where the suites are too small for a statistical verdict: `warn` or `fail` [default: as the environment says]
    #[arg(long, value_enum, value_name = "WHAT", hide_possible_values = true)]
    pub(crate) on_inconclusive: Option<OnInconclusive>,
    /// Goes on with the run that was interrupted
    #[arg(long)]
    pub(crate) resume: bool,
    /// Writes a report to a file: `json`, `junit`, `markdown`, `html` or, for `bowline bundle push --attest`, `attestation`; may be
    /// given several times
    #[arg(long = "report", value_name = "FORMAT=PATH")]
    pub(crate) reports: Vec<ReportFile>,
}

// === impl Test ===

impl Test {
    /// Returns whether what the run finds is to be signed.
    pub(crate) fn is_attested(&self) -> bool {
        self.reports.iter().any(|report| report.format == Format::Attestation)
    }
}

/// What follows where a gate cannot decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnInconclusive {
    /// The gate passes.
    Warn,
    /// The gate does not pass.
    Fail,
}

/// A report that is written to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReportFile {
    /// How it is written.
    pub(crate) format: Format,
    /// Where.
    pub(crate) path: PathBuf,
}

// === impl ReportFile ===

impl FromStr for ReportFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((format, path)) = text.split_once('=').filter(|(_, path)| !path.is_empty()) else {
            return Err("write FORMAT=PATH, such as `junit=report.xml`".to_owned());
        };
        let format = format.parse().map_err(|error: FormatError| error.to_string())?;
        Ok(Self { format, path: path.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_have_a_format_and_a_path() {
        let check = |text: &str, expected: Option<(Format, &str)>| {
            let found = text.parse::<ReportFile>().ok().map(|report| (report.format, report.path));
            assert_eq!(found, expected.map(|(format, path)| (format, path.into())), "{text}");
        };
        check("junit=a.xml", Some((Format::Junit, "a.xml")));
        check("attestation=a.json", Some((Format::Attestation, "a.json")));
        check("html=a=b.html", Some((Format::Html, "a=b.html")));
        check("xml=a.xml", None);
        check("junit", None);
        check("junit=", None);
    }
}
