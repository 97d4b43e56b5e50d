//! How values of the records become columns, and back.

use std::error::Error as StdError;
use std::str::FromStr;

use bowline_store::{Error, Result};
use bowline_types::{Arm, Timestamp, UnitKind};
use rusqlite::types::FromSql;
use rusqlite::{Connection, OptionalExtension as _, Params, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::During as _;

/// Returns the JSON of a record.
pub(crate) fn json(record: &impl Serialize) -> Result<String> {
    serde_json::to_string(record)
        .map_err(|source| Error::Engine { operation: "encode a record", source: Box::new(source) })
}

/// Returns the record that JSON text stands for.
pub(crate) fn record<T: DeserializeOwned>(noun: &'static str, json: &str) -> Result<T> {
    serde_json::from_str(json).map_err(|source| corrupt(noun, source))
}

/// Returns the value that text stands for.
pub(crate) fn parse<T: FromStr<Err: StdError + Send + Sync + 'static>>(noun: &'static str, text: &str) -> Result<T> {
    text.parse().map_err(|source| corrupt(noun, source))
}

/// Returns the value that text stands for; empty text is `None`.
pub(crate) fn parse_optional<T: FromStr<Err: StdError + Send + Sync + 'static>>(
    noun: &'static str,
    text: &str,
) -> Result<Option<T>> {
    if text.is_empty() { Ok(None) } else { parse(noun, text).map(Some) }
}

/// Returns the text of a value; empty for `None`.
pub(crate) fn optional_text(value: Option<&impl ToString>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

/// Returns the arm that a word stands for.
pub(crate) fn arm(noun: &'static str, word: &str) -> Result<Arm> {
    let known = Arm::ALL.into_iter().find(|arm| arm.as_str() == word);
    known.ok_or_else(|| corrupt(noun, format!("`{word}` is not an arm")))
}

const UNIT_KINDS: [UnitKind; 4] = [UnitKind::Header, UnitKind::Conversation, UnitKind::User, UnitKind::Request];

/// Returns the number of a kind of unit; numbers order as [`UnitKind`] does.
pub(crate) const fn unit_kind_number(kind: UnitKind) -> u8 {
    match kind {
        UnitKind::Header => 0,
        UnitKind::Conversation => 1,
        UnitKind::User => 2,
        UnitKind::Request => 3,
    }
}

/// Returns the kind of unit that a number stands for.
pub(crate) fn unit_kind(noun: &'static str, number: u8) -> Result<UnitKind> {
    let kind = UNIT_KINDS.get(usize::from(number)).copied();
    kind.ok_or_else(|| corrupt(noun, format!("{number} is not a kind of unit")))
}

/// Returns the start of the minute of a time, in microseconds.
pub(crate) const fn minute(at: Timestamp) -> i64 {
    const MINUTE_US: i64 = 60_000_000;
    at.as_micros().saturating_sub(at.as_micros().rem_euclid(MINUTE_US))
}

/// Returns the error of a stored value that cannot be read.
pub(crate) fn corrupt(noun: &'static str, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
    Error::Corrupt { noun, source: source.into() }
}

/// Returns a column, or the error of a stored value that cannot be read.
pub(crate) fn column<T: FromSql>(row: &Row<'_>, noun: &'static str, index: usize) -> Result<T> {
    row.get(index).map_err(|source| corrupt(noun, source))
}

/// Runs a query whose first column is the JSON of a record, and returns all records.
pub(crate) fn record_list<T: DeserializeOwned>(
    connection: &Connection,
    noun: &'static str,
    sql: &str,
    parameters: impl Params,
) -> Result<Vec<T>> {
    map_rows(connection, sql, parameters, |row| record(noun, &column::<String>(row, noun, 0)?))
}

/// Runs a query whose first column is the JSON of a record, and returns the first record.
pub(crate) fn record_fetch<T: DeserializeOwned>(
    connection: &Connection,
    noun: &'static str,
    sql: &str,
    parameters: impl Params,
) -> Result<Option<T>> {
    let text: Option<String> = value_fetch(connection, sql, parameters)?;
    text.map(|text| record(noun, &text)).transpose()
}

/// Runs a query and returns the first column of its first row.
pub(crate) fn value_fetch<T: FromSql>(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
) -> Result<Option<T>> {
    let mut statement = connection.prepare_cached(sql).during("prepare a query")?;
    statement.query_row(parameters, |row| row.get(0)).optional().during("run a query")
}

/// Runs a query and returns what `map` makes of its rows.
pub(crate) fn map_rows<T>(
    connection: &Connection,
    sql: &str,
    parameters: impl Params,
    map: impl Fn(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut statement = connection.prepare_cached(sql).during("prepare a query")?;
    let mut rows = statement.query(parameters).during("run a query")?;
    let mut mapped = Vec::new();
    while let Some(row) = rows.next().during("read the rows of a query")? {
        mapped.push(map(row)?);
    }
    Ok(mapped)
}

/// Runs a statement and returns how many rows it changed.
pub(crate) fn execute(
    connection: &Connection,
    operation: &'static str,
    sql: &str,
    parameters: impl Params,
) -> Result<usize> {
    connection.prepare_cached(sql).and_then(|mut statement| statement.execute(parameters)).during(operation)
}
