//! From a checked project to a bundle.

use bowline_prompt::{CheckReport, CheckedPrompt, Source};
use bowline_store::Provenance;
use bowline_types::Timestamp;

use super::{Bundle, Config, Error, FILE_BYTES_MAX, File, Files, Kind, Listed, PART_BYTES_MAX, PromptVersion, Result};

impl Bundle {
    /// Makes the bundle of a project that was read from `source` and checked.
    ///
    /// # Errors
    /// Refuses a project with errors, and files that cannot be read or are too large.
    pub fn build(
        report: &CheckReport,
        source: &dyn Source,
        provenance: Provenance,
        committed_at: Option<Timestamp>,
    ) -> Result<Self> {
        let project = report.project.as_ref().filter(|_| !report.has_errors()).ok_or(Error::Project)?;
        let lock = report.lock().ok_or(Error::Project)?.to_string();
        let mut versions: Vec<PromptVersion> = report.prompts.iter().map(PromptVersion::of).collect();
        versions.sort_by(|a, b| a.name.cmp(&b.name));
        let listed = versions.iter().map(|version| Listed { name: version.name.clone(), digest: version.digest });
        let config = Config {
            schema_version: Config::SCHEMA,
            project: project.name.clone(),
            provenance,
            committed_at,
            versions: listed.collect(),
            project_file: serde_json::to_value(project).map_err(Error::Encode)?,
        };
        Ok(Self { config, versions, files: Files::gather(source)?, lock })
    }
}

impl PromptVersion {
    fn of(prompt: &CheckedPrompt) -> Self {
        Self {
            name: prompt.name.clone(),
            digest: prompt.digest,
            version: prompt.version.clone(),
            success: prompt.fields.success.clone(),
            plan: prompt.fields.rollout.clone(),
            suite: prompt.fields.suite.as_ref().map(|suite| suite.value.clone()),
            owners: prompt.fields.owners.clone(),
        }
    }
}

impl Files {
    fn gather(source: &dyn Source) -> Result<Self> {
        let mut paths = source.list().map_err(Error::List)?;
        paths.sort();
        let mut files = Self::default();
        for kind in Kind::ALL {
            let (Some(folder), Some(into)) = (kind.folder(), files.of_mut(kind)) else { continue };
            let mut total = 0;
            // What an editor or a system leaves behind is no content of the project.
            let hidden = |path: &str| path.split('/').any(|part| part.starts_with('.'));
            for path in paths.iter().filter(|path| path.starts_with(folder) && !hidden(path)) {
                let bytes = source.read(path).map_err(|source| Error::Read { path: path.clone(), source })?;
                let size = bytes.len();
                if size > FILE_BYTES_MAX {
                    return Err(Error::TooLarge { path: path.clone(), size, limit: FILE_BYTES_MAX });
                }
                total += size;
                if total > PART_BYTES_MAX {
                    return Err(Error::TooLarge { path: folder.to_owned(), size: total, limit: PART_BYTES_MAX });
                }
                into.push(File::new(path, bytes));
            }
        }
        Ok(files)
    }
}
