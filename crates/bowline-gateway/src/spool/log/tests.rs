use proptest::prelude::*;

use super::*;

const AT: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);

fn payloads(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|index| format!("entry {index} {}", "x".repeat(index * 7 % 50)).into_bytes()).collect()
}

/// Reads everything, batch by batch, and acknowledges it.
fn drain(log: &mut Log, entries_max: usize) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let taken = log.read(entries_max, 200).unwrap();
        if taken.payloads.is_empty() {
            return all;
        }
        log.acknowledge(&taken).unwrap();
        all.extend(taken.payloads);
    }
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<_> = names.filter(|path| path.extension().is_some_and(|ending| ending == "spool")).collect();
    names.sort();
    names
}

#[test]
fn entries_come_back_in_order_over_segments_and_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let all = payloads(600);
    let mut log = Log::open(folder.path(), 64 * 1024).unwrap();
    for (index, chunk) in all.chunks(23).enumerate() {
        let at = AT.after(std::time::Duration::from_secs(index as u64));
        assert!(log.append(chunk, at).unwrap().iter().all(|kept| *kept));
    }
    assert!(segments(folder.path()).len() > 2);
    assert_eq!((log.waiting(), log.oldest()), (600, Some(AT)));
    // Half is delivered; the process ends without a word; the rest is there.
    let mut read = Vec::new();
    while read.len() < 300 {
        let taken = log.read(10, u64::MAX).unwrap();
        log.acknowledge(&taken).unwrap();
        read.extend(taken.payloads);
    }
    assert_eq!(log.oldest(), Some(AT.after(std::time::Duration::from_secs(300 / 23))));
    drop(log);
    let mut log = Log::open(folder.path(), 64 * 1024).unwrap();
    assert_eq!((log.waiting(), log.oldest()), (300, Some(AT.after(std::time::Duration::from_secs(300 / 23)))));
    log.append(&[b"one more".to_vec()], AT).unwrap();
    read.extend(drain(&mut log, 100));
    assert_eq!(read.split_off(600), [b"one more"]);
    assert_eq!(read, all);
    assert_eq!((log.waiting(), log.oldest()), (0, None));
    assert!(segments(folder.path()).len() <= 1, "what is delivered is deleted");
}

#[test]
fn what_is_acknowledged_twice_is_forgotten_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = Log::open(folder.path(), 64 * 1024).unwrap();
    for chunk in payloads(600).chunks(23) {
        log.append(chunk, AT).unwrap();
    }
    let (first, again) = (log.read(100, u64::MAX).unwrap(), log.read(100, u64::MAX).unwrap());
    log.acknowledge(&first).unwrap();
    log.acknowledge(&again).unwrap();
    assert_eq!(log.waiting(), 500);
    assert_eq!(drain(&mut log, 100), payloads(600).split_off(100));
}

#[test]
fn what_is_to_be_synced_is_what_is_not_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = Log::open(folder.path(), 64 * 1024).unwrap();
    log.append(&[vec![b'x'; 3_000]], AT).unwrap();
    log.append(&[vec![b'x'; 3_000]], AT).unwrap();
    log.append(&[vec![b'x'; 3_000]], AT).unwrap();
    let numbers = |unsynced: &Unsynced| unsynced.files.iter().map(|(number, _)| *number).collect::<Vec<_>>();
    let unsynced = log.unsynced();
    assert_eq!((numbers(&unsynced), unsynced.folder.is_some()), (vec![1, 2, 3], true));
    unsynced.sync().unwrap();
    // What could not be synced comes again, once, for as long as it waits.
    log.unsynced_again(unsynced);
    let taken = log.read(1, 1).unwrap();
    log.acknowledge(&taken).unwrap();
    for _ in 0..3 {
        let unsynced = log.unsynced();
        assert_eq!(numbers(&unsynced), [2, 3]);
        log.unsynced_again(unsynced);
    }
}

#[test]
fn a_full_log_takes_what_has_room_and_again_after_delivery() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = Log::open(folder.path(), 64 * 1024).unwrap();
    let payload = vec![b'p'; 1_000];
    let mut kept = 0;
    for _ in 0..200 {
        kept += log.append(std::slice::from_ref(&payload), AT).unwrap().iter().filter(|kept| **kept).count();
    }
    assert!((50..=64).contains(&kept), "{kept}");
    assert!(log.bytes() <= 64 * 1024);
    assert_eq!(log.append(&[vec![b'p'; 10_000], Vec::new()], AT).unwrap(), [false, false]);
    assert_eq!(drain(&mut log, 7).len(), kept);
    assert_eq!(log.append(std::slice::from_ref(&payload), AT).unwrap(), [true]);
}

