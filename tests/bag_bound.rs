//! What is much larger than the bound is counted and folded within it: in processes of their own, which measure themselves.

#![allow(clippy::unwrap_used)]

#[path = "support/bounded.rs"]
mod bounded;

use bounded::Bounded;
use chunkstore::{Engine, bag, init};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;

const FILE: &str = "CHUNKSTORE_TEST_TEXT";
const LISTS: &str = "CHUNKSTORE_TEST_LISTS";
const USED_TWICE: &str = "CHUNKSTORE_TEST_USED_TWICE";
const ROWS: &str = "CHUNKSTORE_TEST_ROWS";

/// The file, and the bound of the process that reads it.
const BYTES: u64 = 256 << 20;
const BOUND: u64 = 96 << 20;

/// Lines of 1 to 120 bytes; gives their number and that of their words.
fn write(path: &Path) -> (u64, u64) {
    let mut file = BufWriter::with_capacity(1 << 20, std::fs::File::create(path).unwrap());
    let (mut written, mut lines, mut words, mut state) = (0, 0, 0, 1u64);
    let text = "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore et dolore magna aliqua";
    while written < BYTES {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let line = &text[..(state >> 33) as usize % text.len()];
        file.write_all(line.as_bytes()).unwrap();
        file.write_all(b"\n").unwrap();
        written += line.len() as u64 + 1;
        lines += 1;
        words += line.split_whitespace().count() as u64;
    }
    file.flush().unwrap();
    (lines, words)
}

fn engine() -> Engine {
    init();
    Engine::builder().memory(BOUND).threads(2).progress(false).build().unwrap()
}

/// Not a test: what the process runs that is measured.
#[test]
fn child() {
    let Some(path) = std::env::var_os(FILE) else { return };
    let engine = engine();
    let lines = bag::TextFiles::new(Path::new(&path)).blocksize(4 << 20).read().unwrap();
    let counts = engine.compute((&lines.count(), &lines.str().split_whitespace().count())).unwrap();
    println!("found {} {} {}", counts.0, counts.1, chunkstore::store::peak_resident_bytes());
}

/// Not a test: lists that take 64 MiB and more, folded in two tasks at a time.
#[test]
fn child_with_lists() {
    if std::env::var_os(LISTS).is_none() {
        return;
    }
    let engine = engine();
    let push = |mut list: Vec<u64>, n| {
        list.push(n);
        list
    };
    let lists = bag::range(NUMBERS, 2).foldby(
        |n| n % KEYS,
        Vec::new(),
        push,
        |mut a, b| {
            a.extend(b);
            a
        },
    );
    let right = lists.map(|(key, list)| u64::from(list.iter().zip(0..).all(|(n, i)| *n == key + KEYS * i)) * list.len() as u64);
    let found = engine.compute((&right.sum(), &right.count())).unwrap();
    println!("found {} {} {}", found.0, found.1, chunkstore::store::peak_resident_bytes());
}

/// Not a test: what a function makes of lines is used twice, which could be kept for the second time where it were smaller.
#[test]
fn child_that_uses_lines_twice() {
    let Some(path) = std::env::var_os(USED_TWICE) else { return };
    let engine = engine();
    let lines = bag::read_text(Path::new(&path)).unwrap().map(|line| line.to_uppercase());
    let counts = engine.compute((&lines.count(), &lines.str().len().sum())).unwrap();
    println!("found {} {} {}", counts.0, counts.1, chunkstore::store::peak_resident_bytes());
}

/// So many rows of words: each takes about 100 bytes encoded, and 2.8 KB in memory.
const ROWS_IN_ALL: u64 = 60_000;

fn mixed(n: u64) -> u64 {
    let mut z = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ (z >> 31)
}

fn words(n: u64) -> Vec<String> {
    (0..50).map(|i| char::from(b'a' + (mixed(n * 50 + i) % 26) as u8).to_string()).collect()
}

