mod caller;
mod connection;
mod outcome;
mod report;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bowline_types::Secret;
use bytes::Bytes;
use http::{HeaderValue, Uri};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

pub use self::report::{Percentiles, Report, Tally};

use self::caller::{Caller, Plan};
use self::report::Totals;
use crate::case::Case;

/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// Calls to make, in OpenAI's chat format, to a gateway or to a simulator on this machine.
#[derive(Clone, Debug)]
pub struct Load {
    /// The gateway, `http://127.0.0.1:PORT`: loopback only, so that no load hits anyone by mistake.
    pub gateway: String,
    /// The key; `None` sends none.
    pub key: Option<Secret>,
    /// What is sent.
    pub calls: Calls,
    /// How many calls run at once, at most; each has a connection that is kept.
    pub concurrency: NonZeroUsize,
    /// Calls per second; `None` sends the next when one ends. With a rate, waits count from when a call was due, so that a slow
    /// gateway does not hide its slowness by being asked less.
    pub rate: Option<f64>,
    /// When it ends by itself.
    pub limit: Limit,
    /// Where the draws of cases and of units start. Another seed brings other units.
    pub seed: u64,
    /// How long a call may take; it counts as the error `timeout` then.
    pub timeout: Duration,
}

/// What is sent. Each call comes from a fresh unit, in `x-bowline-unit`.
#[derive(Clone, Debug)]
pub enum Calls {
    /// A prompt, with cases drawn at random.
    Prompt(PromptCalls),
    /// The same body each time, for measuring.
    Body(Bytes),
}

/// Calls of a prompt.
#[derive(Clone, Debug)]
pub struct PromptCalls {
    /// The prompt, such as `prompt:support/classify`.
    pub model: String,
    /// The variable that takes the text of a case.
    pub variable: String,
    /// The cases.
    pub cases: Arc<[Case]>,
    /// Whether answers are streamed.
    pub stream: bool,
    /// The fields of the answer that must be right; empty means every label of the case.
    pub fields: Vec<String>,
    /// The judgement that is sent to the gateway for each answer; `None` sends none.
    pub feedback: Option<Feedback>,
}

/// A judgement of answers, sent to `POST /v1/feedback`.
#[derive(Clone, Debug)]
pub struct Feedback {
    /// Its name, such as `correct`. Its value is whether the answer is right.
    pub name: String,
}

/// When a load ends by itself: at whichever comes first. Without either it runs until it is stopped.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limit {
    /// After this many calls.
    pub calls: Option<u64>,
    /// After this time; calls in flight still end.
    pub duration: Option<Duration>,
}

/// Why a load cannot run.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The gateway is not an address of this machine.
    #[error("`{given}` is no gateway on this machine (expected `http://127.0.0.1:PORT`)")]
    Gateway {
        /// What was given.
        given: String,
    },
    /// The key cannot stand in a header. It is not repeated here.
    #[error("the key has characters that no header can carry")]
    Key,
    /// There is no case to send.
    #[error("there is no case to send")]
    NoCases,
    /// The rate is not a number above 0.
    #[error("the rate must be a number above 0, not {given}")]
    Rate {
        /// What was given.
        given: f64,
    },
}

// === impl Load ===

impl Load {
    /// Makes the calls until a limit is reached or `stop` is cancelled; calls in flight end, and their feedback is sent.
    ///
    /// `progress` is called with the report so far, five times a second. Failed calls are counted, never an error. Dropping the
    /// future ends everything at once.
    ///
    /// # Errors
    /// The load makes no sense; nothing was sent.
    pub async fn run(self, stop: CancellationToken, progress: impl Fn(&Report)) -> Result<Report, LoadError> {
        let (plan, concurrency) = self.plan()?;
        let plan = Arc::new(plan);
        let totals = Arc::new(Totals::new(plan.started));
        let mut callers = JoinSet::new();
        for _ in 0..concurrency.get() {
            callers.spawn(Caller::new(Arc::clone(&plan), Arc::clone(&totals)).run(stop.clone()));
        }
        let mut ticks = tokio::time::interval(PROGRESS_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                ended = callers.join_next() => if ended.is_none() { break },
                _ = ticks.tick() => progress(&totals.report()),
            }
        }
        let report = totals.report();
        progress(&report);
        Ok(report)
    }

    fn plan(self) -> Result<(Plan, NonZeroUsize), LoadError> {
        let Some((address, host)) = loopback(&self.gateway) else {
            return Err(LoadError::Gateway { given: self.gateway });
        };
        if let Some(given) = self.rate.filter(|rate| !(rate.is_finite() && *rate > 0.0)) {
            return Err(LoadError::Rate { given });
        }
        if matches!(&self.calls, Calls::Prompt(calls) if calls.cases.is_empty()) {
            return Err(LoadError::NoCases);
        }
        let key = self.key.map(|key| {
            let value = HeaderValue::from_str(&format!("Bearer {}", key.expose()));
            value.map(|mut value| {
                value.set_sensitive(true);
                value
            })
        });
        let authorization = key.transpose().map_err(|_| LoadError::Key)?;
        let plan = Plan {
            address,
            host,
            authorization,
            calls: self.calls,
            rate: self.rate,
            limit: self.limit,
            seed: self.seed,
            timeout: self.timeout,
            started: Instant::now(),
            next: std::sync::atomic::AtomicU64::new(0),
        };
        Ok((plan, self.concurrency))
    }
}

/// Returns the address of `http://HOST:PORT` on this machine and its `host` header.
fn loopback(gateway: &str) -> Option<(SocketAddr, HeaderValue)> {
    let uri: Uri = gateway.parse().ok()?;
    let bare = uri.scheme_str() == Some("http") && uri.path() == "/" && uri.query().is_none();
    let authority = uri.authority().filter(|authority| bare && !authority.as_str().contains('@'))?;
    let ip = match authority.host().trim_start_matches('[').trim_end_matches(']') {
        "localhost" => IpAddr::from(Ipv4Addr::LOCALHOST),
        host => host.parse().ok().filter(IpAddr::is_loopback)?,
    };
    let address = SocketAddr::new(ip, authority.port_u16()?);
    Some((address, HeaderValue::from_str(authority.as_str()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_called() {
        for (gateway, expected) in [
            ("http://127.0.0.1:7080", Some("127.0.0.1:7080")),
            ("http://127.0.0.1:7080/", Some("127.0.0.1:7080")),
            ("http://[::1]:7080", Some("[::1]:7080")),
            ("http://localhost:7080", Some("127.0.0.1:7080")),
            ("http://127.0.0.1", None),
            ("https://127.0.0.1:7080", None),
            ("http://10.0.0.1:7080", None),
            ("http://0.0.0.0:7080", None),
            ("http://api.openai.com:80", None),
            ("http://127.0.0.1:80@example.com:80", None),
            ("http://127.0.0.1:7080/v1", None),
            ("127.0.0.1:7080", None),
            ("", None),
        ] {
            assert_eq!(loopback(gateway).map(|(address, _)| address.to_string()).as_deref(), expected, "{gateway}");
        }
    }
}
