//! The schema, as numbered steps.

use bowline_store::{Error, Result};
use rusqlite::{Connection, TransactionBehavior};

use crate::error::During as _;

/// The steps; the number of a step, and the schema after it, is its place from 1. Released steps never change.
const MIGRATIONS: &[&str] = &[include_str!("../migrations/0001_initial.sql")];

/// The schema that this build writes.
#[expect(clippy::cast_possible_truncation, reason = "there is no try_from in a constant, and there are few steps")]
pub const SCHEMA_LATEST: u32 = MIGRATIONS.len() as u32;

/// Returns the schema of a database; 0 where it is empty.
pub(crate) fn schema(connection: &Connection) -> Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0)).during("read the schema")
}

/// Brings a database to [`SCHEMA_LATEST`], each step in a transaction of its own.
pub(crate) fn migrate(connection: &mut Connection) -> Result<()> {
    migrate_to(connection, SCHEMA_LATEST)
}

fn migrate_to(connection: &mut Connection, target: u32) -> Result<()> {
    let found = schema(connection)?;
    if found > SCHEMA_LATEST {
        return Err(Error::SchemaTooNew { found, supported: SCHEMA_LATEST });
    }
    for (number, sql) in (1..=target).zip(MIGRATIONS).skip_while(|(number, _)| *number <= found) {
        let mut step = || {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute_batch(sql)?;
            transaction.pragma_update(None, "user_version", number)?;
            transaction.commit()
        };
        step().during("migrate the schema")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(connection: &Connection) -> Vec<(String, String)> {
        let mut statement =
            connection.prepare("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.map(rusqlite::Result::unwrap).collect()
    }

    #[test]
    fn every_earlier_schema_is_upgraded() {
        let mut fresh = Connection::open_in_memory().unwrap();
        migrate(&mut fresh).unwrap();
        for earlier in 0..=SCHEMA_LATEST {
            let mut connection = Connection::open_in_memory().unwrap();
            migrate_to(&mut connection, earlier).unwrap();
            assert_eq!(schema(&connection).unwrap(), earlier);
            migrate(&mut connection).unwrap();
            assert_eq!(schema(&connection).unwrap(), SCHEMA_LATEST);
            assert_eq!(shape(&connection), shape(&fresh), "from schema {earlier}");
        }
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.pragma_update(None, "user_version", SCHEMA_LATEST + 1).unwrap();
        let error = migrate(&mut connection).unwrap_err();
        assert!(matches!(error, Error::SchemaTooNew { found, .. } if found == SCHEMA_LATEST + 1), "{error}");
    }

    #[test]
    fn logs_are_append_only() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        let insert = "INSERT INTO pointer_log (project, environment, record) VALUES ('shop', 'prod', '{}')";
        connection.execute(insert, []).unwrap();
        for sql in ["DELETE FROM pointer_log", "UPDATE pointer_log SET record = ''"] {
            assert!(connection.execute(sql, []).unwrap_err().to_string().contains("append-only"), "{sql}");
        }
    }
}
