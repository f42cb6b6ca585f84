//! Import, export, copies and removal.

use crate::support::Place;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The files that NumPy wrote.
fn numpy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/npy")
}

fn index() -> Vec<Value> {
    let index: Value = serde_json::from_slice(&std::fs::read(numpy().join("index.json")).unwrap()).unwrap();
    index["good"].as_array().unwrap().clone()
}

#[test]
fn what_numpy_wrote_comes_back_byte_for_byte() {
    let place = Place::new();
    place.store("s");
    // The bytes that NumPy writes for an array, by its type, shape and values.
    let mut wanted = BTreeMap::new();
    let what = |entry: &Value| format!("{} {} {}", entry["dtype"], entry["shape"], entry["values"]);
    let read = |entry: &Value| std::fs::read(numpy().join(entry["file"].as_str().unwrap())).unwrap();
    index().iter().filter(|entry| entry["as_numpy_writes"] == true).for_each(|entry| drop(wanted.insert(what(entry), read(entry))));
    let mut compared = 0;
    for entry in index() {
        let file = numpy().join(entry["file"].as_str().unwrap());
        place.run(&["import", file.to_str().unwrap(), "s/x", "--replace", "--chunks", "2", "--memory", "64MiB"]).code(0);
        let info = place.run(&["info", "s/x", "--json"]).code(0).document();
        assert_eq!((&info["dtype"], &info["shape"]), (&entry["dtype"], &entry["shape"]), "{entry}");
        place.run(&["export", "s/x", "x.npy", "--force"]).code(0);
        if let Some(wanted) = wanted.get(&what(&entry)) {
            assert_eq!(&std::fs::read(place.path("x.npy")).unwrap(), wanted, "{entry}");
            compared += 1;
        }
    }
    assert!(compared > 60, "{compared}");
}

#[test]
fn what_is_no_sound_npy_file_is_refused() {
    let place = Place::new();
    place.store("s");
    let mut refused = 0;
    for entry in std::fs::read_dir(numpy().join("bad")).unwrap() {
        let path = entry.unwrap().path();
        let ran = place.run(&["import", path.to_str().unwrap(), "s/x", "--format", "npy"]);
        assert!(matches!(ran.code, 1 | 2 | 6) && ran.err.starts_with("error: "), "{path:?}: {} {}", ran.code, ran.err);
        refused += 1;
    }
    assert!(refused > 10);
    assert_eq!(place.says(&["ls", "s", "--names"]), "");
}

#[test]
fn text_goes_out_and_comes_back() {
    let place = Place::new();
    place.store("s");
    for dtype in ["bool-one", "int8-one", "int64-le", "uint64-le", "float32-le", "float64-le"] {
        for (kind, format) in [("1d", "csv"), ("1d", "jsonl"), ("3d", "jsonl")] {
            let file = numpy().join(format!("{dtype}-{kind}.npy"));
            let name = dtype.split('-').next().unwrap();
            let text = format!("x.{format}");
            place.run(&["import", file.to_str().unwrap(), "s/x", "--replace", "--chunks", "2"]).code(0);
            place.run(&["export", "s/x", &text, "--force"]).code(0);
            place
                .run(&[
                    "import",
                    &text,
                    "s/y",
                    "--replace",
                    "--dtype",
                    name,
                    "--chunks",
                    "3,-1,-1".get(..if kind == "1d" { 1 } else { 7 }).unwrap(),
                ])
                .code(0);
            place.run(&["export", "s/y", "y.npy", "--force"]).code(0);
            let wanted = std::fs::read(&file).unwrap();
            assert_eq!(std::fs::read(place.path("y.npy")).unwrap(), wanted, "{dtype} {kind} {format}");
        }
    }
}

