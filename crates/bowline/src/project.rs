use std::io;
use std::path::{Path, PathBuf};

use bowline_prompt::{CheckReport, Project, Source, check};
use bowline_registry::Source as ReleaseSource;
use bowline_server::wire::{ReleasePrompt, ReleaseRequest};
use bowline_store::Provenance;
use bowline_types::{EnvironmentName, PromptName};

use crate::failure::{Failure, Result};

/// The files of a project on disk.
pub(crate) struct FolderSource {
    folder: PathBuf,
}

/// A project that was read and checked.
pub(crate) struct Loaded {
    /// Where it is.
    pub(crate) folder: PathBuf,
    /// What was found.
    pub(crate) report: CheckReport,
}

/// Folders that hold no files of a project.
const SKIPPED: [&str; 4] = [".git", ".bowline", "node_modules", "target"];
/// How deep folders are read.
const DEPTH_MAX: usize = 16;

// === impl FolderSource ===

impl FolderSource {
    /// Returns the files of the folder.
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    fn walk(&self, folder: &Path, depth: usize, found: &mut Vec<String>) -> io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            let name = entry.file_name();
            if kind.is_dir() && depth < DEPTH_MAX && !SKIPPED.iter().any(|skipped| name == *skipped) {
                self.walk(&entry.path(), depth + 1, found)?;
            } else if !kind.is_dir()
                && let Ok(path) = entry.path().strip_prefix(&self.folder)
            {
                found.push(path.to_string_lossy().replace('\\', "/"));
            }
        }
        Ok(())
    }
}

impl Source for FolderSource {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        self.walk(&self.folder, 0, &mut found)?;
        Ok(found)
    }

    /// Links within the project are followed. One that leads out of it would publish what it leads to: a bundle and a report hold what they read.
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let file = self.folder.join(path).canonicalize()?;
        if !file.starts_with(self.folder.canonicalize()?) {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is a link that leads out of the project"));
        }
        std::fs::read(file)
    }
}

/// Returns the folder of the project: the one given, else the nearest one upwards that has a `bowline.yaml`.
///
/// # Errors
/// There is no project file.
pub(crate) fn find(given: Option<&Path>) -> Result<PathBuf> {
    let start = match given {
        Some(folder) => folder.to_owned(),
        None => std::env::current_dir()?,
    };
    let start = std::path::absolute(&start)?;
    let mut candidates = start.ancestors().take(if given.is_some() { 1 } else { usize::MAX });
    let found = candidates.find(|folder| folder.join(Project::FILE).is_file());
    found.map(Path::to_owned).ok_or_else(|| {
        let hint = "hint: a project is a folder with a bowline.yaml; go there, or name it with `--dir`";
        Failure::user(format!("there is no {} in {}\n{hint}", Project::FILE, start.display()))
    })
}

/// Reads and checks a project.
///
/// # Errors
/// There is no project file; what is wrong inside of it is in the report.
pub(crate) fn load(given: Option<&Path>) -> Result<Loaded> {
    let folder = find(given)?;
    let report = check(&FolderSource::new(&folder), &bowline_telemetry::cel::check);
    Ok(Loaded { folder, report })
}

// === impl Loaded ===

impl Loaded {
    /// Returns the project file.
    ///
    /// # Errors
    /// The project has errors; `bowline check` shows them.
    pub(crate) fn project(&self) -> Result<&Project> {
        let project = self.report.project.as_ref().filter(|_| !self.report.has_errors());
        project.ok_or_else(|| Failure::user("the project has errors\nhint: `bowline check` shows them"))
    }

    /// Returns the request that releases the prompts of the project, or those in `only`.
    ///
    /// # Errors
    /// The project has errors, or a prompt does not exist.
    pub(crate) fn release(
        &self,
        environment: EnvironmentName,
        source: ReleaseSource,
        provenance: Provenance,
        actor: String,
        only: &[PromptName],
    ) -> Result<ReleaseRequest> {
        let project = self.project()?;
        if let Some(unknown) = only.iter().find(|name| self.report.prompt(name).is_none()) {
            return Err(Failure::user(format!(
                "there is no prompt `{unknown}`\nhint: `bowline prompt list` shows them"
            )));
        }
        let wanted = self.report.prompts.iter().filter(|prompt| only.is_empty() || only.contains(&prompt.name));
        let prompts = wanted.map(|prompt| {
            Ok(ReleasePrompt {
                name: prompt.name.clone(),
                digest: prompt.digest,
                content: serde_json::to_value(&prompt.version)?,
                success: prompt.fields.success.clone(),
                plan: prompt.fields.rollout.clone(),
            })
        });
        let prompts = prompts.collect::<std::result::Result<_, serde_json::Error>>().map_err(anyhow::Error::from)?;
        let config = serde_json::to_value(project).map_err(anyhow::Error::from)?;
        Ok(ReleaseRequest {
            environment,
            source,
            actor,
            provenance,
            config,
            retry: false,
            bundle: None,
            fence: None,
            prompts,
        })
    }
}
