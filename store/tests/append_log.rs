//! Append logs and processes: several on one folder, and such that are killed while they append.

#![allow(clippy::unwrap_used)]

use chunkstore_store::{AppendLog, Attempt, ByteLog, ErrorKind, LogOptions, Result};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const FOLDER: &str = "CHUNKSTORE_TEST_LOG_FOLDER";
const ROLE: &str = "CHUNKSTORE_TEST_LOG_ROLE";
const FIRST: &str = "CHUNKSTORE_TEST_LOG_FIRST";
const PARTITIONS: u32 = 7;

fn options() -> LogOptions {
    LogOptions::new().memory(ByteLog::LEAST_MEMORY)
}

/// What a task appends to a partition in an attempt: nothing, a little, or much.
fn entry(task: u64, attempt: u32, partition: u32) -> Option<Vec<u8>> {
    let seed = (task * 31 + u64::from(attempt) * 7 + u64::from(partition)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let len = match seed >> 61 {
        0 => return None,
        1 => 150_000 + (seed >> 20) as usize % 300_000,
        2 => 0,
        _ => (seed >> 30) as usize % 9000,
    };
    Some((0..len).map(|i| ((seed >> 8).wrapping_add(i as u64).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 60) as u8).collect())
}

fn append(log: &ByteLog, task: u64, attempt: u32) -> Result<()> {
    for partition in 0..PARTITIONS {
        if let Some(bytes) = entry(task, attempt, partition) {
            log.append(partition, (task, attempt), &bytes)?;
        }
    }
    Ok(())
}

/// The tasks that are visible, checked to be whole and in order; all with the attempt that `attempt` says.
fn visible(log: &ByteLog, tasks: u64, attempt: impl Fn(u64) -> u32) -> Vec<u64> {
    let mut seen = vec![0u32; tasks as usize];
    for partition in 0..PARTITIONS {
        let mut last = None;
        for item in log.gather(partition).unwrap() {
            let item = item.unwrap();
            let task = item.attempt().task().unwrap();
            assert!(last < Some(task), "each task once, in order");
            last = Some(task);
            assert_eq!(item.attempt(), Attempt::new(task, attempt(task)));
            assert!(*item == *entry(task, attempt(task), partition).unwrap(), "task {task} in partition {partition}");
            seen[task as usize] += 1;
        }
    }
    let whole = |task: u64| (0..PARTITIONS).filter(|p| entry(task, attempt(task), *p).is_some()).count() as u32;
    (0..tasks).filter(|task| seen[*task as usize] > 0).inspect(|task| assert_eq!(seen[*task as usize], whole(*task), "{task}")).collect()
}

/// Not a test: what the other processes run.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let first: u64 = std::env::var(FIRST).unwrap().parse().unwrap();
    let log = ByteLog::open_with(folder, PARTITIONS, options()).unwrap();
    println!("\nready");
    match std::env::var(ROLE).unwrap().as_str() {
        "forever" => {
            for task in first.. {
                // Something is open all the time that is never committed.
                append(&log, 1 << 40 | task, 0).unwrap();
                append(&log, task, 0).unwrap();
                log.commit(task).unwrap();
                if task % 3 == 0 {
                    log.flush().unwrap();
                    println!("flushed {task}");
                }
            }
        }
        "share" => {
            // Tasks 0 to 9 are done by all processes, in different attempts; the others are their own.
            for task in (0..10).chain(first * 100..first * 100 + 40) {
                let attempt = if task < 10 { first as u32 } else { 0 };
                append(&log, task, attempt).unwrap();
                log.commit((task, attempt)).unwrap();
                if task % 7 == 0 {
                    log.flush().unwrap();
                }
            }
            log.seal().unwrap();
        }
        other => panic!("{other}"),
    }
}

fn start(folder: &Path, role: &str, first: u64) -> (Child, impl Iterator<Item = String>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture"])
        .env(FOLDER, folder)
        .env(ROLE, role)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(std::result::Result::ok);
    (child, lines)
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap()
}

