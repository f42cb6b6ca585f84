//! What the commands tell of runs that were recorded.

use crate::support::Place;
use chunkstore::Engine;
use chunkstore::array::Array;
use std::process::Command;

/// A run that spills, recorded in the folder `run`; the folder. Another process runs it, which the memory of the tests here does not count in.
fn recorded(place: &Place) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "runs::runs", "--ignored", "--nocapture"]).env("CHUNKSTORE_RUN", place.path("run/events"));
    let ran = command.output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    "run".to_string()
}

#[test]
#[ignore = "the other process of the tests here"]
fn runs() {
    let Some(events) = std::env::var_os("CHUNKSTORE_RUN") else { return };
    let scratch = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("runs");
    let engine = Engine::builder().memory("112MiB").threads(2).scratch(scratch).progress(false).events(events);
    let engine = engine.build().unwrap();
    let x = Array::<f64>::ones([64, 262_144], [1, 262_144]).map_blocks(|block| block.to_owned() + 1.0);
    engine.compute(&(&x - x.mean(0)).abs().sum(..)).unwrap();
    assert!(engine.last_run().unwrap().spilled_bytes > 0);
}

#[test]
fn a_run_is_told_drawn_and_measured() {
    let place = Place::new();
    let run = recorded(&place);
    let found = place.run(&["profile", &run, "--json"]).code(0).document();
    let layers = found["layers"].as_array().unwrap();
    let spilled: u64 = layers.iter().map(|layer| layer["spilled_bytes"].as_u64().unwrap()).sum();
    assert!(spilled > 0 && found["ends"] == serde_json::json!(["done"]));
    assert!(place.says(&["profile", &run]).contains("map_blocks"));
    let found = place.run(&["timeline", &run, "--json"]).code(0).document();
    let on_disk = |chunk: &&serde_json::Value| chunk["stays"].as_array().unwrap().iter().any(|stay| stay["in_memory"] == false);
    let spilled = found["chunks"].as_array().unwrap().iter().find(on_disk).unwrap();
    let name = spilled["name"].as_str().unwrap();
    let told = place.says(&["why", &run, name]);
    assert!(told.starts_with(name) && told.contains("written to scratch: next used by"), "{told}");
    let found = place.run(&["why", &run, "map_blocks", "-n", "2", "--json"]).code(0).document();
    assert_eq!(found["tasks"].as_array().unwrap().len(), 2);
    assert!(place.says(&["timeline", &run, "-o", "t.svg"]).contains("t.svg"));
    assert!(std::fs::read_to_string(place.path("t.svg")).unwrap().starts_with("<svg"));
    place.run(&["timeline", &run, "-o", "t.svg"]).code(5);
    place.run(&["profile", &run, "-o", "t.svg", "--force"]).code(0);
}

#[test]
fn what_is_no_run_is_said_to_be_none() {
    let place = Place::new();
    let run = recorded(&place);
    let wrong = place.run(&["why", &run, "no such task"]).code(3);
    assert!(wrong.err.contains("names are like"), "{}", wrong.err);
    place.run(&["why", "nowhere", "x"]).code(3);
    std::fs::create_dir(place.path("empty")).unwrap();
    place.run(&["timeline", "empty"]).code(3);
    std::fs::write(place.path("text.events"), "no log at all, but long enough to have a header of its own, were it one").unwrap();
    place.run(&["profile", "text.events"]).code(1);
}