/// What is done with rows, and what is found where it is right: the number of rows, and something of each.
const DONE: [(&str, u64); 11] = [
    ("sort_by", ROWS_IN_ALL),
    ("sort_by_words", ROWS_IN_ALL),
    ("sort_by_passes", 100 * ROWS_IN_ALL),
    ("topk_by", ROWS_IN_ALL / 8),
    ("sample", ROWS_IN_ALL / 8),
    ("choices", ROWS_IN_ALL / 8),
    ("join", ROWS_IN_ALL / 6),
    ("lists", ROWS_IN_ALL),
    ("distinct_by", ROWS_IN_ALL / 30),
    ("fold", ROWS_IN_ALL * 5),
    ("take", ROWS_IN_ALL / 6),
];

/// Not a test: elements that hold far more in memory than encoded.
#[test]
fn child_with_rows() {
    let Ok(done) = std::env::var(ROWS) else { return };
    init();
    let engine = Engine::builder().memory(BOUND).threads(4).progress(false).build().unwrap();
    let n = ROWS_IN_ALL;
    let rows = bag::range(n, 6).map(|i| (mixed(i), words(i)));
    let whole = |(_, words): &(u64, Vec<String>)| u64::from(words.len() == 50 && words.iter().all(|word| word.len() == 1));
    let count = |rows: &bag::Bag<(u64, Vec<String>)>| engine.compute(&rows.map(move |row| whole(&row)).sum()).unwrap();
    let found = match done.as_str() {
        "sort_by" => {
            let ends = rows
                .sort_by(|row| row.0)
                .accumulate((0, true, 0), move |(last, sorted, n), row| (row.0, sorted && last <= row.0, n + whole(&row)));
            let ends = engine.compute(&ends.reduce(|_, last| last)).unwrap();
            ends.2 * u64::from(ends.1)
        }
        // Of one partition, with keys that are as large as the rows.
        "sort_by_words" => {
            let sorted = bag::range(n, 1).map(|i| (mixed(i), words(i))).sort_by(|row| row.1.clone());
            assert!(engine.compute(&sorted.reduction(8, |rows| rows.is_sorted_by_key(|row| row.1), |mut all| all.all(|is| is))).unwrap());
            count(&sorted)
        }
        // Far more than is known before, in one range: its runs are merged in passes. Rows of equal keys stay in their order.
        "sort_by_passes" => {
            let rows = bag::range(100 * n, 1).map(|i| (mixed(i) % 50_000, i, mixed(i), !mixed(i))).sort_by(|row| row.0);
            let sorted = rows.reduction(
                8,
                |rows| {
                    let mut last = None;
                    rows.fold((0u64, true), |(n, sorted), row| {
                        let right = (row.2, row.3) == (mixed(row.1), !mixed(row.1)) && last < Some((row.0, row.1));
                        last = Some((row.0, row.1));
                        (n + 1, sorted && right)
                    })
                },
                |all| all.fold((0, true), |(n, sorted), part| (n + part.0, sorted && part.1)),
            );
            let (n, sorted) = engine.compute(&sorted).unwrap();
            n * u64::from(sorted)
        }
        "topk_by" => count(&rows.topk_by(n as usize / 8, |row| row.0)),
        "sample" => count(&bag::random::sample(&rows, n as usize / 8, 1)),
        "choices" => count(&bag::random::choices(&rows, n as usize / 8, 1)),
        "join" => {
            let some = bag::range(n / 6, 1).map(|i| (i, words(i)));
            count(&bag::range(n, 6).join(&some, |i| *i, |row: &(u64, Vec<String>)| row.0).map(|(row, _)| row))
        }
        "lists" => {
            let lists = rows.group_by(|row| row.0 % 60).lists();
            engine.compute(&lists.map(move |(_, list)| list.iter().map(whole).sum::<u64>()).sum()).unwrap()
        }
        // Some are small, and come before the large ones.
        "distinct_by" => {
            let rows = bag::range(n / 30, 6).map(|i| (i, vec![b'x'; if i % 16 == 0 { 20 } else { 64 << 10 }]));
            engine.compute(&rows.distinct_by(|row| row.0).map(|(_, bytes)| u64::from(bytes.iter().all(|b| *b == b'x'))).sum()).unwrap()
        }
        "fold" => {
            let push = |mut list: Vec<String>, i: u64| {
                list.extend((0..5).map(|n| (i % 10 + n).to_string()));
                list
            };
            let all = bag::range(n, 6).fold(Vec::new(), push, |mut a, b| {
                a.extend(b);
                a
            });
            engine.compute(&all.apply(|list| list.len() as u64)).unwrap()
        }
        "take" => engine.compute(&rows.take(n as usize / 6)).unwrap().iter().map(whole).sum(),
        other => panic!("{other} is not known"),
    };
    println!("found {found} {}", chunkstore::store::peak_resident_bytes());
}

