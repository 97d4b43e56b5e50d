//! The calls of a run: through the gateway of this process, with the cache before it, a lane for each provider, bounded retries, and
//! the budget.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bowline_gateway::{Facts, Handle, Secrets as _};
use bowline_types::{Digest, ErrorKind, ProviderName, SecretRef, Usd};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Request, Response};
use tokio::time::sleep;

use super::answer::Called;
use super::budget::Budget;
use super::cache::Cache;
use super::lane::{Lane, PAUSE_MAX};
use crate::failure::Failure;
use crate::settings::ProcessSecrets;

/// How often a call is made again after a failure that may pass.
const RETRIES_MAX: u32 = 4;
/// The wait before the first of these; it doubles.
const RETRY_WAIT: Duration = Duration::from_millis(100);
/// How often a call is made again after a 429. Its provider's lane waits meanwhile, so this bounds a provider that never relents.
const THROTTLES_MAX: u32 = 30;

/// Where a call goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    /// The provider that is asked, whose lane the call takes.
    pub(crate) provider: ProviderName,
    /// What the answer depends on beside the request: the identity of the model, and where it is. Part of the key of the cache.
    pub(crate) identity: String,
    /// The endpoint of the gateway.
    pub(crate) endpoint: Endpoint,
    /// Whether answers of earlier runs do not count here.
    pub(crate) fresh: bool,
}

/// What the gateway is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Endpoint {
    /// A completion.
    Chat,
    /// Embeddings; the text of the subject is a JSON list of vectors then.
    Embeddings,
}

/// Makes the calls of a run.
pub(crate) struct Caller {
    gateway: Handle,
    key: HeaderValue,
    lanes: BTreeMap<ProviderName, Lane>,
    /// Where the credentials of providers are kept.
    credentials: BTreeMap<ProviderName, SecretRef>,
    cache: Option<Cache>,
    budget: Budget,
    /// Calls that reached the gateway, retries included.
    made: AtomicU64,
    /// Calls that a provider asked to make later.
    throttled: AtomicU64,
    /// Answers that were in the cache.
    found: AtomicU64,
    /// The last failure of a provider, which is told where the run ends by it.
    last_failure: Mutex<Option<String>>,
}

/// What was done in a run, beside its results.
pub(crate) struct Effort {
    /// What it cost, judges included; without what answers from the cache cost when they were made.
    pub(crate) spent: Usd,
    /// Calls that were made, retries included.
    pub(crate) calls: usize,
    /// How many of them a provider asked to make later.
    pub(crate) throttled: usize,
    /// Answers that were in the cache.
    pub(crate) cached: usize,
    /// Why there is no result at all, where a provider was asked and never answered.
    pub(crate) silence: Option<String>,
}

/// Why a run makes no further call.
#[derive(Debug)]
pub(crate) enum Halt {
    /// The next call could cost more than is left.
    Budget,
    /// A provider does not answer, or not to these credentials.
    Provider(String),
    /// A bug of ours or a machine that fails.
    Broken(Failure),
}

/// What became of one attempt.
enum Attempt {
    Done(Called),
    Failed { facts: Facts, kind: ErrorKind, message: String },
}

// === impl Caller ===

impl Caller {
    /// Returns a caller of a gateway, as the application that has `key`.
    pub(super) fn new(
        gateway: Handle,
        key: HeaderValue,
        lanes: BTreeMap<ProviderName, Lane>,
        credentials: BTreeMap<ProviderName, SecretRef>,
        cache: Option<Cache>,
        budget: Budget,
    ) -> Self {
        let (made, throttled, found) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        Self { gateway, key, lanes, credentials, cache, budget, made, throttled, found, last_failure: Mutex::new(None) }
    }

    /// Returns what was spent so far.
    pub(crate) fn spent(&self) -> Usd {
        self.budget.spent()
    }

