use bowline_server::wire;
use bowline_store::KeyRecord;
use bowline_types::EnvironmentName;

use crate::cli::{Global, KeyList};
use crate::commands::connected;
use crate::failure::Result;
use crate::output::{Format, Table, json};
use crate::wording::moment;

/// Lists the keys.
///
/// # Errors
/// The control role cannot be asked.
pub(crate) async fn run(global: &Global, list: &KeyList) -> Result<()> {
    let found = connected(global, async |connection| Ok(connection.client.get::<wire::KeyList>("/keys").await?));
    let mut keys = found.await?.keys;
    keys.retain(|key| list.all || key.revoked_at.is_none());
    if global.output == Format::Json {
        return json(&keys);
    }
    let mut table = Table::new(&["id", "name", "env", "may also name", "made (UTC)", "revoked (UTC)", "subject"]);
    for key in &keys {
        let revoked = key.revoked_at.map_or_else(String::new, moment);
        let (id, name, environment) = (key.id.to_string(), key.name.clone(), key.environment.to_string());
        let subject = key.subject.as_ref().map(ToString::to_string).unwrap_or_default();
        table.row([id, name, environment, also(key), moment(key.created_at), revoked, subject]);
    }
    table.print("there are no keys\nhint: `bowline key create NAME --env ENV` makes one");
    Ok(())
}

fn also(key: &KeyRecord) -> String {
    let environments = key.environments.iter().filter(|name| **name != key.environment).map(EnvironmentName::as_str);
    environments.chain(key.versions.then_some("versions")).collect::<Vec<_>>().join(", ")
}
