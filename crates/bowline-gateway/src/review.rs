//! Tokens that are no key of Bowline, but of somebody who has one: a service account of a Kubernetes cluster. Whoever issued them says whose they
//! are, and what was said is remembered for a while.
//!
//! Nobody is asked about a token that does not name a subject with a key: a stranger costs a hash and a look-up here too. What cannot be asked
//! is refused as unavailable, and never let pass.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bowline_telemetry::{Metrics, ReviewResult};
use bowline_types::{Clock, Digest, Secret, Subject};
use serde::Deserialize;
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::{Instant, timeout};
use tracing::warn;

/// Says whose a token is.
pub trait TokenReviewer: Send + Sync + 'static {
    /// Asks about a token, which must be for this gateway and not for somebody else. The token is a secret of its owner: it is neither kept nor
    /// logged.
    fn review(&self, token: Secret) -> ReviewFuture<'_>;
}

/// The answer of a [`TokenReviewer`], once it is there.
pub type ReviewFuture<'a> = Pin<Box<dyn Future<Output = Result<Review, ReviewError>> + Send + 'a>>;

/// Whose a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Review {
    /// Of the user with this name.
    Authenticated(String),
    /// Nobody's: it is forged, over, or for somebody else.
    Refused,
}

/// Nobody could say whose a token is.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct ReviewError(pub String);

/// How tokens are reviewed. Every bound has a name.
#[derive(Clone, Debug)]
pub struct ReviewOptions {
    /// How long what was said of a good token is remembered, at most: until it is over, where that is sooner. As long a token that was taken
    /// back may still pass. Default: 60 s.
    pub authenticated_for: Duration,
    /// How long a token that was refused is refused without asking. Default: 10 s.
    pub refused_for: Duration,
    /// How long nobody asks again after nobody could say. Default: 1 s.
    pub failed_for: Duration,
    /// How long an answer may take. Default: 5 s.
    pub timeout: Duration,
    /// Tokens that are remembered; one more takes the place of one that is nearer to its end, refused ones first. Default: 4,096.
    pub entries_max: usize,
    /// Tokens that are asked about at the same time; further ones wait. Default: 16.
    pub asked_max: usize,
    /// Tokens that are asked about or wait for it; one more is refused with 503. Default: 256.
    pub pending_max: usize,
    /// The longest token that is looked at, in bytes. Default: 16 KiB.
    pub token_bytes_max: usize,
}

/// Reviews of tokens, each made once for all who wait for it.
pub(crate) struct Reviews {
    reviewer: Arc<dyn TokenReviewer>,
    options: ReviewOptions,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    entries: Mutex<HashMap<Digest, Arc<Entry>>>,
    asked: Semaphore,
}

/// What is known of one token; nothing yet while it is asked about.
type Entry = OnceCell<Known>;

#[derive(Clone, Debug)]
struct Known {
    verdict: Verdict,
    until: Instant,
}

/// Whether a token is somebody's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is this subject's.
    Is(Subject),
    /// It is nobody's who may have a key.
    Refused,
    /// Nobody could say.
    Failed,
}

/// What a token says of itself, which nobody has verified: enough to not ask about it, and to forget sooner what was said.
///
/// Source: RFC 7519, section 4.1; <https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/>, read 2026-11-25.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    /// Seconds since 1970.
    #[serde(default)]
    exp: Option<f64>,
}

// === impl ReviewOptions ===

impl Default for ReviewOptions {
    fn default() -> Self {
        Self {
            authenticated_for: Duration::from_secs(60),
            refused_for: Duration::from_secs(10),
            failed_for: Duration::from_secs(1),
            timeout: Duration::from_secs(5),
            entries_max: 4_096,
            asked_max: 16,
            pending_max: 256,
            token_bytes_max: 16 * 1024,
        }
    }
}

// === impl Reviews ===

impl Reviews {
    pub(crate) fn new(
        reviewer: Arc<dyn TokenReviewer>,
        options: ReviewOptions,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let asked = Semaphore::new(options.asked_max);
        Self { reviewer, options, clock, metrics, entries: Mutex::default(), asked }
    }

    /// Returns for how long whoever was told that nobody could say had better wait.
    pub(crate) const fn retry_after(&self) -> Duration {
        self.options.failed_for
    }

