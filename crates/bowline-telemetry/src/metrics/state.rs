use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bowline_store::RolloutState;
use bowline_types::{Clock, EnvironmentName, ProjectName, PromptName, Timestamp};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue};
use prometheus_client::metrics::MetricType;

/// A rollout as metrics show it.
#[derive(Clone, Debug, PartialEq)]
pub struct RolloutStatus {
    /// The project.
    pub project: ProjectName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The prompt.
    pub prompt: PromptName,
    /// The number that people type.
    pub number: u64,
    /// Where it stands.
    pub state: RolloutState,
    /// The stage, from 0.
    pub stage: u16,
    /// How many units were counted on stable.
    pub units_stable: u64,
    /// How many units were counted on the candidate.
    pub units_candidate: u64,
    /// The e-value against "the candidate is not worse".
    pub e_rollback: f64,
    /// The e-value against "the candidate is worse than the margin allows".
    pub e_promote: f64,
}

/// Metrics that are a picture of now rather than a sum; a scrape sees each picture whole.
pub(super) struct State {
    clock: Arc<dyn Clock>,
    snapshot: Mutex<Option<(u64, Timestamp)>>,
    rollouts: Mutex<Vec<RolloutStatus>>,
    /// Entries that wait, bytes on disk, and when the oldest entry came.
    spool: Mutex<Option<(u64, u64, Option<Timestamp>)>>,
}

/// Every state, so that a series goes to 0 when its state ends.
const STATES: [RolloutState; 6] = [
    RolloutState::Running,
    RolloutState::Held,
    RolloutState::Promoted,
    RolloutState::RolledBack,
    RolloutState::Aborted,
    RolloutState::Superseded,
];

// === impl State ===

impl State {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, snapshot: Mutex::default(), rollouts: Mutex::default(), spool: Mutex::default() }
    }

    pub(super) fn snapshot_set(&self, epoch: u64, confirmed_at: Timestamp) {
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = Some((epoch, confirmed_at));
    }

    pub(super) fn spool_set(&self, waiting: u64, bytes: u64, oldest: Option<Timestamp>) {
        *self.spool.lock().unwrap_or_else(PoisonError::into_inner) = Some((waiting, bytes, oldest));
    }

    pub(super) fn rollouts_set(&self, rollouts: Vec<RolloutStatus>) {
        *self.rollouts.lock().unwrap_or_else(PoisonError::into_inner) = rollouts;
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("State")
    }
}

impl Collector for State {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if let Some((epoch, confirmed_at)) = *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) {
            let age = self.clock.now().since(confirmed_at).as_secs_f64();
            gauge(&mut encoder, "bowline_snapshot_epoch", "The snapshot that is served.", [(vec![], epoch)])?;
            let help = "Seconds since control last confirmed the snapshot.";
            gauge(&mut encoder, "bowline_snapshot_age_seconds", help, [(vec![], age)])?;
        }
        if let Some((waiting, bytes, oldest)) = *self.spool.lock().unwrap_or_else(PoisonError::into_inner) {
            let age = oldest.map_or(0.0, |oldest| self.clock.now().since(oldest).as_secs_f64());
            gauge(
                &mut encoder,
                "bowline_spool_depth",
                "Entries of the spool that wait for control.",
                [(vec![], waiting)],
            )?;
            gauge(&mut encoder, "bowline_spool_bytes", "Bytes of the spool on disk.", [(vec![], bytes)])?;
            let help = "Seconds that the oldest entry of the spool has waited.";
            gauge(&mut encoder, "bowline_spool_oldest_seconds", help, [(vec![], age)])?;
        }
        let rollouts = self.rollouts.lock().unwrap_or_else(PoisonError::into_inner);
        if rollouts.is_empty() {
            return Ok(());
        }
        let states = rollouts
            .iter()
            .flat_map(|each| STATES.map(|state| (each.labels("state", state.as_str()), state == each.state)));
        let states = states.map(|(labels, is)| (labels, u64::from(is)));
        gauge(&mut encoder, "bowline_rollout_state", "1 for the state that a rollout is in.", states)?;
        let stages = rollouts.iter().map(|each| (each.identity(), u64::from(each.stage)));
        gauge(&mut encoder, "bowline_rollout_stage", "The stage of a rollout, from 0.", stages)?;
        let units = rollouts.iter().flat_map(|each| {
            [("stable", each.units_stable), ("candidate", each.units_candidate)]
                .map(|(arm, units)| (each.labels("arm", arm), units))
        });
        gauge(&mut encoder, "bowline_rollout_units", "Units counted in a rollout, by arm.", units)?;
        let values = rollouts.iter().flat_map(|each| {
            [("rollback", each.e_rollback), ("promote", each.e_promote)]
                .map(|(test, value)| (each.labels("test", test), value))
        });
        gauge(&mut encoder, "bowline_rollout_e_value", "Evidence for a verdict, which is reached at 1 / alpha.", values)
    }
}

// === impl RolloutStatus ===

impl RolloutStatus {
    fn identity(&self) -> Vec<(&'static str, String)> {
        vec![
            ("project", self.project.as_str().to_owned()),
            ("environment", self.environment.as_str().to_owned()),
            ("prompt", self.prompt.as_str().to_owned()),
            ("rollout", self.number.to_string()),
        ]
    }

    fn labels(&self, name: &'static str, value: &str) -> Vec<(&'static str, String)> {
        let mut labels = self.identity();
        labels.push((name, value.to_owned()));
        labels
    }
}

pub(super) fn gauge<V: EncodeGaugeValue>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    series: impl IntoIterator<Item = (Vec<(&'static str, String)>, V)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    series.into_iter().try_for_each(|(labels, value)| {
        if labels.is_empty() {
            return metric.encode_gauge(&value);
        }
        metric.encode_family(&labels)?.encode_gauge(&value)
    })
}
