//! A store in which a byte was flipped: every command that meets it says so.

use crate::support::{Place, save_numbers};
use chunkstore_store::Store;
use std::path::PathBuf;

/// Flips a bit in the payload of chunk 3 of the array; its file and where its frame begins.
fn flip(place: &Place) -> (PathBuf, u64) {
    let store = Store::open_read_only(place.path("s")).unwrap();
    let found = store.dataset("climate/temperature").unwrap().header(3).unwrap().unwrap();
    let file = place.path("s").join("segments").join(format!("{:016x}.seg", found.place.segment));
    let mut bytes = std::fs::read(&file).unwrap();
    // The payload of a frame that is raw and not padded ends it.
    bytes[(found.place.offset + found.place.len) as usize - 3] ^= 4;
    std::fs::write(&file, bytes).unwrap();
    (file, found.place.offset)
}

#[test]
fn damage_is_named_with_chunk_file_and_offset() {
    let place = Place::new();
    place.sample();
    let (file, offset) = flip(&place);
    let found = place.run(&["verify", "s", "--json"]).code(1).document();
    assert_eq!((&found["sound"], &found["damages"]), (&false.into(), &1.into()), "{found:#}");
    let damage = &found["damaged"][0];
    assert_eq!(
        (&damage["dataset"], &damage["chunk"], &damage["offset"]),
        (&"climate/temperature".into(), &3.into(), &offset.into()),
        "{damage:#}"
    );
    assert!(damage["file"].as_str().unwrap().ends_with(file.file_name().unwrap().to_str().unwrap()));
    let said = place.run(&["verify", "s"]).code(1).out;
    for part in [
        "DAMAGED",
        "climate/temperature chunk 3",
        file.file_name().unwrap().to_str().unwrap(),
        &format!("at byte {offset}"),
        "chunkstore repair s",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    assert!(place.run(&["verify", "s/climate/temperature"]).code(1).out.contains("chunk 3"));
    place.run(&["verify", "s/climate/rain/daily"]).code(0);
}

#[test]
fn no_damaged_value_is_shown_or_copied() {
    let place = Place::new();
    place.sample();
    flip(&place);
    let array = "s/climate/temperature";
    assert!(place.run(&["head", array, "--chunk", "3"]).code(1).err.contains("chunk 3 of climate/temperature"));
    place.run(&["head", array]).code(0);
    place.run(&["map", array]).code(0);
    let picture = place.run(&["map", array, "--check"]).code(1).out;
    assert!(picture.contains("\n█X\n") && picture.contains("chunk 3 at (1, 1)"), "{picture}");
    assert_eq!(place.run(&["map", array, "--check", "--json"]).code(1).document()["not_present"][0]["state"], "damaged");
    let stat = place.run(&["stat", array, "--json"]).code(1).json();
    assert_eq!((&stat[3]["state"], &stat[6]["damaged"], &stat[6]["count"]), (&"damaged".into(), &1.into(), &29.into()));
    assert!(place.run(&["export", array, "x.npy"]).code(1).err.contains("climate/temperature"));
    assert!(!place.path("x.npy").exists());
    place.run(&["cp", array, "t//copy", "--create"]).code(1);
    assert_eq!(place.says(&["ls", "t", "--names"]), "");
    let error: serde_json::Value = serde_json::from_str(&place.run(&["head", array, "--chunk", "3", "--json"]).code(1).err).unwrap();
    assert_eq!(error["error"]["exit"], 1);
}

#[test]
fn repair_keeps_what_is_sound() {
    let place = Place::new();
    place.sample();
    flip(&place);
    let done = place.run(&["repair", "s", "--json"]).code(0).document();
    assert!(done.to_string().contains("climate/temperature"), "{done:#}");
    place.run(&["verify", "s"]).code(0);
    let map = place.run(&["map", "s/climate/temperature", "--check", "--json"]).code(3).document();
    assert_eq!((&map["present"], &map["missing"], &map["damaged"]), (&5.into(), &1.into(), &0.into()));
    assert!(place.run(&["export", "s/climate/temperature", "x.npy"]).code(3).err.contains("1 chunk of climate/temperature is missing: 3;"));
    for arguments in [&["stat", "s/climate/temperature"][..], &["map", "s/climate/temperature"]] {
        assert!(place.run(arguments).code(3).out.contains("missing: 3; 1 chunk a repair could not keep"));
    }
    assert!(place.says(&["verify", "s"]).contains("gone before: 1 chunk"));
    // A store that is sound stays as it is.
    assert!(place.run(&["repair", "s"]).code(0).out.contains("nothing"));
}

#[test]
fn a_damaged_manifest_is_damage_too() {
    let place = Place::new();
    place.sample();
    let path = place.path("s/manifest");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    for arguments in [&["verify", "s"][..], &["ls", "s"], &["rm", "s/limits"]] {
        let ran = place.run(arguments).code(1);
        assert!(ran.err.contains("manifest") && ran.err.contains("repair"), "{}", ran.err);
    }
    place.run(&["repair", "s"]).code(0);
    place.run(&["verify", "s"]).code(0);
    let names = place.says(&["ls", "s", "--names"]);
    assert_eq!(names, "blobs\nclimate/rain/daily\nclimate/temperature\nlimits\n");
    std::fs::remove_file(&path).unwrap();
    place.run(&["ls", "s"]).code(1);
    place.run(&["repair", "s"]).code(0);
    assert_eq!(place.says(&["ls", "s", "--names"]), names);
}

/// A store of 6 chunks of `x` in segments of their own, and a value; the file of the segment of chunk 2.
fn spread(place: &Place) -> PathBuf {
    let store = Store::options()
        .memory(64 << 20)
        .encoding(Some(chunkstore_store::Encoding::Raw))
        .segment_bytes(64 << 10)
        .open(place.path("s"))
        .unwrap();
    save_numbers(&store, "x", 6, 1000, 8);
    store.save_value("limits", &7u8).unwrap();
    let found = store.dataset("x").unwrap();
    let segments: Vec<u64> = (0..6).map(|number| found.header(number).unwrap().unwrap().place.segment).collect();
    assert_eq!(segments.iter().filter(|segment| **segment == segments[2]).count(), 1, "{segments:?}");
    place.path("s/segments").join(format!("{:016x}.seg", segments[2]))
}

#[test]
fn a_segment_that_is_gone_is_told_with_its_chunks() {
    let place = Place::new();
    let file = spread(&place);
    std::fs::remove_file(&file).unwrap();
    let name = file.file_name().unwrap().to_str().unwrap();
    for arguments in [
        &["export", "s/x", "x.npy"][..],
        &["stat", "s/x"],
        &["map", "s/x"],
        &["map", "s/x", "--check"],
        &["cp", "s/x", "t//x", "--create"],
        &["cp", "s/x", "s/y"],
    ] {
        let ran = place.run(arguments).code(3);
        let said = format!("{}{}", ran.out, ran.err);
        assert!(said.contains("1 chunk of x is missing: 2; gone: ") && said.contains(name), "{arguments:?}: {said}");
        place.run(&[arguments, &["--json"]].concat()).code(3);
    }
    assert!(!place.path("x.npy").exists());
    assert!(place.run(&["cp", "s/x", "t//x"]).code(3).err.contains("--partial"));
    place.run(&["cp", "s/x", "t//x", "--partial"]).code(0);
    assert_eq!(place.run(&["info", "t/x", "--json"]).code(0).document()["missing"], 1);
    let ran = place.run(&["head", "s/x", "--chunk", "2"]).code(3);
    assert!(ran.err.contains("chunk 2 of x") && ran.err.contains(name) && ran.err.contains("chunkstore repair"), "{}", ran.err);
    place.run(&["head", "s/x", "--chunk", "1"]).code(0);
    let stat = place.run(&["stat", "s/x", "--json"]).code(3).json();
    assert_eq!((&stat[2]["state"], &stat[6]["missing"], &stat[6]["damaged"]), (&"missing".into(), &1.into(), &0.into()));
    assert!(place.run(&["info", "s/x"]).code(0).out.contains("1 missing"));
    for address in ["s", "s/x"] {
        let ran = place.run(&["verify", address]).code(1);
        assert!(ran.out.contains("DAMAGED") && ran.out.contains("chunkstore repair") && ran.out.contains(name), "{}", ran.out);
        assert_eq!(place.run(&["verify", address, "--json"]).code(1).document()["sound"], false);
    }
    place.run(&["repair", "s"]).code(0);
    place.run(&["verify", "s"]).code(0);
    assert_eq!(place.run(&["map", "s/x", "--json"]).code(3).document()["present"], 5);
}

#[test]
fn a_folder_of_segments_that_is_gone_is_damage() {
    let place = Place::new();
    place.sample();
    std::fs::rename(place.path("s/segments"), place.path("aside")).unwrap();
    for address in ["s", "s/climate/temperature"] {
        let ran = place.run(&["verify", address]).code(1);
        assert!(ran.out.contains("DAMAGED") && ran.out.contains("chunkstore repair"), "{}", ran.out);
        assert_eq!(place.run(&["verify", address, "--json"]).code(1).document()["sound"], false);
    }
    let array = "s/climate/temperature";
    for arguments in [
        &["head", array][..],
        &["stat", array],
        &["map", array],
        &["export", array, "x.npy"],
        &["cp", array, "t//x", "--create"],
        &["info", array],
    ] {
        let ran = place.run(arguments).code(3);
        for part in ["none of the 6 chunks of climate/temperature", "gone", "chunkstore repair"] {
            assert!(ran.err.contains(part), "{arguments:?}: {}", ran.err);
        }
    }
    std::fs::rename(place.path("aside"), place.path("s/segments")).unwrap();
    place.run(&["verify", "s"]).code(0);
}
