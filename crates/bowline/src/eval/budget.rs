//! What a run may cost. A call is made only where the dearest call so far would still fit into what is left, calls in flight counted
//! at that price too; until a first price is known, one call is made at a time.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bowline_types::Usd;
use tokio::sync::Notify;

/// The money of a run.
pub(super) struct Budget {
    limit: Option<Usd>,
    state: Mutex<State>,
    settled: Notify,
}

#[derive(Default)]
struct State {
    spent: Usd,
    reserved: Usd,
    dearest: Option<Usd>,
    /// Calls in flight.
    open: usize,
    exhausted: bool,
}

/// The money of one call; what is not spent is given back when dropped.
pub(super) struct Reservation<'a> {
    budget: &'a Budget,
    amount: Usd,
}

/// The next call could cost more than is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exhausted;

// === impl Budget ===

impl Budget {
    /// Returns a budget; without a limit, the cost is only summed.
    pub(super) fn new(limit: Option<Usd>, spent: Usd) -> Self {
        Self { limit, state: Mutex::new(State { spent, ..State::default() }), settled: Notify::new() }
    }

    /// Returns what was spent.
    pub(super) fn spent(&self) -> Usd {
        self.lock().spent
    }

    /// Reserves the money of one call; waits where calls in flight may leave enough.
    pub(super) async fn reserve(&self) -> Result<Reservation<'_>, Exhausted> {
        let Some(limit) = self.limit else {
            self.lock().open += 1;
            return Ok(Reservation { budget: self, amount: Usd::ZERO });
        };
        loop {
            // Listens before it looks, so that nothing is missed between the two.
            let mut settled = std::pin::pin!(self.settled.notified());
            settled.as_mut().enable();
            {
                let mut state = self.lock();
                let State { spent, reserved, dearest, open, exhausted } = *state;
                let amount = dearest.unwrap_or_default();
                let fits = spent + reserved + amount <= limit && spent < limit;
                if exhausted || (!fits && open == 0) {
                    state.exhausted = true;
                    drop(state);
                    self.settled.notify_waiters();
                    return Err(Exhausted);
                }
                if fits && (dearest.is_some() || open == 0) {
                    state.reserved += amount;
                    state.open += 1;
                    return Ok(Reservation { budget: self, amount });
                }
            }
            settled.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Reservation ===

impl Reservation<'_> {
    /// Counts what the call cost.
    pub(super) fn settle(self, cost: Usd) {
        let mut state = self.budget.lock();
        state.spent += cost;
        state.dearest = Some(state.dearest.map_or(cost, |dearest| dearest.max(cost)));
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let mut state = self.budget.lock();
        state.reserved = Usd::new(state.reserved.amount() - self.amount.amount());
        state.open -= 1;
        drop(state);
        if self.budget.limit.is_some() {
            self.budget.settled.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn usd(text: &str) -> Usd {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn it_stops_before_the_call_that_would_not_fit() {
        let budget = Budget::new(Some(usd("1")), Usd::ZERO);
        for cost in ["0.3", "0.2", "0.2"] {
            budget.reserve().await.unwrap().settle(usd(cost));
        }
        assert_eq!(budget.spent(), usd("0.7"));
        let fits = budget.reserve().await.unwrap();
        fits.settle(usd("0.1"));
        assert_eq!(budget.reserve().await.err(), Some(Exhausted), "0.2 is left and a call has cost 0.3");
    }

    #[tokio::test]
    async fn calls_at_once_do_not_overdraw() {
        let budget = Arc::new(Budget::new(Some(usd("0.1")), Usd::ZERO));
        let calls = Arc::new(AtomicU32::new(0));
        let tasks: Vec<_> = (0..50)
            .map(|_| {
                let (budget, calls) = (Arc::clone(&budget), Arc::clone(&calls));
                async move {
                    while let Ok(reserved) = budget.reserve().await {
                        tokio::task::yield_now().await;
                        reserved.settle(usd("0.004"));
                        calls.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
            .collect();
        let tracker = tokio_util::task::TaskTracker::new();
        tasks.into_iter().for_each(|task| drop(tracker.spawn(task)));
        tracker.close();
        tracker.wait().await;
        assert_eq!((calls.load(Ordering::Relaxed), budget.spent()), (25, usd("0.1")));
    }

    #[tokio::test]
    async fn without_a_limit_it_only_counts() {
        let budget = Budget::new(None, usd("2"));
        let open = budget.reserve().await.unwrap();
        budget.reserve().await.unwrap().settle(usd("1000"));
        drop(open);
        assert_eq!(budget.spent(), usd("1002"));
    }
}
