//! Import of text and of other types: nothing is dropped, and no number becomes another one, unless that is said.

use crate::support::Place;

/// Imports text into `s/x`, with more arguments.
fn import(place: &Place, file: &str, text: &str, more: &[&str]) -> crate::support::Ran {
    std::fs::write(place.path(file), text).unwrap();
    place.run(&[&["import", file, "s/x", "--replace"], more].concat())
}

#[test]
fn no_line_is_dropped_in_silence() {
    let place = Place::new();
    place.store("s");
    let ran = import(&place, "x.csv", "a,b\n1,2\n# 3,4\n", &[]).code(1);
    assert!(ran.err.contains("line 3, column 1 (a) is \"# 3\"") && ran.err.contains("--comment '#'"), "{}", ran.err);
    let text = "a,b\n1,2\n\n# 3,4\n \n5,6\n";
    let said = import(&place, "x.csv", text, &["--comment", "#"]).code(0).out;
    assert!(said.contains("int64 (2, 2)") && said.contains("skipped: 2 blank lines, 1 comment line"), "{said}");
    let found = import(&place, "x.csv", text, &["--comment", "#", "--json"]).code(0).document();
    assert_eq!((&found["blank_lines"], &found["comment_lines"], &found["shape"][0]), (&2.into(), &1.into(), &2.into()));
    let found = import(&place, "x.jsonl", "1\n\n2\n", &["--json"]).code(0).document();
    assert_eq!((&found["blank_lines"], &found["shape"][0]), (&1.into(), &2.into()));
    // The number of a line counts those that are skipped.
    assert!(import(&place, "x.csv", "1\n\n\nx\n", &[]).code(1).err.contains("line 4, column 1"));
}

#[test]
fn what_is_no_decimal_number_is_an_error_with_its_place() {
    let place = Place::new();
    place.store("s");
    for (text, more, parts) in [
        ("0x10\n", &[][..], &["line 1, column 1", "0x10", "x.csv", "--header yes"][..]),
        ("1_000\n", &[], &["line 1, column 1", "1_000"]),
        ("v,w\n1,2\n3,1_000\n", &[], &["line 3, column 2 (w)", "1_000", "x.csv"]),
        ("1\n1e400\n", &[], &["line 2, column 1", "1e400", "does not fit float64", "--lossy"]),
        ("1.5\n9007199254740993\n", &[], &["line 2, column 1", "9007199254740993", "would round", "int64"]),
        ("18446744073709551617\n", &[], &["line 1, column 1", "would round"]),
        ("1\n300\n", &["--dtype", "uint8"], &["line 2, column 1", "300", "does not fit uint8"]),
        ("16777217\n", &["--dtype", "float32"], &["line 1, column 1", "would round"]),
    ] {
        let ran = import(&place, "x.csv", text, more).code(1);
        for part in parts {
            assert!(ran.err.contains(part), "{text:?}: {part:?} is not in {}", ran.err);
        }
    }
    let values = |place: &Place| place.says(&["export", "s/x", "-", "--format", "csv"]);
    import(&place, "x.csv", "inf\n-Infinity\nnan\n1e300\n", &[]).code(0);
    assert_eq!(values(&place), "inf\n-inf\nNaN\n1e300\n");
    import(&place, "x.csv", "9007199254740993\n1\n", &[]).code(0);
    assert_eq!(values(&place), "9007199254740993\n1\n");
    import(&place, "x.csv", "1.5\n9007199254740993\n1e400\n", &["--lossy"]).code(0);
    assert_eq!(values(&place), "1.5\n9007199254740992.0\ninf\n");
    import(&place, "x.csv", "2020-01\n5\n", &["--header", "yes"]).code(0);
    assert_eq!(values(&place), "2020-01\n5\n");
    for (text, part) in [("1.5\n9007199254740993\n", "would round"), ("18446744073709551617\n", "beyond 64 bits"), ("1e400\n", "line 1")] {
        let ran = import(&place, "x.jsonl", text, &[]).code(1);
        assert!(ran.err.contains(part), "{}", ran.err);
    }
}

#[test]
fn other_types_hold_the_same_values_or_are_refused() {
    let place = Place::new();
    place.store("s");
    import(&place, "x.csv", "1,2\n3,-300\n70000,5\n", &["--chunks", "2,1"]).code(0);
    place.run(&["export", "s/x", "i.npy"]).code(0);
    import(&place, "x.csv", "1.5\n2\n1e300\n", &[]).code(0);
    place.run(&["export", "s/x", "f.npy"]).code(0);
    let array = |file: &str, dtype: &str, more: &[&str]| {
        place.run(&[&["import", file, "s/y", "--replace", "--chunks", "2", "--dtype", dtype], more].concat())
    };
    for (file, dtype, parts) in [
        ("i.npy", "uint8", ["element (1, 1) is -300", "does not fit uint8"]),
        ("i.npy", "int16", ["element (2, 0) is 70000", "--lossy"]),
        ("i.npy", "bool", ["element (0, 1) is 2", "does not fit bool"]),
        ("f.npy", "int64", ["element (0,) is 1.5", "does not fit int64"]),
        ("f.npy", "float32", ["element (2,) is 1e300", "does not fit float32"]),
    ] {
        let ran = array(file, dtype, &[]).code(1);
        assert!(parts.iter().all(|part| ran.err.contains(part)), "{}", ran.err);
    }
    let values = || place.says(&["export", "s/y", "-", "--format", "csv"]);
    array("i.npy", "int32", &[]).code(0);
    assert_eq!(values(), "1,2\n3,-300\n70000,5\n");
    array("i.npy", "float32", &[]).code(0);
    assert_eq!(values(), "1.0,2.0\n3.0,-300.0\n70000.0,5.0\n");
    array("i.npy", "uint8", &["--lossy"]).code(0);
    assert_eq!(values(), "1,2\n3,212\n112,5\n");
}
