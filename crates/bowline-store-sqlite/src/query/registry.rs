use bowline_store::{
    EnvironmentRecord, KeyRecord, LIST_ROWS_MAX, LogFilter, LogRow, PointerRecord, ProjectRecord, QuarantineRecord,
    RegistrationRecord, Result, VersionRecord,
};
use bowline_types::{ApiKeyHash, Digest, ProjectName, PromptName, Scope};
use rusqlite::{Connection, params};

use crate::codec::{column, json, map_rows, record, record_fetch, record_list};

pub(crate) fn project_list(connection: &Connection) -> Result<Vec<ProjectRecord>> {
    record_list(connection, "project", "SELECT record FROM project ORDER BY project", [])
}

pub(crate) fn project_fetch(connection: &Connection, project: &ProjectName) -> Result<Option<ProjectRecord>> {
    let sql = "SELECT record FROM project WHERE project = ?1";
    record_fetch(connection, "project", sql, params![project.as_str()])
}

pub(crate) fn version_fetch(connection: &Connection, digest: Digest) -> Result<Option<VersionRecord>> {
    let sql = "SELECT record FROM version WHERE digest = ?1";
    record_fetch(connection, "version", sql, params![digest.to_string()])
}

pub(crate) fn registration_list(
    connection: &Connection,
    project: &ProjectName,
    prompt: &PromptName,
) -> Result<Vec<RegistrationRecord>> {
    let sql = "SELECT record FROM registration WHERE project = ?1 AND prompt = ?2 ORDER BY at DESC, id DESC LIMIT ?3";
    record_list(connection, "registration", sql, params![project.as_str(), prompt.as_str(), LIST_ROWS_MAX])
}

pub(crate) fn environment_list(connection: &Connection, project: &ProjectName) -> Result<Vec<EnvironmentRecord>> {
    let sql = "SELECT record FROM environment WHERE project = ?1 ORDER BY environment";
    record_list(connection, "environment", sql, params![project.as_str()])
}

pub(crate) fn environment_fetch(connection: &Connection, scope: &Scope) -> Result<Option<EnvironmentRecord>> {
    let sql = "SELECT record FROM environment WHERE project = ?1 AND environment = ?2";
    record_fetch(connection, "environment", sql, params![scope.project.as_str(), scope.environment.as_str()])
}

pub(crate) fn pointer_list(connection: &Connection, project: &ProjectName) -> Result<Vec<PointerRecord>> {
    let sql = "SELECT record FROM pointer WHERE project = ?1 ORDER BY environment, prompt";
    record_list(connection, "pointer", sql, params![project.as_str()])
}

pub(crate) fn pointer_fetch(
    connection: &Connection,
    scope: &Scope,
    prompt: &PromptName,
) -> Result<Option<PointerRecord>> {
    let sql = "SELECT record FROM pointer WHERE project = ?1 AND environment = ?2 AND prompt = ?3";
    let parameters = params![scope.project.as_str(), scope.environment.as_str(), prompt.as_str()];
    record_fetch(connection, "pointer", sql, parameters)
}

pub(crate) fn log_list(connection: &Connection, filter: &LogFilter) -> Result<Vec<LogRow>> {
    let sql = "SELECT record, sequence FROM pointer_log WHERE project = ?1 AND environment = ?2 \
               AND (?3 IS NULL OR prompt IS NULL OR prompt = ?3) AND sequence < ?4 ORDER BY sequence DESC LIMIT ?5";
    let parameters = params![
        filter.scope.project.as_str(),
        filter.scope.environment.as_str(),
        filter.prompt.as_ref().map(PromptName::as_str),
        filter.before.and_then(|sequence| i64::try_from(sequence).ok()).unwrap_or(i64::MAX),
        filter.limit.min(LIST_ROWS_MAX),
    ];
    map_rows(connection, sql, parameters, |row| {
        let noun = "row of the pointer log";
        Ok(LogRow { sequence: column(row, noun, 1)?, ..record(noun, &column::<String>(row, noun, 0)?)? })
    })
}

pub(crate) fn quarantine_list(connection: &Connection, project: &ProjectName) -> Result<Vec<QuarantineRecord>> {
    let sql = "SELECT record FROM quarantine WHERE project = ?1 ORDER BY environment, prompt, version";
    record_list(connection, "quarantine", sql, params![project.as_str()])
}

pub(crate) fn key_list(connection: &Connection, project: &ProjectName) -> Result<Vec<KeyRecord>> {
    let sql = "SELECT record FROM api_key WHERE project = ?1 ORDER BY created_at, id";
    record_list(connection, "key", sql, params![project.as_str()])
}

pub(crate) fn key_fetch(connection: &Connection, hash: ApiKeyHash) -> Result<Option<KeyRecord>> {
    record_fetch(connection, "key", "SELECT record FROM api_key WHERE hash = ?1", params![json(&hash)?])
}
