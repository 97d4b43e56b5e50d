//! How many calls one provider is asked at once. It follows what the provider bears: a 429 halves it and pauses everyone for as long
//! as the provider asks, and each full round of answers adds one again.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// The pause after a 429 that says nothing about when to come back.
const PAUSE_DEFAULT: Duration = Duration::from_secs(1);
/// The longest pause, whatever a provider asks for.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(120);
/// Calls that were in flight together meet the same 429: they halve the limit once.
const CUT_INTERVAL: Duration = Duration::from_millis(500);
/// Calls in a row that failed, retries included, after which a provider counts as down.
const DOWN_AFTER: u32 = 5;

/// The way to one provider.
pub(super) struct Lane {
    max: usize,
    state: Mutex<State>,
    left: Notify,
}

struct State {
    limit: usize,
    in_flight: usize,
    /// Answers since the limit last moved.
    answers: usize,
    paused_until: Option<Instant>,
    cut_at: Option<Instant>,
    failures: u32,
    answered: bool,
}

/// A place among the calls in flight; given back when dropped.
pub(super) struct Place<'a>(&'a Lane);

enum Entry {
    Entered,
    Full,
    Paused(Instant),
}

// === impl Lane ===

impl Lane {
    /// Returns a lane for at most `max` calls at once.
    pub(super) fn new(max: usize) -> Self {
        let max = max.max(1);
        let state = State {
            limit: max,
            in_flight: 0,
            answers: 0,
            paused_until: None,
            cut_at: None,
            failures: 0,
            answered: false,
        };
        Self { max, state: Mutex::new(state), left: Notify::new() }
    }

    /// Waits for a place.
    pub(super) async fn enter(&self) -> Place<'_> {
        loop {
            // Listens before it looks, so that nothing is missed between the two.
            let mut left = std::pin::pin!(self.left.notified());
            left.as_mut().enable();
            match self.try_enter(Instant::now()) {
                Entry::Entered => return Place(self),
                Entry::Paused(until) => sleep_until(until).await,
                Entry::Full => left.await,
            }
        }
    }

    fn try_enter(&self, now: Instant) -> Entry {
        let mut state = self.lock();
        if let Some(until) = state.paused_until.filter(|until| *until > now) {
            return Entry::Paused(until);
        }
        state.paused_until = None;
        if state.in_flight >= state.limit {
            return Entry::Full;
        }
        state.in_flight += 1;
        Entry::Entered
    }

    /// Learns that the provider answered.
    pub(super) fn answered(&self) {
        let mut state = self.lock();
        (state.failures, state.answered) = (0, true);
        state.answers += 1;
        if state.answers >= state.limit && state.limit < self.max {
            state.limit += 1;
            state.answers = 0;
            drop(state);
            self.left.notify_one();
        }
    }

    /// Learns that the provider asks for patience.
    pub(super) fn throttled(&self, asked: Option<Duration>) {
        let now = Instant::now();
        let until = now + asked.unwrap_or(PAUSE_DEFAULT).min(PAUSE_MAX);
        let mut state = self.lock();
        state.paused_until = Some(state.paused_until.map_or(until, |already| already.max(until)));
        if state.cut_at.is_none_or(|cut| now >= cut + CUT_INTERVAL) {
            (state.limit, state.answers, state.cut_at) = ((state.limit / 2).max(1), 0, Some(now));
        }
    }

    /// Learns that a call failed for good. Returns whether the provider counts as down.
    pub(super) fn failed(&self) -> bool {
        let mut state = self.lock();
        state.failures += 1;
        state.failures >= DOWN_AFTER
    }

    /// Returns whether the provider was asked and never answered.
    pub(super) fn is_silent(&self) -> bool {
        let state = self.lock();
        state.failures > 0 && !state.answered
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.lock().in_flight -= 1;
        self.0.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn limit(lane: &Lane) -> usize {
        lane.lock().limit
    }

    #[tokio::test(start_paused = true)]
    async fn a_429_halves_and_pauses_once_for_all_that_were_in_flight() {
        let lane = Arc::new(Lane::new(8));
        let places: Vec<_> = futures(&lane, 8).await;
        places.iter().for_each(|()| lane.throttled(Some(Duration::from_secs(7))));
        assert_eq!(limit(&lane), 4);
        let before = Instant::now();
        drop(lane.enter().await);
        assert_eq!(before.elapsed(), Duration::from_secs(7));
        (0..4).for_each(|_| lane.answered());
        assert_eq!(limit(&lane), 5, "a full round of answers adds one");
        (0..1_000).for_each(|_| lane.answered());
        assert_eq!(limit(&lane), 8, "and never more than the limit of the run");
    }

    /// Enters and leaves as often.
    async fn futures(lane: &Lane, count: usize) -> Vec<()> {
        let mut places = Vec::new();
        for _ in 0..count {
            places.push(lane.enter().await);
        }
        assert!(matches!(lane.try_enter(Instant::now()), Entry::Full));
        places.into_iter().map(drop).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_pause_is_cut() {
        let lane = Lane::new(1);
        lane.throttled(Some(Duration::from_secs(86_400)));
        let before = Instant::now();
        drop(lane.enter().await);
        assert_eq!(before.elapsed(), PAUSE_MAX);
    }

    #[test]
    fn a_provider_that_fails_in_a_row_is_down() {
        let lane = Lane::new(4);
        assert!(!lane.is_silent());
        assert!((1..DOWN_AFTER).all(|_| !lane.failed()));
        assert!(lane.is_silent());
        lane.answered();
        assert!((1..DOWN_AFTER).all(|_| !lane.failed()), "an answer starts the count again");
        assert!(lane.failed() && !lane.is_silent());
    }
}
