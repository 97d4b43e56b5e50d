use bowline_store::{
    EnvironmentRecord, KeyRecord, LogRow, PointerRecord, ProjectRecord, QuarantineRecord, RegistrationRecord, Result,
    VersionRecord,
};
use bowline_types::{Digest, KeyId, PromptName, Scope, Timestamp};
use rusqlite::{Connection, params};

use crate::codec::{execute, json, parse, record_fetch, value_fetch};
use crate::error::conflict;

pub(super) fn project_put(connection: &Connection, project: &ProjectRecord) -> Result<()> {
    let sql = "INSERT INTO project (project, record) VALUES (?1, ?2) \
               ON CONFLICT (project) DO UPDATE SET record = excluded.record";
    execute(connection, "write a project", sql, params![project.project.as_str(), json(project)?]).map(drop)
}

pub(super) fn version_put(connection: &Connection, version: &VersionRecord) -> Result<()> {
    let sql = "INSERT INTO version (digest, record) VALUES (?1, ?2) ON CONFLICT (digest) DO NOTHING";
    execute(connection, "write a version", sql, params![version.digest.to_string(), json(version)?]).map(drop)
}

pub(super) fn registration_put(connection: &Connection, registration: &RegistrationRecord) -> Result<()> {
    let sql = "INSERT INTO registration (project, prompt, version, commit_id, at, record) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
               ON CONFLICT (project, prompt, version, commit_id) DO NOTHING";
    let parameters = params![
        registration.project.as_str(),
        registration.prompt.as_str(),
        registration.version.to_string(),
        registration.provenance.commit.as_deref().unwrap_or(""),
        registration.at.as_micros(),
        json(registration)?,
    ];
    execute(connection, "write a registration", sql, parameters).map(drop)
}

pub(super) fn environment_put(connection: &Connection, environment: &EnvironmentRecord) -> Result<()> {
    let sql = "INSERT INTO environment (project, environment, record) VALUES (?1, ?2, ?3) \
               ON CONFLICT (project, environment) DO UPDATE SET record = excluded.record";
    let scope = &environment.scope;
    let parameters = params![scope.project.as_str(), scope.environment.as_str(), json(environment)?];
    execute(connection, "write an environment", sql, parameters).map(drop)
}

pub(super) fn pointer_put(connection: &Connection, pointer: &PointerRecord, expected: Option<Digest>) -> Result<()> {
    pointer_expect(connection, &pointer.scope, &pointer.prompt, expected)?;
    let sql = "INSERT INTO pointer (project, environment, prompt, version, record) VALUES (?1, ?2, ?3, ?4, ?5) \
               ON CONFLICT (project, environment, prompt) DO UPDATE SET version = excluded.version, record = excluded.record";
    let parameters = params![
        pointer.scope.project.as_str(),
        pointer.scope.environment.as_str(),
        pointer.prompt.as_str(),
        pointer.version.to_string(),
        json(pointer)?,
    ];
    execute(connection, "move a pointer", sql, parameters).map(drop)
}

pub(super) fn pointer_remove(
    connection: &Connection,
    scope: &Scope,
    prompt: &PromptName,
    expected: Digest,
) -> Result<()> {
    pointer_expect(connection, scope, prompt, Some(expected))?;
    let sql = "DELETE FROM pointer WHERE project = ?1 AND environment = ?2 AND prompt = ?3";
    let parameters = params![scope.project.as_str(), scope.environment.as_str(), prompt.as_str()];
    execute(connection, "remove a pointer", sql, parameters).map(drop)
}

fn pointer_expect(connection: &Connection, scope: &Scope, prompt: &PromptName, expected: Option<Digest>) -> Result<()> {
    let sql = "SELECT version FROM pointer WHERE project = ?1 AND environment = ?2 AND prompt = ?3";
    let parameters = params![scope.project.as_str(), scope.environment.as_str(), prompt.as_str()];
    let found: Option<String> = value_fetch(connection, sql, parameters)?;
    let found = found.map(|text| parse::<Digest>("pointer", &text)).transpose()?;
    if found == expected {
        return Ok(());
    }
    let place = |version: Option<Digest>| version.map_or_else(|| "nowhere".to_owned(), |version| version.to_string());
    conflict(format!("the pointer of {prompt} in {scope} is at {}, not at {}", place(found), place(expected)))
}

pub(super) fn log_append(connection: &Connection, row: &LogRow) -> Result<()> {
    let sql = "INSERT INTO pointer_log (project, environment, prompt, record) VALUES (?1, ?2, ?3, ?4)";
    let parameters = params![
        row.scope.project.as_str(),
        row.scope.environment.as_str(),
        row.prompt.as_ref().map(PromptName::as_str),
        json(row)?,
    ];
    execute(connection, "append to the pointer log", sql, parameters).map(drop)
}

pub(super) fn quarantine_put(connection: &Connection, quarantine: &QuarantineRecord) -> Result<()> {
    let sql = "INSERT INTO quarantine (project, environment, prompt, version, record) VALUES (?1, ?2, ?3, ?4, ?5) \
               ON CONFLICT (project, environment, prompt, version) DO UPDATE SET record = excluded.record";
    let parameters = params![
        quarantine.scope.project.as_str(),
        quarantine.scope.environment.as_str(),
        quarantine.prompt.as_str(),
        quarantine.version.to_string(),
        json(quarantine)?,
    ];
    execute(connection, "quarantine a version", sql, parameters).map(drop)
}

pub(super) fn quarantine_remove(
    connection: &Connection,
    scope: &Scope,
    prompt: &PromptName,
    version: Digest,
) -> Result<()> {
    let sql = "DELETE FROM quarantine WHERE project = ?1 AND environment = ?2 AND prompt = ?3 AND version = ?4";
    let parameters = params![scope.project.as_str(), scope.environment.as_str(), prompt.as_str(), version.to_string()];
    execute(connection, "lift a quarantine", sql, parameters).map(drop)
}

pub(super) fn key_put(connection: &Connection, key: &KeyRecord) -> Result<()> {
    let sql = "INSERT INTO api_key (id, hash, project, created_at, record) VALUES (?1, ?2, ?3, ?4, ?5) \
               ON CONFLICT DO NOTHING";
    let parameters =
        params![key.id.to_string(), json(&key.hash)?, key.project.as_str(), key.created_at.as_micros(), json(key)?,];
    match execute(connection, "write a key", sql, parameters)? {
        0 => conflict(format!("the key {} or its hash exists", key.id)),
        _ => Ok(()),
    }
}

pub(super) fn key_revoke(connection: &Connection, id: KeyId, at: Timestamp) -> Result<()> {
    let found = record_fetch(connection, "key", "SELECT record FROM api_key WHERE id = ?1", params![id.to_string()])?;
    let Some(mut key): Option<KeyRecord> = found else { return conflict(format!("there is no key {id}")) };
    if key.revoked_at.is_some() {
        return Ok(());
    }
    key.revoked_at = Some(at);
    let sql = "UPDATE api_key SET record = ?2 WHERE id = ?1";
    execute(connection, "revoke a key", sql, params![id.to_string(), json(&key)?]).map(drop)
}
