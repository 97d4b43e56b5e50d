//! Environments that are there for a time only, such as that of a pull request.
//!
//! They stand in the store and not in the project file: [`overlay`] adds them to what the file declares, wherever that is read.

use std::time::Duration;

use bowline_prompt::{EnvironmentSource, Project, ReleasePolicy, RolloutPolicy};
use bowline_store::{EnvironmentRecord, LogAction, LogRow, PointerRecord, Temporary, Write};
use bowline_types::{EnvironmentName, Scope, Timestamp};

use crate::environment::EnvironmentState;
use crate::error::{Error, Result};
use crate::rollout::{Conclusion, End, conclude};

/// The shortest and the longest life of such an environment.
const TTL: std::ops::RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(90 * 86_400);
/// How many a project may have at once.
const COUNT_MAX: usize = 100;

/// A wish for a temporary environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEnvironment {
    /// Its name.
    pub name: EnvironmentName,
    /// How long it is there.
    pub ttl: Duration,
    /// Who asks.
    pub actor: String,
}

/// Adds the temporary environments of a project to what its file declares, which goes first where both have a name.
///
/// Such an environment reaches providers as the one that it came from does. It takes releases of the command line, at once and without a policy:
/// what is tried there is not released yet.
pub fn overlay(project: &mut Project, records: &[EnvironmentRecord]) {
    for record in records {
        let Some(temporary) = &record.temporary else { continue };
        let name = &record.scope.environment;
        if project.environments.contains_key(name) {
            continue;
        }
        let mut environment = project.environments.get(&temporary.from).cloned().unwrap_or_default();
        environment.source = Some(EnvironmentSource::Cli);
        environment.protected = false;
        // A guarded change would wait for traffic that a pull request does not have.
        environment.rollout = RolloutPolicy::Direct;
        environment.policy = ReleasePolicy::default();
        project.environments.insert(name.clone(), environment);
    }
}

/// Returns when the first of the temporary environments is to be removed.
#[must_use]
pub fn next_expiry(records: &[EnvironmentRecord]) -> Option<Timestamp> {
    records.iter().filter_map(|record| Some(record.temporary.as_ref()?.expires_at)).min()
}

/// Returns the writes that make a temporary environment, with the versions that are live in `from` and without its rollouts.
///
/// `declared` is the project with all environments it has now, `records` those that the store knows.
///
/// # Errors
/// Refuses a name that is taken, a life that is too short or too long, and one environment too many.
pub fn create(
    from: &EnvironmentState,
    request: &NewEnvironment,
    declared: &Project,
    records: &[EnvironmentRecord],
    at: Timestamp,
) -> Result<Vec<Write>> {
    let environment = request.name.clone();
    if declared.environments.contains_key(&environment) {
        return Err(Error::EnvironmentExists { environment });
    }
    if !TTL.contains(&request.ttl) {
        return Err(Error::TtlInvalid { environment });
    }
    if records.iter().filter(|record| record.temporary.is_some()).count() >= COUNT_MAX {
        return Err(Error::EnvironmentsTooMany { most: COUNT_MAX });
    }
    let scope = Scope { project: from.scope.project.clone(), environment };
    let origin = from.scope.environment.clone();
    let expires_at = at.after(request.ttl);
    // One that was made from another temporary one outlives it, so that both take their settings from what is declared.
    let root = from.temporary.as_ref().map_or_else(|| origin.clone(), |temporary| temporary.from.clone());
    let temporary = Temporary { from: root, actor: request.actor.clone(), created_at: at, expires_at };
    let record = EnvironmentRecord { scope: scope.clone(), freeze: None, temporary: Some(temporary), fence: None };
    let why = format!("made from {origin}, until {expires_at}");
    let made = row(&scope, LogAction::Created, &request.actor, why, at);
    let mut writes = vec![Write::EnvironmentPut(record), Write::LogAppend(made)];
    for pointer in from.pointers.values() {
        let copy = PointerRecord { scope: scope.clone(), moved_at: at, ..pointer.clone() };
        let moved = row(&scope, LogAction::Moved, &request.actor, format!("as in {origin}"), at);
        let moved = LogRow { prompt: Some(pointer.prompt.clone()), to: Some(pointer.version), ..moved };
        writes.extend([Write::PointerPut { pointer: copy, expected: None }, Write::LogAppend(moved)]);
    }
    Ok(writes)
}

/// Returns the writes that remove a temporary environment: its rollouts end, its pointers and quarantines go; its log stays.
///
/// # Errors
/// Refuses an environment that the project file declares.
pub fn remove(state: &EnvironmentState, actor: &str, why: &str, at: Timestamp) -> Result<Vec<Write>> {
    let scope = state.scope.clone();
    if state.temporary.is_none() {
        return Err(Error::NotTemporary { environment: scope.environment });
    }
    let mut writes = Vec::new();
    for rollout in state.rollouts.values() {
        let conclusion =
            Conclusion { end: End::Superseded, actor: actor.to_owned(), why: why.to_owned(), evidence: None, at };
        writes.extend(conclude(rollout, conclusion)?);
    }
    for pointer in state.pointers.values() {
        let (prompt, expected) = (pointer.prompt.clone(), pointer.version);
        writes.push(Write::PointerRemove { scope: scope.clone(), prompt, expected });
    }
    for record in &state.quarantine {
        let (prompt, version) = (record.prompt.clone(), record.version);
        writes.push(Write::QuarantineRemove { scope: scope.clone(), prompt, version });
    }
    let gone = EnvironmentRecord { scope: scope.clone(), freeze: None, temporary: None, fence: None };
    writes.push(Write::EnvironmentPut(gone));
    writes.push(Write::LogAppend(row(&scope, LogAction::Removed, actor, why.to_owned(), at)));
    Ok(writes)
}

