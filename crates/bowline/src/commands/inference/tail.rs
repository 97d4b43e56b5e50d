use std::collections::BTreeSet;
use std::time::Duration;

use bowline_server::Client;
use bowline_store::{InferenceFilter, InferenceRecord, LIST_ROWS_MAX};
use bowline_types::{Clock, InferenceId, SystemClock};

use super::{cells, query};
use crate::cli::{Global, InferenceTail};
use crate::commands::connected;
use crate::failure::Result;
use crate::output::{Format, line, note};

/// How often is asked for more.
const PAUSE: Duration = Duration::from_millis(500);
/// How long a call may take and still be seen: ids follow the start of a call, and its record comes at its end.
const LATENESS: Duration = Duration::from_secs(60);
/// What is shown of the time before.
const FIRST_ROWS: u32 = 10;

/// Prints inferences as they come.
///
/// # Errors
/// The control role cannot be asked.
pub(crate) async fn run(global: &Global, tail: &InferenceTail) -> Result<()> {
    let InferenceTail { env, prompt } = tail;
    let filter = InferenceFilter {
        environment: env.clone(),
        prompt: prompt.clone(),
        limit: FIRST_ROWS,
        ..InferenceFilter::default()
    };
    connected(global, async |connection| {
        let client = &connection.client;
        let mut first: Vec<InferenceRecord> = client.get(&query(&filter)).await?;
        first.reverse();
        for record in &first {
            print(global, record)?;
        }
        if connection.host.is_some() {
            note("nobody serves this project now, so nothing will come\nhint: `bowline up` serves it");
            return Ok(());
        }
        let mut seen: BTreeSet<InferenceId> = first.iter().map(|record| record.id).collect();
        // What lies before the first rows was not asked for.
        let floor = first.first().map_or_else(|| InferenceId::generate(SystemClock.now()), |record| record.id);
        loop {
            let since = InferenceId::generate(SystemClock.now().before(LATENESS)).max(floor);
            seen = seen.split_off(&since);
            for record in page(client, &filter, since).await? {
                if seen.insert(record.id) {
                    print(global, &record)?;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    })
    .await
}

/// Returns every inference after an id, oldest first.
async fn page(client: &Client, filter: &InferenceFilter, since: InferenceId) -> Result<Vec<InferenceRecord>> {
    let mut all: Vec<InferenceRecord> = Vec::new();
    loop {
        let after = all.last().map_or(since, |record| record.id);
        let filter = InferenceFilter { after: Some(after), limit: LIST_ROWS_MAX, ..filter.clone() };
        let page: Vec<InferenceRecord> = client.get(&query(&filter)).await?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

fn print(global: &Global, record: &InferenceRecord) -> Result<()> {
    match global.output {
        Format::Json => line(serde_json::to_string(record).map_err(anyhow::Error::from)?),
        Format::Text => line(cells(record).join("  ")),
    }
    Ok(())
}
