use bowline_server::wire::EnvironmentRequest;
use bowline_store::EnvironmentRecord;

use crate::cli::{EnvironmentCreate, Global};
use crate::commands::connected;
use crate::failure::Result;
use crate::output::{Format, json, note};
use crate::settings;
use crate::wording::moment;

/// Makes an environment that is there for a time only.
///
/// # Errors
/// The name is taken, or the other environment does not exist.
pub(crate) async fn run(global: &Global, create: &EnvironmentCreate) -> Result<()> {
    let EnvironmentCreate { env, from, ttl } = create;
    let request = EnvironmentRequest { name: env.clone(), from: from.clone(), ttl: *ttl, actor: settings::actor() };
    let record = connected(global, async |connection| {
        Ok(connection.client.post::<EnvironmentRecord>("/environments", &request).await?)
    });
    let record = record.await?;
    if global.output == Format::Json {
        return json(&record);
    }
    let until = record.temporary.map_or_else(String::new, |temporary| moment(temporary.expires_at));
    note(format!("{env} is made from {from}; it is removed at {until} UTC, or by `bowline env delete {env}`"));
    Ok(())
}
