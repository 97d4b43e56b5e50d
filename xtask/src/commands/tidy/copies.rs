use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::Problem;
use crate::environment;
use crate::workspace::Workspace;

/// Smaller files are equal by chance.
const BYTES_MIN: u64 = 200;

/// Checks that no file of the conformance data stands in the project: it is read in place, beside its licence.
pub(super) fn check(workspace: &Workspace) -> anyhow::Result<Vec<Problem>> {
    let data = environment::conformance_data(&workspace.root);
    if !data.is_dir() {
        eprintln!("copies: note: {} is absent, so copies of it were not looked for", data.display());
        return Ok(Vec::new());
    }
    let mut by_size = HashMap::new();
    collect(&data, &mut by_size)?;
    let mut problems = Vec::new();
    for path in workspace.files(&[])? {
        let full = workspace.root.join(&path);
        let size = fs::metadata(&full).with_context(|| format!("reading {}", path.display()))?.len();
        let Some(candidates) = by_size.get(&size) else { continue };
        let bytes = fs::read(&full).with_context(|| format!("reading {}", path.display()))?;
        for candidate in candidates {
            if fs::read(candidate).with_context(|| format!("reading {}", candidate.display()))? == bytes {
                let original = candidate.strip_prefix(&data).unwrap_or(candidate);
                let message = format!("is a copy of {} of the conformance data; read it in place", original.display());
                problems.push(Problem::new(&path, message));
            }
        }
    }
    Ok(problems)
}

fn collect(folder: &Path, by_size: &mut HashMap<u64, Vec<PathBuf>>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        // The texts of licences are the same everywhere.
        let is_licence = entry.file_name().to_string_lossy().to_uppercase().contains("LICEN");
        if metadata.is_dir() {
            collect(&entry.path(), by_size)?;
        } else if metadata.len() >= BYTES_MIN && !is_licence {
            by_size.entry(metadata.len()).or_default().push(entry.path());
        }
    }
    Ok(())
}
