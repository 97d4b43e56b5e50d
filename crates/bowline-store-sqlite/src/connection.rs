//! How connections are opened.

use std::path::Path;
use std::time::Duration;

use bowline_store::Result;
use rusqlite::{Connection, OpenFlags};

use crate::error::During as _;

/// Statements that a connection keeps prepared; more than there are in the code.
const STATEMENTS_KEPT: usize = 128;
/// How long a connection waits for a lock that another process holds, such as a `sqlite3` shell.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// To what size the write-ahead log shrinks after a long reader made it grow.
const WAL_BYTES_KEPT: i64 = 64 << 20;
/// Where what lasts no longer than a statement or a savepoint goes: a file for it would need a folder such as `/tmp`, which a container with a
/// read-only root does not have (<https://www.sqlite.org/tempfiles.html>, read 2026-11-25).
const TEMP_STORE: &str = "memory";

/// Opens the connection that writes.
pub(crate) fn open_writer(database: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags).during("open the database")?;
    let configure = || {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.pragma_update(None, "temp_store", TEMP_STORE)?;
        connection.pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT)?;
        // The writer checkpoints itself, after it has replied.
        connection.pragma_update(None, "wal_autocheckpoint", 0)
    };
    configure().during("configure the database")?;
    Ok(connection)
}

/// Opens a connection that cannot write.
pub(crate) fn open_reader(database: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags).during("open the database for reading")?;
    let configure = || {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.pragma_update(None, "temp_store", TEMP_STORE)
    };
    configure().during("configure the database")?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_connection_needs_a_folder_for_temporary_files() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("bowline.db");
        drop(Connection::open(&database).unwrap());
        for connection in [open_writer(&database).unwrap(), open_reader(&database).unwrap()] {
            // 2 is memory (<https://www.sqlite.org/pragma.html#pragma_temp_store>, read 2026-11-25).
            let place: i64 = connection.pragma_query_value(None, "temp_store", |row| row.get(0)).unwrap();
            assert_eq!(place, 2);
        }
    }
}
