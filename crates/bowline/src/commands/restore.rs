use bowline_store_sqlite::{Error, Restored};

use crate::cli::{self, Global};
use crate::failure::{Failure, Result};
use crate::output::note;
use crate::project;
use crate::workspace::Workspace;

/// Puts a copy in place of the store.
///
/// # Errors
/// The store is in use, or the file is no sound copy.
pub(crate) fn run(global: &Global, restore: &cli::Restore) -> Result<()> {
    let workspace = match &restore.data {
        Some(folder) => Workspace::at(folder)?,
        None => Workspace::open(&project::find(global.dir.as_deref())?)?,
    };
    let Restored { schema, kept } =
        bowline_store_sqlite::restore(&restore.file, workspace.store()).map_err(|error| match error {
            Error::Locked { .. } => Failure::user(format!("{error}\nhint: stop the process that uses it first")),
            error => error.into(),
        })?;
    note(format!("{} is the store now (schema {schema})", restore.file.display()));
    if let Some(kept) = kept {
        note(format!("the store that was there is kept as {}", kept.display()));
    }
    Ok(())
}
