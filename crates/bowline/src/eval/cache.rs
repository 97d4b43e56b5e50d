//! Answers of earlier runs, on disk: `.bowline/cache/eval/`, files of lines `KEY<tab>JSON`.
//!
//! A line is appended by one write, so that runs at the same time do not mix; a line that was cut off is skipped. Only keys are held
//! in memory. When the files exceed [`BYTES_MAX`], the oldest one goes.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use bowline_types::Digest;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::Result;

/// How much is kept, in bytes.
const BYTES_MAX: u64 = 256 * 1024 * 1024;
/// The size beyond which another file is begun.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The longest answer that is kept, in bytes.
const ENTRY_BYTES_MAX: usize = 1024 * 1024;
/// Hexadecimal digits of a key.
const KEY_BYTES: usize = 64;

/// Answers of earlier runs.
pub(super) struct Cache {
    /// Where each answer is, by the first half of its key.
    index: HashMap<u128, Place>,
    files: Vec<File>,
    writer: Mutex<Writer>,
}

#[derive(Clone, Copy)]
struct Place {
    file: u32,
    length: u32,
    offset: u64,
}

struct Writer {
    folder: PathBuf,
    number: u64,
    file: File,
    bytes: u64,
    limits: Limits,
}

#[derive(Clone, Copy)]
struct Limits {
    total: u64,
    file: u64,
}

// === impl Cache ===

impl Cache {
    /// Opens the cache in a folder, which is made where it is not there.
    ///
    /// # Errors
    /// The folder cannot be read or written.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        Self::open_with(folder, Limits { total: BYTES_MAX, file: FILE_BYTES_MAX })
    }

    fn open_with(folder: &Path, limits: Limits) -> Result<Self> {
        let cannot = || format!("could not open the cache in {}\nhint: `--no-cache` does without", folder.display());
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(cannot)?;
        let numbers = numbers(folder).with_context(cannot)?;
        let (mut index, mut files) = (HashMap::new(), Vec::new());
        for number in &numbers {
            // Another run may have removed it meanwhile.
            let Ok(file) = File::open(path(folder, *number)) else { continue };
            let at = u32::try_from(files.len()).unwrap_or(u32::MAX);
            scan(&file, at, &mut index).with_context(cannot)?;
            files.push(file);
        }
        let writer = Writer::open(folder, numbers.last().copied().unwrap_or(1), limits).with_context(cannot)?;
        Ok(Self { index, files, writer: Mutex::new(writer) })
    }

    /// Returns the answer of this key.
    pub(super) fn get<T: DeserializeOwned>(&self, key: &Digest) -> Option<T> {
        let place = self.index.get(&short(key))?;
        let mut line = vec![0; usize::try_from(place.length).ok()?];
        self.files.get(usize::try_from(place.file).ok()?)?.read_exact_at(&mut line, place.offset).ok()?;
        let (found, value) = line.split_at_checked(KEY_BYTES)?;
        if found != key.hex().as_bytes() {
            return None;
        }
        serde_json::from_slice(value).ok()
    }

    /// Keeps an answer for later runs; one that is too long is not kept.
    ///
    /// # Errors
    /// The disk does not take it.
    pub(super) fn put(&self, key: &Digest, value: &impl Serialize) -> std::io::Result<()> {
        let mut line = format!("{}\t", key.hex()).into_bytes();
        serde_json::to_writer(&mut line, value)?;
        line.push(b'\n');
        if line.len() > ENTRY_BYTES_MAX {
            return Ok(());
        }
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).append(&line)
    }
}

// === impl Writer ===

