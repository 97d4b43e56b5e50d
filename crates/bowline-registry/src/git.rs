use std::path::Path;
use std::process::Command;

use bowline_store::Provenance;

/// Why Git could not say where a folder stands.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The `git` program could not be started.
    #[error("could not run `git`\nhint: install Git and put it on the PATH")]
    Start {
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// Git refused.
    #[error("`git {command}` failed: {message}")]
    Failed {
        /// The arguments.
        command: String,
        /// What Git wrote to standard error.
        message: String,
    },
}

/// Returns the commit, author and dirty flag of the project in `folder`; no commit where it is in no repository or has none yet.
///
/// Only files under `folder` make it dirty: in a monorepo, work elsewhere does not. Git itself is asked, as it alone knows every
/// rule of its configuration (ignore files, attributes, worktrees).
///
/// # Errors
/// Fails where `git` cannot be run or refuses.
pub fn provenance(folder: &Path) -> Result<Provenance, GitError> {
    let Some(commit) = commit(folder)? else { return Ok(Provenance { commit: None, author: None, dirty: true }) };
    let author = git(folder, &["log", "-1", "--format=%an <%ae>"])?;
    let status = git(folder, &["status", "--porcelain", "--untracked-files=all", "--", "."])?;
    Ok(Provenance { commit: Some(commit), author: Some(author), dirty: !status.is_empty() })
}

/// Returns the time of a commit, in seconds since 1970: when it was committed, not when it was first written.
///
/// # Errors
/// Fails where `git` cannot be run or has no such commit.
pub fn commit_time(folder: &Path, commit: &str) -> Result<i64, GitError> {
    let text = git(folder, &["log", "-1", "--format=%ct", commit])?;
    text.parse().map_err(|_| GitError::Failed { command: "log".to_owned(), message: format!("`{text}` is no time") })
}

fn commit(folder: &Path) -> Result<Option<String>, GitError> {
    match git(folder, &["rev-parse", "--verify", "--quiet", "HEAD"]) {
        Ok(commit) => Ok(Some(commit)),
        // Outside a repository and before the first commit, Git answers with a failure, not with an empty answer.
        Err(GitError::Failed { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn git(folder: &Path, arguments: &[&str]) -> Result<String, GitError> {
    let output = Command::new("git").arg("-C").arg(folder).args(arguments).output();
    let output = output.map_err(|source| GitError::Start { source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(GitError::Failed { command: arguments.join(" "), message })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(folder: &Path, arguments: &[&str]) {
        let identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"];
        git(folder, &[&identity, arguments].concat()).unwrap();
    }

    #[test]
    fn provenance_follows_the_repository() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        assert_eq!(provenance(path).unwrap().commit, None);

        run(path, &["init", "-q"]);
        std::fs::create_dir(path.join("project")).unwrap();
        std::fs::write(path.join("project/a.prompt"), "a").unwrap();
        run(path, &["add", "."]);
        run(path, &["commit", "-qm", "first"]);
        let clean = provenance(&path.join("project")).unwrap();
        assert_eq!(clean.author.as_deref(), Some("Ada <ada@example.com>"));
        assert!(!clean.dirty && clean.commit.is_some_and(|commit| commit.len() == 40));

        std::fs::write(path.join("elsewhere"), "b").unwrap();
        assert!(!provenance(&path.join("project")).unwrap().dirty);
        std::fs::write(path.join("project/b.prompt"), "b").unwrap();
        assert!(provenance(&path.join("project")).unwrap().dirty);
    }
}
