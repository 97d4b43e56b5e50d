use bowline_store::{LossRecord, ObservationRecord, Result, RolloutRecord};
use rusqlite::{Connection, params};

use crate::codec::{execute, json, unit_kind_number, value_fetch};
use crate::error::conflict;

pub(super) fn rollout_put(connection: &Connection, rollout: &RolloutRecord, expected: Option<u64>) -> Result<()> {
    let id = rollout.id.to_string();
    let found: Option<u64> = value_fetch(connection, "SELECT revision FROM rollout WHERE id = ?1", params![id])?;
    if found != expected {
        let revision = |revision: Option<u64>| revision.map_or_else(|| "none".to_owned(), |number| number.to_string());
        return conflict(format!("the revision of {id} is {}, not {}", revision(found), revision(expected)));
    }
    let project = rollout.scope.project.as_str();
    let sql = "SELECT id FROM rollout WHERE project = ?1 AND number = ?2 AND id <> ?3";
    let other: Option<String> = value_fetch(connection, sql, params![project, rollout.number, id])?;
    if let Some(other) = other {
        return conflict(format!("rollout {} of {project} is {other}", rollout.number));
    }
    let sql = "INSERT INTO rollout (id, project, environment, prompt, number, active, started_at, revision, record) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (id) DO UPDATE SET \
               project = excluded.project, environment = excluded.environment, prompt = excluded.prompt, \
               number = excluded.number, active = excluded.active, started_at = excluded.started_at, \
               revision = excluded.revision, record = excluded.record";
    let parameters = params![
        id,
        project,
        rollout.scope.environment.as_str(),
        rollout.prompt.as_str(),
        rollout.number,
        rollout.state.is_active(),
        rollout.started_at.as_micros(),
        rollout.revision,
        json(rollout)?,
    ];
    execute(connection, "write a rollout", sql, parameters).map(drop)
}

pub(super) fn observation_append(connection: &Connection, observation: &ObservationRecord) -> Result<()> {
    let rollout = observation.rollout.to_string();
    let sql = "SELECT coalesce(max(sequence) + 1, 0) FROM observation WHERE rollout = ?1";
    let next: u64 = value_fetch(connection, sql, params![rollout])?.unwrap_or(0);
    if next != observation.sequence {
        return conflict(format!("the next observation of {rollout} is {next}, not {}", observation.sequence));
    }
    let (kind, unit) = (unit_kind_number(observation.unit.kind), observation.unit.value.as_str());
    // A unit that is counted keeps its row, so that no later inference makes it mature again.
    let sql = "INSERT INTO rollout_unit (rollout, unit_kind, unit, started_at, inference, counted) \
               VALUES (?1, ?2, ?3, ?4, ?5, 1) \
               ON CONFLICT (rollout, unit_kind, unit) DO UPDATE SET counted = 1 WHERE counted = 0";
    let assigned_at = observation.assigned_at.as_micros();
    let inference = observation.inference.to_string();
    let parameters = params![rollout, kind, unit, assigned_at, inference];
    if execute(connection, "count a unit", sql, parameters)? == 0 {
        return conflict(format!("the unit {unit} is counted in {rollout}"));
    }
    let sql = "INSERT INTO observation (rollout, sequence, assigned_at, unit_kind, unit, arm, stage, value, inference) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let parameters = params![
        rollout,
        observation.sequence,
        assigned_at,
        kind,
        unit,
        observation.arm.as_str(),
        observation.stage,
        observation.value,
        inference,
    ];
    execute(connection, "append an observation", sql, parameters).map(drop)
}

pub(super) fn loss_put(connection: &Connection, loss: &LossRecord) -> Result<()> {
    let sql = "INSERT INTO loss (rollout, instance, arm, total) VALUES (?1, ?2, ?3, ?4) \
               ON CONFLICT (rollout, instance, arm) DO UPDATE SET total = max(total, excluded.total)";
    let parameters = params![loss.rollout.to_string(), loss.instance.to_string(), loss.arm.as_str(), loss.total];
    execute(connection, "count lost records", sql, parameters).map(drop)
}
