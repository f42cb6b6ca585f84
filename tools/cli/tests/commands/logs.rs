//! Append logs, as the commands see them.

use crate::support::Place;
use chunkstore_store::{AppendLog, ByteLog, LogOptions};

/// A log `l` of 100 partitions: records in partitions 3 and 7, of which one task was repeated.
fn sample(place: &Place) -> AppendLog<(String, u64)> {
    let log = AppendLog::over(ByteLog::open_with(place.path("l"), 100, LogOptions::new().memory(32 << 20)).unwrap());
    let record = |text: &str, number: u64| (text.to_string(), number);
    log.append(7, (0, 0), [record("lost", 1)]).unwrap();
    log.append(7, (0, 1), [record("one", 1), record("two", 2)]).unwrap();
    log.append(7, (1, 0), [record("three", 3)]).unwrap();
    log.append(3, (1, 0), [record("four", 4)]).unwrap();
    for attempt in [(0, 0), (0, 1), (1, 0)] {
        log.commit(attempt).unwrap();
    }
    log.flush().unwrap();
    log
}

#[test]
fn a_log_is_listed_described_and_shown() {
    let place = Place::new();
    let log = sample(&place);
    let said = place.says(&["ls", "l"]);
    assert!(said.starts_with("l  append log of 100 partitions (2 used), 4 records, ") && said.contains("\n        7        3"), "{said}");
    let lines = place.run(&["ls", "l", "--json"]).code(0).json();
    assert_eq!((&lines[0]["kind"], &lines[0]["partitions"], &lines[0]["records"]), (&"log".into(), &100.into(), &4.into()));
    assert_eq!((lines.len(), &lines[2]["partition"], &lines[2]["records"]), (3, &7.into(), &3.into()));
    assert!(place.says(&["ls", "."]).contains("l  append log"));
    for command in ["info", "du"] {
        let said = place.says(&[command, "l"]);
        assert!(said.contains("100 partitions (2 used)") && said.contains("1, 1 running"), "{said}");
        let found = place.run(&[command, "l", "--json"]).code(0).document();
        assert_eq!((&found["writers_running"], &found["records"]), (&1.into(), &4.into()));
        assert!(found["disk_bytes"].as_u64().unwrap() > 0 && found["bytes"].as_u64().unwrap() > 0);
    }
    drop(log);
    // Its lock may be held a moment longer: by a child of another test that has not become its program yet.
    let running = || place.run(&["info", "l", "--json"]).code(0).document()["writers_running"].as_u64().unwrap();
    assert!((0..50).any(|_| running() == 0));
    let said = place.says(&["verify", "l"]);
    assert!(said.contains("l: sound: 100 partitions (2 used), 3 entries of 2 attempts"), "{said}");
    let said = place.says(&["head", "l/7", "--type", "(String, u64)"]);
    assert!(said.contains("task 0, attempt 1") && said.contains("[\"one\",1]\n    [\"two\",2]") && !said.contains("lost"), "{said}");
    assert!(place.says(&["head", "l"]).contains("partition 3: 1 record"));
    let found = place.run(&["head", "l", "--chunk", "7", "-n", "1", "--json", "--type", "(String, u64)"]).code(0).document();
    assert_eq!((&found["entries"][0]["values"][1][1], &found["records_left"]), (&2.into(), &1.into()));
    assert!(place.run(&["head", "l/7", "--type", "bool"]).code(2).err.contains("type bool"));
    assert!(place.run(&["head", "l/100"]).code(3).err.contains("no partition 100"));
    assert!(place.run(&["head", "l/5"]).code(0).out.contains("0 records"));
    // Nothing of it changed.
    assert_eq!(AppendLog::<(String, u64)>::open(place.path("l"), 100).unwrap().gather(7).unwrap().count(), 3);
}

#[test]
fn damage_to_a_log_is_found() {
    let place = Place::new();
    drop(sample(&place));
    let data = std::fs::read_dir(place.path("l")).unwrap().map(|entry| entry.unwrap().path());
    let data = data.filter(|path| path.extension().is_some_and(|ending| ending == "data") && std::fs::metadata(path).unwrap().len() > 0);
    for path in data {
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.iter_mut().skip(70).take(60).for_each(|byte| *byte ^= 1);
        std::fs::write(&path, bytes).unwrap();
    }
    let ran = place.run(&["verify", "l"]).code(1);
    assert!(ran.out.contains("DAMAGED") && ran.out.contains(".data"), "{}", ran.out);
    let found = place.run(&["verify", "l", "--json"]).code(1).document();
    assert_eq!(found["sound"], false);
    assert!(!found["damaged"].as_array().unwrap().is_empty());
}
