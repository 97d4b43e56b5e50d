use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

/// Why the store could not be copied.
pub type BackupError = Box<dyn std::error::Error + Send + Sync>;

type Copied = Pin<Box<dyn Future<Output = Result<(), BackupError>> + Send>>;

/// Copies the store to a file that does not exist, while it is in use. Whoever opened the store knows how.
#[derive(Clone)]
pub struct Backup(Arc<dyn Fn(PathBuf) -> Copied + Send + Sync>);

// === impl Backup ===

impl Backup {
    /// Wraps the function that copies.
    pub fn new<F, C>(copy: F) -> Self
    where
        F: Fn(PathBuf) -> C + Send + Sync + 'static,
        C: Future<Output = Result<(), BackupError>> + Send + 'static,
    {
        Self(Arc::new(move |path| Box::pin(copy(path))))
    }

    /// Copies the store to `path`.
    pub(crate) async fn copy(&self, path: PathBuf) -> Result<(), BackupError> {
        (self.0)(path).await
    }
}

impl fmt::Debug for Backup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Backup(…)")
    }
}
