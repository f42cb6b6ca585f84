//! A damaged store, with checksums as they are: what it gives is what was saved, or an error; after a repair it is sound, and still gives nothing else,
//! nor keeps silent about what is gone.
#![no_main]

use chunkstore_fuzz::{DATASETS, Disk, bytes_of, options, store};
use chunkstore_store::{Chunk, Store};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static DISK: LazyLock<Disk> = LazyLock::new(|| {
    chunkstore_store::strong_checksums(true);
    store()
});

fn check(store: &Store, sound: bool) {
    for name in store.names().unwrap() {
        let Some((_, chunks)) = DATASETS.iter().find(|dataset| dataset.0 == name) else {
            assert!(name == "new" || name == "gone", "{name} was never saved");
            continue;
        };
        let dataset = match store.dataset(&name) {
            Ok(dataset) => dataset,
            Err(error) => {
                assert!(!sound, "{error}");
                continue;
            }
        };
        for n in 0..10 {
            match dataset.chunk(n) {
                Ok(Some(Chunk::Bytes(bytes))) => {
                    let name = if name == "a" { "a" } else { "cc" };
                    assert!(n < *chunks && bytes.0[..] == bytes_of(name, n)[..], "chunk {n} of {name} is another");
                }
                Ok(None) => {}
                Ok(Some(_)) => panic!("chunk {n} of {name} is of another kind"),
                // What a repair could not keep stays known.
                Err(error) => assert!(!sound || dataset.info().gone().contains(&n.to_be_bytes()), "{error}"),
            }
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let disk = LazyLock::force(&DISK);
    let backend = disk.changed(input);
    for _ in 0..2 {
        if let Ok(store) = options(&backend).open_read_only("/s") {
            check(&store, false);
        }
        if let Ok(store) = options(&backend).open("/s") {
            check(&store, false);
            store.verify(|_, _| {}).unwrap();
            check(&store, false);
        }
    }
    if options(&backend).repair("/s").is_ok() {
        let store = options(&backend).open("/s").expect("a store that was repaired can be opened");
        check(&store, true);
        let verified = store.verify(|_, _| {}).unwrap();
        assert!(verified.is_sound(), "{:?}", verified.damaged);
        store.save_value("new", &1).unwrap();
        store.compact().unwrap();
        check(&store, true);
    }
});
