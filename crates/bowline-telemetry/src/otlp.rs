//! Export over OTLP/HTTP: a span per inference, and the metrics of inferences.
//!
//! Source: <https://opentelemetry.io/docs/specs/otlp/>, read in August 2026. Messages are protobuf; the metrics are cumulative.
//!
//! [`OtlpHandle::record`] never waits: a span goes into a bounded queue or is dropped and counted, a measurement into a bounded
//! table. [`OtlpService::run`] sends what there is, one request per signal at a time. While a collector is down, spans of at
//! most one queue are kept, metrics lose nothing, and nothing else of Bowline notices.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bowline_store::InferenceRecord;
use bowline_types::{Clock, InstanceId, Secret};
use http::{HeaderName, Uri};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
use tokio_util::sync::CancellationToken;

use crate::measure::measurements;
use crate::metrics::ExportCounters;
use crate::names::{self, attribute};
use crate::{Metrics, TraceContext};

mod collector;
mod message;
mod span;
mod table;

use collector::{Collector, Signal};
use message::text;
use table::Table;

/// Where and how to export.
#[derive(Clone, Debug)]
pub struct OtlpOptions {
    /// The base URL of the collector, such as `http://127.0.0.1:4318`; `/v1/traces` and `/v1/metrics` are appended.
    pub endpoint: Uri,
    /// Headers of every request, such as an API key.
    pub headers: Vec<(HeaderName, Secret)>,
    /// `service.name` of the resource.
    pub service_name: String,
    /// `service.instance.id` of the resource.
    pub instance: InstanceId,
    /// The most spans that wait; further ones are dropped and counted.
    pub queue_spans_max: usize,
    /// The most spans of one request.
    pub batch_spans_max: usize,
    /// How long a span waits for others to share its request.
    pub linger: Duration,
    /// How often metrics are sent.
    pub metrics_interval: Duration,
    /// How long one request may take, its retries included; also the most time that shutting down waits.
    pub timeout: Duration,
}

/// Why an exporter cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum OtlpBuildError {
    /// The endpoint is not an absolute `http` or `https` URL.
    #[error("the OTLP endpoint `{endpoint}` is not an http or https URL")]
    Endpoint {
        /// The endpoint.
        endpoint: Uri,
    },
    /// The value of a header has characters that headers cannot have.
    #[error("the OTLP header `{name}` has a value that is no header value")]
    Header {
        /// The name.
        name: HeaderName,
    },
    /// TLS is not available.
    #[error("could not set TLS up for the OTLP exporter")]
    Tls {
        /// The cause.
        #[source]
        source: rustls::Error,
    },
}

/// Takes records for export. Cheap to clone.
#[derive(Clone, Debug)]
pub struct OtlpHandle {
    spans: mpsc::Sender<Span>,
    counters: ExportCounters,
    table: Arc<Mutex<Table>>,
}

/// Sends what the handles took.
#[derive(Debug)]
pub struct OtlpService {
    spans: SpanSender,
    metrics: MetricsSender,
}

#[derive(Debug)]
struct SpanSender {
    queue: mpsc::Receiver<Span>,
    /// How many spans are on their way, so that those given up at the end are counted.
    sending: u64,
    shared: Arc<Shared>,
    counters: ExportCounters,
}

#[derive(Debug)]
struct MetricsSender {
    table: Arc<Mutex<Table>>,
    shared: Arc<Shared>,
    counters: ExportCounters,
}

#[derive(Debug)]
struct Shared {
    collector: Collector,
    resource: Resource,
    batch_spans_max: usize,
    linger: Duration,
    metrics_interval: Duration,
    timeout: Duration,
}

// === impl OtlpOptions ===

impl OtlpOptions {
    /// Returns options with the defaults of the OpenTelemetry SDKs: batches of 512 spans from a queue of 2,048 every 5 s, metrics
    /// every 60 s, 10 s per request.
    #[must_use]
    pub fn new(endpoint: Uri, instance: InstanceId) -> Self {
        Self {
            endpoint,
            headers: Vec::new(),
            service_name: names::BOWLINE.to_owned(),
            instance,
            queue_spans_max: 2_048,
            batch_spans_max: 512,
            linger: Duration::from_secs(5),
            metrics_interval: Duration::from_secs(60),
            timeout: Duration::from_secs(10),
        }
    }

    /// Builds the exporter. What becomes of spans and reports is counted in `metrics`.
    ///
    /// # Errors
    /// Fails where the options cannot work, before anything is sent.
    pub fn build(self, clock: Arc<dyn Clock>, metrics: &Metrics) -> Result<(OtlpHandle, OtlpService), OtlpBuildError> {
        let shared = Arc::new(Shared {
            collector: Collector::new(&self.endpoint, &self.headers)?,
            resource: Resource {
                attributes: vec![
                    text(attribute::SERVICE_NAME, &self.service_name),
                    text(attribute::SERVICE_VERSION, env!("CARGO_PKG_VERSION")),
                    text(attribute::SERVICE_INSTANCE, &self.instance.to_string()),
                ],
                ..Resource::default()
            },
            batch_spans_max: self.batch_spans_max.max(1),
            linger: self.linger,
            metrics_interval: self.metrics_interval.max(Duration::from_millis(1)),
            timeout: self.timeout,
        });
        let (sender, queue) = mpsc::channel(self.queue_spans_max.max(1));
        let table = Arc::new(Mutex::new(Table::new(clock)));
        let counters = metrics.export_counters("spans");
        let handle = OtlpHandle { spans: sender, counters: counters.clone(), table: Arc::clone(&table) };
        let spans = SpanSender { queue, sending: 0, shared: Arc::clone(&shared), counters };
        let metrics = MetricsSender { table, shared, counters: metrics.export_counters("metrics") };
        Ok((handle, OtlpService { spans, metrics }))
    }
}

