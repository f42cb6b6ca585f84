//! A changed manifest: the store opens, or says why not. Checksums hold whatever they are of, so that what is behind them is reached.
#![no_main]

use chunkstore_fuzz::{Disk, store, use_store};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static DISK: LazyLock<Disk> = LazyLock::new(|| store().narrowed(|path, _, words| words.retain(|_| path.ends_with("manifest"))));

fuzz_target!(|input: &[u8]| use_store(&DISK.changed(input)));
