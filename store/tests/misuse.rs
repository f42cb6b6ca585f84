//! What is done to a store or asked of it wrongly is told, and loses nothing.

#![allow(clippy::unwrap_used)]

use chunkstore_store::{Chest, ErrorKind, Store};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Defect: a lock file that was removed under a writer let a second one in, and both reported success.
#[test]
fn a_lock_that_was_removed_stops_its_writer() {
    let folder = folder();
    let path = folder.path().join("s");
    let first = Store::open(&path).unwrap();
    first.save_value("a", &1).unwrap();
    std::fs::remove_file(path.join("store.lock")).unwrap();
    let second = Store::open(&path).unwrap();
    second.save_value("b", &2).unwrap();
    let error = first.save_value("c", &3).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unusable, "{error}");
    drop(first);
    second.save_value("d", &4).unwrap();
    drop(second);
    let store = Store::open_read_only(&path).unwrap();
    assert_eq!(store.names().unwrap(), ["a", "b", "d"]);
    let verified = store.verify(|_, _| ()).unwrap();
    assert!(verified.is_sound(), "{:?}", verified.damaged);
}

/// Defect: numbers that were saved as one type were read as another, silently.
#[test]
fn values_are_not_read_as_other_numbers() {
    let folder = folder();
    let path = folder.path().join("s");
    let store = Store::open(&path).unwrap();
    store.save_value("v", &vec![1u64, 2, 3]).unwrap();
    store.save_value("t", &("text", 7u8)).unwrap();
    assert!(store.value::<Vec<i64>>("v").is_err() && store.value::<Vec<u64>>("v").unwrap() == [1, 2, 3]);
    assert_eq!(store.value::<(String, u8)>("t").unwrap().0, "text");
    let chest = folder.path().join("c");
    {
        let chest = Chest::<u64, u64>::open(&chest, "16MiB").unwrap();
        chest.put(&1, &5).unwrap();
        chest.flush().unwrap();
    }
    assert!(Chest::<u64, i64>::open(&chest, "16MiB").is_err());
    assert_eq!(*Chest::<u64, u64>::open(&chest, "16MiB").unwrap().get(&1).unwrap().unwrap(), 5);
}

/// Defect: opened to write with the manifest of another store, a store removed its segments.
#[test]
fn segments_outlive_the_manifest_of_another_store() {
    let folder = folder();
    let (ours, theirs) = (folder.path().join("ours"), folder.path().join("theirs"));
    let numbers: Vec<u64> = (0..100_000).collect();
    Store::open(&ours).unwrap().save_value("numbers", &numbers).unwrap();
    Store::open(&theirs).unwrap().save_value("other", &1).unwrap();
    let own = std::fs::read(ours.join("manifest")).unwrap();
    std::fs::copy(theirs.join("manifest"), ours.join("manifest")).unwrap();
    if let Ok(store) = Store::open(&ours) {
        store.save_value("more", &2).ok();
    }
    std::fs::write(ours.join("manifest"), own).unwrap();
    assert_eq!(Store::open_read_only(&ours).unwrap().value::<Vec<u64>>("numbers").unwrap(), numbers);
}
