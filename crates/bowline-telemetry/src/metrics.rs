use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bowline_store::InferenceRecord;
use bowline_types::{Arm, Clock, ProjectName, ProviderLoads, ProviderName, Timestamp};
use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry, Unit};

use crate::UnknownReason;
use crate::measure::{Instrument, Labels, Measurement, SERIES_MAX, measurements};
use crate::names;

mod meter;
mod state;

use meter::Meters;
pub use meter::{Place, ProviderMeter, UnderWay};
pub use state::RolloutStatus;
use state::State;

/// The content type of [`Metrics::encode`].
pub const METRICS_CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The metrics of a process, as Prometheus scrapes them.
///
/// Recording takes a read lock of a family, and its write lock the first time a series is seen. A family has at most 1,000
/// series and a few named `other` for the rest.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    client: [Bounded<Histogram, Buckets>; 3],
    inferences: Bounded<Counter>,
    cost: Bounded<Counter<f64, AtomicU64>>,
    in_flight: Gauge,
    queue: Gauge,
    lost: Family<OneLabel, Counter>,
    ahead: Counter,
    unknown: Family<OneLabel, Counter>,
    exports: Family<[(&'static str, &'static str); 2], Counter>,
    spool_delivered: Counter,
    reviews: Family<OneLabel, Counter>,
    gateways: Gauge,
    state: Arc<State>,
    meters: Arc<Meters>,
}

/// Something that is there for a while, such as a request in flight; it stops counting when this is dropped, however it ends.
#[derive(Debug)]
pub struct InFlight(Gauge);

/// What came of asking whose a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReviewResult {
    /// It is somebody's.
    Authenticated,
    /// It is nobody's.
    Refused,
    /// Nobody could say, or too many asked.
    Failed,
}

/// What became of something that was to be exported over OTLP.
#[derive(Clone, Debug)]
pub(crate) struct ExportCounters {
    /// The collector has it.
    pub(crate) exported: Counter,
    /// The queue was full.
    pub(crate) dropped: Counter,
    /// The collector refused it or could not be reached in time.
    pub(crate) failed: Counter,
}

type OneLabel = [(&'static str, &'static str); 1];

/// A family with a bound on its series.
#[derive(Debug)]
struct Bounded<M, C = fn() -> M> {
    family: Family<Labels, M, C>,
    series: AtomicUsize,
}

