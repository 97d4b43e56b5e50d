//! What is equal in many cases is kept once.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::Rules;
use crate::assertion::AssertionNode;

/// How many different values are kept in mind; later ones are not shared.
const POOL_MAX: usize = 4096;

/// Values by what they are made of.
pub(super) struct Pool<T: ?Sized> {
    known: HashMap<String, Arc<T>>,
}

/// The pools of one suite.
#[derive(Default)]
pub(super) struct Pools {
    /// Assertions of the rows of datasets, by their text.
    pub(super) assertions: Pool<[AssertionNode]>,
    /// Options and metadata, by their text.
    pub(super) maps: Pool<Map<String, Value>>,
    /// Rules, by where what they share stands; it stays there as long as the rules are kept.
    rules: HashMap<Shares, Arc<Rules>>,
}

/// What tells rules apart: the addresses of what they share, and the values that they do not.
#[derive(PartialEq, Eq, Hash)]
struct Shares {
    addresses: [usize; 4],
    assertions: usize,
    threshold: Option<u64>,
    repeat: u32,
}

// === impl Pool ===

impl<T: ?Sized> Default for Pool<T> {
    fn default() -> Self {
        Self { known: HashMap::new() }
    }
}

impl<T: ?Sized> Pool<T> {
    /// Returns the value that `key` stands for, made by `make` where it is new.
    pub(super) fn get(&mut self, key: &str, make: impl FnOnce() -> Option<Arc<T>>) -> Option<Arc<T>> {
        if let Some(known) = self.known.get(key) {
            return Some(Arc::clone(known));
        }
        let value = make()?;
        if self.known.len() < POOL_MAX {
            self.known.insert(key.to_owned(), Arc::clone(&value));
        }
        Some(value)
    }
}

impl Pool<Map<String, Value>> {
    /// Returns `map`, shared with those that are equal.
    pub(super) fn map(&mut self, map: Map<String, Value>) -> Arc<Map<String, Value>> {
        let key = serde_json::to_string(&map).unwrap_or_default();
        let known = self.known.get(&key).filter(|known| ***known == map).map(Arc::clone);
        known.unwrap_or_else(|| {
            let map = Arc::new(map);
            if self.known.len() < POOL_MAX {
                self.known.insert(key, Arc::clone(&map));
            }
            map
        })
    }
}

// === impl Pools ===

impl Pools {
    /// Returns `rules`, shared with those that are made of the same.
    pub(super) fn rules(&mut self, rules: Rules) -> Arc<Rules> {
        let Rules { assertions, threshold, must_pass: _, metadata, repeat, options, only } = &rules;
        let key = Shares {
            addresses: [
                assertions.as_ptr().addr(),
                Arc::as_ptr(metadata).addr(),
                Arc::as_ptr(options).addr(),
                only.as_ref().map_or(0, |only| Arc::as_ptr(only).addr()),
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
        self.maps.map(merged)
    }
}
