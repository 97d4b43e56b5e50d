//! Rows of a CSV dataset: variables, and columns with a meaning of their own.
//!
//! Source: promptfoo's `testCaseFromCsvRow` (0.121.20, read 2026-11-25).

use std::sync::Arc;

use bowline_prompt::Diagnostic;
use serde_json::Value;

use super::cases::Cases;
use super::context::{Context, check_template};
use super::draft::Draft;
use super::files::{At, SCHEME};
use super::refuse::unsupported;
use super::table::Table;
use crate::assertion::{Assertion, AssertionNode, CellError, read_expected, read_file_value};

/// What a column is.
enum Column {
    Variable(String),
    Expected,
    Prefix,
    Suffix,
    Description,
    Metric,
    Threshold,
    Metadata(String),
    /// Metadata with a list of texts.
    MetadataList(String),
    /// The threshold of the n-th expectation, from 0.
    ExpectedThreshold(usize),
}

/// Reads every row of a CSV file.
pub(super) fn read_rows(
    context: &mut Context<'_>,
    cases: &mut Cases<'_>,
    path: &str,
    text: &str,
) -> Result<(), Diagnostic> {
    let mut table = Table::new(path, text)?;
    let at = At { file: path, span: bowline_prompt::Span::on_line(1, 1, 1) };
    let names = table.header().to_vec();
    let mut columns = Vec::with_capacity(names.len());
    for name in &names {
        columns.push(column(context, at, name)?);
    }
    cases.reserve(text.bytes().filter(|byte| *byte == b'\n').count());
    while let Some((span, row)) = table.next_row()? {
        if context.is_full() {
            break;
        }
        let cells: Vec<(&Column, &str)> = columns.iter().zip(row.iter()).collect();
        let mut draft = Draft::default();
        let assertions = Cells::of(&cells, &mut draft);
        draft.span = Some(span);
        let at = At { file: path, span };
        assertions.read(context, cases, at, &mut draft);
        cases.add(context, path, draft);
    }
    Ok(())
}

fn column(context: &mut Context<'_>, at: At<'_>, name: &str) -> Result<Column, Diagnostic> {
    const SPECIAL: [&str; 9] = [
        "_expected",
        "_prefix",
        "_suffix",
        "_description",
        "_providerOutput",
        "_metric",
        "_threshold",
        "_metadata",
        "_config",
    ];
    if let Some(key) = name.strip_prefix("__metadata:").filter(|key| !key.is_empty()) {
        return Ok(key
            .strip_suffix("[]")
            .map_or_else(|| Column::Metadata(key.to_owned()), |key| Column::MetadataList(key.to_owned())));
    }
    if let Some(rest) = name.strip_prefix("__config:") {
        return config_column(rest).ok_or_else(|| {
            let error = at.error("csv", format!("the column `{name}` says nothing that is known"));
            error.hint("write `__config:__expected:threshold` or `__config:__expected2:threshold`")
        });
    }
    if !name.starts_with("__") && SPECIAL.iter().any(|special| name.starts_with(special)) {
        let warning = Diagnostic::warning("csv", at.file, format!("the column `{name}` is a variable")).at(at.span);
        context.push(warning.hint(format!("did you mean `_{name}`?")));
    }
    Ok(match name {
        "__prefix" => Column::Prefix,
        "__suffix" => Column::Suffix,
        "__description" => Column::Description,
        "__metric" => Column::Metric,
        "__threshold" => Column::Threshold,
        "__metadata" => {
            let error = at.error("csv", "the column `__metadata` has no name for its metadata");
            return Err(error.hint("write `__metadata:NAME`"));
        }
        "__providerOutput" => return Err(unsupported(at, "the column `__providerOutput`")),
        name if name.starts_with("__expected") => Column::Expected,
        name => Column::Variable(name.to_owned()),
    })
}

fn config_column(rest: &str) -> Option<Column> {
    let (expected, "threshold") = rest.split_once(':')? else { return None };
    let number = expected.strip_prefix("__expected")?;
    let index = if number.is_empty() { 0 } else { number.parse::<usize>().ok()?.checked_sub(1)? };
    Some(Column::ExpectedThreshold(index))
}

/// The cells of a row that say what is expected.
#[derive(Default)]
struct Cells<'a> {
    expected: Vec<&'a str>,
    metric: Option<&'a str>,
    threshold: Option<&'a str>,
    thresholds: Vec<(usize, &'a str)>,
}

// === impl Cells ===

