//! Event logs: any bytes are a log, the beginning of one, or an error.
#![no_main]

use chunkstore_store::io::{Backend, MemoryBackend, Open};
use libfuzzer_sys::fuzz_target;
use std::path::Path;

fuzz_target!(|input: &[u8]| {
    let (backend, path) = (MemoryBackend::new(1 << 24), Path::new("/e/log"));
    backend.create_folder(Path::new("/e")).unwrap();
    backend.open(path, Open::Create).unwrap().write_at(0, input).unwrap();
    chunkstore_store::read_events(&backend, path).ok();
});
