//! What the operator counts, under the names `bowline_operator_*`.

use std::sync::atomic::{AtomicI64, AtomicU64};

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The kind of object that something is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct KindLabel {
    pub(crate) kind: &'static str,
}

/// The metrics of an operator.
pub struct Metrics {
    registry: Registry,
    /// Reconciles that were done.
    pub(crate) reconciles: Family<KindLabel, Counter<u64, AtomicU64>>,
    /// Those that failed and are retried.
    pub(crate) errors: Family<KindLabel, Counter<u64, AtomicU64>>,
    /// Objects that are known.
    pub(crate) objects: Family<KindLabel, Gauge<i64, AtomicI64>>,
    /// What waits to be written or handled.
    pub(crate) queue: Family<KindLabel, Gauge<i64, AtomicI64>>,
    /// Writes to the API server.
    pub(crate) writes: Family<KindLabel, Counter<u64, AtomicU64>>,
    /// 1 on the replica that holds the lease.
    pub(crate) leader: Gauge<i64, AtomicI64>,
}

// === impl Metrics ===

impl Metrics {
    /// Returns metrics that count from zero.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("bowline_operator");
        let (reconciles, errors) = (Family::default(), Family::default());
        let (objects, queue, writes, leader) =
            (Family::default(), Family::default(), Family::default(), Gauge::default());
        registry.register("reconciles", "Reconciles that were done", Family::clone(&reconciles));
        registry.register("errors", "Reconciles that failed and are retried", Family::clone(&errors));
        registry.register("objects", "Objects that are known", Family::clone(&objects));
        registry.register("queue", "What waits to be written or handled", Family::clone(&queue));
        registry.register("writes", "Writes to the API server", Family::clone(&writes));
        registry.register("leader", "1 on the replica that holds the lease", Gauge::clone(&leader));
        Self { registry, reconciles, errors, objects, queue, writes, leader }
    }

    /// Returns them in the OpenMetrics text format.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = text::encode(&mut text, &self.registry);
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_have_the_prefix_and_their_labels() {
        let metrics = Metrics::new();
        metrics.reconciles.get_or_create(&KindLabel { kind: "PromptBundle" }).inc();
        metrics.leader.set(1);
        let text = metrics.encode();
        assert!(text.contains("bowline_operator_reconciles_total{kind=\"PromptBundle\"} 1"), "{text}");
        assert!(text.contains("bowline_operator_leader 1"), "{text}");
    }
}
