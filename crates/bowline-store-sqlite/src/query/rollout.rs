use bowline_store::{LIST_ROWS_MAX, LossRecord, Maturing, ObservationRecord, Result, RolloutFilter, RolloutRecord};
use bowline_types::{RolloutId, Timestamp, Unit};
use rusqlite::{Connection, params, params_from_iter};

use super::Conditions;
use super::inference::{INFERENCE, inference};
use crate::codec::{arm, column, map_rows, parse, record_fetch, record_list, unit_kind};

pub(crate) fn rollout_list(connection: &Connection, filter: &RolloutFilter) -> Result<Vec<RolloutRecord>> {
    let mut conditions = Conditions::default();
    conditions.add("project = ?", filter.project.as_ref().map(ToString::to_string));
    conditions.add("project = ?", filter.scope.as_ref().map(|scope| scope.project.to_string()));
    conditions.add("environment = ?", filter.scope.as_ref().map(|scope| scope.environment.to_string()));
    conditions.add("prompt = ?", filter.prompt.as_ref().map(ToString::to_string));
    // Spelt out, as a parameter would not match the index of active rollouts.
    conditions.add("active = 1 AND ?", filter.active.then_some(true));
    let sql =
        format!("SELECT record FROM rollout{} ORDER BY started_at DESC, id DESC LIMIT {LIST_ROWS_MAX}", conditions.sql);
    record_list(connection, "rollout", &sql, params_from_iter(conditions.parameters))
}

pub(crate) fn rollout_fetch(connection: &Connection, id: RolloutId) -> Result<Option<RolloutRecord>> {
    record_fetch(connection, "rollout", "SELECT record FROM rollout WHERE id = ?1", params![id.to_string()])
}

pub(crate) fn observation_list(
    connection: &Connection,
    rollout: RolloutId,
    from: u64,
) -> Result<Vec<ObservationRecord>> {
    const NOUN: &str = "observation";
    // No log is longer than a sequence can count.
    let from = i64::try_from(from).unwrap_or(i64::MAX);
    let sql = "SELECT sequence, assigned_at, unit_kind, unit, arm, stage, value, inference FROM observation \
               WHERE rollout = ?1 AND sequence >= ?2 ORDER BY sequence LIMIT ?3";
    map_rows(connection, sql, params![rollout.to_string(), from, LIST_ROWS_MAX], |row| {
        Ok(ObservationRecord {
            rollout,
            sequence: column(row, NOUN, 0)?,
            assigned_at: Timestamp::from_micros(column(row, NOUN, 1)?),
            unit: Unit { kind: unit_kind(NOUN, column(row, NOUN, 2)?)?, value: column(row, NOUN, 3)? },
            arm: arm(NOUN, &column::<String>(row, NOUN, 4)?)?,
            stage: column(row, NOUN, 5)?,
            value: column(row, NOUN, 6)?,
            inference: parse(NOUN, &column::<String>(row, NOUN, 7)?)?,
        })
    })
}

pub(crate) fn maturing_list(connection: &Connection, rollout: RolloutId, until: Timestamp) -> Result<Vec<Maturing>> {
    let parameters = params![rollout.to_string(), until.as_micros(), LIST_ROWS_MAX];
    map_rows(connection, &maturing_sql(), parameters, |row| Ok(Maturing { inference: inference(row)? }))
}

fn maturing_sql() -> String {
    format!(
        "{INFERENCE} JOIN rollout_unit ON rollout_unit.inference = inference.id \
         WHERE rollout_unit.rollout = ?1 AND rollout_unit.counted = 0 AND rollout_unit.started_at < ?2 \
         ORDER BY rollout_unit.started_at, rollout_unit.unit_kind, rollout_unit.unit LIMIT ?3"
    )
}

pub(crate) fn loss_list(connection: &Connection, rollout: RolloutId) -> Result<Vec<LossRecord>> {
    const NOUN: &str = "count of lost records";
    let sql = "SELECT instance, arm, total FROM loss WHERE rollout = ?1 ORDER BY instance, arm";
    map_rows(connection, sql, params![rollout.to_string()], |row| {
        Ok(LossRecord {
            instance: parse(NOUN, &column::<String>(row, NOUN, 0)?)?,
            rollout,
            arm: arm(NOUN, &column::<String>(row, NOUN, 1)?)?,
            total: column(row, NOUN, 2)?,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The control role asks every second, so the cost must be that of the rows that mature, not of all rows.
    #[test]
    fn maturing_units_come_from_their_index_in_order() {
        let mut connection = Connection::open_in_memory().unwrap();
        crate::migration::migrate(&mut connection).unwrap();
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {}", maturing_sql())).unwrap();
        let rows = statement.query_map(params!["", 0, 1], |row| row.get("detail")).unwrap();
        let plan: Vec<String> = rows.map(rusqlite::Result::unwrap).collect();
        let [unit, inference, content] = plan.as_slice() else { panic!("{plan:?}") };
        assert!(unit.starts_with("SEARCH rollout_unit USING") && unit.contains("rollout_unit_maturing"), "{plan:?}");
        assert!(inference.starts_with("SEARCH inference USING INDEX"), "{plan:?}");
        assert!(content.starts_with("SEARCH content USING INDEX"), "{plan:?}");
    }
}