impl Writer {
    fn open(folder: &Path, number: u64, limits: Limits) -> std::io::Result<Self> {
        let file = fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path(folder, number))?;
        let bytes = file.metadata()?.len();
        let mut writer = Self { folder: folder.to_owned(), number, file, bytes, limits };
        if !ends_whole(folder, number, bytes)? {
            // What was cut off must not swallow the next line.
            writer.file.write_all(b"\n")?;
            writer.bytes += 1;
        }
        Ok(writer)
    }

    fn append(&mut self, line: &[u8]) -> std::io::Result<()> {
        if self.bytes >= self.limits.file {
            *self = Self::open(&self.folder, self.number + 1, self.limits)?;
            self.forget()?;
        }
        self.file.write_all(line)?;
        self.bytes += u64::try_from(line.len()).unwrap_or(u64::MAX);
        Ok(())
    }

    /// Removes the oldest files until the rest, and the one that is begun, fit.
    fn forget(&self) -> std::io::Result<()> {
        let numbers = numbers(&self.folder)?;
        let size = |number: &u64| fs::metadata(path(&self.folder, *number)).map_or(0, |metadata| metadata.len());
        let mut total = numbers.iter().map(size).sum::<u64>() + self.limits.file;
        for number in numbers.iter().filter(|number| **number < self.number) {
            if total <= self.limits.total {
                break;
            }
            total -= size(number);
            match fs::remove_file(path(&self.folder, *number)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:08}.lines"))
}

/// Returns the numbers of the files, oldest first.
fn numbers(folder: &Path) -> std::io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number: Option<u64> = name.to_str().and_then(|name| name.strip_suffix(".lines")?.parse().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn ends_whole(folder: &Path, number: u64, bytes: u64) -> std::io::Result<bool> {
    let Some(last) = bytes.checked_sub(1) else { return Ok(true) };
    let mut byte = [0];
    File::open(path(folder, number))?.read_exact_at(&mut byte, last)?;
    Ok(byte == *b"\n")
}

fn scan(file: &File, number: u32, index: &mut HashMap<u128, Place>) -> std::io::Result<()> {
    let (mut reader, mut line, mut offset) = (BufReader::with_capacity(1 << 16, file), Vec::new(), 0);
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)?;
        if length == 0 {
            return Ok(());
        }
        if line.ends_with(b"\n")
            && let (Some(key), Ok(length)) = (key_of(&line), u32::try_from(length))
        {
            index.insert(key, Place { file: number, length, offset });
        }
        offset += u64::try_from(length).unwrap_or(u64::MAX);
    }
}

/// Returns the first half of the key that a line begins with.
fn key_of(line: &[u8]) -> Option<u128> {
    let (key, rest) = line.split_at_checked(KEY_BYTES)?;
    let half = std::str::from_utf8(key.get(..KEY_BYTES / 2)?).ok()?;
    rest.starts_with(b"\t").then(|| u128::from_str_radix(half, 16).ok()).flatten()
}

fn short(key: &Digest) -> u128 {
    key.as_bytes().iter().take(16).fold(0, |number, byte| number << 8 | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32) -> Digest {
        Digest::of(&number.to_be_bytes())
    }

    #[test]
    fn answers_are_there_in_the_next_run() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        cache.put(&key(1), &"one").unwrap();
        cache.put(&key(2), &"tw\no").unwrap();
        assert_eq!(cache.get::<String>(&key(1)), None, "a run does not read what it wrote");
        let later = Cache::open(folder.path()).unwrap();
        assert_eq!(later.get::<String>(&key(1)).as_deref(), Some("one"));
        assert_eq!(later.get::<String>(&key(2)).as_deref(), Some("tw\no"));
        assert_eq!(later.get::<String>(&key(3)), None);
    }

    #[test]
    fn a_line_that_was_cut_off_is_skipped() {
        let folder = tempfile::tempdir().unwrap();
        Cache::open(folder.path()).unwrap().put(&key(1), &"one").unwrap();
        let file = path(folder.path(), 1);
        let whole = fs::read(&file).unwrap();
        let text = [&whole[..], &whole[..whole.len() / 2]].concat();
        fs::write(&file, text).unwrap();
        Cache::open(folder.path()).unwrap().put(&key(2), &"two").unwrap();
        let later = Cache::open(folder.path()).unwrap();
        assert_eq!(later.get::<String>(&key(1)).as_deref(), Some("one"));
        assert_eq!(later.get::<String>(&key(2)).as_deref(), Some("two"));
    }

    #[test]
    fn the_oldest_file_goes_when_there_is_too_much() {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits { total: 4_000, file: 1_000 };
        let cache = Cache::open_with(folder.path(), limits).unwrap();
        (0..200).for_each(|number| cache.put(&key(number), &"x".repeat(30)).unwrap());
        let sizes = numbers(folder.path()).unwrap().into_iter().map(|number| path(folder.path(), number));
        assert!(sizes.map(|path| fs::metadata(path).unwrap().len()).sum::<u64>() <= 4_200);
        let later = Cache::open_with(folder.path(), limits).unwrap();
        assert!(later.get::<String>(&key(199)).is_some());
        assert!(later.get::<String>(&key(0)).is_none());
    }

    #[test]
    fn an_answer_that_was_tampered_with_is_none() {
        let folder = tempfile::tempdir().unwrap();
        Cache::open(folder.path()).unwrap().put(&key(1), &7).unwrap();
        let file = path(folder.path(), 1);
        let text = fs::read_to_string(&file).unwrap().replace("\t7", "\t{");
        fs::write(&file, text).unwrap();
        assert_eq!(Cache::open(folder.path()).unwrap().get::<u32>(&key(1)), None);
    }
}
