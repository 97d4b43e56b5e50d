use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bowline_types::{Clock, ProjectName, ProviderLoad, ProviderLoads, ProviderName};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::state::gauge;
use crate::measure::SERIES_MAX;

/// What a process has under way at one provider of one project. As long as anybody holds it, the metrics show it.
pub struct ProviderMeter {
    clock: Arc<dyn Clock>,
    held: AtomicU64,
    tokens: AtomicU64,
    /// Microseconds of the clock's uptime when a call last asked, and 1; 0 where none has.
    called: AtomicU64,
}

/// Tokens that are in flight until this is dropped, however their call ends.
#[derive(Debug)]
pub struct UnderWay {
    meter: Arc<ProviderMeter>,
    tokens: u64,
}

/// A place among the calls that wait; given back when dropped.
#[derive(Debug)]
pub struct Place(Arc<ProviderMeter>);

/// The meters of a process.
pub(super) struct Meters {
    clock: Arc<dyn Clock>,
    known: Mutex<BTreeMap<(ProjectName, ProviderName), Weak<ProviderMeter>>>,
}

// === impl ProviderMeter ===

impl ProviderMeter {
    /// Counts a call that asks for the provider now, with its tokens, estimated, until the result is dropped.
    #[must_use]
    pub fn called(self: &Arc<Self>, tokens: u64) -> UnderWay {
        self.called.store(micros(self.clock.uptime()).saturating_add(1), Ordering::Relaxed);
        self.tokens.fetch_add(tokens, Ordering::Relaxed);
        UnderWay { meter: Arc::clone(self), tokens }
    }

    /// Takes a place among the calls that wait, of which there are `most`; `None` where all are taken.
    #[must_use]
    pub fn hold(self: &Arc<Self>, most: usize) -> Option<Place> {
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        let take = |held: u64| (held < most).then_some(held + 1);
        let taken = self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.ok().map(|_| Place(Arc::clone(self)))
    }

    /// Returns what is under way.
    #[must_use]
    pub fn load(&self) -> ProviderLoad {
        let called = self.called.load(Ordering::Relaxed).checked_sub(1).map(Duration::from_micros);
        ProviderLoad {
            held: self.held.load(Ordering::Relaxed),
            tokens_in_flight: self.tokens.load(Ordering::Relaxed),
            last_call_seconds: called.map(|called| self.clock.uptime().saturating_sub(called).as_secs_f64()),
        }
    }
}

impl fmt::Debug for ProviderMeter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.load(), f)
    }
}

// === impl UnderWay ===

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.meter.tokens.fetch_sub(self.tokens, Ordering::Relaxed);
    }
}

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Meters ===

impl Meters {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, known: Mutex::default() }
    }

    /// Returns the meter of a provider. Beyond so many it works and is not shown.
    pub(super) fn of(&self, project: &ProjectName, provider: &ProviderName) -> Arc<ProviderMeter> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (project.clone(), provider.clone());
        if let Some(meter) = known.get(&key).and_then(Weak::upgrade) {
            return meter;
        }
        let (held, tokens, called) = (AtomicU64::default(), AtomicU64::default(), AtomicU64::default());
        let meter = Arc::new(ProviderMeter { clock: Arc::clone(&self.clock), held, tokens, called });
        known.retain(|_, meter| meter.strong_count() > 0);
        if known.len() < SERIES_MAX {
            known.insert(key, Arc::downgrade(&meter));
        }
        meter
    }

    pub(super) fn loads(&self) -> ProviderLoads {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut loads = ProviderLoads::new();
        for ((project, provider), meter) in known.iter() {
            if let Some(meter) = meter.upgrade() {
                loads.entry(project.clone()).or_default().insert(provider.clone(), meter.load());
            }
        }
        loads
    }
}

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.loads(), f)
    }
}

impl Collector for Meters {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let loads = self.loads();
        if loads.is_empty() {
            return Ok(());
        }
        let rows = || {
            loads.iter().flat_map(|(project, providers)| {
                providers.iter().map(move |(provider, load)| {
                    let project = ("project", project.as_str().to_owned());
                    (vec![project, ("provider", provider.as_str().to_owned())], load)
                })
            })
        };
        let held = rows().map(|(labels, load)| (labels, load.held));
        gauge(&mut encoder, "bowline_backend_held", "Calls that wait while a provider starts.", held)?;
        let tokens = rows().map(|(labels, load)| (labels, load.tokens_in_flight));
        let help = "Tokens of calls under way at a provider and of those that wait, estimated.";
        gauge(&mut encoder, "bowline_backend_tokens_in_flight", help, tokens)?;
        let called = rows().filter_map(|(labels, load)| Some((labels, load.last_call_seconds?)));
        let help = "Seconds since a call last asked for a provider.";
        gauge(&mut encoder, "bowline_backend_last_call_seconds", help, called)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
