//! The contract of a store, as test functions.
