//! What an append log takes for many partitions in little memory, and for many small flushes: `append_log_many FOLDER` appends to 5000
//! partitions with 32 MiB, and flushes 200 partitions 220 times, and prints a line for each.

use chunkstore_store::{AppendLog, ByteLog, LogOptions};
use std::path::Path;
use std::time::Instant;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The most memory that the process had, in KiB.
fn peak() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("there is no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse()?)
}

fn many_partitions(folder: &Path) -> Result<(), Failure> {
    let (partitions, tasks, memory) = (5000, 200, 32 << 20);
    let log = AppendLog::<u64>::open_with(folder, partitions, LogOptions::new().memory(memory))?;
    for task in 0..tasks {
        for partition in 0..partitions {
            log.append(partition, task, (0..4).map(|i| task * 1000 + i))?;
        }
        log.commit(task)?;
    }
    let appended = peak()?;
    log.seal()?;
    let (sealed, start, mut records) = (peak()?, Instant::now(), 0);
    for partition in 0..partitions {
        for record in log.gather(partition)? {
            records += u64::from(record? % 1000 < 4);
        }
    }
    let (seconds, blocks) = (start.elapsed().as_secs_f64(), log.bytes().stats().blocks);
    println!(
        "{{\"partitions\": {partitions}, \"memory_kib\": {}, \"peak_kib\": {appended}, \"sealed_peak_kib\": {sealed}, \"blocks\": {blocks}, \"records\": {records}, \"gather_s\": {seconds:.3}}}",
        memory >> 10
    );
    Ok(())
}

fn many_flushes(folder: &Path) -> Result<(), Failure> {
    let (partitions, flushes) = (200u32, 220u64);
    let log = ByteLog::open(folder, partitions)?;
    for task in 0..flushes {
        for partition in 0..partitions {
            log.append(partition, task, &[partition as u8; 50])?;
        }
        log.commit(task)?;
        log.flush()?;
    }
    log.seal()?;
    drop(log);
    let start = Instant::now();
    let log = ByteLog::open(folder, partitions)?;
    let opened = start.elapsed().as_secs_f64();
    let mut entries = 0;
    for partition in 0..partitions {
        for entry in log.gather(partition)? {
            entries += usize::from(!entry?.is_empty());
        }
    }
    let gathered = start.elapsed().as_secs_f64() - opened;
    let sound = log.verify()?.is_sound();
    let verified = start.elapsed().as_secs_f64() - opened - gathered;
    println!(
        "{{\"flushes\": {flushes}, \"entries\": {entries}, \"sound\": {sound}, \"open_s\": {opened:.3}, \"gather_s\": {gathered:.3}, \"verify_s\": {verified:.3}}}"
    );
    Ok(())
}

fn main() -> Result<(), Failure> {
    let folder = std::path::PathBuf::from(std::env::args().nth(1).ok_or("the folder is missing")?);
    many_partitions(&folder.join("partitions"))?;
    ByteLog::remove(folder.join("partitions"))?;
    many_flushes(&folder.join("flushes"))?;
    ByteLog::remove(folder.join("flushes"))?;
    Ok(())
}
