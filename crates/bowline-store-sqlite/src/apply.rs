//! The writes of a commit, one after the other, in the transaction that is open.

mod evidence;
mod registry;
mod rollout;

use bowline_store::{Result, Write};
use rusqlite::Connection;

use crate::rollup::Rollups;

/// Applies all writes. The caller undoes what an error leaves.
pub(crate) fn apply(connection: &Connection, writes: &[Write]) -> Result<()> {
    let mut rollups = Rollups::default();
    for write in writes {
        apply_one(connection, &mut rollups, write)?;
    }
    rollups.write(connection)
}

fn apply_one(connection: &Connection, rollups: &mut Rollups, write: &Write) -> Result<()> {
    match write {
        Write::ProjectPut(project) => registry::project_put(connection, project),
        Write::VersionPut(version) => registry::version_put(connection, version),
        Write::RegistrationPut(registration) => registry::registration_put(connection, registration),
        Write::EnvironmentPut(environment) => registry::environment_put(connection, environment),
        Write::PointerPut { pointer, expected } => registry::pointer_put(connection, pointer, *expected),
        Write::PointerRemove { scope, prompt, expected } => {
            registry::pointer_remove(connection, scope, prompt, *expected)
        }
        Write::LogAppend(row) => registry::log_append(connection, row),
        Write::RolloutPut { rollout, expected } => rollout::rollout_put(connection, rollout, *expected),
        Write::ObservationAppend(observation) => rollout::observation_append(connection, observation),
        Write::QuarantinePut(quarantine) => registry::quarantine_put(connection, quarantine),
        Write::QuarantineRemove { scope, prompt, version } => {
            registry::quarantine_remove(connection, scope, prompt, *version)
        }
        Write::InferencePut(inference) => evidence::inference_put(connection, rollups, inference),
        Write::OutcomePut(outcome) => evidence::outcome_put(connection, rollups, outcome),
        Write::LossPut(loss) => rollout::loss_put(connection, loss),
        Write::KeyPut(key) => registry::key_put(connection, key),
        Write::KeyRevoke { id, at } => registry::key_revoke(connection, *id, *at),
    }
}
