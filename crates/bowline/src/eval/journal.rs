//! The results of a run, on disk as they come: what a report is made of, and what `--resume` goes on from.
//!
//! `.bowline/eval/journal.jsonl`: a head that says of what the results are, then one line for each result. Only where a line
//! begins is held in memory. A line that was cut off when the process was killed is cut away.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;

use anyhow::Context;
use bowline_types::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::{Duration, Instant};

use crate::failure::{Failure, Result};

/// The form of the lines.
const SCHEMA: u32 = 1;
/// Results that wait to be written; a run waits where the disk is slower.
const QUEUE_MAX: usize = 256;
/// How many bytes of a line are read at once; a result with a short answer has fewer.
const READ_BYTES: usize = 2_048;
/// How often what was written is forced to the disk. A killed process loses nothing that was written; a machine without power
/// loses what came after the last time.
const SYNC_INTERVAL: Duration = Duration::from_secs(2);
/// The number of a result among those that there will be.
pub(crate) type Cell = usize;

/// A result on its way to the disk: its number, and its line.
pub(crate) type Written = (Cell, Vec<u8>);

/// What the results are of: equal heads, equal questions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    /// The form of the lines.
    schema: u32,
    /// When the run began.
    pub(crate) started_at: Timestamp,
    /// Everything that results depend on, by what a person calls it.
    pub(crate) parts: BTreeMap<String, String>,
}

/// Results on disk.
pub(crate) struct Journal {
    file: File,
    head: Head,
    /// Where the line of each result begins; 0 where there is none, as the head is there.
    places: Vec<u64>,
    done: usize,
    end: u64,
}

/// The line of a result.
#[derive(Serialize, Deserialize)]
struct Line<T> {
    cell: Cell,
    result: T,
}

/// The number at the beginning of a line.
#[derive(Deserialize)]
struct Numbered {
    cell: Cell,
}

// === impl Head ===

impl Head {
    /// Returns the head of a run that begins now.
    pub(crate) const fn new(started_at: Timestamp, parts: BTreeMap<String, String>) -> Self {
        Self { schema: SCHEMA, started_at, parts }
    }
}

// === impl Journal ===

impl Journal {
    /// Begins a journal of `cells` results, in place of the last one.
    ///
    /// # Errors
    /// Another run writes to it, or the disk does not take it.
    pub(crate) fn begin(folder: &Path, head: Head, cells: usize) -> Result<Self> {
        let file = open(folder)?;
        let mut journal = Self { file, head, places: vec![0; cells], done: 0, end: 0 };
        let mut line = serde_json::to_vec(&journal.head).map_err(anyhow::Error::from)?;
        line.push(b'\n');
        journal
            .file
            .set_len(0)
            .and_then(|()| journal.file.write_all(&line))
            .with_context(|| cannot("write", folder))?;
        journal.end = u64::try_from(line.len()).unwrap_or(u64::MAX);
        Ok(journal)
    }

    /// Goes on with the journal of a run that did not end.
    ///
    /// # Errors
    /// There is none, it is of other suites, versions or options, or another run writes to it.
    pub(crate) fn resume(folder: &Path, head: &Head, cells: usize) -> Result<Self> {
        let file = open(folder)?;
        let mut reader = BufReader::with_capacity(1 << 16, &file);
        let mut line = Vec::new();
        reader.read_until(b'\n', &mut line).with_context(|| cannot("read", folder))?;
        let Ok(found) = serde_json::from_slice::<Head>(&line) else {
            let hint = "hint: leave `--resume` out";
            return Err(Failure::user(format!("there is no run that could be resumed\n{hint}")));
        };
        if let Some(changed) = changed(&found, head) {
            let hint = "hint: leave `--resume` out; answers that are cached are not paid for again";
            return Err(Failure::user(format!("the last run cannot be resumed: {changed}\n{hint}")));
        }
        let mut end = u64::try_from(line.len()).unwrap_or(u64::MAX);
        let (mut places, mut done) = (vec![0; cells], 0);
        loop {
            line.clear();
            let length = reader.read_until(b'\n', &mut line).with_context(|| cannot("read", folder))?;
            let number = serde_json::from_slice::<Numbered>(&line).ok().filter(|_| line.ends_with(b"\n"));
            // The first line that is not whole is the end: the process was killed there.
            let (Some(Numbered { cell }), Ok(length)) = (number, u64::try_from(length)) else { break };
            let place = places.get_mut(cell).context("the journal has a result of no case")?;
            done += usize::from(*place == 0);
            *place = end;
            end += length;
        }
        file.set_len(end).with_context(|| cannot("write", folder))?;
        Ok(Self { file, head: found, places, done, end })
    }

