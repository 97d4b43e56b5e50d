use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use bowline_store::{Result, SummaryFilter, SummaryRow};
use bowline_types::{Arm, Digest, PromptName, RolloutId};
use rusqlite::{Connection, Row, params_from_iter};

use super::Conditions;
use crate::codec::{arm, column, map_rows, minute, parse, parse_optional};

const NOUN: &str = "rollup";

type Group = (Option<PromptName>, Option<Digest>, Option<RolloutId>, Option<Arm>);

pub(crate) fn summary_list(connection: &Connection, filter: &SummaryFilter) -> Result<Vec<SummaryRow>> {
    let mut conditions = Conditions::default();
    conditions.add("project = ?", Some(filter.scope.project.to_string()));
    conditions.add("environment = ?", Some(filter.scope.environment.to_string()));
    conditions.add("prompt = ?", filter.prompt.as_ref().map(ToString::to_string));
    conditions.add("rollout <> '' AND rollout = ?", filter.rollout.map(|rollout| rollout.to_string()));
    conditions.add("minute >= ?", filter.since.map(minute));
    let sql = format!(
        "SELECT prompt, version, rollout, arm, inferences, pass, fail, unknown, errors, input_tokens, output_tokens, cost, \
         unpriced, duration_us FROM rollup{}",
        conditions.sql
    );
    let mut groups: BTreeMap<Group, SummaryRow> = BTreeMap::new();
    for minute in map_rows(connection, &sql, params_from_iter(conditions.parameters), summary)? {
        match groups.entry((minute.prompt.clone(), minute.version, minute.rollout, minute.arm)) {
            Entry::Vacant(group) => drop(group.insert(minute)),
            Entry::Occupied(mut group) => add(group.get_mut(), &minute),
        }
    }
    Ok(groups.into_values().collect())
}

fn summary(row: &Row<'_>) -> Result<SummaryRow> {
    let text = |index| column::<String>(row, NOUN, index);
    let word = text(3)?;
    Ok(SummaryRow {
        prompt: parse_optional(NOUN, &text(0)?)?,
        version: parse_optional(NOUN, &text(1)?)?,
        rollout: parse_optional(NOUN, &text(2)?)?,
        arm: if word.is_empty() { None } else { Some(arm(NOUN, &word)?) },
        inferences: column(row, NOUN, 4)?,
        pass: column(row, NOUN, 5)?,
        fail: column(row, NOUN, 6)?,
        unknown: column(row, NOUN, 7)?,
        errors: column(row, NOUN, 8)?,
        input_tokens: column(row, NOUN, 9)?,
        output_tokens: column(row, NOUN, 10)?,
        cost: parse(NOUN, &text(11)?)?,
        unpriced: column(row, NOUN, 12)?,
        duration_us: column(row, NOUN, 13)?,
    })
}

fn add(sum: &mut SummaryRow, minute: &SummaryRow) {
    sum.inferences += minute.inferences;
    sum.pass += minute.pass;
    sum.fail += minute.fail;
    sum.unknown += minute.unknown;
    sum.errors += minute.errors;
    sum.input_tokens = sum.input_tokens.saturating_add(minute.input_tokens);
    sum.output_tokens = sum.output_tokens.saturating_add(minute.output_tokens);
    sum.cost += minute.cost;
    sum.unpriced += minute.unpriced;
    sum.duration_us = sum.duration_us.saturating_add(minute.duration_us);
}
