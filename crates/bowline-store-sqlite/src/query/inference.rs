use bowline_store::{Content, InferenceFilter, InferenceRecord, LIST_ROWS_MAX, OutcomeRecord, Result};
use bowline_types::{InferenceId, KeyId};
use rusqlite::{Connection, Params, Row, params, params_from_iter};

use super::Conditions;
use crate::codec::{column, map_rows, record, record_list};

/// The columns that [`inference`] reads.
pub(super) const INFERENCE: &str = "SELECT inference.record, content.input, content.output FROM inference \
     LEFT JOIN inference_content AS content ON content.inference = inference.id";

/// Returns the inference of a row, with its content.
pub(super) fn inference(row: &Row<'_>) -> Result<InferenceRecord> {
    const NOUN: &str = "inference";
    let record: InferenceRecord = record(NOUN, &column::<String>(row, NOUN, 0)?)?;
    let input: Option<String> = column(row, NOUN, 1)?;
    let output: Option<String> = column(row, NOUN, 2)?;
    let content = input.zip(output).map(|(input, output)| Content { input, output });
    Ok(InferenceRecord { content, ..record })
}

fn fetch(connection: &Connection, conditions: &str, parameters: impl Params) -> Result<Option<InferenceRecord>> {
    map_rows(connection, &format!("{INFERENCE} {conditions}"), parameters, inference).map(|mut rows| rows.pop())
}

pub(crate) fn inference_fetch(connection: &Connection, id: InferenceId) -> Result<Option<InferenceRecord>> {
    fetch(connection, "WHERE inference.id = ?1", params![id.to_string()])
}

pub(crate) fn inference_by_answer(
    connection: &Connection,
    key: KeyId,
    answer_id: &str,
) -> Result<Option<InferenceRecord>> {
    let newest = "WHERE inference.api_key = ?1 AND inference.answer_id = ?2 ORDER BY inference.id DESC LIMIT 1";
    fetch(connection, newest, params![key.to_string(), answer_id])
}

pub(crate) fn inference_list(connection: &Connection, filter: &InferenceFilter) -> Result<Vec<InferenceRecord>> {
    let mut conditions = Conditions::default();
    conditions.add("inference.project = ?", filter.project.as_ref().map(ToString::to_string));
    conditions.add("inference.environment = ?", filter.environment.as_ref().map(ToString::to_string));
    conditions.add("inference.prompt = ?", filter.prompt.as_ref().map(ToString::to_string));
    conditions.add("inference.version = ?", filter.version.map(|version| version.to_string()));
    conditions.add("inference.rollout = ?", filter.rollout.map(|rollout| rollout.to_string()));
    conditions.add("inference.id < ?", filter.before.map(|id| id.to_string()));
    conditions.add("inference.id > ?", filter.after.map(|id| id.to_string()));
    let order = if filter.after.is_some() { "ASC" } else { "DESC" };
    let rows = filter.limit.min(LIST_ROWS_MAX);
    let sql = format!("{INFERENCE}{} ORDER BY inference.id {order} LIMIT {rows}", conditions.sql);
    map_rows(connection, &sql, params_from_iter(conditions.parameters), inference)
}

pub(crate) fn outcome_list(connection: &Connection, inference: InferenceId) -> Result<Vec<OutcomeRecord>> {
    let sql = "SELECT record FROM outcome WHERE inference = ?1 ORDER BY at, id";
    record_list(connection, "outcome", sql, params![inference.to_string()])
}
