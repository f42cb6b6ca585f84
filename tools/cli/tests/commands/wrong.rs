//! What goes wrong: the exit code, and that the error says what to do.

use crate::support::{Place, save_numbers};

#[test]
fn errors_say_what_to_do() {
    let place = Place::new();
    place.sample();
    std::fs::create_dir(place.path("empty")).unwrap();
    std::fs::write(place.path("x.csv"), "1,2\n3\n").unwrap();
    std::fs::write(place.path("x.dat"), "1").unwrap();
    std::fs::write(place.path("there.npy"), "").unwrap();
    let array = "s/climate/temperature";
    let cases: &[(&[&str], i32, &[&str])] = &[
        (&["ls", "nowhere"], 3, &["no store", "STORE/NAME"]),
        (&["ls", "empty"], 3, &["no store", "manifest"]),
        (&["info", "x.csv"], 3, &["a file"]),
        (&["ls", "s/clima"], 3, &["no dataset clima", "climate/temperature"]),
        (&["head", "s/nothing/like/it"], 3, &["no dataset", "chunkstore ls "]),
        (&["head", "s"], 2, &["a dataset is needed", "chunkstore ls s"]),
        (&["head", array, "--chunk", "6"], 3, &["no chunk 6", "(3, 2)"]),
        (&["head", array, "--chunk", "0,2"], 3, &["no chunk (0, 2)"]),
        (&["head", "s/climate/rain/daily", "--chunk", "1"], 3, &["not there", "chunkstore map"]),
        (&["head", "s/limits", "--chunk", "0,0"], 2, &["no grid"]),
        (&["stat", "s/limits"], 2, &["kind value"]),
        (&["map", "s/blobs"], 2, &["kind blob"]),
        (&["export", array, "s/x.npy"], 2, &["folder of the store", "another folder"]),
        (&["export", array, "s/manifest", "--force", "--format", "npy"], 2, &["folder of the store"]),
        (&["export", "s/limits", "x.npy"], 2, &["only arrays"]),
        (&["export", array, "x.parquet"], 2, &["--format"]),
        (&["export", array, "-"], 2, &["--format"]),
        (&["export", array, "there.npy"], 5, &["--force"]),
        (&["export", array, "no/where.npy"], 3, &["folder"]),
        (&["export", "s/climate/rain/daily", "y.csv"], 3, &["1 chunk of climate/rain/daily is missing: 1", "chunkstore map"]),
        (&["import", "x.csv", "s/x"], 1, &["line 2", "--delimiter"]),
        (&["import", "x.dat", "s/x"], 2, &["--format"]),
        (&["import", "gone.csv", "s/x"], 3, &["no file"]),
        (&["import", "x.csv", "t/x"], 3, &["--create"]),
        (&["import", "x.csv", "s"], 2, &["s/NAME"]),
        (&["verify", "nowhere"], 3, &["no store"]),
        (&["compact", array], 2, &["whole store", "s"]),
        (&["man", "nothing"], 2, &["chunkstore --help"]),
    ];
    for (arguments, code, parts) in cases {
        let ran = place.run(arguments);
        assert_eq!(ran.code, *code, "{arguments:?}: {}{}", ran.out, ran.err);
        assert!(ran.err.starts_with("error: "), "{arguments:?}: {}", ran.err);
        for part in *parts {
            assert!(ran.err.contains(part), "{arguments:?}: {part:?} is not in {}", ran.err);
        }
        let json: serde_json::Value = serde_json::from_str(&place.run(&[*arguments, &["--json"]].concat()).err).unwrap();
        assert_eq!(json["error"]["exit"], *code, "{json}");
        assert!(json["error"]["message"].as_str().is_some_and(|message| !message.is_empty()));
    }
    assert!(!place.path("x.csv.part").exists() && !place.path("t").exists());
    std::fs::write(place.path("good.csv"), "1\n").unwrap();
    place.run(&["import", "good.csv", "s/limits"]).code(5);
    let bad = place.run(&["import", "good.csv", "s/a/../b"]).code(2);
    assert!(bad.err.contains(".."), "{}", bad.err);
}

#[test]
fn what_makes_no_sense_is_a_usage_error() {
    let place = Place::new();
    place.sample();
    let cases: &[&[&str]] = &[
        &[],
        &["nothing"],
        &["head"],
        &["ls", "s", "--memory", "much"],
        &["ls", "s", "--memory", "8MiB"],
        &["head", "s/limits", "--chunk", "x"],
        &["import", "x.csv", "s/x", "--dtype", "complex64"],
        &["import", "x.csv", "s/x", "--chunks", "0"],
        &["import", "x.csv", "s/x", "--attribute", "units=K"],
        &["completions", "tcsh"],
        &["map", "s/limits", "--color", "red"],
    ];
    for arguments in cases {
        let ran = place.run(arguments).code(2);
        assert!(!ran.err.is_empty(), "{arguments:?}");
    }
}

#[test]
fn devices_pipes_and_stores_are_not_replaced() {
    use std::os::unix::fs::{FileTypeExt, symlink};
    let place = Place::new();
    place.sample();
    let array = "s/climate/temperature";
    let before = std::fs::read(place.path("s/manifest")).unwrap();
    place.run(&["export", array, "s/manifest", "--force", "--format", "npy"]).code(2);
    assert_eq!(std::fs::read(place.path("s/manifest")).unwrap(), before);
    for force in [&[][..], &["--force"]] {
        place.run(&[&["export", array, "/dev/null", "--format", "npy"], force].concat()).code(0);
        assert!(std::fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    }
    let full = place.run(&["export", array, "/dev/full", "--format", "npy"]).code(6);
    assert!(full.err.contains("the disk is full") && full.err.contains("compact needs room"), "{}", full.err);
    // What a link leads to is replaced, not the link.
    std::fs::write(place.path("real.npy"), "old").unwrap();
    symlink(place.path("real.npy"), place.path("link.npy")).unwrap();
    place.run(&["export", array, "link.npy", "--force"]).code(0);
    assert!(place.path("link.npy").is_symlink() && std::fs::metadata(place.path("real.npy")).unwrap().len() > 100);
    symlink(place.path("s/manifest"), place.path("to-store.npy")).unwrap();
    place.run(&["export", array, "to-store.npy", "--force"]).code(2);
    place.run(&["verify", "s"]).code(0);
}

#[test]
fn too_little_memory_says_what_helps() {
    let place = Place::new();
    let store = place.store("s");
    save_numbers(&store, "x", 1, 1 << 20, 3);
    drop(store);
    place.run(&["export", "s/x", "x.npy"]).code(0);
    let ran = place.run(&["import", "x.npy", "s/y", "--memory", "64MiB", "--chunks", "-1"]).code(6);
    assert!(ran.err.contains("--chunks 2097152B") && ran.err.contains("24.0 MiB") && ran.err.contains("--memory"), "{}", ran.err);
    place.run(&["import", "x.npy", "s/y", "--memory", "64MiB", "--chunks", "2097152B"]).code(0);
    // Without --chunks they are cut so that they fit.
    place.run(&["import", "x.npy", "s/z", "--memory", "64MiB"]).code(0);
    let ran = place.run(&["verify", "s/x", "--memory", "16MiB"]).code(6);
    assert!(ran.err.contains("more --memory") && ran.err.contains("verify the whole store") && !ran.err.contains("smaller"), "{}", ran.err);
    place.run(&["verify", "s", "--memory", "16MiB"]).code(0);
}
