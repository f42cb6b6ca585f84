//! Append logs whose files were lost, cut, or left by who was killed.

#![allow(clippy::unwrap_used)]

use chunkstore_store::{ByteLog, ErrorKind, LogOptions, Result};
use std::path::{Path, PathBuf};

const PARTITIONS: u32 = 8;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap()
}

fn open(path: &Path) -> Result<ByteLog> {
    ByteLog::open_with(path, PARTITIONS, LogOptions::new().memory(ByteLog::LEAST_MEMORY))
}

/// A log of 50 tasks, flushed five times.
fn make(path: &Path) {
    let log = open(path).unwrap();
    for task in 0..50u64 {
        for partition in 0..PARTITIONS {
            log.append(partition, task, &[partition as u8; 1000]).unwrap();
        }
        log.commit(task).unwrap();
        if task % 10 == 9 {
            log.flush().unwrap();
        }
    }
    log.seal().unwrap();
}

/// The entries that there are, all of which are right.
fn entries(log: &ByteLog) -> usize {
    let of = |partition: u32| {
        let all = log.gather(partition).unwrap().map(|entry| entry.unwrap());
        all.inspect(|entry| assert!(entry.len() == 1000 && entry.iter().all(|byte| *byte == partition as u8))).count()
    };
    (0..PARTITIONS).map(of).sum()
}

fn files(path: &Path, ending: &str) -> Vec<PathBuf> {
    let all = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    all.filter(|path| path.to_str().unwrap().ends_with(ending)).collect()
}

fn data_bytes(path: &Path) -> u64 {
    files(path, ".data").iter().map(|path| path.metadata().unwrap().len()).sum()
}

#[test]
fn an_index_that_is_lost_or_cut_comes_back() {
    let folder = folder();
    let path = folder.path().join("log");
    make(&path);
    let index = files(&path, ".index").remove(0);
    let (whole, data) = (std::fs::read(&index).unwrap(), data_bytes(&path));
    let frame = 64 + 40 + u64::from_le_bytes(whole[64 + 16..64 + 24].try_into().unwrap()) as usize + 24;
    for cut in [None, Some(0), Some(10), Some(64), Some(100), Some(frame), Some(whole.len() - 30)] {
        match cut {
            None => std::fs::remove_file(&index).unwrap(),
            Some(cut) => std::fs::write(&index, &whole[..cut]).unwrap(),
        }
        let log = open(&path).unwrap();
        assert_eq!((entries(&log), data_bytes(&path)), (400, data), "{cut:?}");
        assert!(log.verify().unwrap().is_sound());
        drop(log);
        assert_eq!(std::fs::read(&index).unwrap(), whole, "{cut:?}");
    }
}

#[test]
fn data_files_of_which_nothing_tells_are_never_deleted() {
    let folder = folder();
    let path = folder.path().join("log");
    for cut in [None, Some(0), Some(40)] {
        make(&path);
        let (data, index) = (data_bytes(&path), files(&path, ".index").remove(0));
        for lost in [index, files(&path, ".mirror").remove(0)] {
            match cut {
                None => std::fs::remove_file(&lost).unwrap(),
                Some(cut) => std::fs::write(&lost, &std::fs::read(&lost).unwrap()[..cut]).unwrap(),
            }
        }
        for _ in 0..2 {
            let error = open(&path).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert!(error.path().unwrap().to_str().unwrap().ends_with(".data") && error.to_string().contains("repair"), "{error}");
            assert_eq!(data_bytes(&path), data);
        }
        let repaired = ByteLog::repair(&path).unwrap();
        assert!(repaired.set_aside.iter().any(|path| path.extension().unwrap() == "data") && repaired.restored.is_empty(), "{repaired:?}");
        assert_eq!(entries(&open(&path).unwrap()), 0);
        let aside: u64 = files(&path, ".data.aside").iter().map(|path| path.metadata().unwrap().len()).sum();
        assert_eq!(aside, data);
        std::fs::remove_dir_all(&path).unwrap();
    }
}