#[test]
fn tables_keep_the_names_of_their_columns() {
    let place = Place::new();
    std::fs::write(place.path("t.csv"), "a,\"b, c\"\n1,2.5\n3,\n").unwrap();
    let said = place.says(&["import", "t.csv", "new/t", "--create"]);
    assert!(said.starts_with("t: float64 (2, 2) in 1 chunk"), "{said}");
    place.says(&["export", "new/t", "back.csv"]);
    assert_eq!(std::fs::read_to_string(place.path("back.csv")).unwrap(), "a,\"b, c\"\n1.0,2.5\n3.0,NaN\n");
    place.says(&["export", "new/t", "back.tsv"]);
    assert_eq!(std::fs::read_to_string(place.path("back.tsv")).unwrap(), "a\tb, c\n1.0\t2.5\n3.0\tNaN\n");
    assert_eq!(place.says(&["export", "new/t", "-", "--format", "jsonl"]), "[1.0,2.5]\n[3.0,null]\n");
    let done = place.run(&["import", "back.tsv", "new/u", "--chunks", "1,2", "--attribute", "units=\"K\"", "--json"]).code(0).document();
    assert_eq!((&done["chunks"], &done["shape"], &done["grid"]), (&2.into(), &serde_json::json!([2, 2]), &serde_json::json!([2, 1])));
    assert_eq!(place.run(&["info", "new/u", "--json"]).document()["attributes"]["units"], "K");
}

#[test]
fn large_arrays_go_through_little_memory() {
    let place = Place::new();
    crate::support::save_numbers(&place.store("s"), "x", 24, 512, 128);
    // 12 MiB of elements in chunks of 512 KiB, with slabs of 2 MiB.
    place.run(&["export", "s/x", "x.npy", "--memory", "16MiB"]).code(0);
    place.run(&["export", "s/x", "x.csv", "--memory", "16MiB"]).code(0);
    place.run(&["import", "x.csv", "s/y", "--memory", "32MiB", "--chunks", "500,100"]).code(0);
    place.run(&["import", "x.npy", "s/z", "--memory", "64MiB", "--chunks", "999,-1"]).code(0);
    for name in ["y", "z"] {
        place.run(&["export", &format!("s/{name}"), "back.npy", "--force"]).code(0);
        assert!(std::fs::read(place.path("back.npy")).unwrap() == std::fs::read(place.path("x.npy")).unwrap(), "{name}");
    }
    // A chunk that does not fit is refused, with what to do.
    let ran = place.run(&["import", "x.csv", "s/w", "--memory", "16MiB", "--chunks", "-1"]).code(6);
    assert!(ran.err.contains("--chunks") && ran.err.contains("--memory"), "{}", ran.err);
}

#[test]
fn copies_and_removal() {
    let place = Place::new();
    place.sample();
    let array = "s/climate/temperature";
    let said = place.run(&["cp", array, "s/copy", "--json"]).code(0).document();
    assert_eq!((&said["chunks"], &said["shared"]), (&6.into(), &true.into()));
    place.run(&["cp", array, "s/copy"]).code(5);
    place.run(&["cp", array, "s/copy", "--replace"]).code(0);
    place.run(&["cp", array, array]).code(2);
    place.run(&["cp", array, "t/new/name"]).code(3);
    for name in ["climate/temperature", "blobs", "limits"] {
        place.run(&["cp", &format!("s/{name}"), &format!("t//{name}"), "--create"]).code(0);
        let head = |store: &str| place.says(&["head", &format!("{store}/{name}")]);
        assert_eq!(head("s"), head("t"));
    }
    let attributes = |store: &str| place.run(&["info", &format!("{store}/climate/temperature"), "--json"]).document()["attributes"].clone();
    assert_eq!(attributes("s"), attributes("t"));
    place.run(&["rm", "s/climate"]).code(3);
    let dry = place.run(&["rm", "s/climate", "--recursive", "--dry-run", "--json"]).code(0).document();
    assert_eq!((&dry["dry_run"], dry["removed"].as_array().unwrap().len()), (&true.into(), 2));
    place.run(&["rm", "s/climate", "--recursive"]).code(0);
    place.run(&["rm", "s/c?py"]).code(0);
    place.run(&["rm", "s/copy"]).code(3);
    assert_eq!(place.says(&["ls", "s", "--names"]), "blobs\nlimits\n");
    place.run(&["verify", "s"]).code(0);
    let before = place.run(&["du", "s", "--json"]).code(0).document()["disk"]["segments"].as_u64().unwrap();
    place.run(&["compact", "s", "--json"]).code(0).document();
    place.run(&["gc", "s", "--json"]).code(0).document();
    let after = place.run(&["du", "s", "--json"]).code(0).document()["disk"]["segments"].as_u64().unwrap();
    assert!(after <= before, "{before} {after}");
    place.run(&["verify", "s"]).code(0);
    assert_eq!(place.says(&["head", "s/limits"]), "[180.0,\"K\"]\n");
}
