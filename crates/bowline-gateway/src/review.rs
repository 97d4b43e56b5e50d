//! Tokens that are no key of Bowline, but of somebody who has one: a service account of a Kubernetes cluster. Whoever issued them says whose they
//! are, and what was said is remembered for a while.
//!
//! Nobody is asked about a token that does not name a subject with a key: a stranger costs a hash and a look-up here too. What cannot be asked
//! is refused as unavailable and not let pass; but whoever was let pass lately is so for a while on, as everybody else with a key is served while
//! nobody is there.

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
    /// How long a good token passes beyond that while nobody can say whether it still is: until it is over, where that is sooner. Zero: not at all.
    /// Default: 10 min.
    pub unconfirmed_for: Duration,
    /// How long an answer about such a token may take. Default: 1 s.
    pub unconfirmed_timeout: Duration,
    /// How long nobody asks about it again. Default: 10 s.
    pub unconfirmed_pause: Duration,
    /// How long a token that was refused is refused without asking. Default: 10 s.
    pub refused_for: Duration,
    /// How long nobody asks again after nobody could say. Default: 1 s.
    pub failed_for: Duration,
    /// How long an answer about any other token may take. Default: 5 s.
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

/// What is known of one token.
#[derive(Debug, Default)]
struct Entry {
    /// Nothing yet while it is asked about.
    known: OnceCell<Known>,
    /// What was said before.
    before: Option<Good>,
}

#[derive(Clone, Debug)]
struct Known {
    verdict: Verdict,
    /// When it is asked about again.
    until: Instant,
    /// What holds on beyond that while nobody can say.
    good: Option<Good>,
}

/// Whose a token was when that was last said, and until when that holds where nobody says otherwise.
#[derive(Clone, Debug)]
struct Good {
    subject: Subject,
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
            unconfirmed_for: Duration::from_secs(600),
            unconfirmed_timeout: Duration::from_secs(1),
            unconfirmed_pause: Duration::from_secs(10),
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
        let known = self.lock().get(&digest).and_then(|entry| entry.known.get().cloned());
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
        entry.known.get_or_init(|| self.ask(token, exp, entry.before.as_ref())).await.verdict.clone()
    }

    /// Makes room for a token and returns its place; `None` where too many are asked about.
    fn enter(&self, digest: Digest) -> Option<Arc<Entry>> {
        let mut entries = self.lock();
        let fresh = |entry: &Arc<Entry>| entry.known.get().is_none_or(Known::holds);
        // Another caller asks about it, or has asked meanwhile.
        if let Some(entry) = entries.get(&digest).filter(|entry| fresh(entry)) {
            return Some(Arc::clone(entry));
        }
        let pending = |entries: &HashMap<_, Arc<Entry>>| {
            entries.values().filter(|entry| entry.known.get().is_none()).count() >= self.options.pending_max
        };
        if pending(&entries) {
            // Those whose callers have all gone wait for nobody.
            entries.retain(|_, entry| entry.known.get().is_some() || Arc::strong_count(entry) > 1);
            if pending(&entries) {
                return None;
            }
        }
        let before = entries.remove(&digest).and_then(|entry| entry.known.get()?.good.clone());
        if entries.len() >= self.options.entries_max {
            entries.retain(|_, entry| fresh(entry));
            while entries.len() >= self.options.entries_max {
                let ends = |entry: &Arc<Entry>| {
                    entry.known.get().map(|known| (matches!(known.verdict, Verdict::Is(_)), known.until))
                };
                let first = entries.iter().filter_map(|(digest, entry)| Some((ends(entry)?, *digest))).min();
                // Without one to forget, all are asked about.
                entries.remove(&first?.1);
            }
        }
        let entry = Arc::new(Entry { before, ..Entry::default() });
        entries.insert(digest, Arc::clone(&entry));
        Some(entry)
    }

    async fn ask(&self, token: &str, exp: Option<f64>, before: Option<&Good>) -> Known {
        let before = before.filter(|good| Instant::now() < good.until);
        let review = async {
            // The semaphore is never closed.
            let _permit = self.asked.acquire().await.ok();
            self.reviewer.review(Secret::new(token.to_owned())).await
        };
        let patience = if before.is_some() { self.options.unconfirmed_timeout } else { self.options.timeout };
        let reviewed = timeout(patience, review).await;
        let reviewed = reviewed.unwrap_or_else(|_| Err(ReviewError("no answer in time".to_owned())));
        let now = Instant::now();
        match reviewed {
            // Of no other user is a key.
            Ok(Review::Authenticated(user)) => match Subject::new(user) {
                Ok(subject) => {
                    self.metrics.token_reviewed(ReviewResult::Authenticated);
                    let (remaining, lasts) = (self.remaining(exp), self.options.authenticated_for);
                    let good_for = remaining.min(lasts.saturating_add(self.options.unconfirmed_for));
                    let good = Some(Good { subject: subject.clone(), until: now + good_for });
                    Known { verdict: Verdict::Is(subject), until: now + remaining.min(lasts), good }
                }
                Err(_) => self.refused(now),
            },
            Ok(Review::Refused) => self.refused(now),
            Err(error) => {
                warn!(%error, "a token could not be reviewed");
                self.metrics.token_reviewed(ReviewResult::Failed);
                match before {
                    Some(good) => Known {
                        verdict: Verdict::Is(good.subject.clone()),
                        until: good.until.min(now + self.options.unconfirmed_pause),
                        good: Some(good.clone()),
                    },
                    None => Known { verdict: Verdict::Failed, until: now + self.options.failed_for, good: None },
                }
            }
        }
    }

    fn refused(&self, now: Instant) -> Known {
        self.metrics.token_reviewed(ReviewResult::Refused);
        Known { verdict: Verdict::Refused, until: now + self.options.refused_for, good: None }
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
    // A list could be read as the fields in their order.
    let payload = BASE64_URL_SAFE_NO_PAD.decode(payload).ok().filter(|payload| payload.starts_with(b"{"))?;
    let claims: Claims = serde_json::from_slice(&payload).ok()?;
    Some((claims.sub.parse().ok()?, claims.exp))
}

#[cfg(test)]
mod tests;
