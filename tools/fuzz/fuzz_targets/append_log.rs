//! Changed files of an append log. Checksums hold whatever they are of, so that what is behind them is reached.
#![no_main]

use chunkstore_fuzz::{Disk, arena, bytes_of};
use chunkstore_store::io::{Backend, MemoryBackend};
use chunkstore_store::{ByteLog, Encoding, LogOptions, Result};
use libfuzzer_sys::fuzz_target;
use std::path::Path;
use std::sync::{Arc, LazyLock};

fn open(backend: &MemoryBackend, encoding: Encoding) -> Result<ByteLog> {
    let options = LogOptions::new().memory(ByteLog::LEAST_MEMORY).threads(1).arena(arena()).encoding(Some(encoding));
    ByteLog::open_on(Arc::new(backend.clone()), "/l", 4, options)
}

static DISK: LazyLock<Disk> = LazyLock::new(|| {
    let backend = MemoryBackend::new(1 << 28);
    backend.create_folder(Path::new("/")).unwrap();
    for (writer, encoding) in [Encoding::Raw, Encoding::ShuffleZstd].into_iter().enumerate() {
        let log = open(&backend, encoding).unwrap();
        for task in 0..6u64 {
            for partition in 0..4 {
                log.append(partition, (task, writer as u32), &bytes_of("", task + u64::from(partition))).unwrap();
            }
            log.commit((task, writer as u32)).unwrap();
            if task % 3 == 2 {
                log.append(3, (), b"loose").unwrap();
                log.flush().unwrap();
            }
        }
        log.iset(0, b"once").unwrap();
        log.delete(2).unwrap();
        log.seal().unwrap();
    }
    Disk::of(&backend, "/l")
});

fuzz_target!(|input: &[u8]| {
    let backend = DISK.changed(input);
    let Ok(log) = open(&backend, Encoding::Zstd) else { return };
    for partition in 0..4 {
        log.sizes(partition).ok();
        if let Ok(gather) = log.gather(partition) {
            gather.take(100).for_each(drop);
        }
    }
    log.verify().ok();
    log.append(1, 9, b"more").ok();
    log.seal().ok();
    log.refresh().ok();
});
