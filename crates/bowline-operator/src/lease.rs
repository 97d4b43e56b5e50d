//! Which of the replicas works: the one that holds a Lease (<https://kubernetes.io/docs/concepts/architecture/leases/>, read 2026-11-25).
//!
//! Each write names the version that it was read in, so of two that take a free lease one is refused. Whether a lease has run out is measured on
//! the own clock, from when its last change was seen: clocks of machines need not agree. A holder that cannot renew stops after
//! [`RENEW_DEADLINE`], and whoever waits takes over after [`DURATION`], so the first has stopped before the second begins.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease as Object, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff;
use kube::ResourceExt as _;
use kube::api::{Api, PostParams};
use kube::core::ObjectMeta;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use bowline_types::{Clock, chain};

use crate::error::{Error, Result};

/// How long a lease lasts after it was seen to change.
pub(crate) const DURATION: Duration = Duration::from_secs(15);
/// How long a holder works on without a renewal.
const RENEW_DEADLINE: Duration = Duration::from_secs(9);
/// How often it renews.
const RENEW_INTERVAL: Duration = Duration::from_secs(3);
/// How often others look.
const LOOK_INTERVAL: Duration = Duration::from_secs(3);
/// The wait after a failure.
const RETRY_WAIT: Duration = Duration::from_secs(1);
/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// How long work may take to stop before it is cut off: with the deadline and a call, still less than [`DURATION`].
const STOP_PATIENCE: Duration = Duration::from_secs(2);
/// The same at a shutdown, where the lease is renewed no more and nobody is in a hurry.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(4);

/// A lease that one of several replicas holds.
pub(crate) struct Lease<'a> {
    pub(crate) api: Api<Object>,
    pub(crate) name: &'a str,
    pub(crate) identity: &'a str,
    pub(crate) clock: &'a dyn Clock,
}

/// The lease as it was last seen, and since when it has been like that.
struct Seen {
    version: Option<String>,
    since: Instant,
}

// === impl Lease ===

impl Lease<'_> {
    /// Works while it holds the lease, and waits for it otherwise, until told to stop; then the lease is given back.
    pub(crate) async fn run<F>(&self, shutdown: &CancellationToken, work: impl Fn(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        while let Some(held) = self.wait(shutdown).await {
            info!(lease = self.name, identity = self.identity, "this replica leads");
            let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
            tasks.spawn(work(stop.clone()));
            let held = self.hold(shutdown, held, &mut tasks).await;
            stop.cancel();
            let patience = if held.is_some() { SHUTDOWN_PATIENCE } else { STOP_PATIENCE };
            if timeout(patience, tasks.join_next()).await.is_err() {
                warn!("work was cut off, as this replica leads no longer");
            }
            tasks.shutdown().await;
            info!(lease = self.name, identity = self.identity, "this replica leads no longer");
            if let Some(held) = held {
                self.release(held).await;
            }
        }
    }

    /// Waits until the lease is held; `None` at a shutdown.
    async fn wait(&self, shutdown: &CancellationToken) -> Option<Object> {
        let mut seen = Seen { version: None, since: Instant::now() };
        while !shutdown.is_cancelled() {
            let wait = match self.try_take(&mut seen).await {
                Ok(Some(held)) => return Some(held),
                Ok(None) => LOOK_INTERVAL,
                Err(error) => {
                    debug!(error = chain(&error), "the lease cannot be looked at");
                    RETRY_WAIT
                }
            };
            tokio::select! { () = shutdown.cancelled() => {} () = sleep(wait) => {} }
        }
        None
    }

    /// Takes the lease where it is free.
    async fn try_take(&self, seen: &mut Seen) -> Result<Option<Object>> {
        let Some(found) = called("read the lease", self.api.get_opt(self.name)).await? else {
            let made = called("make the lease", self.api.create(&PostParams::default(), &self.object(None))).await;
            return unless_refused(made);
        };
        let version = found.resource_version();
        if seen.version != version {
            *seen = Seen { version, since: Instant::now() };
        }
        if !is_free(found.spec.as_ref(), self.identity, seen.since.elapsed()) {
            return Ok(None);
        }
        let wanted = self.object(Some(&found));
        unless_refused(called("take the lease", self.api.replace(self.name, &PostParams::default(), &wanted)).await)
    }

    /// Renews until a shutdown, which returns the lease, or until it is lost, which returns `None`.
    async fn hold(&self, shutdown: &CancellationToken, mut held: Object, tasks: &mut JoinSet<()>) -> Option<Object> {
        let mut renewed = Instant::now();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Some(held),
                () = sleep(RENEW_INTERVAL.min(RENEW_DEADLINE.saturating_sub(renewed.elapsed()))) => {}
                _ = tasks.join_next() => {
                    warn!("what the leader runs ended by itself; the lease is given back");
                    return Some(held);
                }
            }
            if renewed.elapsed() >= RENEW_DEADLINE {
                warn!("the lease could not be renewed in time");
                return None;
            }
            let began = Instant::now();
            match self.renew(&held).await {
                Ok(Some(now)) => (held, renewed) = (now, began),
                Ok(None) => {
                    warn!("another replica has taken the lease");
                    return None;
                }
                Err(error) => debug!(error = chain(&error), "the lease could not be renewed"),
            }
        }
    }

    /// Renews once; `None` where another one holds it.
    async fn renew(&self, held: &Object) -> Result<Option<Object>> {
        let wanted = self.object(Some(held));
        let renewed = called("renew the lease", self.api.replace(self.name, &PostParams::default(), &wanted)).await;
        match unless_refused(renewed)? {
            Some(renewed) => Ok(Some(renewed)),
            None => {
                // A renewal whose answer was lost looks the same as somebody else.
                let found = called("read the lease", self.api.get_opt(self.name)).await?;
                Ok(found.filter(|found| holder(found.spec.as_ref()) == Some(self.identity)))
            }
        }
    }

    async fn release(&self, held: Object) {
        let mut free = held;
        if let Some(spec) = &mut free.spec {
            spec.holder_identity = None;
        }
        if let Err(error) =
            called("give the lease back", self.api.replace(self.name, &PostParams::default(), &free)).await
        {
            debug!(error = chain(&error), "the lease runs out by itself");
        }
    }

    /// Returns the lease as this replica holds it.
    fn object(&self, before: Option<&Object>) -> Object {
        let now = jiff::Timestamp::from_microsecond(self.clock.now().as_micros()).unwrap_or_default();
        let spec = before.and_then(|before| before.spec.clone()).unwrap_or_default();
        let is_own = holder(Some(&spec)) == Some(self.identity);
        let transitions = spec.lease_transitions.unwrap_or(0) + i32::from(before.is_some() && !is_own);
        let acquired = spec.acquire_time.filter(|_| is_own).unwrap_or(MicroTime(now));
        let metadata = before.map_or_else(
            || ObjectMeta { name: Some(self.name.to_owned()), ..ObjectMeta::default() },
            |before| before.metadata.clone(),
        );
        Object {
            metadata,
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.to_owned()),
                lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
                acquire_time: Some(acquired),
                renew_time: Some(MicroTime(now)),
                lease_transitions: Some(transitions),
                ..spec
            }),
        }
    }
}

