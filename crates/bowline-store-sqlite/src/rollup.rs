//! Sums of inferences per minute, written with the rows they sum.

use std::collections::BTreeMap;

use bowline_store::{InferenceRecord, Result};
use bowline_types::{Arm, CheckResult, Digest, PromptName, RolloutId, Scope, Usd};
use rusqlite::{Connection, params};

use crate::codec::{execute, minute, optional_text, parse, value_fetch};

/// The changes that one commit makes to the sums, so that each row is read and written once per commit.
#[derive(Debug, Default)]
pub(crate) struct Rollups(BTreeMap<Group, Change>);

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    scope: Scope,
    minute: i64,
    prompt: Option<PromptName>,
    version: Option<Digest>,
    rollout: Option<RolloutId>,
    arm: Option<Arm>,
}

#[derive(Debug, Default)]
struct Change {
    inferences: i64,
    pass: i64,
    fail: i64,
    unknown: i64,
    errors: i64,
    input_tokens: i64,
    output_tokens: i64,
    cost: Usd,
    unpriced: i64,
    duration_us: i64,
}

// === impl Rollups ===

impl Rollups {
    /// Counts a new inference.
    pub(crate) fn add(&mut self, inference: &InferenceRecord) {
        let change = self.0.entry(group(inference)).or_default();
        change.inferences += 1;
        *change.count(inference.success()) += 1;
        change.errors += i64::from(inference.error.is_some());
        change.input_tokens = change.input_tokens.saturating_add(signed(inference.usage.input.unwrap_or(0)));
        change.output_tokens = change.output_tokens.saturating_add(signed(inference.usage.output.unwrap_or(0)));
        match inference.cost {
            Some(cost) => change.cost += cost,
            None => change.unpriced += 1,
        }
        change.duration_us = change.duration_us.saturating_add(signed(inference.duration_us));
    }

    /// Moves an inference that was counted from one result to the one it has now.
    pub(crate) fn revise(&mut self, inference: &InferenceRecord, before: CheckResult) {
        let change = self.0.entry(group(inference)).or_default();
        *change.count(before) -= 1;
        *change.count(inference.success()) += 1;
    }

    /// Writes the changes.
    pub(crate) fn write(self, connection: &Connection) -> Result<()> {
        self.0.into_iter().try_for_each(|(group, change)| write_group(connection, &group, &change))
    }
}

// === impl Change ===

impl Change {
    fn count(&mut self, result: CheckResult) -> &mut i64 {
        match result {
            CheckResult::Pass => &mut self.pass,
            CheckResult::Fail => &mut self.fail,
            CheckResult::Unknown => &mut self.unknown,
        }
    }
}

fn group(inference: &InferenceRecord) -> Group {
    Group {
        scope: Scope { project: inference.project.clone(), environment: inference.environment.clone() },
        minute: minute(inference.started_at),
        prompt: inference.prompt.clone(),
        version: inference.version,
        rollout: inference.rollout,
        arm: inference.arm,
    }
}

/// The most that one record adds to a sum, whatever a provider says of itself: millions of records of one minute fit beside each other.
const ADDED_MAX: u64 = 1 << 40;

/// Returns what a record adds to a sum. A sum that overflowed would refuse its record, and whoever delivers it would try again for ever.
fn signed(count: u64) -> i64 {
    i64::try_from(count.min(ADDED_MAX)).unwrap_or(i64::MAX)
}

fn write_group(connection: &Connection, group: &Group, change: &Change) -> Result<()> {
    let (project, environment) = (group.scope.project.as_str(), group.scope.environment.as_str());
    let prompt = group.prompt.as_ref().map_or("", PromptName::as_str);
    let (version, rollout) = (optional_text(group.version.as_ref()), optional_text(group.rollout.as_ref()));
    let arm = group.arm.map_or("", Arm::as_str);
    let before: Option<String> = value_fetch(
        connection,
        "SELECT cost FROM rollup WHERE project = ?1 AND environment = ?2 AND minute = ?3 AND prompt = ?4 AND version = ?5 \
         AND rollout = ?6 AND arm = ?7",
        params![project, environment, group.minute, prompt, version, rollout, arm],
    )?;
    let before = before.map_or(Ok(Usd::ZERO), |text| parse("rollup", &text))?;
    execute(
        connection,
        "write a rollup",
        "INSERT INTO rollup (project, environment, minute, prompt, version, rollout, arm, inferences, pass, fail, unknown, \
         errors, input_tokens, output_tokens, cost, unpriced, duration_us) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17) \
         ON CONFLICT (project, environment, minute, prompt, version, rollout, arm) DO UPDATE SET \
         inferences = inferences + excluded.inferences, pass = pass + excluded.pass, fail = fail + excluded.fail, \
         unknown = unknown + excluded.unknown, errors = errors + excluded.errors, \
         input_tokens = input_tokens + excluded.input_tokens, output_tokens = output_tokens + excluded.output_tokens, \
         cost = excluded.cost, unpriced = unpriced + excluded.unpriced, duration_us = duration_us + excluded.duration_us",
        params![
            project,
            environment,
            group.minute,
            prompt,
            version,
            rollout,
            arm,
            change.inferences,
            change.pass,
            change.fail,
            change.unknown,
            change.errors,
            change.input_tokens,
            change.output_tokens,
            (before + change.cost).to_string(),
            change.unpriced,
            change.duration_us,
        ],
    )?;
    Ok(())
}
