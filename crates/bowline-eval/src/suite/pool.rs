//! What is equal in many cases is kept once.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::Rules;
use super::draft::joined;
use crate::assertion::{AssertionNode, pack};

/// How many different values are kept in mind; later ones are not shared.
const POOL_MAX: usize = 4096;
/// How many different lists of assertions are kept in mind: many rows have one of a few, or each has its own.
const ASSERTIONS_MAX: usize = 1024;

/// The pools of one suite.
#[derive(Default)]
pub(super) struct Pools {
    /// Assertions of the rows of datasets, by their text.
    assertions: HashMap<String, Arc<[AssertionNode]>>,
    /// Options and metadata, by their text.
    maps: HashMap<String, Arc<Map<String, Value>>>,
    /// Stands where there are no assertions.
    nothing: Arc<[AssertionNode]>,
    /// Rules, by where what they share stands; it stays there as long as the rules are kept.
    rules: HashMap<Shares, Arc<Rules>>,
}

/// What tells rules apart: the addresses of what they share, and the values that they do not.
#[derive(PartialEq, Eq, Hash)]
struct Shares {
    addresses: [usize; 5],
    assertions: usize,
    threshold: Option<u64>,
    repeat: u32,
}

// === impl Pools ===

impl Pools {
    /// Returns the assertions that `key` stands for, those of `default` first; `read` reads its own where it is new.
    ///
    /// Beyond the bound they are not shared any more: the second value is then the text of its own ones, and the first has only those of
    /// `default`.
    pub(super) fn assertions(
        &mut self,
        key: &str,
        default: Option<&Arc<[AssertionNode]>>,
        read: impl FnOnce() -> Vec<AssertionNode>,
    ) -> (Arc<[AssertionNode]>, Option<String>) {
        if let Some(known) = self.assertions.get(key) {
            return (Arc::clone(known), None);
        }
        let own = read();
        let is_full = self.assertions.len() >= ASSERTIONS_MAX;
        if is_full && let Some(text) = pack(&own) {
            return (default.map_or_else(|| Arc::clone(&self.nothing), Arc::clone), Some(text));
        }
        let joined = joined(default.map_or(&[], |default| default), &own);
        if !is_full {
            self.assertions.insert(key.to_owned(), Arc::clone(&joined));
        }
        (joined, None)
    }

    /// Returns `map`, shared with those that are equal.
    fn map(&mut self, map: Map<String, Value>) -> Arc<Map<String, Value>> {
        let key = serde_json::to_string(&map).unwrap_or_default();
        let known = self.maps.get(&key).filter(|known| ***known == map).map(Arc::clone);
        known.unwrap_or_else(|| {
            let map = Arc::new(map);
            if self.maps.len() < POOL_MAX {
                self.maps.insert(key, Arc::clone(&map));
            }
            map
        })
    }

    /// Returns `rules`, shared with those that are made of the same.
    pub(super) fn rules(&mut self, rules: Rules) -> Arc<Rules> {
        let Rules { assertions, threshold, must_pass: _, metadata, repeat, options, only, own_file } = &rules;
        let key = Shares {
            addresses: [
                assertions.as_ptr().addr(),
                Arc::as_ptr(metadata).addr(),
                Arc::as_ptr(options).addr(),
                only.as_ref().map_or(0, |only| Arc::as_ptr(only).addr()),
                own_file.as_ref().map_or(0, |file| file.as_ptr().addr()),
            ],
            assertions: assertions.len(),
            threshold: threshold.map(f64::to_bits),
            repeat: *repeat,
        };
        if let Some(known) = self.rules.get(&key) {
            return Arc::clone(known);
        }
        let rules = Arc::new(rules);
        if self.rules.len() < POOL_MAX {
            self.rules.insert(key, Arc::clone(&rules));
        }
        rules
    }

    /// Returns `over` on top of `default`, shared with those that are equal.
    pub(super) fn merged(
        &mut self,
        default: &Arc<Map<String, Value>>,
        over: Map<String, Value>,
    ) -> Arc<Map<String, Value>> {
        if over.is_empty() {
            return Arc::clone(default);
        }
        let mut merged = (**default).clone();
        merged.extend(over);
        self.map(merged)
    }
}
