//! CSV with a line of column names.

use bowline_prompt::{Diagnostic, Span};

use super::files::At;

/// A CSV file that is read row by row.
pub(super) struct Table<'a> {
    path: &'a str,
    reader: csv::Reader<&'a [u8]>,
    header: Vec<String>,
    row: csv::StringRecord,
}

// === impl Table ===

impl<'a> Table<'a> {
    /// Reads the names of the columns.
    pub(super) fn new(path: &'a str, text: &'a str) -> Result<Self, Diagnostic> {
        let mut reader = csv::ReaderBuilder::new().from_reader(text.as_bytes());
        let header = reader.headers().map_err(|error| wrong(path, &error))?;
        let header: Vec<String> = header.iter().map(|name| name.trim().to_owned()).collect();
        Ok(Self { path, reader, header, row: csv::StringRecord::new() })
    }

    /// Returns the names of the columns.
    pub(super) fn header(&self) -> &[String] {
        &self.header
    }

    /// Returns where the next row begins and its cells, as many as there are columns.
    pub(super) fn next_row(&mut self) -> Result<Option<(Span, &csv::StringRecord)>, Diagnostic> {
        let more = self.reader.read_record(&mut self.row).map_err(|error| wrong(self.path, &error))?;
        Ok(more.then(|| (place(self.row.position()), &self.row)))
    }
}

fn place(position: Option<&csv::Position>) -> Span {
    let line = position.map_or(1, |position| usize::try_from(position.line()).unwrap_or(usize::MAX));
    Span::on_line(line, 1, 1)
}

fn wrong(path: &str, error: &csv::Error) -> Diagnostic {
    let at = At { file: path, span: place(error.position()) };
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            let error = at.error("csv", format!("a row of {len} cells in a table of {expected_len} columns"));
            error.hint("put a cell with a comma, a quote or a line end in double quotes")
        }
        _ => at.error("csv", format!("not valid CSV: {error}")),
    }
}