#[test]
fn two_processes_do_not_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let first = Log::open(folder.path(), 1 << 20).unwrap();
    assert!(matches!(Log::open(folder.path(), 1 << 20), Err(SpoolError::Locked { .. })));
    drop(first);
    Log::open(folder.path(), 1 << 20).unwrap();
}

#[test]
fn a_segment_of_another_version_is_put_aside() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = Log::open(folder.path(), 1 << 20).unwrap();
    log.append(&payloads(3), AT).unwrap();
    drop(log);
    let path = segments(folder.path()).pop().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[7] = 2;
    fs::write(&path, &bytes).unwrap();
    let mut log = Log::open(folder.path(), 1 << 20).unwrap();
    assert_eq!((log.waiting(), fs::read(path.with_extension("unread")).unwrap()), (0, bytes));
    log.append(&payloads(1), AT).unwrap();
    assert_eq!(drain(&mut log, 10), payloads(1));
}

/// A disk that damages what was sound costs what stands behind it in the segment, and nothing that comes later.
#[test]
fn what_the_disk_damages_holds_up_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = Log::open(folder.path(), 1 << 20).unwrap();
    let all = payloads(5);
    log.append(&all, AT).unwrap();
    let at = MAGIC.len() as u64 + Frame::bytes(&all[0]) + HEAD as u64;
    let file = OpenOptions::new().write(true).open(segments(folder.path()).pop().unwrap()).unwrap();
    file.write_all_at(b"?", at).unwrap();
    let taken = log.read(100, u64::MAX).unwrap();
    assert_eq!((&taken.payloads[..], taken.damaged), (&all[..1], 1));
    log.acknowledge(&taken).unwrap();
    assert_eq!((log.waiting(), log.oldest()), (0, None));
    log.append(&[b"later".to_vec()], AT).unwrap();
    assert_eq!((log.waiting(), drain(&mut log, 10)), (1, vec![b"later".to_vec()]));
    // Where it is the first one, nothing is read at all, and it is passed over all the same.
    log.append(&[b"damaged".to_vec()], AT).unwrap();
    file.write_all_at(b"?", log.bytes() - 1).unwrap();
    let taken = log.read(100, u64::MAX).unwrap();
    assert_eq!((taken.payloads.len(), taken.damaged), (0, 1));
    log.acknowledge(&taken).unwrap();
    log.append(&[b"last".to_vec()], AT).unwrap();
    assert_eq!(drain(&mut log, 10), [b"last".to_vec()]);
}

#[test]
fn a_lost_cursor_costs_a_second_delivery_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = Log::open(folder.path(), 1 << 20).unwrap();
    log.append(&payloads(10), AT).unwrap();
    let taken = log.read(4, u64::MAX).unwrap();
    log.acknowledge(&taken).unwrap();
    drop(log);
    fs::write(folder.path().join("cursor"), "half a cur").unwrap();
    assert_eq!(drain(&mut Log::open(folder.path(), 1 << 20).unwrap(), 100), payloads(10));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever a crash cuts off the end: what is left is a prefix, none of it was delivered before, and the log goes on behind it.
    #[test]
    fn a_torn_end_loses_only_what_was_not_delivered(
        count in 1_usize..60, delivered in 0_usize..60, batch in 1_usize..9, cut in 0_usize..4_000,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let all = payloads(count);
        let mut log = Log::open(folder.path(), 1 << 20).unwrap();
        for chunk in all.chunks(batch) {
            log.append(chunk, AT).unwrap();
        }
        let taken = log.read(delivered.min(count), u64::MAX).unwrap();
        let delivered = taken.payloads.len();
        log.acknowledge(&taken).unwrap();
        drop(log);
        let last = segments(folder.path()).pop().unwrap();
        let file = OpenOptions::new().write(true).open(&last).unwrap();
        let length = file.metadata().unwrap().len();
        file.set_len(length.saturating_sub(cut as u64)).unwrap();

        let mut log = Log::open(folder.path(), 1 << 20).unwrap();
        prop_assert!(log.append(&[b"after".to_vec()], AT).unwrap()[0]);
        let mut left = drain(&mut log, 5);
        prop_assert_eq!(left.pop(), Some(b"after".to_vec()));
        // Where the cut reaches behind the cursor, those before it come once more.
        let from = if left.first() == all.first() { 0 } else { delivered };
        prop_assert_eq!(&left[..], &all[from..from + left.len()]);
        let whole = Frame::bytes(&all[count - 1]);
        prop_assert!(cut as u64 > 0 || from + left.len() == count);
        prop_assert!(cut as u64 >= whole || from + left.len() + 1 >= count, "a whole entry was lost with a torn one");
    }
}