#[test]
fn rows_that_hold_more_in_memory_than_encoded_stay_within_the_bound() {
    for (done, right) in DONE {
        assert_eq!(found("child_with_rows", (ROWS, done.as_ref())), [right], "{done}");
    }
}

/// The numbers that are folded into lists, and these.
const NUMBERS: u64 = 8_000_000;
const KEYS: u64 = 50_000;

/// What a child found, which stays within its bound.
fn found(test: &str, env: (&str, &std::ffi::OsStr)) -> Vec<u64> {
    // The group's page cache counts, too, and is given back as it is needed.
    let group = Bounded::new(BOUND + (32 << 20));
    let program = std::env::current_exe().unwrap();
    let mut command = match &group {
        Some(group) => group.command(program.to_str().unwrap()),
        None => Command::new(&program),
    };
    let output = command.args([test, "--exact", "--nocapture"]).env(env.0, env.1).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let found = text.lines().find_map(|line| line.split_once("found ")).unwrap().1;
    let mut found: Vec<u64> = found.split_whitespace().map(|n| n.parse().unwrap()).collect();
    let peak = found.pop().unwrap();
    assert!(peak <= BOUND, "{peak} bytes of {BOUND}");
    if let Some(group) = group {
        assert_eq!(group.killed(), 0);
        assert!(group.peak() <= BOUND + (32 << 20));
    }
    found
}

#[test]
fn the_lines_of_a_large_file_are_counted_in_constant_memory() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = folder.path().join("text");
    let (lines, words) = write(&path);
    assert_eq!(found("child", (FILE, path.as_os_str())), [lines, words]);
}

#[test]
fn lists_that_are_folded_make_way_before_they_fill_the_bound() {
    assert_eq!(found("child_with_lists", (LISTS, "1".as_ref())), [NUMBERS, KEYS]);
}

#[test]
fn a_compressed_file_and_long_lines_are_used_twice() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    // A line takes the block that it is in, itself, and what the function makes of it.
    for (name, line, count) in [("short.gz", 100, 2_000_000u64), ("long.gz", 12 << 20, 8), ("long", 12 << 20, 8)] {
        let path = folder.path().join(name);
        let file = BufWriter::with_capacity(1 << 20, std::fs::File::create(&path).unwrap());
        let text = "x".repeat(line - 1) + "\n";
        let write = |file: &mut dyn Write| (0..count).for_each(|_| file.write_all(text.as_bytes()).unwrap());
        if name.ends_with("gz") {
            let mut file = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
            write(&mut file);
            file.finish().unwrap().flush().unwrap();
        } else {
            let mut file = file;
            write(&mut file);
            file.flush().unwrap();
        }
        let found = found("child_that_uses_lines_twice", (USED_TWICE, path.as_os_str()));
        assert_eq!(found, [count, count * (line as u64 - 1)], "{name}");
    }
}
