//! The segments of the spool on disk. Everything here blocks, and is called with the log in hand.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bowline_types::Timestamp;
use tracing::{error, warn};

use super::SpoolError;
use super::frame::{Frame, HEAD, MAGIC};

/// Segments that a full spool has, about: what is delivered makes room segment by segment.
const SEGMENTS: u64 = 16;
/// The largest segment, in bytes: what may be sent again after a crash.
const SEGMENT_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// The smallest segment, in bytes.
const SEGMENT_BYTES_MIN: u64 = 4 * 1024;

/// How much of a segment is read at once.
const READ_BYTES: usize = 64 * 1024;

/// Where the next entry to deliver begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cursor {
    segment: u64,
    offset: u64,
}

/// Entries in order of arrival, oldest first, over files that are written to once and deleted whole.
#[derive(Debug)]
pub(super) struct Log {
    folder: PathBuf,
    bytes_max: u64,
    segments: VecDeque<Segment>,
    /// The file of the last segment, as long as it takes entries.
    writer: Option<Arc<File>>,
    /// What was finished since the last sync.
    unsynced: Unsynced,
    cursor: Cursor,
    cursor_file: File,
    /// When the entry at the cursor was written.
    oldest: Option<Timestamp>,
    /// Held for as long as the log is open, so that no second process writes here.
    _lock: File,
}

/// One file.
#[derive(Debug)]
struct Segment {
    number: u64,
    /// Up to where it is sound.
    bytes: u64,
    /// Entries that are not delivered.
    waiting: u64,
}

/// What a power cut would take, beside the file that takes entries now.
#[derive(Debug, Default)]
pub(super) struct Unsynced {
    /// Segments by number.
    files: Vec<(u64, Arc<File>)>,
    /// The folder, where it has a file since.
    folder: Option<PathBuf>,
}

/// Entries that were read, with where the next one begins.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) payloads: Vec<Vec<u8>>,
    start: Cursor,
    pub(super) end: Cursor,
    /// Segments whose rest is passed over, since the disk damaged it. How many entries stood there nobody knows.
    pub(super) damaged: u64,
}

// === impl Log ===

