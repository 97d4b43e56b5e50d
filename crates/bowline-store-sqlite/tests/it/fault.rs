//! Disks that fail and processes that are killed: what was acknowledged is stored, whatever happens.
//!
//! A child process commits numbered writes and prints each acknowledgement. `disk.c`, preloaded into it, fails writes and
//! syncs, and keeps the files as they were at their last sync. Afterwards three states are opened, and each must hold every
//! acknowledged commit whole: the folder as the process left it; the synced files alone; and the synced files with a random
//! part of the unsynced sectors, which is what a power cut leaves.

mod child;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use bowline_store::{InferenceFilter, LogAction, LogFilter, LogRow, Store as _, SummaryFilter, VersionRecord, Write};
use bowline_store_sqlite::{Options, SqliteStore};
use bowline_types::{Digest, Scope, Timestamp};
use tempfile::TempDir;

use crate::samples;

const DATABASE_FILES: [&str; 2] = ["bowline.db", "bowline.db-wal"];

/// Few pages, so that checkpoints are among what fails.
fn options() -> Options {
    Options { checkpoint_pages: 40, ..Options::default() }
}

fn scope() -> Scope {
    Scope { project: "shop".parse().unwrap(), environment: "prod".parse().unwrap() }
}

/// A commit of three parts, which are stored together or not at all.
fn numbered(number: u32) -> Vec<Write> {
    let row = LogRow {
        sequence: 0,
        scope: scope(),
        prompt: None,
        at: Timestamp::from_micros(0),
        actor: "test".to_owned(),
        action: LogAction::Moved,
        from: None,
        to: Some(version(number)),
        rollout: None,
        commit: None,
        why: number.to_string(),
        evidence: None,
    };
    // Larger than a page.
    let content = serde_json::Value::String(format!("{number} ").repeat(1_000));
    vec![
        Write::LogAppend(row),
        Write::VersionPut(VersionRecord { digest: version(number), content }),
        Write::InferencePut(Box::new(samples::inference(number))),
    ]
}

fn version(number: u32) -> Digest {
    Digest::of(&number.to_be_bytes())
}

/// What a child said.
#[derive(Debug, Default)]
struct Said {
    acknowledged: BTreeSet<u32>,
    refused: Vec<(u32, String)>,
    /// Whether it came to its end.
    closed: bool,
}

/// A store on a disk that fails.
struct Disk {
    root: TempDir,
    acknowledged: BTreeSet<u32>,
    next: u32,
}

static LIBRARY: LazyLock<(TempDir, PathBuf)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("disk.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fault/disk.c");
    let flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"];
    let built = Command::new("cc").args(flags).arg("-o").arg(&library).arg(source).arg("-ldl").status().unwrap();
    assert!(built.success());
    (folder, library)
});

