//! The contract of a store, as test functions.
//!
//! An implementation stamps out the whole list with [`contract_suite!`](crate::contract_suite), in a test module of its own:
//!
//! ```ignore
//! bowline_store::contract_suite!(MySubject::new().await);
//! ```
//!
//! The expression makes an empty store for each test. The expansion uses `tokio::test`, which the implementation depends on.
#![expect(clippy::unwrap_used, reason = "these are tests: a failed operation fails the test that stamps them out")]

pub mod evidence;
pub mod registry;
pub mod reopen;
pub mod rollout;
mod samples;
pub mod summary;
pub mod transaction;

use crate::{Error, Store, Write};

/// An empty store under test, which can be closed and opened again.
pub trait Subject: Sized + Send {
    /// Returns the store.
    fn store(&self) -> &dyn Store;
    /// Closes the store and opens what it left on disk.
    fn reopen(self) -> impl Future<Output = Self> + Send;
}

/// Stamps out one test per function of the contract; the expression makes a new [`Subject`](crate::contract::Subject).
#[macro_export]
macro_rules! contract_suite {
    ($subject:expr) => {
        $crate::contract_suite! { @stamp $subject,
            evidence: answers_find_the_newest_inference, content_comes_back, inferences_are_kept_once,
                inferences_filter, inferences_page_both_ways, late_outcomes_revise, outcomes_are_kept_once,
                outcomes_by_answer, outcomes_in_any_order, outcomes_of_other_keys_reach_nothing, outcomes_wait,
                texts_judge_nothing, waiting_outcomes_of_other_keys_reach_nothing;
            registry: environments, keys, log_filters, log_pages, pointers_are_removed, pointers_move_from_where_they_are,
                projects, quarantines, registrations, registrations_are_limited, versions;
            reopen: everything_survives, sequences_go_on;
            rollout: earlier_inferences_replace_the_first, losses_only_grow, maturing_leaves_out, maturing_orders_units,
                maturing_sees_revisions, numbers_are_unique, observations_have_no_gaps, observations_keep_their_bits,
                observations_page, rollouts_filter, rollouts_follow_revisions, units_are_counted_once;
            summary: groups_and_filters, late_outcomes_move_counts, money_is_exact, repeated_records_count_once;
            transaction: commits_are_atomic, concurrent_commits_are_all_kept, conflicting_moves_have_one_winner,
                empty_commits, later_writes_see_earlier_ones, verdicts_are_one_transaction;
        }
    };
    (@stamp $subject:expr, $($module:ident: $($test:ident),*;)*) => {$(
        mod $module {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    $crate::contract::$module::$test($subject).await;
                }
            )*
        }
    )*};
}

/// Commits writes that must succeed.
async fn write(store: &dyn Store, writes: impl IntoIterator<Item = Write>) {
    store.commit(writes.into_iter().collect()).await.unwrap();
}

/// Commits writes that must be refused because a precondition does not hold.
async fn conflict(store: &dyn Store, writes: impl IntoIterator<Item = Write>) {
    let error = store.commit(writes.into_iter().collect()).await.unwrap_err();
    assert!(matches!(error, Error::Conflict { .. }), "{error}");
}

#[cfg(test)]
mod tests {
    /// The macro has to list every function, and nobody else would miss one.
    #[test]
    fn every_test_is_stamped_out() {
        let suite = include_str!("contract.rs");
        let listed = suite.split("@stamp $subject,").nth(1).and_then(|rest| rest.split('}').next()).unwrap();
        for (module, source) in [
            ("evidence", include_str!("contract/evidence.rs")),
            ("registry", include_str!("contract/registry.rs")),
            ("reopen", include_str!("contract/reopen.rs")),
            ("rollout", include_str!("contract/rollout.rs")),
            ("summary", include_str!("contract/summary.rs")),
            ("transaction", include_str!("contract/transaction.rs")),
        ] {
            let section = listed.split(&format!("{module}:")).nth(1).and_then(|rest| rest.split(';').next()).unwrap();
            let section: Vec<_> = section.split(',').map(str::trim).collect();
            let functions = source.split("pub async fn ").skip(1);
            let functions: Vec<_> = functions.filter_map(|rest| rest.split('(').next()).collect();
            assert!(!functions.is_empty(), "{module}");
            let missing: Vec<_> = functions.iter().filter(|function| !section.contains(function)).collect();
            assert!(missing.is_empty(), "{module}: {missing:?}");
            assert_eq!(functions.len(), section.len(), "{module}");
        }
    }
}
