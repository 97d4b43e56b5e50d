//! The embedded store: SQLite in WAL mode behind one writer thread with group commit, and a few readers.
//!
//! One thread owns the only connection that writes. It takes all commits that wait, up to a bound, into one SQLite
//! transaction, each in a savepoint of its own, so that a conflict rolls back nothing but itself; it replies only after that
//! transaction is synced. Readers have connections of their own and never wait for the writer. Summaries come from rollups
//! that are written in the transaction of the rows they sum.
//!
//! The folder belongs to one process at a time, by a lock of the operating system. [`SqliteStore::backup`] copies the store
//! while it is written to; [`restore()`] puts a copy in place of a closed store.

mod apply;
mod backup;
mod codec;
mod connection;
mod error;
mod folder;
mod migration;
mod query;
mod reader;
mod restore;
mod rollup;
mod store;
mod writer;

pub use error::{Error, Result};
pub use migration::SCHEMA_LATEST;
pub use restore::{Restored, restore};
pub use store::{Options, SqliteStore, Stats};
