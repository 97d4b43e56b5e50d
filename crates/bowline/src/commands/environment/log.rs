use bowline_server::wire::LogPage;
use bowline_store::{LogAction, LogRow};
use bowline_types::Digest;

use crate::cli::{EnvironmentLog, Global};
use crate::commands::connected;
use crate::failure::Result;
use crate::output::{Format, Table, json};
use crate::wording::moment;

/// Prints the pointer log, oldest first, so that the newest row stands where the eye is.
///
/// # Errors
/// There is no such environment.
pub(crate) async fn run(global: &Global, log: &EnvironmentLog) -> Result<()> {
    let EnvironmentLog { env, prompt, limit } = log;
    let prompt_query = prompt.as_ref().map_or_else(String::new, |prompt| format!("&prompt={prompt}"));
    let page = connected(global, async |connection| {
        let path = format!("/environments/{env}/log?limit={limit}{prompt_query}");
        Ok(connection.client.get::<LogPage>(&path).await?)
    });
    let LogPage { mut rows } = page.await?;
    rows.reverse();
    if global.output == Format::Json {
        return json(&rows);
    }
    if prompt.is_some() {
        let mut table = Table::new(&["when (UTC)", "by", "from", "to", "why"]);
        rows.iter().for_each(|row| table.row(cells(row)));
        table.print(&format!("nothing has moved in {env}"));
    } else {
        let mut table = Table::new(&["when (UTC)", "prompt", "by", "from", "to", "why"]);
        for row in &rows {
            let [when, rest @ ..] = cells(row);
            let [by, from, to, why] = rest;
            let prompt = row.prompt.as_ref().map_or_else(|| "–".to_owned(), ToString::to_string);
            table.row([when, prompt, by, from, to, why]);
        }
        table.print(&format!("nothing has moved in {env}"));
    }
    Ok(())
}

fn cells(row: &LogRow) -> [String; 5] {
    let version = |version: Option<Digest>| version.map_or_else(|| "–".to_owned(), |version| version.short());
    let commit = row.commit.as_deref().and_then(|commit| commit.get(..7));
    let by = commit.map_or_else(|| row.actor.clone(), |commit| format!("{} ({commit})", row.actor));
    let why = match row.action {
        LogAction::Frozen => format!("frozen: {}", row.why),
        LogAction::Unfrozen => format!("freeze lifted: {}", row.why),
        LogAction::Removed => format!("removed: {}", row.why),
        _ => row.why.clone(),
    };
    [moment(row.at), by, version(row.from), version(row.to), why]
}
