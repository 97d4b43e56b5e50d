use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bowline_types::{Clock, Timestamp};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum,
};

use super::message::{nanos, text};
use crate::measure::{Instrument, Labels, Measurement, SERIES_MAX};

/// The sums since the start of the process, by metric and series; bounded as in Prometheus.
pub(super) struct Table {
    clock: Arc<dyn Clock>,
    start: Timestamp,
    series: BTreeMap<Instrument, BTreeMap<Labels, Cell>>,
}

/// One series. A counter is a histogram without buckets, of which only the sum is sent.
#[derive(Default)]
struct Cell {
    sum: f64,
    count: u64,
    /// How many values fell into each bucket, the last one without an upper bound.
    buckets: Vec<u64>,
}

// === impl Table ===

impl Table {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let start = clock.now();
        Self { clock, start, series: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, measurements: Vec<Measurement>) {
        for Measurement { instrument, labels, value } in measurements {
            let series = self.series.entry(instrument).or_default();
            let known = series.len() < SERIES_MAX || series.contains_key(&labels);
            let labels = if known { labels } else { labels.overflow() };
            series.entry(labels).or_default().add(value, instrument.metric().buckets);
        }
    }

    pub(super) fn report(&self) -> Vec<Metric> {
        let (start, now) = (nanos(self.start), nanos(self.clock.now()));
        let metrics = self.series.iter().map(|(instrument, series)| {
            let metric = instrument.metric();
            let temporality = AggregationTemporality::Cumulative.into();
            let data = if metric.buckets.is_empty() {
                let data_points = series.iter().map(|(labels, cell)| cell.number(labels, start, now)).collect();
                Data::Sum(Sum { data_points, aggregation_temporality: temporality, is_monotonic: true })
            } else {
                let points = series.iter().map(|(labels, cell)| cell.histogram(labels, metric.buckets, start, now));
                Data::Histogram(Histogram { data_points: points.collect(), aggregation_temporality: temporality })
            };
            Metric {
                name: metric.name.to_owned(),
                description: metric.description.to_owned(),
                unit: metric.unit.to_owned(),
                data: Some(data),
                ..Metric::default()
            }
        });
        metrics.collect()
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Table")
    }
}

// === impl Cell ===

impl Cell {
    fn add(&mut self, value: f64, bounds: &[f64]) {
        self.sum += value;
        self.count += 1;
        self.buckets.resize(bounds.len() + 1, 0);
        // A value equal to a bound is in its bucket.
        let bucket = bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count += 1;
        }
    }

    fn number(&self, labels: &Labels, start: u64, now: u64) -> NumberDataPoint {
        NumberDataPoint {
            attributes: attributes(labels),
            start_time_unix_nano: start,
            time_unix_nano: now,
            value: Some(Value::AsDouble(self.sum)),
            ..NumberDataPoint::default()
        }
    }

    fn histogram(&self, labels: &Labels, bounds: &[f64], start: u64, now: u64) -> HistogramDataPoint {
        HistogramDataPoint {
            attributes: attributes(labels),
            start_time_unix_nano: start,
            time_unix_nano: now,
            count: self.count,
            sum: Some(self.sum),
            bucket_counts: self.buckets.clone(),
            explicit_bounds: bounds.to_vec(),
            ..HistogramDataPoint::default()
        }
    }
}

/// Returns the attributes of a series; an empty label is an attribute that is not there.
fn attributes(labels: &Labels) -> Vec<KeyValue> {
    let pairs = labels.pairs().into_iter().filter(|(_, value)| !value.is_empty());
    pairs.map(|(name, value)| text(name.attribute, value)).collect()
}