#[test]
fn a_damaged_index_is_repaired_from_its_second_copy() {
    let folder = folder();
    let path = folder.path().join("log");
    make(&path);
    let index = files(&path, ".index").remove(0);
    let whole = std::fs::read(&index).unwrap();
    for at in [3, 64 + 60, whole.len() / 2] {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        std::fs::write(&index, damaged).unwrap();
        assert_eq!(open(&path).unwrap_err().kind(), ErrorKind::Corrupt, "{at}");
        assert_eq!(ByteLog::repair(&path).unwrap().restored, std::slice::from_ref(&index));
        assert_eq!(entries(&open(&path).unwrap()), 400);
    }
}

#[test]
fn verify_says_where_an_index_tells_of_less_than_there_is() {
    let folder = folder();
    let path = folder.path().join("log");
    make(&path);
    assert!(open(&path).unwrap().verify().unwrap().warnings.is_empty());
    // As of a log from before there was a second copy.
    std::fs::remove_file(files(&path, ".mirror").remove(0)).unwrap();
    let (index, data) = (files(&path, ".index").remove(0), data_bytes(&path));
    let whole = std::fs::read(&index).unwrap();
    let frame = 64 + 40 + u64::from_le_bytes(whole[64 + 16..64 + 24].try_into().unwrap()) as usize + 24;
    for cut in [64, frame] {
        std::fs::write(&index, &whole[..cut]).unwrap();
        let log = open(&path).unwrap();
        assert_eq!((entries(&log), data_bytes(&path)), (if cut == 64 { 0 } else { 80 }, data));
        let verified = log.verify().unwrap();
        assert!(verified.warnings.iter().any(|e| e.path().unwrap().extension().unwrap() == "data"), "{cut} {:?}", verified.warnings);
        std::fs::remove_file(index.with_extension("mirror")).ok();
    }
}

#[test]
fn what_was_never_committed_goes() {
    let folder = folder();
    let path = folder.path().join("log");
    let log = open(&path).unwrap();
    for i in 0..3000u32 {
        log.append(i % PARTITIONS, 1, &i.wrapping_mul(0x9e37_79b9).to_le_bytes().repeat(1000)).unwrap();
    }
    assert!(data_bytes(&path) > 0);
    drop(log);
    open(&path).unwrap();
    assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0);
    // So do the files of a writer that was being removed.
    make(&path);
    let index = files(&path, ".index").remove(0);
    std::fs::rename(&index, index.with_extension("gone")).unwrap();
    assert_eq!(entries(&open(&path).unwrap()), 0);
    assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0);
}

#[test]
fn what_is_set_once_can_be_set_again_when_it_was_deleted_whoever_did() {
    let folder = folder();
    for round in 0..12 {
        let path = folder.path().join(format!("{round}"));
        let log = open(&path).unwrap();
        assert!(log.iset(3, b"s").unwrap() && !log.iset(3, b"t").unwrap());
        log.flush().unwrap();
        drop(log);
        let log = open(&path).unwrap();
        assert!(!log.iset(3, b"t").unwrap());
        log.delete(3).unwrap();
        log.flush().unwrap();
        drop(log);
        let log = open(&path).unwrap();
        assert!(log.iset(3, b"u").unwrap(), "{round}");
        log.flush().unwrap();
        drop(log);
        let log = open(&path).unwrap();
        assert_eq!(log.gather(3).unwrap().map(|entry| entry.unwrap().to_vec()).collect::<Vec<_>>(), [b"u"]);
    }
}

#[test]
fn large_entries_of_many_threads_stay_in_the_buffer() {
    let folder = folder();
    let log = ByteLog::temporary(64, LogOptions::new().memory(ByteLog::LEAST_MEMORY).folder(folder.path())).unwrap();
    let large: Vec<u8> = (0..4u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    std::thread::scope(|scope| {
        for task in 0..8u32 {
            let (log, large) = (&log, &large);
            scope.spawn(move || {
                for i in 0..3 {
                    log.append(task * 3 + i, u64::from(task), large).unwrap();
                }
                let refused = log.append(task, u64::from(task), &large.repeat(2)).unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::OutOfMemory);
            });
        }
    });
    assert!(log.stats().held_peak <= ByteLog::LEAST_MEMORY / 2, "{:?}", log.stats());
    log.seal().unwrap();
    for partition in 0..24 {
        assert!(log.gather(partition).unwrap().all(|entry| *entry.unwrap() == *large));
    }
}

