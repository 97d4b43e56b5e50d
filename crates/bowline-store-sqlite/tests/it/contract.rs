//! The contract suite.

use bowline_store::Store;
use bowline_store::contract::Subject;
use bowline_store_sqlite::{Options, SqliteStore};
use tempfile::TempDir;

struct SqliteSubject {
    store: SqliteStore,
    folder: TempDir,
}

impl SqliteSubject {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { store: SqliteStore::open(folder.path(), Options::default()).unwrap(), folder }
    }
}

impl Subject for SqliteSubject {
    fn store(&self) -> &dyn Store {
        &self.store
    }

    async fn reopen(self) -> Self {
        self.store.close().await;
        Self { store: SqliteStore::open(self.folder.path(), Options::default()).unwrap(), folder: self.folder }
    }
}

bowline_store::contract_suite!(SqliteSubject::new());