impl<'a> Cells<'a> {
    /// Puts what is no expectation into `draft`.
    fn of(cells: &[(&Column, &'a str)], draft: &mut Draft) -> Self {
        let mut found = Self::default();
        let text = |cell: &str| Value::String(cell.to_owned());
        for (column, cell) in cells {
            let filled = !cell.trim().is_empty();
            match column {
                Column::Variable(name) => {
                    draft.vars.insert(name.clone(), text(cell));
                }
                Column::Expected if filled => found.expected.push(cell.trim()),
                Column::Prefix if !cell.is_empty() => {
                    draft.options.insert("prefix".to_owned(), text(cell));
                }
                Column::Suffix if !cell.is_empty() => {
                    draft.options.insert("suffix".to_owned(), text(cell));
                }
                Column::Description if filled => draft.description = Some((*cell).to_owned()),
                Column::Metric if filled => found.metric = Some(cell),
                Column::Threshold if filled => found.threshold = Some(cell),
                Column::Metadata(key) if filled => {
                    // The one key that we read ourselves is a truth value.
                    let value = match (key.as_str(), *cell) {
                        ("must_pass", "true") => Value::Bool(true),
                        ("must_pass", "false") => Value::Bool(false),
                        _ => text(cell),
                    };
                    draft.metadata.insert(key.clone(), value);
                }
                Column::MetadataList(key) if filled => {
                    draft.metadata.insert(key.clone(), Value::Array(list(cell)));
                }
                Column::ExpectedThreshold(index) if filled => found.thresholds.push((*index, cell)),
                _ => {}
            }
        }
        found
    }

    fn read(self, context: &mut Context<'_>, cases: &mut Cases<'_>, at: At<'_>, draft: &mut Draft) {
        if let Some(cell) = self.threshold {
            draft.threshold = number(context, at, "__threshold", cell);
        }
        if let Some(value) = draft.metadata.get("must_pass")
            && !value.is_boolean()
        {
            context.push(at.error("type", "`__metadata:must_pass` is `true` or `false`"));
        }
        if self.expected.is_empty() {
            return;
        }
        let key = format!("{:?} {:?} {:?}", self.expected, self.metric, self.thresholds);
        let shared = cases.shared();
        let default = &shared.default.assertions;
        (draft.assertions, draft.own) = shared.pools.assertions(&key, Some(default), || self.assertions(context, at));
        draft.is_complete = true;
    }

    fn assertions(&self, context: &mut Context<'_>, at: At<'_>) -> Vec<AssertionNode> {
        let file = context.name(at.file);
        let metric: Option<Arc<str>> = self.metric.map(Arc::from);
        let mut assertions = Vec::with_capacity(self.expected.len());
        for (index, cell) in self.expected.iter().enumerate() {
            let mut expected = match read_expected(cell) {
                Ok(expected) => expected,
                Err(CellError::Refused(refusal, name)) => {
                    context.push(refusal.diagnostic(at, &name));
                    continue;
                }
                Err(CellError::Unquoted) => {
                    context.push(at.error("csv", format!("the quotes in `{cell}` do not end where an item ends")));
                    continue;
                }
            };
            if let Some((_, cell)) = self.thresholds.iter().find(|(at, _)| *at == index) {
                expected.threshold = number(context, at, "__config", cell);
            }
            if let Some(reference) = expected.value.as_str().filter(|text| text.trim().starts_with(SCHEME)) {
                let read = read_file_value(context, reference.trim(), at);
                let Some(value) = context.take(read) else { continue };
                expected.value = value;
            }
            let texts = expected.value.as_array().map_or(std::slice::from_ref(&expected.value), Vec::as_slice);
            for text in texts.iter().filter_map(Value::as_str) {
                check_template(context, at, text);
            }
            let assertion: Assertion = expected.into_assertion(Arc::clone(&file), metric.clone());
            match assertion.missing() {
                None => assertions.push(AssertionNode::One(Arc::new(assertion))),
                Some(missing) => {
                    context.push(at.error("value", format!("`{}` needs {missing}", assertion.kind.as_str())));
                }
            }
        }
        assertions
    }
}

fn number(context: &mut Context<'_>, at: At<'_>, what: &str, cell: &str) -> Option<f64> {
    let number = cell.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    if number.is_none() {
        context.push(at.error("type", format!("`{what}` is a number, not `{cell}`")));
    }
    number
}

/// Splits a list at its commas; `\,` is a comma of an item.
fn list(cell: &str) -> Vec<Value> {
    let mut items = vec![String::new()];
    let mut rest = cell.chars().peekable();
    while let Some(c) = rest.next() {
        match (c, items.last_mut()) {
            ('\\', Some(item)) if rest.next_if_eq(&',').is_some() => item.push(','),
            (',', _) | (_, None) => items.push(String::new()),
            (c, Some(item)) => item.push(c),
        }
    }
    items.into_iter().map(|item| Value::String(item.trim().to_owned())).collect()
}