impl Disk {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("image")).unwrap();
        Self { root, acknowledged: BTreeSet::new(), next: 0 }
    }

    fn folder(&self) -> PathBuf {
        self.root.path().join("store")
    }

    fn image(&self) -> PathBuf {
        self.root.path().join("image")
    }

    /// Runs a child that makes `commits` commits, with settings of the disk, and kills it when `kill` says so of a line.
    fn run(&mut self, commits: u32, settings: &[(&str, &str)], kill: impl FnMut(usize) -> bool) -> Said {
        let command = Command::new(std::env::current_exe().unwrap());
        self.run_as(command, commits, settings, kill)
    }

    fn run_as(
        &mut self,
        mut command: Command,
        commits: u32,
        settings: &[(&str, &str)],
        mut kill: impl FnMut(usize) -> bool,
    ) -> Said {
        let armed = self.image().join("armed");
        drop(fs::remove_file(&armed));
        command.args(["--exact", child::TEST, "--ignored", "--nocapture", "--test-threads=1"]);
        command.env(child::FOLDER, self.folder()).env(child::READY, armed);
        command.env(child::FIRST, self.next.to_string()).env(child::END, (self.next + commits).to_string());
        command.env("LD_PRELOAD", &LIBRARY.1).env("DISK_FOLDER", self.folder()).env("DISK_IMAGE", self.image());
        command.envs(settings.iter().copied());
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut said = Said::default();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        // The pipe still holds what a killed process has said.
        for (number, line) in lines.map_while(Result::ok).enumerate() {
            let mut words = line.splitn(3, ' ');
            match (words.next(), words.next().and_then(|word| word.parse().ok())) {
                (Some("acknowledged"), Some(number)) => drop(said.acknowledged.insert(number)),
                (Some("refused"), Some(number)) => said.refused.push((number, words.next().unwrap_or("").to_owned())),
                (Some("closed"), _) => said.closed = true,
                _ => {}
            }
            if kill(number) {
                process.kill().unwrap();
            }
        }
        process.wait().unwrap();
        self.next += commits;
        self.acknowledged.extend(&said.acknowledged);
        said
    }

    /// Opens a copy of each state that the disk may be in, and returns what is stored as the process left it.
    async fn check(&self, seed: u64) -> BTreeSet<u32> {
        let left = self.check_copy("as it was left", seed, |folder, _| folder.to_vec()).await;
        self.check_copy("synced only", seed, |_, image| image.to_vec()).await;
        let mut random = Random(seed);
        self.check_copy("after a power cut", seed, |folder, image| mix(folder, image, &mut random)).await;
        left
    }

    async fn check_copy(
        &self,
        state: &str,
        seed: u64,
        mut bytes: impl FnMut(&[u8], &[u8]) -> Vec<u8>,
    ) -> BTreeSet<u32> {
        let copy = tempfile::tempdir().unwrap();
        for file in DATABASE_FILES {
            let [folder, image] =
                [self.folder(), self.image()].map(|path| fs::read(path.join(file)).unwrap_or_default());
            fs::write(copy.path().join(file), bytes(&folder, &image)).unwrap();
        }
        let stored = stored(copy.path()).await;
        let lost: Vec<_> = self.acknowledged.difference(&stored).collect();
        assert!(lost.is_empty(), "{state}, seed {seed}: acknowledged but lost {lost:?}");
        stored
    }
}

/// Returns sectors of both states at random.
fn mix(folder: &[u8], image: &[u8], random: &mut Random) -> Vec<u8> {
    const SECTOR: usize = 512;
    let length = if random.next().is_multiple_of(2) { folder.len() } else { folder.len().max(image.len()) };
    let mut mixed = Vec::with_capacity(length);
    while mixed.len() < length {
        let end = length.min(mixed.len() + SECTOR);
        let from = if random.next().is_multiple_of(2) { folder } else { image };
        let sector = from.get(mixed.len()..end.min(from.len())).unwrap_or_default();
        mixed.extend_from_slice(sector);
        // A file that grew has zeros where nothing was written.
        mixed.resize(end, 0);
    }
    mixed
}

/// A small generator (xorshift64), so that a seed repeats a run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 16
    }
}

/// Opens a store and returns the numbers of its commits, which must be whole; then writes to it.
async fn stored(folder: &Path) -> BTreeSet<u32> {
    let store = SqliteStore::open(folder, options()).unwrap();
    let mut numbers = BTreeSet::new();
    let mut before = None;
    loop {
        let page = store.log_list(LogFilter { scope: scope(), prompt: None, before, limit: 1_000 }).await.unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.sequence);
        numbers.extend(page.iter().map(|row| row.why.parse::<u32>().unwrap()));
    }
    for number in &numbers {
        let version = store.version_fetch(version(*number)).await.unwrap();
        assert!(version.is_some(), "commit {number} is stored in part");
        let inference = store.inference_fetch(samples::inference_id(*number)).await.unwrap();
        assert_eq!(inference, Some(samples::inference(*number)), "commit {number} is stored in part");
    }
    let filter = SummaryFilter { scope: scope(), prompt: None, rollout: None, since: None };
    let sums = store.summary_list(filter).await.unwrap();
    let summed: u64 = sums.iter().map(|row| row.inferences).sum();
    assert_eq!(summed, u64::try_from(numbers.len()).unwrap(), "the sums are not those of the rows");
    store.commit(numbered(u32::MAX)).await.unwrap();
    let newest = InferenceFilter { limit: 1, ..InferenceFilter::default() };
    assert_eq!(store.inference_list(newest).await.unwrap(), [samples::inference(u32::MAX)]);
    store.close().await;
    let database = rusqlite::Connection::open(folder.join("bowline.db")).unwrap();
    let sound: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
    numbers
}

