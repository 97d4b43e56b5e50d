//! What a record adds to which series, once for Prometheus and OTLP alike.

use std::sync::Arc;

use bowline_store::InferenceRecord;
use bowline_types::{Arm, CheckResult};

use crate::names::{self, attribute};

/// The most series of one metric; what comes later is counted in series whose texts are [`OTHER`].
pub(crate) const SERIES_MAX: usize = 1_000;

/// The text of every label of the series that take what exceeds [`SERIES_MAX`].
pub(crate) const OTHER: &str = "other";

/// A metric that is made from records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Instrument {
    TokenUsage,
    OperationDuration,
    TimeToFirstChunk,
    Inferences,
    Cost,
}

/// One value for one series of a metric.
pub(crate) struct Measurement {
    pub(crate) instrument: Instrument,
    pub(crate) labels: Labels,
    pub(crate) value: f64,
}

/// The labels of a series.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Labels {
    series: Arc<Series>,
    /// Whether the labels are those of the conventions' client metrics, rather than our own.
    client: bool,
    /// The label that only this metric has.
    own: Option<(Name, &'static str)>,
}

/// The name of a label in OTLP and in Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) attribute: &'static str,
    pub(crate) prometheus: &'static str,
}

/// What metrics are broken down by. No user, unit, conversation or text: the number of series must stay small.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Series {
    project: String,
    environment: String,
    /// Empty where the application named a model.
    prompt: String,
    /// The whole digest; empty without a prompt.
    version: String,
    /// The model alias.
    model: String,
    /// The provider as the project names it; empty where none was reached.
    provider: String,
    /// The provider in the words of the conventions.
    provider_name: String,
    /// The model asked of the provider, else the alias.
    request_model: String,
    /// Empty outside a rollout.
    arm: &'static str,
}

const OPERATION_NAME: Name = Name::new(attribute::OPERATION_NAME, "gen_ai_operation_name");
const PROVIDER_NAME: Name = Name::new(attribute::PROVIDER_NAME, "gen_ai_provider_name");
const REQUEST_MODEL: Name = Name::new(attribute::REQUEST_MODEL, "gen_ai_request_model");
const TOKEN_TYPE: Name = Name::new(attribute::TOKEN_TYPE, "gen_ai_token_type");
const ERROR_TYPE: Name = Name::new(attribute::ERROR_TYPE, "error_type");
const PROJECT: Name = Name::new(attribute::PROJECT, "project");
const ENVIRONMENT: Name = Name::new(attribute::ENVIRONMENT, "environment");
const PROMPT: Name = Name::new(attribute::PROMPT_NAME, "prompt");
const VERSION: Name = Name::new(attribute::PROMPT_VERSION, "version");
const ARM: Name = Name::new(attribute::ARM, "arm");
const MODEL: Name = Name::new(attribute::MODEL_ALIAS, "model");
const PROVIDER: Name = Name::new(attribute::PROVIDER, "provider");
const OUTCOME: Name = Name::new(attribute::OUTCOME, "outcome");

// === impl Instrument ===

impl Instrument {
    pub(crate) const fn metric(self) -> names::Metric {
        match self {
            Self::TokenUsage => names::TOKEN_USAGE,
            Self::OperationDuration => names::OPERATION_DURATION,
            Self::TimeToFirstChunk => names::TIME_TO_FIRST_CHUNK,
            Self::Inferences => names::INFERENCES,
            Self::Cost => names::COST,
        }
    }
}

// === impl Name ===

impl Name {
    const fn new(attribute: &'static str, prometheus: &'static str) -> Self {
        Self { attribute, prometheus }
    }
}

// === impl Labels ===

impl Labels {
    /// Returns the labels of the series that takes what exceeds the bound. What has few values stays.
    pub(crate) fn overflow(&self) -> Self {
        Self { series: Arc::new(self.series.overflow()), ..self.clone() }
    }