impl Log {
    /// Opens the log of a folder, and mends what a crash left.
    ///
    /// # Errors
    /// Another process holds it, or a file operation failed.
    pub(super) fn open(folder: &Path, bytes_max: u64) -> Result<Self, SpoolError> {
        let at = |operation| move |source| SpoolError::File { operation, path: folder.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(at("create"))?;
        let lock = private().create(true).truncate(false).open(folder.join("lock")).map_err(at("lock"))?;
        lock.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => SpoolError::Locked { path: folder.to_owned() },
            fs::TryLockError::Error(source) => at("lock")(source),
        })?;
        let path = folder.join("cursor");
        let cursor_file = private().read(true).create(true).truncate(false).open(path).map_err(at("open"))?;
        let mut log = Self {
            folder: folder.to_owned(),
            bytes_max,
            segments: VecDeque::new(),
            writer: None,
            unsynced: Unsynced::default(),
            cursor: Cursor::read(&cursor_file).map_err(at("read"))?.unwrap_or_default(),
            cursor_file,
            oldest: None,
            _lock: lock,
        };
        log.recover().map_err(at("read"))?;
        Ok(log)
    }

    /// Returns how many entries wait.
    pub(super) fn waiting(&self) -> u64 {
        self.segments.iter().map(|segment| segment.waiting).sum()
    }

    /// Returns how many bytes are on disk.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Returns when the oldest entry that waits was written.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.oldest
    }

    /// Appends those payloads that have room, and says which. They survive the process, and the machine after [`Log::unsynced`] is
    /// synced.
    ///
    /// # Errors
    /// A file operation failed; none of them is there then.
    pub(super) fn append(&mut self, payloads: &[Vec<u8>], at: Timestamp) -> io::Result<Vec<bool>> {
        let before = self.bytes();
        let mut room = self.bytes_max.saturating_sub(before);
        let (mut kept, mut buffer, mut count) = (Vec::with_capacity(payloads.len()), Vec::new(), 0);
        for payload in payloads {
            let bytes = Frame::bytes(payload);
            let fits = bytes <= room && !payload.is_empty() && u32::try_from(payload.len()).is_ok();
            if fits {
                room -= bytes;
                count += 1;
                Frame { at, payload }.write(&mut buffer);
            }
            kept.push(fits);
        }
        if count == 0 {
            return Ok(kept);
        }
        let length = u64::try_from(buffer.len()).unwrap_or(u64::MAX);
        let writer = self.writer_for(length)?;
        let Some(segment) = self.segments.back_mut() else { return Err(io::ErrorKind::NotFound.into()) };
        // What half of them a failed write leaves is written over by the next one.
        writer.write_all_at(&buffer, segment.bytes)?;
        if self.oldest.is_none() {
            self.oldest = Some(at);
            self.cursor = Cursor { segment: segment.number, offset: segment.bytes };
        }
        segment.bytes += length;
        segment.waiting += count;
        Ok(kept)
    }

    /// Takes what is to be synced, so that this happens without the log in hand: whoever appends must not wait for the disk.
    pub(super) fn unsynced(&mut self) -> Unsynced {
        let mut unsynced = std::mem::take(&mut self.unsynced);
        // What was delivered meanwhile is gone, and need not be synced.
        unsynced.files.retain(|(number, _)| self.segments.iter().any(|segment| segment.number == *number));
        unsynced.files.extend(self.current());
        unsynced
    }

    /// Returns the segment that takes entries now.
    fn current(&self) -> Option<(u64, Arc<File>)> {
        Some((self.segments.back()?.number, Arc::clone(self.writer.as_ref()?)))
    }

    /// Takes back what could not be synced.
    pub(super) fn unsynced_again(&mut self, failed: Unsynced) {
        let current = self.current().map(|(number, _)| number);
        self.unsynced.files.extend(failed.files.into_iter().filter(|(number, _)| Some(*number) != current));
        self.unsynced.folder = self.unsynced.folder.take().or(failed.folder);
    }

    /// Reads entries from the cursor on: at most so many, and at most so many bytes, but one at least.
    ///
    /// # Errors
    /// A file operation failed.
    pub(super) fn read(&self, entries_max: usize, bytes_max: u64) -> io::Result<Taken> {
        let mut taken = Taken { start: self.cursor, end: self.cursor, ..Taken::default() };
        let mut bytes = 0;
        for segment in self.segments.iter().skip_while(|segment| segment.number < self.cursor.segment) {
            if segment.number != taken.end.segment {
                taken.end = Cursor { segment: segment.number, offset: MAGIC.len() as u64 };
            }
            let mut file = File::open(self.path(segment.number))?;
            file.seek(SeekFrom::Start(taken.end.offset))?;
            let mut file = BufReader::with_capacity(READ_BYTES, file);
            while taken.end.offset < segment.bytes {
                let frame = read_frame(&mut file, segment.bytes - taken.end.offset)?;
                let length = frame.len() as u64;
                if taken.payloads.len() >= entries_max || (bytes > 0 && bytes + length > bytes_max) {
                    return Ok(taken);
                }
                let Some(sound) = Frame::read(&frame) else {
                    // The disk, not a crash: it was sound when it was written or opened.
                    error!(segment = segment.number, offset = taken.end.offset, "a segment of the spool is damaged");
                    taken.end.offset = segment.bytes;
                    taken.damaged += 1;
                    break;
                };
                taken.payloads.push(sound.payload.to_vec());
                bytes += length;
                taken.end.offset += length;
            }
        }
        Ok(taken)
    }

    /// Forgets what was read up to `end`, and deletes the segments that hold nothing else. Again, it changes nothing: a look that is given up at
    /// a shutdown may still acknowledge what the next one has delivered again.
    ///
    /// # Errors
    /// A file operation failed; what was delivered may then be delivered again.
    pub(super) fn acknowledge(&mut self, taken: &Taken) -> io::Result<()> {
        if taken.start != self.cursor {
            return Ok(());
        }
        let end = taken.end;
        let mut left = taken.payloads.len() as u64;
        for segment in &mut self.segments {
            // Behind a damaged entry fewer were read than wait.
            let is_over =
                segment.number < end.segment || (segment.number == end.segment && segment.bytes <= end.offset);
            let count = if is_over { segment.waiting } else { left.min(segment.waiting) };
            segment.waiting -= count;
            left = left.saturating_sub(count);
            if segment.number >= end.segment {
                break;
            }
        }
        self.cursor = end;
        while let Some(first) = self.segments.front()
            && (first.number < end.segment || (first.waiting == 0 && self.segments.len() > 1))
        {
            fs::remove_file(self.path(first.number))?;
            self.segments.pop_front();
        }
        self.oldest = match self.segments.iter().find(|segment| segment.waiting > 0) {
            None => None,
            Some(segment) if segment.number == end.segment => self.written_at(segment.number, end.offset)?,
            Some(segment) => self.written_at(segment.number, MAGIC.len() as u64)?,
        };
        self.cursor.write(&self.cursor_file)
    }

    fn written_at(&self, segment: u64, offset: u64) -> io::Result<Option<Timestamp>> {
        let mut micros = [0; 8];
        File::open(self.path(segment))?.read_exact_at(&mut micros, offset + 8)?;
        Ok(Some(Timestamp::from_micros(i64::from_le_bytes(micros))))
    }

    /// Returns the file for so many more bytes: the present one, or a new one where they would make it too large.
    fn writer_for(&mut self, bytes: u64) -> io::Result<Arc<File>> {
        let most = (self.bytes_max / SEGMENTS).clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX);
        if let (Some(writer), Some(last)) = (&self.writer, self.segments.back())
            && last.bytes + bytes <= most
        {
            return Ok(Arc::clone(writer));
        }
        let number = self.segments.back().map_or(self.cursor.segment, |last| last.number) + 1;
        // Where it is there, an attempt before could not begin it.
        let file = Arc::new(private().read(true).create(true).truncate(true).open(self.path(number))?);
        file.write_all_at(&MAGIC, 0)?;
        self.unsynced.files.extend(self.current());
        self.unsynced.folder = Some(self.folder.clone());
        self.segments.push_back(Segment { number, bytes: MAGIC.len() as u64, waiting: 0 });
        self.writer = Some(Arc::clone(&file));
        Ok(file)
    }

    /// Finds the segments that a former process left, and where each of them ends.
    fn recover(&mut self) -> io::Result<()> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let number: Option<u64> =
                name.to_str().and_then(|name| name.strip_suffix(".spool")).and_then(|name| name.parse().ok());
            numbers.extend(number);
        }
        numbers.sort_unstable();
        for number in numbers {
            let bytes = fs::read(self.path(number))?;
            if !bytes.is_empty() && !bytes.starts_with(&MAGIC) {
                // Of another version of Bowline, or of a disk that failed: not ours to delete.
                let aside = self.path(number).with_extension("unread");
                error!(segment = number, path = %aside.display(), "a segment of the spool is none of this version; it is put aside");
                fs::rename(self.path(number), aside)?;
                continue;
            }
            let from = if number == self.cursor.segment { self.cursor.offset } else { 0 };
            let sound = Sound::of(&bytes, from);
            if sound.bytes < bytes.len() as u64 {
                warn!(
                    segment = number,
                    lost = bytes.len() as u64 - sound.bytes,
                    "a segment of the spool has a torn end"
                );
            }
            if number < self.cursor.segment || sound.waiting == 0 {
                fs::remove_file(self.path(number))?;
                self.cursor.segment = self.cursor.segment.max(number);
                continue;
            }
            if self.segments.is_empty() {
                self.cursor = Cursor { segment: number, offset: sound.from };
                self.oldest = sound.oldest;
            }
            self.segments.push_back(Segment { number, bytes: sound.bytes, waiting: sound.waiting });
        }
        Ok(())
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:016}.spool"))
    }
}

