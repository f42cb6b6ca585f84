//! The commands that only look: what they print, as text and as JSON.

use crate::support::{Place, golden, save, save_numbers};

/// Runs a command as text and as JSON, and compares both.
#[track_caller]
fn both(place: &Place, name: &str, arguments: &[&str]) {
    both_end(place, name, arguments, 0);
}

/// As [`both`], for a command that ends with another code.
#[track_caller]
fn both_end(place: &Place, name: &str, arguments: &[&str], code: i32) {
    golden(&format!("{name}.txt"), &place.run(arguments).code(code).out);
    let ran = place.run(&[arguments, &["--json"]].concat()).code(code);
    ran.json();
    golden(&format!("{name}.json"), &ran.out);
}

#[test]
fn what_is_printed() {
    let place = Place::new();
    place.sample();
    both(&place, "ls", &["ls", "s"]);
    both(&place, "ls-group", &["ls", "s/climate"]);
    both(&place, "ls-pattern", &["ls", "s/**/t*"]);
    both(&place, "info", &["info", "s"]);
    both(&place, "info-array", &["info", "s/climate/temperature"]);
    both(&place, "info-missing", &["info", "s/climate/rain/daily"]);
    both(&place, "info-value", &["info", "s/limits"]);
    both(&place, "head", &["head", "s/climate/temperature", "--columns", "3"]);
    both(&place, "head-chunk", &["head", "s/climate/temperature", "--chunk", "2,1"]);
    both(&place, "head-line", &["head", "s/climate/rain/daily", "-n", "2"]);
    both(&place, "head-value", &["head", "s/limits"]);
    both(&place, "head-keys", &["head", "s/blobs"]);
    both(&place, "stat", &["stat", "s/climate/temperature"]);
    both_end(&place, "stat-missing", &["stat", "s/climate/rain/daily"], 3);
    both(&place, "stat-total", &["stat", "s/climate/temperature", "--total"]);
    both(&place, "du", &["du", "s"]);
    both(&place, "du-group", &["du", "s/climate"]);
    both(&place, "map", &["map", "s/climate/temperature"]);
    both_end(&place, "map-missing", &["map", "s/climate/rain/daily", "--check"], 3);
    both(&place, "verify-dataset", &["verify", "s/climate/temperature"]);
    both(&place, "gc-dry-run", &["gc", "s", "--dry-run"]);
    golden("ls-names.txt", &place.says(&["ls", "s", "--names"]));
    golden("ls-ascii.txt", &place.says(&["ls", "s", "--ascii"]));
    golden("map-ascii.txt", &place.run(&["map", "s/climate/rain/daily", "--ascii"]).code(3).out);
}

#[test]
fn a_sound_store_is_said_to_be_sound() {
    let place = Place::new();
    place.sample();
    assert!(place.says(&["verify", "s"]).starts_with("s: sound: 4 datasets, 10 chunks in "));
    let found = place.run(&["verify", "s", "--json"]).code(0).document();
    assert_eq!((&found["sound"], &found["datasets"], &found["chunks"]), (&true.into(), &4.into(), &10.into()));
}

#[test]
fn an_address_has_several_forms() {
    let place = Place::new();
    place.sample();
    let wanted = place.says(&["head", "s/limits"]);
    for address in ["./s/limits", "s//limits", "s/limits/", place.path("s/limits").to_str().unwrap()] {
        assert_eq!(place.says(&["head", address]), wanted, "{address}");
    }
    let mut inside = place.command(&["head", "limits"]);
    assert_eq!(inside.current_dir(place.path("s")).output().unwrap().stdout, wanted.as_bytes());
    let mut inside = place.command(&["ls", "--names"]);
    assert_eq!(inside.current_dir(place.path("s")).output().unwrap().stdout, place.says(&["ls", "s", "--names"]).as_bytes());
}

#[test]
fn colours_are_for_terminals() {
    let place = Place::new();
    place.sample();
    for command in ["ls", "info", "head", "stat", "map", "du", "verify"] {
        let address = if matches!(command, "head" | "stat" | "map") { "s/climate/temperature" } else { "s" };
        assert!(!place.says(&[command, address]).contains('\x1b'), "{command}");
        let coloured = place.says(&[command, address, "--color", "always"]);
        assert!(coloured.contains("\x1b["), "{command}: {coloured}");
        let plain = place.command(&[command, address, "--color", "auto"]).env("NO_COLOR", "1").output().unwrap();
        assert!(!plain.stdout.contains(&0x1b));
    }
    let ascii = place.command(&["ls", "s"]).env("LC_ALL", "C").output().unwrap();
    assert!(ascii.stdout.is_ascii());
}

