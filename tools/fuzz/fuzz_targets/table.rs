//! Changed tables and descriptions. Checksums hold whatever they are of, so that what is behind them is reached.
#![no_main]

use chunkstore_fuzz::{Disk, store, use_store};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static DISK: LazyLock<Disk> = LazyLock::new(|| {
    store().narrowed(|path, bytes, words| {
        let segment = path.extension().is_some_and(|extension| extension == "seg");
        // Frames of the kinds 2 and 3.
        let is_frame = |at: &usize| bytes[*at..].starts_with(b"CKFR") && matches!(bytes.get(at + 5), Some(2 | 3));
        let frames: Vec<usize> = (0..bytes.len()).step_by(8).filter(is_frame).collect();
        words.retain(|at| segment && frames.iter().any(|frame| (frame + 64..frame + 900).contains(at)));
    })
});

fuzz_target!(|input: &[u8]| use_store(&DISK.changed(input)));