fn holder(spec: Option<&LeaseSpec>) -> Option<&str> {
    spec?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

/// Returns whether a lease may be taken that has not changed for so long.
fn is_free(spec: Option<&LeaseSpec>, identity: &str, unchanged: Duration) -> bool {
    // What another kind of holder says of its own lease is honoured.
    let said = spec.and_then(|spec| u64::try_from(spec.lease_duration_seconds?).ok()).map(Duration::from_secs);
    match holder(spec) {
        None => true,
        Some(holder) => holder == identity || unchanged >= said.unwrap_or(DURATION).max(DURATION),
    }
}

async fn called<T>(operation: &'static str, call: impl Future<Output = kube::Result<T>>) -> Result<T> {
    match timeout(CALL_TIMEOUT, call).await {
        Ok(answered) => answered.map_err(Error::kubernetes(operation)),
        Err(_) => Err(Error::Timeout { operation }),
    }
}

/// Somebody else was faster: that is no failure.
fn unless_refused(written: Result<Object>) -> Result<Option<Object>> {
    match written {
        Ok(written) => Ok(Some(written)),
        Err(error) if matches!(error.status(), Some(409 | 404)) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_free_when_nobody_holds_it_or_its_holder_is_silent() {
        let held = |holder: Option<&str>| LeaseSpec {
            holder_identity: holder.map(str::to_owned),
            lease_duration_seconds: Some(15),
            ..LeaseSpec::default()
        };
        let short = Duration::from_secs(14);
        assert!(is_free(None, "a", Duration::ZERO));
        assert!(is_free(Some(&held(None)), "a", Duration::ZERO));
        assert!(is_free(Some(&held(Some(""))), "a", Duration::ZERO));
        assert!(is_free(Some(&held(Some("a"))), "a", Duration::ZERO), "it is the own one, of before a restart");
        assert!(!is_free(Some(&held(Some("b"))), "a", short));
        assert!(is_free(Some(&held(Some("b"))), "a", DURATION));
    }

    #[test]
    fn who_cannot_renew_has_stopped_before_another_one_begins() {
        assert!(RENEW_DEADLINE + CALL_TIMEOUT + STOP_PATIENCE < DURATION);
    }
}