    /// Returns the names and values, in order.
    pub(crate) fn pairs(&self) -> Vec<(Name, &str)> {
        let Series { project, environment, prompt, version, model, provider, provider_name, request_model, arm } =
            &*self.series;
        let mut pairs: Vec<(Name, &str)> = Vec::with_capacity(10);
        if self.client {
            pairs.extend([
                (OPERATION_NAME, names::OPERATION_CHAT),
                (PROVIDER_NAME, provider_name),
                (REQUEST_MODEL, request_model),
            ]);
        }
        pairs.extend(self.own);
        pairs.extend::<[(Name, &str); 5]>([
            (PROJECT, project),
            (ENVIRONMENT, environment),
            (PROMPT, prompt),
            (VERSION, version),
            (ARM, arm),
        ]);
        if !self.client {
            pairs.extend::<[(Name, &str); 2]>([(MODEL, model), (PROVIDER, provider)]);
        }
        pairs
    }

    /// Returns whether a label is the version, which Prometheus shows in short.
    pub(crate) fn is_version(name: Name) -> bool {
        name == VERSION
    }
}

// === impl Series ===

impl Series {
    fn of(record: &InferenceRecord) -> Self {
        Self {
            project: record.project.as_str().to_owned(),
            environment: record.environment.as_str().to_owned(),
            prompt: record.prompt.as_ref().map(|prompt| prompt.as_str().to_owned()).unwrap_or_default(),
            version: record.version.map(|version| version.to_string()).unwrap_or_default(),
            model: record.model.as_str().to_owned(),
            provider: record.provider.as_ref().map(|provider| provider.as_str().to_owned()).unwrap_or_default(),
            provider_name: names::provider(record.provider_kind.as_deref()).to_owned(),
            request_model: request_model(record).to_owned(),
            arm: record.arm.map_or("", Arm::as_str),
        }
    }

    fn overflow(&self) -> Self {
        let other = || OTHER.to_owned();
        Self {
            project: other(),
            environment: other(),
            prompt: other(),
            version: other(),
            model: other(),
            provider: other(),
            provider_name: other(),
            request_model: other(),
            arm: self.arm,
        }
    }
}

/// Returns what a record adds to the metrics.
///
/// Tokens that the provider did not count and prices that are not known add nothing, as the conventions demand: not zero.
pub(crate) fn measurements(record: &InferenceRecord) -> Vec<Measurement> {
    let series = Arc::new(Series::of(record));
    let mut all = Vec::with_capacity(6);
    let mut add = |instrument, client, own, value| {
        let labels = Labels { series: Arc::clone(&series), client, own };
        all.push(Measurement { instrument, labels, value });
    };
    let error = record.error.map_or("", |kind| kind.spec().code);
    add(Instrument::Inferences, false, Some((OUTCOME, outcome(record))), 1.0);
    add(Instrument::OperationDuration, true, Some((ERROR_TYPE, error)), seconds(record.duration_us));
    if let Some(micros) = record.first_byte_us.filter(|_| record.stream) {
        add(Instrument::TimeToFirstChunk, true, None, seconds(micros));
    }
    if let Some(tokens) = record.usage.input {
        add(Instrument::TokenUsage, true, Some((TOKEN_TYPE, names::TOKEN_INPUT)), count(tokens));
    }
    if let Some(tokens) = record.usage.output {
        add(Instrument::TokenUsage, true, Some((TOKEN_TYPE, names::TOKEN_OUTPUT)), count(tokens));
    }
    if let Some(cost) = record.cost {
        add(Instrument::Cost, false, None, dollars(cost));
    }
    all
}

/// Returns the model asked of the provider, else the alias that the client asked of us.
pub(crate) fn request_model(record: &InferenceRecord) -> &str {
    record.upstream_model.as_deref().unwrap_or(record.model.as_str())
}

/// Returns how an inference ended, for counters: `error`, else what its contract says so far.
fn outcome(record: &InferenceRecord) -> &'static str {
    if record.error.is_some() { "error" } else { CheckResult::as_str(record.success()) }
}

/// Returns microseconds as seconds.
pub(crate) fn seconds(micros: u64) -> f64 {
    std::time::Duration::from_micros(micros).as_secs_f64()
}

/// Returns a count of tokens for a histogram; one beyond 2^32 is capped there, above every bucket.
fn count(tokens: u64) -> f64 {
    f64::from(u32::try_from(tokens).unwrap_or(u32::MAX))
}

/// Returns a cost for a counter, which is approximate by nature; records keep the exact decimal.
pub(crate) fn dollars(cost: bowline_types::Usd) -> f64 {
    cost.to_string().parse().unwrap_or(0.0)
}