#[test]
fn compacting_keeps_what_counts_and_gives_room_back() {
    let folder = folder();
    let path = folder.path().join("log");
    let noise = |seed: u64| -> Vec<u8> { (0..100_000u64).map(|i| ((seed + i).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 37) as u8).collect() };
    let rounds = 6;
    for round in 0..rounds {
        let log = open(&path).unwrap();
        for partition in 0..PARTITIONS {
            for task in [1, 2] {
                log.append(partition, (task, round), &noise(u64::from(round * 100 + partition) + task)).unwrap();
            }
            log.append(partition, (), format!("loose {round}").as_bytes()).unwrap();
        }
        log.iset(5, format!("set {round}").as_bytes()).unwrap();
        log.commit((1, round)).unwrap();
        log.commit((2, round)).unwrap();
        log.flush().unwrap();
        if round == 3 {
            log.delete(4).unwrap();
            log.delete(5).unwrap();
        }
        log.seal().unwrap();
    }
    // A task whose last attempt has no entries.
    let log = open(&path).unwrap();
    log.commit((2, 9)).unwrap();
    log.flush().unwrap();
    let content = |log: &ByteLog| -> Vec<Vec<_>> {
        let of = |p| {
            log.gather(p).unwrap().map(|entry| entry.map(|entry| (entry.attempt(), entry.records(), entry.to_vec())).unwrap()).collect()
        };
        (0..PARTITIONS).map(of).collect()
    };
    let (want, sizes) = (content(&log), log.all_sizes());
    assert!(want[5][0].2 == b"set 4" && want[4].len() == 3 && want[0].len() == 7);
    let error = ByteLog::compact(&path, LogOptions::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unusable, "it is open");
    drop(log);
    let reader = open(&path).unwrap();
    let before = data_bytes(&path);
    let done = ByteLog::compact(&path, LogOptions::new()).unwrap();
    assert!(done.bytes_after < done.bytes_before / 3 && data_bytes(&path) < before / 3 && done.copied == 49, "{done:?}");
    assert_eq!(files(&path, ".index").len(), 1);
    assert!(content(&reader) == want);
    reader.refresh().unwrap();
    assert!(content(&reader) == want && reader.all_sizes() == sizes);
    drop(reader);
    let log = open(&path).unwrap();
    assert!(content(&log) == want && log.all_sizes() == sizes && log.verify().unwrap().is_sound());
    // An attempt that comes late is still late.
    log.append(0, (2, 7), b"late").unwrap();
    log.commit((2, 7)).unwrap();
    assert!(content(&log) == want && !log.iset(5, b"again").unwrap());
    log.clear().unwrap();
    log.seal().unwrap();
    drop(log);
    // Nothing counts: the data files go when it is opened.
    let log = open(&path).unwrap();
    assert_eq!((entries(&log), data_bytes(&path)), (0, 0));
    drop(log);
    assert!(open(&path).unwrap().verify().unwrap().is_sound());
    ByteLog::compact(&path, LogOptions::new()).unwrap();
    assert_eq!(entries(&open(&path).unwrap()), 0);
}

#[test]
fn many_partitions_share_little_memory() {
    let folder = folder();
    let path = folder.path().join("log");
    let partitions = 1000u32;
    let log = ByteLog::open_with(&path, partitions, LogOptions::new().memory(ByteLog::LEAST_MEMORY)).unwrap();
    let tasks = 60u64;
    for task in 0..tasks {
        for partition in 0..partitions {
            log.append(partition, task, &task.to_le_bytes()).unwrap();
        }
        log.commit(task).unwrap();
    }
    log.seal().unwrap();
    let stats = log.stats();
    let entries = u64::from(partitions) * tasks;
    assert!(stats.blocks < entries / 6, "blocks have several entries: {stats:?}");
    assert!(stats.written_stored < 40 * entries, "{stats:?}");
    assert!(stats.held_peak < ByteLog::LEAST_MEMORY / 2, "{stats:?}");
    let again = ByteLog::open(&path, partitions).unwrap();
    for log in [&log, &again] {
        for partition in (0..partitions).step_by(7) {
            let got: Vec<u64> = log.gather(partition).unwrap().map(|e| u64::from_le_bytes((*e.unwrap()).try_into().unwrap())).collect();
            assert!(got.iter().copied().eq(0..tasks), "{partition}");
        }
    }
}
