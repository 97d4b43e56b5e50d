//! The folder of a store: its files, their modes, and whose it is.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::error::{AtPath as _, Error, Result};

/// The name of the database in the folder.
const DATABASE: &str = "bowline.db";
/// The name of the lock file in the folder.
const LOCK: &str = "lock";

/// A folder that this process owns for as long as the value lives.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    // The lock is gone when the file is closed, by the kernel where the process dies.
    lock: File,
}

// === impl Folder ===

impl Folder {
    /// Makes the folder where it is missing, and locks it.
    pub(crate) fn lock(path: &Path) -> Result<Self> {
        create(path)?;
        let lock_path = path.join(LOCK);
        let mut lock = private_file().read(true).open(&lock_path).at("open the lock file", &lock_path)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let read = lock.read_to_string(&mut text);
                let holder = read.ok().and_then(|_| text.trim().parse().ok());
                return Err(Error::Locked { folder: path.to_owned(), holder });
            }
            Err(TryLockError::Error(source)) => return Err(source).at("lock", &lock_path),
        }
        let told = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
        told.at("write the lock file", &lock_path)?;
        Ok(Self { path: path.to_owned(), lock })
    }

    /// Lets go of the folder.
    ///
    /// Closing the file is not enough: a process that is being started has a copy of every open file for a moment.
    pub(crate) fn unlock(self) {
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(%error, "the folder of a store could not be unlocked");
        }
    }

    /// Returns the path of the folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of the database.
    pub(crate) fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    /// Makes the database file where it is missing, readable by nobody else; SQLite gives its other files the same mode.
    pub(crate) fn create_database(&self) -> Result<PathBuf> {
        let path = self.database();
        private_file().open(&path).and_then(|file| file.sync_all()).at("make", &path)?;
        sync_folder(&self.path)?;
        Ok(path)
    }
}

/// Returns options that make a file which only its owner can read.
pub(crate) fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes the names in a folder survive a power cut.
pub(crate) fn sync_folder(path: &Path) -> Result<()> {
    // The parent of a bare file name is the empty path.
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    if cfg!(unix) { File::open(path).and_then(|folder| folder.sync_all()).at("sync the folder", path) } else { Ok(()) }
}

/// Returns the path of a file that SQLite keeps beside a database, such as `-wal`.
pub(crate) fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn create(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        fs::create_dir_all(parent).at("make the folder", parent)?;
    }
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        Err(source) if source.kind() != std::io::ErrorKind::AlreadyExists => Err(source).at("make the folder", path),
        _ => path.parent().map_or(Ok(()), sync_folder),
    }
}
