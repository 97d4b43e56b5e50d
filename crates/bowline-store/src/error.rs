use std::error::Error as StdError;

/// The result of a storage operation.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a storage operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A precondition of a write does not hold: the state changed meanwhile. Nothing was written.
    #[error("the state changed meanwhile: {what}")]
    Conflict {
        /// Which precondition, with the value found.
        what: String,
    },
    /// The store is stopped or too busy; nothing is known to be written.
    #[error("the store is unavailable: {reason}")]
    Unavailable {
        /// Stopped, or which bound was reached.
        reason: &'static str,
    },
    /// A sync failed, and since then it is not known what the disk holds: nothing is taken until the store is opened again.
    #[error("nothing is kept since a transaction could not be synced; open the store again")]
    Poisoned,
    /// The store was written by a newer Bowline.
    #[error("the store has schema {found}, this binary reads up to {supported}")]
    SchemaTooNew {
        /// The schema of the store.
        found: u32,
        /// The newest schema this binary knows.
        supported: u32,
    },
    /// A stored record cannot be read.
    #[error("a stored {noun} cannot be read")]
    Corrupt {
        /// The noun of the record.
        noun: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The storage engine failed; nothing of the transaction is acknowledged. After a failed sync the store may hold it when
    /// it is opened again, so what is repeated must carry the same ids.
    #[error("could not {operation}")]
    Engine {
        /// The operation, as a verb phrase.
        operation: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
}