// === impl OtlpHandle ===

impl OtlpHandle {
    /// Takes a record, with the trace context of its request. Never waits; called where records are kept, off the request path.
    ///
    /// A call whose caller does not sample its trace gets no span. Metrics count it all the same.
    pub fn record(&self, record: &InferenceRecord, trace: Option<&TraceContext>) {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).add(measurements(record));
        if trace.is_none_or(TraceContext::is_sampled) {
            match self.spans.try_send(span::span(record, trace)) {
                Ok(()) => {}
                Err(TrySendError::Full(_) | TrySendError::Closed(_)) => {
                    self.counters.dropped.inc();
                }
            }
        }
    }
}

// === impl OtlpService ===

impl OtlpService {
    /// Sends until `shutdown`, then what is left, for at most the timeout of a request.
    pub async fn run(self, shutdown: CancellationToken) {
        tokio::join!(self.spans.run(shutdown.clone()), self.metrics.run(shutdown));
    }
}

// === impl SpanSender ===

impl SpanSender {
    async fn run(mut self, shutdown: CancellationToken) {
        let limit = self.shared.timeout;
        tokio::select! {
            () = self.pump(&shutdown) => {}
            () = expired(&shutdown, limit) => {}
        }
        self.counters.failed.inc_by(self.sending);
        while self.queue.try_recv().is_ok() {
            self.counters.dropped.inc();
        }
    }

    /// Sends batches until there is none after `shutdown`.
    async fn pump(&mut self, shutdown: &CancellationToken) {
        let mut health = Health::default();
        loop {
            let batch = self.next_batch(shutdown).await;
            if batch.is_empty() {
                return;
            }
            let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
            self.sending = count;
            let request = message::traces(&self.shared.resource, batch);
            let sent = self.shared.collector.send(Signal::Traces, request, self.shared.timeout).await;
            self.sending = 0;
            health.note(Signal::Traces, sent.as_ref());
            let rejected = sent.unwrap_or(count).min(count);
            self.counters.exported.inc_by(count - rejected);
            self.counters.failed.inc_by(rejected);
        }
    }

    /// Waits for spans and then a little for more; empty when there will be none.
    async fn next_batch(&mut self, shutdown: &CancellationToken) -> Vec<Span> {
        let most = self.shared.batch_spans_max;
        let mut batch = Vec::new();
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {
                self.queue.close();
                self.queue.recv_many(&mut batch, most).await;
                return batch;
            }
            _ = self.queue.recv_many(&mut batch, most) => {}
        }
        let lingered = sleep(self.shared.linger);
        tokio::pin!(lingered);
        while batch.len() < most {
            let room = most - batch.len();
            let more = tokio::select! {
                () = shutdown.cancelled() => 0,
                () = &mut lingered => 0,
                more = self.queue.recv_many(&mut batch, room) => more,
            };
            if more == 0 {
                break;
            }
        }
        batch
    }
}

// === impl MetricsSender ===

impl MetricsSender {
    async fn run(self, shutdown: CancellationToken) {
        tokio::select! {
            () = self.pump(&shutdown) => {}
            () = expired(&shutdown, self.shared.timeout) => {
                self.counters.failed.inc();
            }
        }
    }

    /// Sends a report at every interval, and one after `shutdown`.
    async fn pump(&self, shutdown: &CancellationToken) {
        let every = self.shared.metrics_interval;
        let mut ticks = interval_at(Instant::now() + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut health = Health::default();
        loop {
            let last = tokio::select! {
                () = shutdown.cancelled() => true,
                _ = ticks.tick() => false,
            };
            let metrics = self.table.lock().unwrap_or_else(PoisonError::into_inner).report();
            if !metrics.is_empty() {
                let request = message::metrics(&self.shared.resource, metrics);
                let sent = self.shared.collector.send(Signal::Metrics, request, self.shared.timeout).await;
                health.note(Signal::Metrics, sent.as_ref());
                let counter = if matches!(sent, Ok(0)) { &self.counters.exported } else { &self.counters.failed };
                counter.inc();
            }
            if last {
                return;
            }
        }
    }
}

/// Ends `limit` after `shutdown`.
async fn expired(shutdown: &CancellationToken, limit: Duration) {
    shutdown.cancelled().await;
    sleep(limit).await;
}

/// Whether a signal gets through, so that a log line is written when that changes and not with every request.
#[derive(Default)]
struct Health {
    failing: bool,
}

// === impl Health ===

impl Health {
    fn note(&mut self, signal: Signal, sent: Result<&u64, &collector::Failure>) {
        let was_failing = std::mem::replace(&mut self.failing, sent.is_err());
        match sent {
            Err(error) if !was_failing => {
                let error = bowline_types::chain(error);
                tracing::warn!(signal = signal.path(), error, "otlp export fails");
            }
            Ok(_) if was_failing => tracing::info!(signal = signal.path(), "otlp export works again"),
            Ok(0) | Err(_) => {}
            Ok(rejected) => tracing::warn!(signal = signal.path(), rejected, "the otlp collector rejected a part"),
        }
    }
}

#[cfg(test)]
mod tests;