fn row(scope: &Scope, action: LogAction, actor: &str, why: String, at: Timestamp) -> LogRow {
    LogRow {
        sequence: 0,
        scope: scope.clone(),
        prompt: None,
        at,
        actor: actor.to_owned(),
        action,
        from: None,
        to: None,
        rollout: None,
        commit: None,
        why,
        evidence: None,
    }
}

#[cfg(test)]
mod tests {
    use bowline_store::RolloutState;

    use super::*;
    use crate::testing::{at, empty, told};

    const DAY: Duration = Duration::from_secs(86_400);

    fn declared() -> Project {
        let text = "project: shop\nproviders: { o: { kind: openai } }\nenvironments:\n  staging: { protected: true, source: bundle, rollout: {}, providers: { o: { api_key: env:STAGING } } }\n";
        Project::parse("bowline.yaml", text).unwrap()
    }

    fn request(name: &str, ttl: Duration) -> NewEnvironment {
        NewEnvironment { name: name.parse().unwrap(), ttl, actor: "ci".to_owned() }
    }

    fn record(name: &str, ttl: Duration) -> EnvironmentRecord {
        let scope = Scope { environment: name.parse().unwrap(), ..empty().scope };
        let from = "staging".parse().unwrap();
        let temporary = Temporary { from, actor: "ci".to_owned(), created_at: at(0), expires_at: at(0).after(ttl) };
        EnvironmentRecord { scope, freeze: None, temporary: Some(temporary), fence: None }
    }

    #[test]
    fn it_begins_with_what_is_live_and_ends_without_a_trace_but_the_log() {
        let from = empty().live("a").trying("b", RolloutState::Running);
        let made = create(&from, &request("pr-1", DAY), &declared(), &[], at(0)).unwrap();
        let origin = &from.scope.environment;
        let expected = [
            "environment open".to_owned(),
            format!("log Created ->- by ci: made from {origin}, until {}", at(86_400)),
            "pointer ->a".to_owned(),
            format!("log Moved ->a by ci: as in {origin}"),
        ];
        assert_eq!(told(&made), expected);

        let temporary = record("pr-1", DAY).temporary;
        let state = EnvironmentState { temporary, ..from.quarantining("c") };
        let removed = remove(&state, "bowline", "its time is over", at(60)).unwrap();
        let expected = [
            "rollout 6 superseded stage 0 revision 3>4",
            "log Superseded b>a by bowline: its time is over",
            "pointer removed a",
            "quarantine lifted c",
            "environment open",
            "log Removed ->- by bowline: its time is over",
        ];
        assert_eq!(told(&removed), expected);
        assert!(matches!(remove(&empty(), "ci", "", at(0)), Err(Error::NotTemporary { .. })));
    }

    #[test]
    fn one_from_a_temporary_one_has_the_settings_of_what_is_declared() {
        let temporary = record("pr-1", DAY).temporary;
        let from = EnvironmentState { temporary, ..empty().live("a") };
        let made = create(&from, &request("a-copy", DAY), &declared(), &[], at(0)).unwrap();
        let Some(Write::EnvironmentPut(copy)) = made.first() else { panic!("{made:?}") };
        assert_eq!(copy.temporary.as_ref().unwrap().from.as_str(), "staging");
        let mut project = declared();
        overlay(&mut project, &[copy.clone(), record("pr-1", DAY)]);
        assert_eq!(project.environments[&copy.scope.environment].providers.len(), 1);
    }

    #[test]
    fn its_settings_are_those_of_the_one_it_came_from() {
        let mut project = declared();
        let name = |text: &str| text.parse::<EnvironmentName>().unwrap();
        overlay(&mut project, &[record("pr-1", DAY), record("dev", DAY), record("pr-2", DAY * 2)]);
        let found = &project.environments[&name("pr-1")];
        assert_eq!(found.providers, project.environments[&name("staging")].providers);
        assert_eq!(found.providers.len(), 1);
        let rest = (found.source, found.protected, &found.rollout);
        assert_eq!(rest, (Some(EnvironmentSource::Cli), false, &RolloutPolicy::Direct));
        assert_eq!(project.environments[&name("dev")], declared().environments[&name("dev")]);
        assert_eq!(next_expiry(&[record("pr-2", DAY * 2), record("pr-1", DAY)]), Some(at(86_400)));
        assert_eq!(next_expiry(&[]), None);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let check = |name: &str, ttl, records: &[EnvironmentRecord], expected: &str| {
            let error = create(&empty(), &request(name, ttl), &declared(), records, at(0)).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("\nhint: "), "{error}");
        };
        check("staging", DAY, &[], "`staging` is there already");
        check("pr-1", Duration::from_secs(59), &[], "60 seconds");
        check("pr-1", DAY * 91, &[], "90 days");
        let many: Vec<_> = (0..COUNT_MAX).map(|number| record(&format!("pr-{number}"), DAY)).collect();
        check("pr-new", DAY, &many, "100 temporary environments");
    }
}