#[test]
fn a_killed_process_leaves_exactly_what_it_committed_and_flushed() {
    let folder = folder();
    let path = folder.path().join("log");
    let kills = std::env::var("CHUNKSTORE_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(30u64);
    let (mut first, mut before) = (0, Vec::new());
    for kill in 0..kills {
        let (mut child, mut lines) = start(&path, "forever", first);
        let mut acknowledged = None;
        for line in lines.by_ref() {
            acknowledged = line.strip_prefix("flushed ").map(|task| task.parse::<u64>().unwrap()).or(acknowledged);
            // Some are killed before they have flushed anything.
            if (line == "ready" && kill % 6 == 0) || acknowledged.is_some_and(|task| task >= first + kill % 5) {
                break;
            }
        }
        // Somewhere in what it does next.
        std::thread::sleep(std::time::Duration::from_micros(kill * 7919 % 9000));
        child.kill().unwrap();
        child.wait().unwrap();
        // What it said before it was killed counts, too.
        for line in lines {
            acknowledged = line.strip_prefix("flushed ").and_then(|task| task.parse::<u64>().ok()).or(acknowledged);
        }
        let log = ByteLog::open_with(&path, PARTITIONS, options()).unwrap();
        let tasks = visible(&log, first + 5000, |_| 0);
        assert!(tasks.starts_with(&before), "what was there stays");
        let new = tasks.get(before.len()..).unwrap();
        assert!(new.iter().copied().eq(first..first + new.len() as u64), "all or nothing up to a flush");
        let last = new.last().copied();
        assert!(last >= acknowledged, "{last:?} {acknowledged:?}");
        assert!(last.is_none_or(|last| last % 3 == 0), "a commit is durable by a flush only");
        assert!(log.verify().unwrap().is_sound());
        first = last.map_or(first, |last| last + 1).next_multiple_of(3);
        before = tasks;
        drop(log);
    }
    assert!(before.len() as u64 >= kills / 2);
    let log = ByteLog::open_with(&path, PARTITIONS, options()).unwrap();
    log.clear().unwrap();
    log.seal().unwrap();
    drop(log);
    let log = ByteLog::open_with(&path, PARTITIONS, options()).unwrap();
    assert!(log.all_sizes().iter().all(|sizes| sizes.bytes == 0) && visible(&log, 1, |_| 0).is_empty());
    drop(log);
    ByteLog::remove(&path).unwrap();
    assert!(!path.exists());
}

#[test]
fn two_processes_share_a_folder() {
    let folder = folder();
    let path = folder.path().join("log");
    let mut children: Vec<_> = (1..3).map(|number| start(&path, "share", number)).collect();
    let log = loop {
        if path.exists() {
            break ByteLog::open_with(&path, PARTITIONS, options()).unwrap();
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    };
    // While they write, all that is seen is whole.
    let mut running = true;
    while running {
        running = children.iter_mut().any(|(child, _)| child.try_wait().unwrap().is_none());
        log.refresh().unwrap();
        let seen: u64 = log.all_sizes().iter().map(|sizes| sizes.records).sum();
        let read: u64 = (0..PARTITIONS).map(|p| log.gather(p).unwrap().map(|item| item.map(|_| 1).unwrap()).sum::<u64>()).sum();
        assert_eq!(seen, read);
    }
    for (mut child, _) in children {
        assert!(child.wait().unwrap().success());
    }
    log.refresh().unwrap();
    let want: Vec<u64> = (0..10).chain(100..140).chain(200..240).collect();
    // The second process has the higher attempt of what both did.
    let attempt = |task| if task < 10 { 2 } else { 0 };
    let check = |log: &ByteLog| {
        let there = |task: &u64| (0..PARTITIONS).any(|p| entry(*task, attempt(*task), p).is_some());
        assert_eq!(visible(log, 300, attempt), want.iter().copied().filter(there).collect::<Vec<_>>());
    };
    check(&log);
    check(&ByteLog::open_with(&path, PARTITIONS, options()).unwrap());
    // A task that is repeated by this process, too, replaces both.
    append(&log, 3, 9).unwrap();
    log.commit((3, 9)).unwrap();
    assert_eq!(visible(&log, 300, |task| if task == 3 { 9 } else { attempt(task) }).len(), want.len());
    assert!(log.verify().unwrap().is_sound());
}

#[test]
fn records_come_back_from_a_folder() {
    let folder = folder();
    let path = folder.path().join("log");
    let log = AppendLog::<(u64, String)>::open(&path, 4).unwrap();
    for i in 0..10_000u64 {
        log.append((i % 4) as u32, (), [(i, format!("record {i}"))]).unwrap();
    }
    assert!(log.iset(0, &[(77, "schema".to_string())]).unwrap());
    assert!(!log.iset(0, &[(78, "schema".to_string())]).unwrap());
    log.seal().unwrap();
    assert!(log.append(0, (), [(1, String::new())]).is_err());
    let again = AppendLog::<(u64, String)>::open(&path, 4).unwrap();
    for log in [&log, &again] {
        for partition in 0..4u32 {
            let records = log.gather(partition).unwrap().collect::<Result<Vec<_>>>().unwrap();
            assert_eq!(log.sizes(partition).unwrap().records, records.len() as u64);
            let (set, records) = records.split_at(usize::from(partition == 0));
            assert!(set.iter().all(|record| record.0 == 77));
            assert!(records.iter().map(|record| record.0).eq((0..10_000).filter(|i| i % 4 == u64::from(partition))));
        }
    }
    assert!(!again.iset(0, &[(79, "schema".to_string())]).unwrap(), "it was set before");
    assert!(ByteLog::open(&path, 5).unwrap_err().to_string().contains("4 partitions"));
    // Another type is an error, not other values.
    let error = AppendLog::<(u8, u8)>::open(&path, 4).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    let other = AppendLog::<(u8, u8)>::over(ByteLog::open(&path, 4).unwrap());
    assert_eq!(other.gather(1).unwrap_err().kind(), ErrorKind::Invalid);
}