    /// Returns what the results are of.
    pub(crate) const fn head(&self) -> &Head {
        &self.head
    }

    /// Returns how many results there are.
    pub(crate) const fn done(&self) -> usize {
        self.done
    }

    /// Returns whether there is a result.
    pub(crate) fn has(&self, cell: Cell) -> bool {
        self.places.get(cell).is_some_and(|place| *place > 0)
    }

    /// Returns a result; `None` where there is none.
    ///
    /// # Errors
    /// The disk does not give back what it took.
    pub(crate) fn read<T: DeserializeOwned>(&self, cell: Cell) -> Result<Option<T>> {
        let Some(place) = self.places.get(cell).filter(|place| **place > 0) else { return Ok(None) };
        let line = line_at(&self.file, *place).context("could not read a result back")?;
        let line: Line<T> = serde_json::from_slice(&line).context("a result came back as something else")?;
        Ok(Some(line.result))
    }

    /// Writes results as they come, until the last sender is gone.
    ///
    /// # Errors
    /// The disk does not take them.
    pub(crate) fn write_all(mut self, mut results: mpsc::Receiver<Written>) -> Result<Self> {
        use std::io::{Seek, SeekFrom};
        let full = || "could not write a result to the journal";
        self.file.seek(SeekFrom::Start(self.end)).with_context(full)?;
        let (mut batch, mut received) = (Vec::with_capacity(1 << 16), Vec::new());
        let mut synced = Instant::now();
        while results.blocking_recv_many(&mut received, QUEUE_MAX) > 0 {
            for (cell, line) in received.drain(..) {
                let place = self.places.get_mut(cell).context("a result is of no case")?;
                self.done += usize::from(*place == 0);
                *place = self.end;
                self.end += u64::try_from(line.len()).unwrap_or(u64::MAX);
                batch.extend_from_slice(&line);
            }
            self.file.write_all(&batch).with_context(full)?;
            batch.clear();
            if synced.elapsed() > SYNC_INTERVAL {
                self.file.sync_data().with_context(full)?;
                synced = Instant::now();
            }
        }
        self.file.sync_data().with_context(full)?;
        Ok(self)
    }
}

/// Returns the line of a result.
///
/// # Errors
/// It cannot be written as JSON.
pub(crate) fn line(cell: Cell, result: &impl Serialize) -> Result<Vec<u8>> {
    let mut line = serde_json::to_vec(&Line { cell, result }).map_err(anyhow::Error::from)?;
    line.push(b'\n');
    Ok(line)
}

/// Returns the line that begins at `offset`, or what there is of it.
fn line_at(file: &File, mut offset: u64) -> io::Result<Vec<u8>> {
    let (mut line, mut part) = (Vec::with_capacity(READ_BYTES), [0; READ_BYTES]);
    loop {
        let read = match file.read_at(&mut part, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => part.get(..read?).unwrap_or_default(),
        };
        let end = read.iter().position(|byte| *byte == b'\n');
        line.extend_from_slice(read.get(..end.unwrap_or(read.len())).unwrap_or_default());
        if end.is_some() || read.is_empty() {
            return Ok(line);
        }
        offset += u64::try_from(read.len()).unwrap_or(u64::MAX);
    }
}

/// Returns the two ends of the queue before the journal.
pub(crate) fn queue() -> (mpsc::Sender<Written>, mpsc::Receiver<Written>) {
    mpsc::channel(QUEUE_MAX)
}

