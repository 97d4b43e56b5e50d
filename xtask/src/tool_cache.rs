//! Tools that the full test tier needs, kept outside the checkout so that a clean build does not make them again.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bowline_types::Digest;

use crate::environment;

/// Written last, so that a folder whose making was cut off is made again.
const COMPLETE: &str = ".complete";

/// Returns the folder of a tool, made by `make` if it is not there.
///
/// `key` is everything that decides its content: a new version or another compiler is another folder.
pub(crate) fn folder(
    name: &str,
    key: &[&str],
    make: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<PathBuf> {
    let cache =
        environment::cache().context("neither XDG_CACHE_HOME nor HOME is set, so there is no place for tools")?;
    folder_in(&cache, name, key, make)
}

fn folder_in(
    cache: &Path,
    name: &str,
    key: &[&str],
    make: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<PathBuf> {
    let digest = Digest::of(key.join("\n").as_bytes());
    let folder = cache.join(format!("{name}-{}", digest.short()));
    let complete = folder.join(COMPLETE);
    if complete.is_file() {
        return Ok(folder);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    make(&folder)?;
    fs::write(&complete, "").with_context(|| format!("writing {}", complete.display()))?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_made_once_per_key_and_again_after_a_failure() {
        let cache = tempfile::tempdir().unwrap();
        let made = std::cell::Cell::new(0);
        let make = |key: &str, works: bool| {
            folder_in(cache.path(), "tool", &[key], |folder| {
                made.set(made.get() + 1);
                anyhow::ensure!(!folder.join("half").exists(), "the remains of the failure are gone");
                fs::write(folder.join("half"), "")?;
                anyhow::ensure!(works, "cut off");
                Ok(())
            })
        };
        assert!(make("1", false).is_err());
        let folder = make("1", true).unwrap();
        assert_eq!(make("1", true).unwrap(), folder);
        assert_ne!(make("2", true).unwrap(), folder);
        assert_eq!(made.get(), 3);
    }
}
