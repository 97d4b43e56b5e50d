//! Totals of what was lost, in a file, so that they outlive the process that counted them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bowline_registry::replace_private_file;
use bowline_store::LossRecord;
use bowline_types::{Arm, InstanceId, RolloutId};

use super::SpoolError;

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
}

// === impl Losses ===

impl Losses {
    /// Reads the file, which may not be there. Blocks.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn open(path: PathBuf, present: InstanceId) -> Result<Self, SpoolError> {
        let records: Vec<LossRecord> = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|source| SpoolError::Unreadable { path: path.clone(), source })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(SpoolError::File { operation: "read", path, source }),
        };
        let totals = records.into_iter().map(|loss| (counter(&loss), loss.total)).collect();
        Ok(Self { path, totals, told: BTreeMap::new(), present: vec![present] })
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

    /// Replaces the file, whole or not at all. It is synced before it has its name: after a power cut, half a file would keep the gateway
    /// from starting.
    fn write(&self) -> io::Result<()> {
        let all: Vec<LossRecord> = self.totals.iter().map(record).collect();
        Ok(replace_private_file(&self.path, &serde_json::to_vec(&all)?)?)
    }

    /// Returns the file of a spool's folder.
    pub(super) fn path(folder: &Path) -> PathBuf {
        folder.join("losses.json")
    }
}

fn record(((instance, rollout, arm), total): (&Counter, &u64)) -> LossRecord {
    LossRecord { instance: *instance, rollout: *rollout, arm: *arm, total: *total }
}

fn counter(loss: &LossRecord) -> Counter {
    (loss.instance, loss.rollout, loss.arm)
}