#[derive(Clone, Copy, Debug)]
struct Buckets(&'static [f64]);

// === impl Metrics ===

impl Metrics {
    /// Makes the metrics of a process; the clock tells the age of the snapshot.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let mut registry = Registry::default();
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("bowline_build", "The running binary", build);
        let histograms = [Instrument::TokenUsage, Instrument::OperationDuration, Instrument::TimeToFirstChunk];
        let client = histograms.map(|each| {
            let bounded = Bounded::new(Buckets(each.metric().buckets));
            register(&mut registry, &each.metric(), bounded.family.clone());
            bounded
        });
        let inferences = Bounded::new(Counter::default as fn() -> Counter);
        register(&mut registry, &names::INFERENCES, inferences.family.clone());
        let cost = Bounded::new(Counter::default as fn() -> Counter<f64, AtomicU64>);
        register(&mut registry, &names::COST, cost.family.clone());

        let in_flight = Gauge::default();
        registry.register("bowline_requests_in_flight", "Requests being served", in_flight.clone());
        let queue = Gauge::default();
        registry.register("bowline_record_queue_depth", "Inference records waiting to be stored", queue.clone());
        // Counters by a label begin at nought where an alert watches them: one that begins with its first event has not increased.
        let lost = Family::<OneLabel, Counter>::default();
        for arm in [None, Some(Arm::Stable), Some(Arm::Candidate)] {
            drop(lost.get_or_create(&arm_label(arm)));
        }
        registry.register("bowline_records_lost", "Inference records that could not be kept, by arm", lost.clone());
        let ahead = Counter::default();
        let help = "Answers that ended before their record was in the spool";
        registry.register("bowline_answers_ahead_of_record", help, ahead.clone());
        let unknown = Family::default();
        registry.register("bowline_checks_unknown", "Checks without a result, by reason", unknown.clone());
        let exports = Family::default();
        registry.register(
            "bowline_otlp_exports",
            "Spans and metric reports for OTLP, by what became of them",
            exports.clone(),
        );
        let spool_delivered = Counter::default();
        let help = "Entries of the spool that the control role has committed";
        registry.register("bowline_spool_delivered", help, spool_delivered.clone());
        let reviews = Family::<OneLabel, Counter>::default();
        for result in [ReviewResult::Authenticated, ReviewResult::Refused, ReviewResult::Failed] {
            drop(reviews.get_or_create(&[("result", result.as_str())]));
        }
        registry.register("bowline_token_reviews", "Tokens in place of keys that were asked about", reviews.clone());
        let gateways = Gauge::default();
        registry.register("bowline_gateways_waiting", "Gateways that wait for news", gateways.clone());
        let meters = Arc::new(Meters::new(Arc::clone(&clock)));
        registry.register_collector(Box::new(Arc::clone(&meters)));
        let state = Arc::new(State::new(clock));
        registry.register_collector(Box::new(Arc::clone(&state)));
        Self {
            registry,
            client,
            inferences,
            cost,
            in_flight,
            queue,
            lost,
            ahead,
            unknown,
            exports,
            spool_delivered,
            reviews,
            gateways,
            state,
            meters,
        }
    }

    /// Adds a record. Called where records are kept, off the request path.
    pub fn record(&self, record: &InferenceRecord) {
        let [tokens, duration, first_chunk] = &self.client;
        for Measurement { instrument, labels, value } in measurements(record) {
            match instrument {
                Instrument::TokenUsage => tokens.update(&labels, |histogram| histogram.observe(value)),
                Instrument::OperationDuration => duration.update(&labels, |histogram| histogram.observe(value)),
                Instrument::TimeToFirstChunk => first_chunk.update(&labels, |histogram| histogram.observe(value)),
                Instrument::Inferences => self.inferences.update(&labels, |counter| {
                    counter.inc();
                }),
                Instrument::Cost => self.cost.update(&labels, |counter| {
                    counter.inc_by(value);
                }),
            }
        }
    }

    /// Counts a request as in flight until the result is dropped.
    #[must_use]
    pub fn request_started(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// Counts a gateway as waiting for news until the result is dropped.
    #[must_use]
    pub fn gateway_waits(&self) -> InFlight {
        self.gateways.inc();
        InFlight(self.gateways.clone())
    }

    /// Returns the meter of a provider of a project: one for all who ask while somebody holds it.
    #[must_use]
    pub fn provider(&self, project: &ProjectName, provider: &ProviderName) -> Arc<ProviderMeter> {
        self.meters.of(project, provider)
    }

    /// Returns what is under way at every provider whose meter somebody holds.
    #[must_use]
    pub fn provider_loads(&self) -> ProviderLoads {
        self.meters.loads()
    }

    /// Sets how many records wait to be stored.
    pub fn record_queue_depth_set(&self, depth: usize) {
        self.queue.set(i64::try_from(depth).unwrap_or(i64::MAX));
    }

    /// Counts a record that could not be kept, by the arm it belonged to.
    pub fn record_lost(&self, arm: Option<Arm>) {
        self.lost.get_or_create(&arm_label(arm)).inc();
    }

    /// Counts an answer that ended before its record was in the spool.
    pub fn answer_ahead(&self) {
        self.ahead.inc();
    }

    /// Counts a check without a result; see [`crate::Contract::evaluate_with`].
    pub fn check_unknown(&self, reason: UnknownReason) {
        self.unknown.get_or_create(&[("reason", reason.as_str())]).inc();
    }

    /// Sets the snapshot that is served: its epoch and when control last confirmed it, from which its age counts.
    pub fn snapshot_set(&self, epoch: u64, confirmed_at: Timestamp) {
        self.state.snapshot_set(epoch, confirmed_at);
    }

    /// Sets how the spool of a gateway stands: entries that wait, bytes on disk, and when the oldest entry came.
    pub fn spool_set(&self, waiting: u64, bytes: u64, oldest: Option<Timestamp>) {
        self.state.spool_set(waiting, bytes, oldest);
    }

    /// Counts entries of the spool that were delivered.
    pub fn spool_delivered(&self, count: u64) {
        self.spool_delivered.inc_by(count);
    }

    /// Counts a token in place of a key that somebody was asked about, or would have been.
    pub fn token_reviewed(&self, result: ReviewResult) {
        self.reviews.get_or_create(&[("result", result.as_str())]).inc();
    }

    /// Replaces the rollouts that are shown; ended ones should stay until they were scraped at least once.
    pub fn rollouts_set(&self, rollouts: Vec<RolloutStatus>) {
        self.state.rollouts_set(rollouts);
    }

    /// Returns everything in the OpenMetrics text format; see [`METRICS_CONTENT_TYPE`].
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail, and no collector of ours does.
        if let Err(error) = prometheus_client::encoding::text::encode(&mut text, &self.registry) {
            tracing::error!(%error, "metrics could not be written");
        }
        text
    }

    /// Returns the counters of one signal (`spans`, `metrics`) of the OTLP export.
    pub(crate) fn export_counters(&self, signal: &'static str) -> ExportCounters {
        let counter = |result| self.exports.get_or_create_owned(&[("signal", signal), ("result", result)]);
        ExportCounters { exported: counter("exported"), dropped: counter("dropped"), failed: counter("failed") }
    }
}