#[test]
fn every_type_of_element_is_shown() {
    let place = Place::new();
    let store = place.store("s");
    save(&store, "bool", &[&[2]], &[true, false], &[]);
    save(&store, "i8", &[&[2]], &[i8::MIN, i8::MAX], &[]);
    save(&store, "i16", &[&[2]], &[i16::MIN, i16::MAX], &[]);
    save(&store, "i32", &[&[2]], &[i32::MIN, i32::MAX], &[]);
    save(&store, "i64", &[&[2]], &[i64::MIN, i64::MAX], &[]);
    save(&store, "u8", &[&[2]], &[0, u8::MAX], &[]);
    save(&store, "u16", &[&[2]], &[0, u16::MAX], &[]);
    save(&store, "u32", &[&[2]], &[0, u32::MAX], &[]);
    save(&store, "u64", &[&[2]], &[0, u64::MAX], &[]);
    save(&store, "f32", &[&[2]], &[-0.1f32, f32::MAX], &[]);
    save(&store, "f64", &[&[2]], &[f64::NEG_INFINITY, 1e-300], &[]);
    save(&store, "point", &[], &[2.5f64], &[]);
    drop(store);
    let names = place.says(&["ls", "s", "--names"]);
    let heads: String = names.lines().map(|name| place.says(&["head", &format!("s/{name}")])).collect();
    golden("types.txt", &heads);
    let stats: String = names.lines().map(|name| place.says(&["stat", &format!("s/{name}"), "--total", "--json"])).collect();
    golden("types.json", &stats);
}

#[test]
fn a_large_grid_is_drawn_small() {
    let place = Place::new();
    save_numbers(&place.store("s"), "x", 500, 2, 2);
    let picture = place.says(&["map", "s/x"]);
    assert!(picture.contains("500 present") && picture.contains("a character stands for up to 11 x 1 chunks"), "{picture}");
    assert!(picture.lines().count() < 60);
}

#[test]
fn who_stops_reading_hears_no_complaint() {
    let place = Place::new();
    save_numbers(&place.store("s"), "x", 20, 1000, 100);
    let mut child = place
        .command(&["export", "s/x", "-", "--format", "csv"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), String::from_utf8(ended.stderr).unwrap().as_str()), (Some(6), ""));
}

#[test]
fn a_chest_shows_its_keys() {
    use chunkstore_store::Chest;
    let place = Place::new();
    let chest = Chest::<(String, u64), f64>::open(place.path("c"), 64 << 20).unwrap();
    for number in 0..12u64 {
        chest.put(&("k".to_string(), number), &(number as f64 / 2.0)).unwrap();
    }
    chest.flush().unwrap();
    drop(chest);
    let said = place.says(&["head", "c/chest", "-n", "3"]);
    assert_eq!(said, "(\"k\", 0)  0.0\n(\"k\", 1)  0.5\n(\"k\", 2)  1.0\n... 9 more keys\n");
    let found = place.run(&["head", "c/chest", "--json", "-n", "20"]).code(0).document();
    assert_eq!((&found["keys"][11]["key_text"], &found["keys"][11]["value"]), (&"(\"k\", 11)".into(), &5.5.into()));
    assert!(place.says(&["ls", "c"]).contains("(alloc::string::String, u64) -> f64"));
    assert!(place.says(&["info", "c/chest"]).contains("keys        12"));
    place.run(&["verify", "c"]).code(0);
}

#[test]
fn the_blocks_of_a_run_are_drawn() {
    use chunkstore_store::io::FileBackend;
    use chunkstore_store::{Event, EventKind, EventWriter};
    let place = Place::new();
    let log = EventWriter::create(std::sync::Arc::new(FileBackend::new()), &place.path("s/events"), 7).unwrap();
    log.describe(&serde_json::json!({ "layers": ["read_npy", { "name": "sum" }] })).unwrap();
    let events = [
        (EventKind::Finished, 0, 0),
        (EventKind::Finished, 0, 1),
        (EventKind::Spilled, 0, 1),
        (EventKind::Dropped, 0, 1),
        (EventKind::Finished, 0, 3),
        (EventKind::Died, 0, 3),
        (EventKind::Failed, 1, 0),
    ];
    for (kind, layer, block) in events {
        log.record(Event { at_ns: 1, kind, worker: 0, layer, block, bytes: 8 });
    }
    let path = log.finish(&serde_json::json!({ "ended": "failed" })).unwrap();
    let path = path.to_str().unwrap();
    let said = place.says(&["map", path, "--ascii"]).replace(&std::process::id().to_string(), "PROCESS");
    golden("map-run.txt", &said);
    let found = place.run(&["map", path, "--json"]).code(0).document();
    assert_eq!(found["layers"][0]["states"], serde_json::json!(["present", "spilled", "missing", "missing"]));
}
