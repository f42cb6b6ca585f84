//! A chest at a path whose store was changed. Checksums hold whatever they are of, so that what is behind them is reached.
#![no_main]

use chunkstore_fuzz::{Disk, bytes_of, options};
use chunkstore_store::io::{Backend, MemoryBackend};
use chunkstore_store::{AnyKey, Chest, Result};
use libfuzzer_sys::fuzz_target;
use std::path::Path;
use std::sync::LazyLock;

fn open(backend: &MemoryBackend) -> Result<Chest<AnyKey, Vec<u8>>> {
    Chest::open_with("/s", 1 << 20, options(backend), 1)
}

static DISK: LazyLock<Disk> = LazyLock::new(|| {
    let backend = MemoryBackend::new(1 << 28);
    backend.create_folder(Path::new("/")).unwrap();
    let chest = open(&backend).unwrap();
    for n in 0..8u64 {
        chest.put(&AnyKey::from(n), &bytes_of("", n)).unwrap();
        chest.put(&AnyKey::from(("key", n)), &bytes_of("x", n)).unwrap();
    }
    chest.put_reader(&AnyKey::from("stream"), &bytes_of("", 4)[..]).unwrap();
    chest.flush().unwrap();
    chest.remove(&AnyKey::from(2u64));
    chest.flush().unwrap();
    drop(chest);
    Disk::of(&backend, "/s")
});

fuzz_target!(|input: &[u8]| {
    let backend = DISK.changed(input);
    let Ok(chest) = open(&backend) else { return };
    let keys: Vec<AnyKey> = chest.keys().flatten().collect();
    for key in keys.iter().take(40) {
        chest.get(key).ok();
    }
    if let Ok(Some(mut reader)) = chest.get_reader(&AnyKey::from("stream")) {
        std::io::copy(&mut reader, &mut std::io::sink()).ok();
    }
    chest.put(&AnyKey::from("new"), &vec![1; 500]).ok();
    chest.flush().ok();
    chest.shrink(0).ok();
    keys.iter().for_each(|key| drop(chest.get(key)));
});
