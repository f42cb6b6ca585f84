//! Changed segments, with all that reads and walks them. Checksums hold whatever they are of, so that what is behind them is reached.
#![no_main]

use chunkstore_fuzz::{Disk, store, use_store};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

/// The headers of files and frames, and the ends of sealed files.
static DISK: LazyLock<Disk> = LazyLock::new(|| {
    store().narrowed(|path, bytes, words| {
        let segment = path.extension().is_some_and(|extension| extension == "seg");
        let frames: Vec<usize> = (0..bytes.len()).step_by(8).filter(|at| bytes[*at..].starts_with(b"CKFR")).collect();
        let near = |at: usize| at < 48 || at + 200 > bytes.len() || frames.iter().any(|frame| (*frame..frame + 160).contains(&at));
        words.retain(|at| segment && near(*at));
    })
});

fuzz_target!(|input: &[u8]| use_store(&DISK.changed(input)));
