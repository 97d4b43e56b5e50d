use std::io::{IsTerminal, Write};

use serde::Serialize;

use crate::failure::Result;

/// How data is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// JSON, one document.
    Json,
}

/// A table for people: aligned columns, no borders.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

/// Prints a line of data to standard output. A reader that went away is no failure.
pub(crate) fn line(text: impl AsRef<str>) {
    let mut out = std::io::stdout().lock();
    // `head` and the like close the pipe when they have enough.
    drop(writeln!(out, "{}", text.as_ref()));
}

/// Prints a piece of a line of data at once.
pub(crate) fn piece(text: &str) {
    let mut out = std::io::stdout().lock();
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

/// Prints what is no data, such as progress, to standard error.
pub(crate) fn note(text: impl AsRef<str>) {
    let mut err = std::io::stderr().lock();
    drop(writeln!(err, "{}", text.as_ref()));
}

/// Prints a value as JSON.
///
/// # Errors
/// Fails where it cannot be written as JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(anyhow::Error::from)?;
    line(text);
    Ok(())
}

/// Returns whether standard output is a terminal that shows colour.
pub(crate) fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

// === impl Table ===

impl Table {
    /// Returns a table with a head.
    pub(crate) fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(|cell| (*cell).to_owned()).collect()] }
    }

    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    /// Prints the table; `empty` where it has no rows.
    pub(crate) fn print(&self, empty: &str) {
        if self.rows.len() == 1 {
            note(empty);
            return;
        }
        self.lines().iter().for_each(line);
    }

    /// Prints the rows of a table that has no head; `empty` where it has none.
    pub(crate) fn print_plain(&self, empty: &str) {
        if self.rows.is_empty() {
            note(empty);
        }
        self.lines().iter().for_each(line);
    }

    fn lines(&self) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width =
            |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        let padded = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        self.rows.iter().map(padded).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&["prompt", "version"]);
        table.row(["a".to_owned(), "3f9a…".to_owned()]);
        table.row(["support/classify".to_owned(), "c04e…".to_owned()]);
        assert_eq!(table.lines(), ["prompt            version", "a                 3f9a…", "support/classify  c04e…"]);
    }
}
