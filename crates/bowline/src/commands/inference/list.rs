use bowline_store::{InferenceFilter, InferenceRecord};

use super::{HEAD, cells, query};
use crate::cli::{Global, InferenceList};
use crate::commands::connected;
use crate::failure::Result;
use crate::output::{Format, Table, json};

/// Lists inferences.
///
/// # Errors
/// The control role cannot be asked.
pub(crate) async fn run(global: &Global, list: &InferenceList) -> Result<()> {
    let InferenceList { env, prompt, limit } = list;
    let filter = InferenceFilter {
        environment: env.clone(),
        prompt: prompt.clone(),
        limit: *limit,
        ..InferenceFilter::default()
    };
    let found = connected(global, async |connection| {
        Ok(connection.client.get::<Vec<InferenceRecord>>(&query(&filter)).await?)
    });
    let inferences = found.await?;
    if global.output == Format::Json {
        return json(&inferences);
    }
    let mut table = Table::new(&HEAD);
    inferences.iter().for_each(|record| table.row(cells(record)));
    table.print("there are no inferences");
    Ok(())
}