    /// Returns what was done so far.
    pub(crate) fn effort(&self) -> Effort {
        let count = |counter: &AtomicU64| usize::try_from(counter.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        Effort {
            spent: self.spent(),
            calls: count(&self.made),
            throttled: count(&self.throttled),
            cached: count(&self.found),
            silence: self.silence(),
        }
    }

    /// Makes a call, or finds its answer in the cache. `repeat` tells equal calls apart that shall be made several times.
    ///
    /// A call that fails for a reason of its own is no halt: its error is in the subject.
    ///
    /// # Errors
    /// Nothing further should be called.
    pub(crate) async fn call(&self, way: &Way, body: Bytes, repeat: u32) -> Result<Called, Halt> {
        let key = self.cache.as_ref().filter(|_| !way.fresh).map(|cache| (cache, key(way, &body, repeat)));
        if let Some(called) = key.as_ref().and_then(|(cache, key)| cache.get::<Called>(key)) {
            self.found.fetch_add(1, Ordering::Relaxed);
            return Ok(Called { cached: true, ..called });
        }
        let called = self.made(way, body).await?;
        if let (Some((cache, key)), None) = (key, &called.subject.error) {
            // A full disk costs the next run its calls, not this one its results.
            if let Err(error) = cache.put(&key, &called) {
                tracing::warn!(%error, "an answer could not be cached");
            }
        }
        Ok(called)
    }

    async fn made(&self, way: &Way, body: Bytes) -> Result<Called, Halt> {
        let lane = self.lanes.get(&way.provider).ok_or_else(|| {
            Halt::Broken(Failure::internal(anyhow::anyhow!("provider `{}` has no lane", way.provider)))
        })?;
        let (mut retries, mut throttles, mut wait) = (0, 0, RETRY_WAIT);
        loop {
            let (facts, kind, message) = match self.attempt(lane, way.endpoint, &body).await? {
                Attempt::Done(called) => {
                    lane.answered();
                    return Ok(called);
                }
                Attempt::Failed { facts, kind, message } => (facts, kind, message),
            };
            match kind {
                ErrorKind::UpstreamRateLimited | ErrorKind::RateLimited => {
                    self.throttled.fetch_add(1, Ordering::Relaxed);
                    lane.throttled(facts.retry_after);
                    throttles += 1;
                    if throttles > THROTTLES_MAX {
                        return Ok(Called::failed(&facts, &message));
                    }
                }
                // Whoever runs this must mend it first; every other call would meet the same.
                ErrorKind::UpstreamAuth => return Err(Halt::Provider(self.refused(way, &message))),
                _ if kind.spec().retryable && retries < RETRIES_MAX => {
                    retries += 1;
                    sleep(facts.retry_after.unwrap_or(wait).min(PAUSE_MAX)).await;
                    wait *= 2;
                }
                ErrorKind::UpstreamUnavailable | ErrorKind::UpstreamTimeout => {
                    *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) =
                        Some(provider_failed(way, &message));
                    if lane.failed() {
                        return Err(Halt::Provider(provider_failed(way, &message)));
                    }
                    return Ok(Called::failed(&facts, &message));
                }
                // It answered, if only that it will not do this.
                _ => {
                    lane.answered();
                    return Ok(Called::failed(&facts, &message));
                }
            }
        }
    }

    async fn attempt(&self, lane: &Lane, endpoint: Endpoint, body: &Bytes) -> Result<Attempt, Halt> {
        let place = lane.enter().await;
        let reserved = self.budget.reserve().await.map_err(|_| Halt::Budget)?;
        self.made.fetch_add(1, Ordering::Relaxed);
        let response = self.gateway.call(self.request(endpoint, body)).await;
        drop(place);
        let facts = facts(&response);
        reserved.settle(facts.cost.unwrap_or_default());
        if let Some((kind, message)) = facts.error.clone() {
            return Ok(Attempt::Failed { facts, kind, message });
        }
        if facts.fallback {
            let message = "the first model of the alias did not answer; what another one says is no result".to_owned();
            return Ok(Attempt::Failed { facts, kind: ErrorKind::UpstreamUnavailable, message });
        }
        let called = match endpoint {
            Endpoint::Chat => Called::read(response.body(), &facts),
            Endpoint::Embeddings => Called::read_embeddings(response.body(), &facts),
        };
        called.map(Attempt::Done).map_err(Halt::Broken)
    }

    fn request(&self, endpoint: Endpoint, body: &Bytes) -> Request<Bytes> {
        let mut request = Request::new(body.clone());
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = http::Uri::from_static(endpoint.path());
        request.headers_mut().insert(AUTHORIZATION, self.key.clone());
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request
    }

    /// Returns why a provider took no call for want of credentials. Whoever runs this may know where those are kept, other than an application.
    fn refused(&self, way: &Way, message: &str) -> String {
        let Some(reference) = self.credentials.get(&way.provider) else { return provider_failed(way, message) };
        if ProcessSecrets.resolve(reference).is_some() {
            let what = message.lines().next().unwrap_or(message);
            return provider_failed(way, &format!("{what}\nhint: is the key at {reference} the right one?"));
        }
        let hint = match reference {
            SecretRef::Env(name) => {
                format!("hint: `export {name}=…`, or a provider with another `api_key` in bowline.yaml")
            }
            SecretRef::File(path) => format!("hint: write it to {path}, or name another `api_key` in bowline.yaml"),
        };
        provider_failed(way, &format!("there is no key at {reference}\n{hint}"))
    }

    /// Returns why there is no result at all, where a provider was asked and never answered.
    fn silence(&self) -> Option<String> {
        let silent = self.lanes.values().any(Lane::is_silent);
        silent.then(|| self.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()).flatten()
    }
}

// === impl Endpoint ===

impl Endpoint {
    const fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Embeddings => "/v1/embeddings",
        }
    }
}

fn facts(response: &Response<Bytes>) -> Facts {
    response.extensions().get::<Facts>().cloned().unwrap_or_default()
}

fn provider_failed(way: &Way, message: &str) -> String {
    format!("provider `{}` cannot be used: {message}", way.provider)
}

/// Returns what the answer to a call is cached by.
fn key(way: &Way, body: &[u8], repeat: u32) -> Digest {
    let head = format!("bowline.eval.call/v1\n{}\n{}\n{repeat}\n", way.endpoint.path(), way.identity);
    Digest::of(&[head.as_bytes(), body].concat())
}