    /// Returns whose a token is; `has_key` says of a subject whether it is worth asking.
    pub(crate) async fn of(&self, token: &str, has_key: impl FnOnce(&Subject) -> bool) -> Verdict {
        if token.len() > self.options.token_bytes_max {
            return Verdict::Refused;
        }
        let digest = Digest::of(token.as_bytes());
        let known = self.lock().get(&digest).and_then(|entry| entry.get().cloned());
        if let Some(known) = known.filter(Known::holds) {
            return known.verdict;
        }
        let Some((subject, exp)) = claims(token) else { return Verdict::Refused };
        if !has_key(&subject) {
            return Verdict::Refused;
        }
        let Some(entry) = self.enter(digest) else {
            self.metrics.token_reviewed(ReviewResult::Failed);
            return Verdict::Failed;
        };
        // Where the one who asks goes away, the next one who waits asks.
        entry.get_or_init(|| self.ask(token, exp)).await.verdict.clone()
    }

    /// Makes room for a token and returns its place; `None` where too many are asked about.
    fn enter(&self, digest: Digest) -> Option<Arc<Entry>> {
        let mut entries = self.lock();
        let fresh = |entry: &Arc<Entry>| entry.get().is_none_or(Known::holds);
        // Another caller asks about it, or has asked meanwhile.
        if let Some(entry) = entries.get(&digest).filter(|entry| fresh(entry)) {
            return Some(Arc::clone(entry));
        }
        if entries.values().filter(|entry| entry.get().is_none()).count() >= self.options.pending_max {
            // Those whose callers have all gone wait for nobody.
            entries.retain(|_, entry| entry.get().is_some() || Arc::strong_count(entry) > 1);
            if entries.values().filter(|entry| entry.get().is_none()).count() >= self.options.pending_max {
                return None;
            }
        }
        if entries.len() >= self.options.entries_max {
            entries.retain(|_, entry| fresh(entry));
            while entries.len() >= self.options.entries_max {
                let ends = |entry: &Arc<Entry>| {
                    entry.get().map(|known| (matches!(known.verdict, Verdict::Is(_)), known.until))
                };
                let first = entries.iter().filter_map(|(digest, entry)| Some((ends(entry)?, *digest))).min();
                // Without one to forget, all are asked about.
                entries.remove(&first?.1);
            }
        }
        let entry = Arc::new(Entry::new());
        entries.insert(digest, Arc::clone(&entry));
        Some(entry)
    }

    async fn ask(&self, token: &str, exp: Option<f64>) -> Known {
        let review = async {
            // The semaphore is never closed.
            let _permit = self.asked.acquire().await.ok();
            self.reviewer.review(Secret::new(token.to_owned())).await
        };
        let reviewed = timeout(self.options.timeout, review).await;
        let reviewed = reviewed.unwrap_or_else(|_| Err(ReviewError("no answer in time".to_owned())));
        let verdict = match reviewed {
            // Of no other user is a key.
            Ok(Review::Authenticated(user)) => Subject::new(user).map_or(Verdict::Refused, Verdict::Is),
            Ok(Review::Refused) => Verdict::Refused,
            Err(error) => {
                warn!(%error, "a token could not be reviewed");
                Verdict::Failed
            }
        };
        let (result, lasts) = match &verdict {
            Verdict::Is(_) => (ReviewResult::Authenticated, self.remaining(exp).min(self.options.authenticated_for)),
            Verdict::Refused => (ReviewResult::Refused, self.options.refused_for),
            Verdict::Failed => (ReviewResult::Failed, self.options.failed_for),
        };
        self.metrics.token_reviewed(result);
        Known { verdict, until: Instant::now() + lasts }
    }

    /// Returns how long a token is good by its own words; none that says nothing is good for ever.
    fn remaining(&self, exp: Option<f64>) -> Duration {
        let Some(exp) = exp else { return Duration::MAX };
        let ends = Duration::try_from_secs_f64(exp).unwrap_or_default();
        let now = Duration::from_micros(u64::try_from(self.clock.now().as_micros()).unwrap_or_default());
        ends.saturating_sub(now)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Known ===

impl Known {
    fn holds(&self) -> bool {
        Instant::now() < self.until
    }
}

/// Returns what a token says of itself, where it has the form of a signed one (RFC 7515, section 3.1) and names a subject that could have a key.
fn claims(token: &str) -> Option<(Subject, Option<f64>)> {
    let mut parts = token.split('.');
    let (_header, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let payload = BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims: Claims = serde_json::from_slice(&payload).ok()?;
    Some((claims.sub.parse().ok()?, claims.exp))
}

#[cfg(test)]
mod tests;
