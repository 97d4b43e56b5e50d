//! Totals of what was lost, in a file, so that they outlive the process that counted them.
//!
//! The file is replaced without a sync, which survives the process, since answers wait meanwhile. A power cut may leave half of it, so a
//! copy that is synced follows it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use bowline_registry::replace_private_file;
use bowline_store::LossRecord;
use bowline_types::{Arm, InstanceId, RolloutId};
use tracing::warn;

use super::SpoolError;
use super::log::private;

/// One counter: who counted, in which rollout, on which arm.
type Counter = (InstanceId, RolloutId, Arm);

/// Totals by counter; they only grow. Those of former processes are forgotten once they are told.
#[derive(Debug)]
pub(super) struct Losses {
    path: PathBuf,
    totals: BTreeMap<Counter, u64>,
    told: BTreeMap<Counter, u64>,
    /// Counters that may still grow.
    present: Vec<InstanceId>,
    /// Whether the copy is older.
    is_unsynced: bool,
}

/// What the copy is to hold.
#[derive(Debug)]
pub(super) struct Unsynced {
    path: PathBuf,
    bytes: Vec<u8>,
}

// === impl Losses ===

impl Losses {
    /// Reads the file and its copy, which may not be there: a total is the larger one. Blocks.
    ///
    /// # Errors
    /// Neither can be read.
    pub(super) fn open(path: PathBuf, present: InstanceId) -> Result<Self, SpoolError> {
        let (newest, copy) = (read(&path), read(&synced(&path)));
        let records = match (newest, copy) {
            (Ok(newest), Ok(copy)) => [newest, copy].concat(),
            (Err(SpoolError::Unreadable { path, source }), Ok(copy)) if !copy.is_empty() => {
                warn!(path = %path.display(), %source, "counts of lost records are those of its copy");
                copy
            }
            (Ok(newest), Err(SpoolError::Unreadable { .. })) => newest,
            (Err(error), _) | (_, Err(error)) => return Err(error),
        };
        let mut totals = BTreeMap::new();
        for loss in records {
            let total = totals.entry(counter(&loss)).or_default();
            *total = loss.total.max(*total);
        }
        Ok(Self { path, totals, told: BTreeMap::new(), present: vec![present], is_unsynced: false })
    }

    /// Raises totals to those given, and writes the file where one grew. Blocks.
    ///
    /// # Errors
    /// The file could not be written; the totals have grown all the same.
    pub(super) fn raise(&mut self, losses: &[LossRecord]) -> io::Result<()> {
        let mut grew = false;
        for loss in losses {
            if !self.present.contains(&loss.instance) {
                self.present.push(loss.instance);
            }
            let total = self.totals.entry(counter(loss)).or_default();
            grew |= loss.total > *total;
            *total = (*total).max(loss.total);
        }
        if grew { self.write() } else { Ok(()) }
    }

    /// Counts losses on top of what the counter has. Blocks.
    ///
    /// # Errors
    /// As [`Losses::raise`].
    pub(super) fn add(
        &mut self,
        instance: InstanceId,
        lost: impl IntoIterator<Item = (RolloutId, Arm)>,
    ) -> io::Result<()> {
        let mut grew = false;
        for (rollout, arm) in lost {
            *self.totals.entry((instance, rollout, arm)).or_default() += 1;
            grew = true;
        }
        if grew { self.write() } else { Ok(()) }
    }

    /// Returns the totals that the control role does not know.
    pub(super) fn untold(&self) -> Vec<LossRecord> {
        let untold = self.totals.iter().filter(|(counter, total)| self.told.get(counter) != Some(total));
        untold.map(record).collect()
    }

    /// Remembers what the control role knows now. Blocks.
    ///
    /// # Errors
    /// The file could not be written; the next process tells it once more, which changes nothing.
    pub(super) fn acknowledge(&mut self, told: &[LossRecord]) -> io::Result<()> {
        let mut forgot = false;
        for loss in told {
            let counter = counter(loss);
            if self.present.contains(&loss.instance) {
                self.told.insert(counter, loss.total);
            } else {
                forgot |= self.totals.remove(&counter).is_some();
            }
        }
        if forgot { self.write() } else { Ok(()) }
    }

    /// Returns what is to be synced, so that this happens without the totals in hand; `None` where nothing is.
    pub(super) fn unsynced(&mut self) -> Option<Unsynced> {
        let is_unsynced = std::mem::take(&mut self.is_unsynced);
        let bytes = is_unsynced.then(|| self.encode())?.ok()?;
        Some(Unsynced { path: synced(&self.path), bytes })
    }

    /// Says that it was not synced.
    pub(super) fn unsynced_again(&mut self) {
        self.is_unsynced = true;
    }

    /// Replaces the file, whole or not at all.
    fn write(&mut self) -> io::Result<()> {
        self.is_unsynced = true;
        let part = self.path.with_extension("part");
        let mut file = private().create(true).truncate(true).open(&part)?;
        file.write_all(&self.encode()?)?;
        fs::rename(&part, &self.path)
    }

    fn encode(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&self.totals.iter().map(record).collect::<Vec<_>>())
    }

    /// Returns the file of a spool's folder.
    pub(super) fn path(folder: &Path) -> PathBuf {
        folder.join("losses.json")
    }
}

// === impl Unsynced ===

impl Unsynced {
    /// Writes the copy, synced. Blocks on the disk.
    ///
    /// # Errors
    /// The copy may be as it was before.
    pub(super) fn sync(&self) -> io::Result<()> {
        // Before it has its name: a power cut leaves this one or the one before.
        Ok(replace_private_file(&self.path, &self.bytes)?)
    }
}

fn record(((instance, rollout, arm), total): (&Counter, &u64)) -> LossRecord {
    LossRecord { instance: *instance, rollout: *rollout, arm: *arm, total: *total }
}

fn counter(loss: &LossRecord) -> Counter {
    (loss.instance, loss.rollout, loss.arm)
}

/// Returns the name of the copy.
fn synced(path: &Path) -> PathBuf {
    path.with_extension("synced.json")
}

fn read(path: &Path) -> Result<Vec<LossRecord>, SpoolError> {
    match fs::read(path) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).map_err(|source| SpoolError::Unreadable { path: path.to_owned(), source })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(SpoolError::File { operation: "read", path: path.to_owned(), source }),
    }
}