fn open(folder: &Path) -> Result<File> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(|| cannot("create", folder))?;
    let path = folder.join("journal.jsonl");
    let file = fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.with_context(|| cannot("open", folder))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => {
            let hint = "hint: wait for it, or run in a copy of the project";
            Err(Failure::user(format!("another `bowline test` runs in this project\n{hint}")))
        }
        Err(fs::TryLockError::Error(error)) => Err(anyhow::Error::new(error).context(cannot("lock", folder)).into()),
    }
}

/// Returns what differs between the questions of two runs.
fn changed(before: &Head, now: &Head) -> Option<String> {
    if before.schema != now.schema {
        return Some("another version of Bowline wrote its results".to_owned());
    }
    let names = before.parts.keys().chain(now.parts.keys());
    let differs = |name: &&String| before.parts.get(*name) != now.parts.get(*name);
    names.into_iter().find(differs).map(|name| format!("{name} changed since"))
}

fn cannot(verb: &str, folder: &Path) -> String {
    format!("could not {verb} the journal in {}", folder.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(version: &str) -> Head {
        let parts = BTreeMap::from([("the version of a".to_owned(), version.to_owned())]);
        Head::new(Timestamp::from_micros(7), parts)
    }

    fn written(folder: &Path, results: &[(Cell, &str)]) -> Journal {
        let journal = Journal::begin(folder, head("1"), 10).unwrap();
        let (sender, receiver) = queue();
        for (cell, text) in results {
            sender.try_send((*cell, line(*cell, text).unwrap())).unwrap();
        }
        drop(sender);
        journal.write_all(receiver).unwrap()
    }

    #[test]
    fn results_come_back_in_any_order() {
        let folder = tempfile::tempdir().unwrap();
        let journal = written(folder.path(), &[(7, "seven"), (0, "zero")]);
        assert_eq!((journal.done(), journal.has(0), journal.has(1)), (2, true, false));
        assert_eq!(journal.read::<String>(0).unwrap().as_deref(), Some("zero"));
        assert_eq!(journal.read::<String>(7).unwrap().as_deref(), Some("seven"));
        assert_eq!(journal.read::<String>(1).unwrap(), None);
    }

    #[test]
    fn results_of_every_length_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let texts: Vec<String> = (0..10).map(|cell| "x".repeat(READ_BYTES / 2 * cell - cell.min(1) * 20)).collect();
        let results: Vec<_> = texts.iter().enumerate().map(|(cell, text)| (cell, text.as_str())).collect();
        let journal = written(folder.path(), &results);
        let read: Vec<_> = (0..10).filter_map(|cell| journal.read::<String>(cell).unwrap()).collect();
        assert_eq!(read, texts);
    }

    /// A process that is killed may leave any part of its last line.
    #[test]
    fn a_run_goes_on_after_the_last_whole_line_wherever_it_was_cut() {
        let folder = tempfile::tempdir().unwrap();
        drop(written(folder.path(), &[(3, "three"), (4, "four")]));
        let path = folder.path().join("journal.jsonl");
        let whole = fs::read(&path).unwrap();
        let first = whole.windows(4).position(|part| part == b"four").unwrap();
        for cut in first..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let journal = Journal::resume(folder.path(), &head("1"), 10).unwrap();
            assert_eq!((journal.done(), journal.has(3), journal.has(4)), (1, true, false), "cut at {cut}");
            let (sender, receiver) = queue();
            sender.try_send((5, line(5, &"five").unwrap())).unwrap();
            drop(sender);
            let journal = journal.write_all(receiver).unwrap();
            let results: Vec<_> = (0..10).filter_map(|cell| journal.read::<String>(cell).unwrap()).collect();
            assert_eq!(results, ["three", "five"]);
        }
    }

    #[test]
    fn a_run_of_other_questions_is_not_resumed() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |head: &Head| Journal::resume(folder.path(), head, 10).err().unwrap().message();
        assert!(refused(&head("1")).starts_with("there is no run that could be resumed"));
        drop(written(folder.path(), &[(1, "one")]));
        assert!(refused(&head("2")).contains("the version of a changed since"));
        let running = Journal::resume(folder.path(), &head("1"), 10).unwrap();
        assert!(refused(&head("1")).starts_with("another `bowline test` runs"));
        drop(running);
        assert!(Journal::resume(folder.path(), &head("1"), 10).unwrap().has(1));
    }
}
