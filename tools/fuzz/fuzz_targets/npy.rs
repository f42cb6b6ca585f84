//! Headers of `.npy` files: any bytes are an array or an error.
#![no_main]

use chunkstore::array::AnyArray;
use libfuzzer_sys::fuzz_target;
use std::path::PathBuf;
use std::sync::LazyLock;

static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
    folder.join(format!("chunkstore-fuzz-{}.npy", std::process::id()))
});

fuzz_target!(|bytes: &[u8]| {
    std::fs::write(&*FILE, bytes).unwrap();
    AnyArray::from_npy(&*FILE).ok();
    std::fs::remove_file(&*FILE).unwrap();
});