// === impl ReviewResult ===

impl ReviewResult {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Authenticated => "authenticated",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

fn register(registry: &mut Registry, metric: &names::Metric, family: impl Metric) {
    if metric.unit == "s" {
        registry.register_with_unit(metric.prometheus(), metric.description, Unit::Seconds, family);
    } else {
        registry.register(metric.prometheus(), metric.description, family);
    }
}

// === impl InFlight ===

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

// === impl Bounded ===

impl<M, C: MetricConstructor<M> + Clone> Bounded<M, C> {
    fn new(constructor: C) -> Self {
        Self { family: Family::new_with_constructor(constructor), series: AtomicUsize::new(0) }
    }

    fn update(&self, labels: &Labels, apply: impl FnOnce(&M)) {
        if let Some(metric) = self.family.get(labels) {
            return apply(&metric);
        }
        // Two threads that bring the same new series count it twice, so the bound is met early rather than exceeded.
        if self.series.fetch_add(1, Ordering::Relaxed) < SERIES_MAX {
            apply(&self.family.get_or_create(labels));
        } else {
            apply(&self.family.get_or_create(&labels.overflow()));
        }
    }
}

// === impl Buckets ===

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

// === impl Labels ===

impl EncodeLabelSet for Labels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        let pairs = self.pairs().into_iter().map(|(name, value)| {
            let value = if Self::is_version(name) { short(value) } else { value };
            (name.prometheus, value)
        });
        pairs.collect::<Vec<_>>().encode(encoder)
    }
}

/// Returns the label of a record's arm, which is empty outside of rollouts.
fn arm_label(arm: Option<Arm>) -> OneLabel {
    [("arm", arm.map_or("", Arm::as_str))]
}

/// Returns the first 8 digits of a digest, as people and the console see it.
fn short(version: &str) -> &str {
    version.strip_prefix("sha256:").and_then(|digits| digits.get(..8)).unwrap_or(version)
}

#[cfg(test)]
mod tests;