/// What of a segment can be trusted.
struct Sound {
    /// Up to where.
    bytes: u64,
    /// Where the entries that wait begin.
    from: u64,
    waiting: u64,
    oldest: Option<Timestamp>,
}

// === impl Sound ===

impl Sound {
    /// Reads a segment of which entries before `from` were delivered. Where no entry begins there, all of them wait: to deliver twice
    /// changes nothing.
    fn of(bytes: &[u8], from: u64) -> Self {
        let start = MAGIC.len() as u64;
        let mut sound = Self { bytes: start, from: start, waiting: 0, oldest: None };
        let Some(mut rest) = bytes.strip_prefix(&MAGIC) else { return Self { bytes: 0, ..sound } };
        loop {
            if sound.bytes == from {
                sound = Self { bytes: from, from, waiting: 0, oldest: None };
            }
            let Some(frame) = Frame::read(rest) else { return sound };
            sound.oldest = sound.oldest.or(Some(frame.at));
            sound.waiting += 1;
            sound.bytes += Frame::bytes(frame.payload);
            rest = rest.get(HEAD + frame.payload.len()..).unwrap_or_default();
        }
    }
}

// === impl Unsynced ===

impl Unsynced {
    /// Syncs it. Blocks on the disk.
    ///
    /// # Errors
    /// Some of it was not synced.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.files.iter().try_for_each(|(_, file)| file.sync_data())?;
        self.folder.iter().try_for_each(|folder| File::open(folder)?.sync_all())
    }
}

// === impl Cursor ===

impl Cursor {
    /// Reads the file; `None` where it is new or damaged, which costs a second delivery and nothing else.
    fn read(file: &File) -> io::Result<Option<Self>> {
        let mut bytes = Vec::new();
        let mut file = file;
        file.read_to_end(&mut bytes)?;
        let number = |payload: &[u8], at: usize| {
            payload.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes)
        };
        let payload = Frame::read(&bytes).map(|frame| frame.payload);
        Ok(payload.and_then(|payload| Some(Self { segment: number(payload, 0)?, offset: number(payload, 8)? })))
    }

    fn write(self, file: &File) -> io::Result<()> {
        let payload = [self.segment.to_le_bytes(), self.offset.to_le_bytes()].concat();
        let mut bytes = Vec::new();
        Frame { at: Timestamp::default(), payload: &payload }.write(&mut bytes);
        file.write_all_at(&bytes, 0)
    }
}

/// Reads the bytes of the next frame, of which there are at most `most`.
fn read_frame(file: &mut impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut head = [0; HEAD];
    file.read_exact(&mut head)?;
    let length = head.first_chunk().map_or(0, |length| u32::from_le_bytes(*length));
    let bytes = (HEAD as u64 + u64::from(length)).min(most);
    let mut frame = vec![0; usize::try_from(bytes).map_err(|_| io::ErrorKind::OutOfMemory)?];
    let (before, rest) = frame.split_at_mut(HEAD.min(usize::try_from(bytes).unwrap_or(HEAD)));
    before.copy_from_slice(head.get(..before.len()).unwrap_or_default());
    file.read_exact(rest)?;
    Ok(frame)
}

/// Files for this user only: records may hold content.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

#[cfg(test)]
mod tests;