#[tokio::test]
async fn a_process_that_is_killed_loses_nothing_acknowledged() {
    let mut disk = Disk::new();
    let mut random = Random(0x0b0e_11ae_5eed);
    for round in 1..=20 {
        let lines = usize::try_from(random.next() % 60).unwrap();
        let pause = Duration::from_micros(random.next() % 3_000);
        let said = disk.run(100_000, &[], |line| {
            let now = line == lines;
            if now {
                // Not to wait for anything: to be at another moment of the next transactions.
                std::thread::sleep(pause);
            }
            now
        });
        assert!(!said.closed && said.refused.is_empty(), "{:?}", said.refused);
        disk.check(round).await;
    }
    assert!(disk.acknowledged.len() > 100, "{}", disk.acknowledged.len());
}

#[tokio::test]
async fn commits_that_wait_share_a_sync() {
    let mut disk = Disk::new();
    let said = disk.run(400, &[], |_| false);
    assert!(said.closed && said.refused.is_empty(), "{:?}", said.refused);
    assert_eq!(said.acknowledged.len(), 400);
    let syncs = fs::metadata(disk.image().join("syncs")).unwrap().len();
    assert!(syncs < 300, "{syncs} syncs of the log");
    disk.check(1).await;
}

/// A disk that cannot write for a while: refused commits are not stored, and later ones are.
async fn check_write_fault(fault: &str, after: u32) {
    let mut disk = Disk::new();
    let after = after.to_string();
    let settings = [("DISK_FAULT", fault), ("DISK_AFTER", after.as_str()), ("DISK_COUNT", "20")];
    let said = disk.run(400, &settings, |_| false);
    assert!(said.closed, "{fault} after {after}");
    assert!(
        !said.refused.is_empty() && said.acknowledged.len() >= 100,
        "{fault} after {after}: {}",
        said.acknowledged.len()
    );
    let last_refused = said.refused.iter().map(|(number, _)| *number).max().unwrap();
    assert!(said.acknowledged.last().is_some_and(|last| *last > last_refused), "{fault}: later commits are refused");
    let stored = disk.check(7).await;
    for (number, why) in &said.refused {
        assert!(!stored.contains(number), "{fault}: {number} was refused ({why}) and is stored");
    }
}

#[tokio::test]
async fn a_full_disk_refuses_commits_until_there_is_room() {
    for after in [0, 13, 140] {
        check_write_fault("full", after).await;
    }
}

#[tokio::test]
async fn a_short_write_refuses_the_commit() {
    for after in [0, 13, 140] {
        check_write_fault("short", after).await;
    }
}

#[tokio::test]
async fn a_failed_write_refuses_the_commit() {
    for after in [0, 13, 140] {
        check_write_fault("error", after).await;
    }
}

/// After a sync that failed, whichever it is, nothing is acknowledged until the store is opened again.
#[tokio::test]
async fn a_failed_sync_stops_the_store() {
    for after in ["0", "1", "2", "3", "5", "8", "13", "21"] {
        let mut disk = Disk::new();
        // One call only: the disk says that all is well again, and must not be believed.
        let said = disk.run(400, &[("DISK_FAULT", "sync"), ("DISK_AFTER", after), ("DISK_COUNT", "1")], |_| false);
        assert!(said.closed, "after {after}");
        let refused: BTreeSet<_> = said.refused.iter().map(|(number, _)| *number).collect();
        assert!((300..400).all(|number| refused.contains(&number)), "after {after}: commits go on");
        assert!(said.refused.iter().any(|(_, why)| why.contains("open the store again")), "{:?}", said.refused);
        disk.check(11).await;
        // Opened again, it goes on.
        let said = disk.run(50, &[], |_| false);
        assert!(said.closed && said.refused.is_empty() && said.acknowledged.len() == 50, "{:?}", said.refused);
        disk.check(12).await;
    }
}

/// The kernel's own short write, at the limit of the size of a file.
#[tokio::test]
async fn a_file_size_limit_refuses_commits() {
    let mut disk = Disk::new();
    let mut command = Command::new("sh");
    // 1 MiB, in blocks of 512 bytes by POSIX. The signal must not end the process.
    command.args(["-c", "trap '' XFSZ; ulimit -f 2048; exec \"$0\" \"$@\""]).arg(std::env::current_exe().unwrap());
    let said = disk.run_as(command, 1_000, &[], |_| false);
    assert!(!said.acknowledged.is_empty() && !said.refused.is_empty(), "{} refused", said.refused.len());
    disk.check(13).await;
    let said = disk.run(50, &[], |_| false);
    assert!(said.closed && said.refused.is_empty() && said.acknowledged.len() == 50, "{:?}", said.refused);
    disk.check(14).await;
}
