use bowline_store::{InferenceRecord, OutcomeRecord, OutcomeTarget, OutcomeValue, Result};
use bowline_types::{InferenceId, PromptName};
use rusqlite::{Connection, params};

use crate::codec::{column, execute, json, record, record_fetch, record_list, unit_kind_number, value_fetch};
use crate::error::During as _;
use crate::rollup::Rollups;

pub(super) fn inference_put(connection: &Connection, rollups: &mut Rollups, new: &InferenceRecord) -> Result<()> {
    let id = new.id.to_string();
    // A batch that is delivered again is cheap to recognise, and must not meet the outcomes that wait.
    let known: Option<i64> = value_fetch(connection, "SELECT 1 FROM inference WHERE id = ?1", params![id])?;
    if known.is_some() {
        return Ok(());
    }
    let waiting = waiting_list(connection, new)?;
    let mut inference = new.clone();
    let content = inference.content.take();
    for outcome in &waiting {
        inference.revise(outcome);
    }
    let sql = "INSERT INTO inference (id, project, environment, prompt, version, rollout, api_key, answer_id, record) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let parameters = params![
        id,
        inference.project.as_str(),
        inference.environment.as_str(),
        inference.prompt.as_ref().map(PromptName::as_str),
        inference.version.map(|version| version.to_string()),
        inference.rollout.map(|rollout| rollout.to_string()),
        inference.key.to_string(),
        inference.answer_id,
        json(&inference)?,
    ];
    execute(connection, "write an inference", sql, parameters)?;
    if let Some(content) = content {
        let sql = "INSERT INTO inference_content (inference, input, output) VALUES (?1, ?2, ?3)";
        execute(connection, "write the content of an inference", sql, params![id, content.input, content.output])?;
    }
    for outcome in &waiting {
        let sql = "UPDATE outcome SET inference = ?2 WHERE id = ?1";
        execute(connection, "apply an outcome that waited", sql, params![outcome.id.to_string(), id])?;
    }
    rollups.add(&inference);
    unit_put(connection, &inference)
}

/// Lists the outcomes that came before their inference, oldest first.
fn waiting_list(connection: &Connection, inference: &InferenceRecord) -> Result<Vec<OutcomeRecord>> {
    let key = inference.key.to_string();
    let sql = "SELECT record FROM outcome WHERE inference IS NULL AND target_inference = ?1 AND api_key = ?2";
    let mut waiting: Vec<OutcomeRecord> =
        record_list(connection, "outcome", sql, params![inference.id.to_string(), key])?;
    if let Some(answer) = &inference.answer_id {
        let sql = "SELECT record FROM outcome WHERE inference IS NULL AND api_key = ?1 AND target_answer = ?2";
        waiting.extend(record_list::<OutcomeRecord>(connection, "outcome", sql, params![key, answer])?);
    }
    waiting.sort_by_key(|outcome| (outcome.at, outcome.id));
    Ok(waiting)
}

/// Remembers the first inference of a unit in a rollout.
fn unit_put(connection: &Connection, inference: &InferenceRecord) -> Result<()> {
    let (Some(rollout), Some(_), false) = (inference.rollout, inference.arm, inference.fallback) else { return Ok(()) };
    let sql = "INSERT INTO rollout_unit (rollout, unit_kind, unit, started_at, inference, counted) \
               VALUES (?1, ?2, ?3, ?4, ?5, 0) ON CONFLICT (rollout, unit_kind, unit) DO UPDATE \
               SET started_at = excluded.started_at, inference = excluded.inference \
               WHERE counted = 0 AND (excluded.started_at, excluded.inference) < (started_at, inference)";
    let parameters = params![
        rollout.to_string(),
        unit_kind_number(inference.unit.kind),
        inference.unit.value,
        inference.started_at.as_micros(),
        inference.id.to_string(),
    ];
    execute(connection, "remember a unit", sql, parameters).map(drop)
}

pub(super) fn outcome_put(connection: &Connection, rollups: &mut Rollups, outcome: &OutcomeRecord) -> Result<()> {
    let (target_inference, target_answer) = match &outcome.target {
        OutcomeTarget::Inference(id) => (Some(id.to_string()), None),
        OutcomeTarget::Answer(answer) => (None, Some(answer)),
    };
    let key = outcome.key.to_string();
    let target: Option<InferenceRecord> = match (&target_inference, target_answer) {
        (Some(id), _) => {
            let sql = "SELECT record FROM inference WHERE id = ?1 AND api_key = ?2";
            record_fetch(connection, "inference", sql, params![id, key])?
        }
        (None, answer) => {
            let sql = "SELECT record FROM inference WHERE api_key = ?1 AND answer_id = ?2 ORDER BY id DESC LIMIT 1";
            record_fetch(connection, "inference", sql, params![key, answer])?
        }
    };
    let sql = "INSERT INTO outcome (id, api_key, inference, target_inference, target_answer, at, record) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (id) DO NOTHING";
    let parameters = params![
        outcome.id.to_string(),
        key,
        target.as_ref().map(|inference| inference.id.to_string()),
        target_inference,
        target_answer,
        outcome.at.as_micros(),
        json(outcome)?,
    ];
    let added = execute(connection, "write an outcome", sql, parameters)? > 0;
    match target {
        Some(inference) if added => revise(connection, rollups, inference, &outcome.name),
        _ => Ok(()),
    }
}

/// Gives the check of a name the result of the latest outcome that judges it, whatever the order of arrival.
fn revise(connection: &Connection, rollups: &mut Rollups, mut inference: InferenceRecord, name: &str) -> Result<()> {
    let before = inference.success();
    let Some(latest) = latest_outcome(connection, inference.id, name)? else { return Ok(()) };
    if !inference.revise(&latest) {
        return Ok(());
    }
    let sql = "UPDATE inference SET record = ?2 WHERE id = ?1";
    execute(connection, "revise an inference", sql, params![inference.id.to_string(), json(&inference)?])?;
    rollups.revise(&inference, before);
    Ok(())
}

fn latest_outcome(connection: &Connection, inference: InferenceId, name: &str) -> Result<Option<OutcomeRecord>> {
    let sql = "SELECT record FROM outcome WHERE inference = ?1 ORDER BY at DESC, id DESC";
    let mut statement = connection.prepare_cached(sql).during("prepare a query")?;
    let mut rows = statement.query(params![inference.to_string()]).during("run a query")?;
    while let Some(row) = rows.next().during("read the rows of a query")? {
        let outcome: OutcomeRecord = record("outcome", &column::<String>(row, "outcome", 0)?)?;
        if outcome.name == name && !matches!(outcome.value, OutcomeValue::Text(_)) {
            return Ok(Some(outcome));
        }
    }
    Ok(None)
}
