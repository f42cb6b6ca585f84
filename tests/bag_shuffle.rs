//! Bags that go through the append log: against models, for any number of threads and any bound, with skew, and where they go wrong.

#![allow(clippy::unwrap_used)]

use chunkstore::bag::{self, Bag, Item};
use chunkstore::{Engine, ErrorKind};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Engines share the bound of the process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn engine(threads: usize, memory: &str, scratch: &Path) -> Engine {
    Engine::builder().memory(memory).threads(threads).scratch(scratch).progress(false).build().unwrap()
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// What all engines give for a bag: the same for one thread and for two, with much memory and with little.
fn everywhere<T: Item + PartialEq + std::fmt::Debug>(bag: &Bag<T>) -> Vec<T> {
    let mut answers = Vec::new();
    for (threads, memory) in [(1, "1GiB"), (2, "1GiB"), (2, "320MiB")] {
        let folder = folder();
        let engine = engine(threads, memory, folder.path());
        answers.push(engine.compute(bag).unwrap());
        drop(engine);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
    }
    let first = answers.swap_remove(0);
    assert!(answers.iter().all(|answer| *answer == first), "the answer depends on threads or memory");
    first
}

/// A number that looks random, fixed by its place.
fn noise(i: u64) -> u64 {
    let mut z = i.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Few words that are frequent, and many that are not; some are long.
fn word(i: u64) -> String {
    let n = noise(i);
    match n % 3 {
        0 => format!("w{}", n / 3 % 50),
        1 => format!("a word of many letters, {}", n / 3 % 4000),
        _ => format!("{}", n / 3 % 30_000),
    }
}

#[test]
fn counts_are_those_of_a_map() {
    let _alone = alone();
    let words = bag::range(100_000, 7).map(word);
    let counts = everywhere(&words.frequencies());
    let mut model = HashMap::<String, u64>::new();
    (0..100_000).for_each(|i| *model.entry(word(i)).or_default() += 1);
    assert_eq!(counts.len(), model.len());
    assert!(counts.iter().all(|(word, n)| model[word] == *n));
    assert_eq!(everywhere(&words.distinct()).len(), model.len());
    // Elements that are no text.
    let pairs = bag::range(10_000, 3).map(|i| (noise(i) % 7, i % 2 == 0)).frequencies();
    assert_eq!(everywhere(&pairs).iter().map(|(_, n)| n).sum::<u64>(), 10_000);
    // Text that is read, and text that is made of it.
    let lines = bag::from_sequence(["a b a", "", "b  c\ta"].map(String::from), 2);
    let counts: BTreeMap<String, u64> = everywhere(&lines.str().split_whitespace().frequencies()).into_iter().collect();
    assert_eq!(counts, BTreeMap::from([("a", 3), ("b", 2), ("c", 1)].map(|(word, n)| (word.to_string(), n))));
    // Words of text, more of them than a table takes, of all lengths.
    let lines = bag::range(5000, 2)
        .map(|i| (0..80).map(|j| word(80 * i + j).replace(' ', "_") + &noise(i).to_string()[..2]).collect::<Vec<_>>().join(" "));
    let mut model = HashMap::<String, u64>::new();
    lines.compute().unwrap().iter().flat_map(|line| line.split(' ')).for_each(|word| *model.entry(word.to_string()).or_default() += 1);
    assert!(model.len() > 200_000, "{}", model.len());
    let counts = everywhere(&lines.str().split_whitespace().frequencies());
    assert_eq!(counts.len(), model.len());
    assert!(counts.iter().all(|(word, n)| model[word] == *n));
}

#[test]
fn more_keys_than_tables_take_are_counted() {
    let _alone = alone();
    // 1.4 million keys in two partitions: tables before the log are full eight times, and those behind it have to split.
    let n = 1_400_000;
    let keys = bag::range(n + 1000, 2).map(move |i| noise(i % n));
    let folder = folder();
    let engine = engine(2, "256MiB", folder.path());
    let counts = keys.frequencies();
    let (all, twice, sum) = engine
        .compute((counts.count(), counts.filter(|(_, n)| *n == 2).count(), counts.map(|(key, n)| u128::from(key) * u128::from(n)).sum()))
        .unwrap();
    let expected: u128 = (0..n + 1000).map(|i| u128::from(noise(i % n))).sum();
    assert_eq!((all, twice, sum), (n, 1000, expected));
    // A fold of the same keys, of which each has a text.
    let folds = keys.foldby(|key| *key, String::new(), |text, _| text + "x", |a, b| a + &b);
    let (all, letters) = engine.compute((folds.count(), folds.map(|(_, text)| text.len()).sum())).unwrap();
    assert_eq!((all, letters), (n, n + 1000));
}

#[test]
fn folds_by_key_are_those_of_a_map() {
    let _alone = alone();
    let rows = bag::range(50_000, 9).map(|i| (noise(i) % 977, i));
    let sums = everywhere(&rows.foldby(|row| row.0, 0.0, |sum, row| sum + (row.1 as f64).sqrt(), |a, b| a + b));
    let mut model = HashMap::<u64, f64>::new();
    (0..50_000u64).for_each(|i| *model.entry(noise(i) % 977).or_default() += (i as f64).sqrt());
    assert_eq!(sums.len(), model.len());
    assert!(sums.iter().all(|(key, sum)| (model[key] - sum).abs() < 1e-9 * sum));
    let first = everywhere(&rows.distinct_by(|row| row.0));
    let mut seen = HashMap::<u64, u64>::new();
    for i in 0..50_000u64 {
        seen.entry(noise(i) % 977).or_insert(i);
    }
    assert_eq!(first.len(), seen.len());
    assert!(first.iter().all(|(key, i)| seen[key] == *i));
}

#[test]
fn groups_have_their_elements_in_order() {
    let _alone = alone();
    let rows = bag::range(30_000, 5).map(|i| (word(i), i));
    let groups = everywhere(&rows.group_by(|row| row.0.clone()).lists());
    let mut model = HashMap::<String, Vec<(String, u64)>>::new();
    (0..30_000).for_each(|i| model.entry(word(i)).or_default().push((word(i), i)));
    assert_eq!(groups.len(), model.len());
    assert!(groups.iter().all(|(key, rows)| model[key] == *rows));
    // Few elements of each are looked at, and several are made of each.
    let firsts =
        rows.group_by(|row| row.0.clone()).flat_map(|(key, rows)| rows.take(2).map(move |row| (key.clone(), row.1)).collect::<Vec<_>>());
    assert_eq!(everywhere(&firsts).len(), model.values().map(|rows| rows.len().min(2)).sum::<usize>());
    let counts = everywhere(&rows.group_by(|row| row.0.clone()).npartitions(3).count());
    assert!(counts.iter().all(|(key, n)| model[key].len() as u64 == *n));
}

#[test]
fn a_group_of_most_rows_streams() {
    let _alone = alone();
    // Three partitions behind the log; 60 of 100 rows have one key, so that its partition has more than 40 MiB.
    let n = 400_000u64;
    let row = |i: u64| (if noise(i) % 10 < 6 { 7 } else { noise(i) % 1000 }, i, "x".repeat(200));
    let rows = bag::range(n, 8).map(row);
    let made = rows.group_by(|row| row.0).npartitions(3).map(|(key, rows)| {
        let (mut count, mut last, mut sorted, mut sum) = (0u64, None, true, 0u64);
        for (_, i, _) in rows {
            sorted &= last.is_none_or(|last| last < i);
            (count, last, sum) = (count + 1, Some(i), sum + i);
        }
        (key, count, sum, sorted)
    });
    let made = everywhere(&made);
    let mut model = HashMap::<u64, (u64, u64)>::new();
    for i in 0..n {
        let group = model.entry(row(i).0).or_default();
        *group = (group.0 + 1, group.1 + i);
    }
    assert_eq!(made.len(), model.len());
    assert!(made.iter().all(|(key, count, sum, sorted)| *sorted && model[key] == (*count, *sum)));
}

#[test]
fn elements_are_sorted_and_equal_ones_keep_their_order() {
    let _alone = alone();
    let rows = bag::range(60_000, 6).map(|i| (noise(i) % 500, i));
    let sorted = everywhere(&rows.sort_by(|row| row.0));
    let mut model: Vec<(u64, u64)> = (0..60_000).map(|i| (noise(i) % 500, i)).collect();
    model.sort();
    assert_eq!(sorted, model);
    let down = everywhere(&rows.sort_by(|row| std::cmp::Reverse(row.1)));
    assert!(down.windows(2).all(|pair| pair[0].1 == pair[1].1 + 1));
    // None, and one.
    assert!(everywhere(&bag::range(10, 3).filter(|_| false).sort_by(|i| *i)).is_empty());
    assert_eq!(everywhere(&bag::range(1, 1).sort_by(|i| *i)), [0]);
}

#[test]
fn ranges_that_are_long_are_sorted_in_runs() {
    let _alone = alone();
    let folder = folder();
    let engine = engine(2, "320MiB", folder.path());
    // One range of 60 MB, and one of a key that most rows have.
    for most in [0, 7] {
        let row = move |i: u64| (if noise(i) % 10 < most { 5 } else { noise(i) }, i, "y".repeat(100));
        let sorted = engine.compute(bag::range(500_000, 2).map(row).sort_by(|row| row.0).map(|row| (row.0, row.1))).unwrap();
        assert_eq!(sorted.len(), 500_000);
        assert!(sorted.windows(2).all(|pair| pair[0] < pair[1]), "{most}");
    }
}

#[test]
fn what_fails_ends_with_the_users_line_and_leaves_nothing() {
    let _alone = alone();
    let folder = folder();
    let engine = engine(2, "256MiB", folder.path());
    let rows = bag::range(10_000, 4);
    let failing = rows.try_map(|i| if i == 7777 { Err("no 7777") } else { Ok(i) });
    for error in [
        engine.compute(failing.group_by(|i| i % 10).count()).unwrap_err(),
        engine.compute(failing.frequencies()).unwrap_err(),
        engine.compute(failing.sort_by(|i| *i)).unwrap_err(),
        engine.compute(rows.group_by(|i| i % 10).try_map(|(key, _)| if key == 3 { Err("no 7777") } else { Ok(key) })).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Failed);
        assert!(error.to_string().contains("no 7777") && error.location().unwrap().file().ends_with("bag_shuffle.rs"), "{error}");
    }
    let error = engine.compute(rows.group_by(|i| if *i == 99 { panic!("a key panics") } else { *i }).count()).unwrap_err();
    assert!(error.kind() == ErrorKind::Panicked && error.to_string().contains("a key panics"), "{error}");
    let error = engine.compute(rows.group_by(|i| i % 3).map(|(key, _)| if key == 1 { panic!("a group panics") } else { key })).unwrap_err();
    assert!(error.kind() == ErrorKind::Panicked && error.to_string().contains("a group panics"), "{error}");
    // The engine goes on.
    assert_eq!(engine.compute(rows.frequencies().count()).unwrap(), 10_000);
    drop(engine);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_shuffle_can_be_cancelled() {
    let _alone = alone();
    let folder = folder();
    let engine = engine(2, "256MiB", folder.path());
    let endless = bag::range(u64::MAX / 2, 2).group_by(|i| i % 1000).count();
    let error = std::thread::scope(|scope| {
        let run = scope.spawn(|| engine.compute(&endless).unwrap_err());
        std::thread::sleep(Duration::from_millis(300));
        engine.cancel();
        run.join().unwrap()
    });
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert_eq!(engine.compute(bag::range(10, 2).group_by(|i| i % 2).count()).unwrap().len(), 2);
    drop(engine);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_full_disk_is_an_error_and_no_wrong_answer() {
    let _alone = alone();
    let folder = folder();
    let engine = Engine::builder().memory("128MiB").threads(2).scratch(folder.path()).quota("8MiB").progress(false).build().unwrap();
    let rows = bag::range(400_000, 8).map(|i| (noise(i), vec![noise(i + 1); 40]));
    let error = engine.compute(rows.group_by(|row| row.0 % 1000).count()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
    assert_eq!(engine.compute(bag::range(10, 2).frequencies().count()).unwrap(), 10);
}

#[test]
fn the_answers_of_dask() {
    let _alone = alone();
    let golden: serde_json::Value =
        serde_json::from_slice(&std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/bag/verbs.json")).unwrap()).unwrap();
    let parts: Vec<Vec<i64>> = serde_json::from_value(golden["inputs"]["ints"].clone()).unwrap();
    let bags: Vec<Bag<i64>> = parts.into_iter().map(|part| bag::from_sequence(part, 1)).collect();
    let ints = bag::concat(&bags.iter().collect::<Vec<_>>());
    fn sorted<T: Ord>(mut items: Vec<T>) -> Vec<T> {
        items.sort();
        items
    }
    let answer = |name: &str| golden["cases"][name].clone();
    let json = |value: serde_json::Result<serde_json::Value>| value.unwrap();
    assert_eq!(json(serde_json::to_value(sorted(everywhere(&ints.frequencies())))), answer("frequencies"));
    assert_eq!(json(serde_json::to_value(sorted(everywhere(&ints.distinct())))), answer("distinct"));
    let fold = ints.foldby(|x| x % 3, 0, |sum, x| sum + x, |a, b| a + b);
    assert_eq!(json(serde_json::to_value(sorted(everywhere(&fold)))), answer("foldby"));
    let within = ints.map(|x| (x % 3, x)).foldby_ref(|(key, _)| key, 0, |sum, (_, x)| sum + x, |a, b| a + b);
    assert_eq!(json(serde_json::to_value(sorted(everywhere(&within)))), answer("foldby"));
    let counts = ints.foldby(|x| x % 3, 0, |n, _| n + 1, |a, b| a + b);
    assert_eq!(json(serde_json::to_value(sorted(everywhere(&counts)))), answer("foldby_combine"));
    let groups = ints.group_by(|x| x % 3).map(|(key, rows)| (key, sorted(rows.collect())));
    assert_eq!(json(serde_json::to_value(sorted(everywhere(&groups)))), answer("groupby"));
    assert_eq!(json(serde_json::to_value(everywhere(&ints.sort_by(|x| *x)))), answer("sort"));
}

/// Two tasks that each wait for room that the log never has: an error, for any number of threads, that says what to do.
#[test]
fn an_element_that_no_log_takes_is_an_error() {
    let _alone = alone();
    for threads in [1, 2] {
        let folder = folder();
        let engine = engine(threads, "512MiB", folder.path());
        let long = bag::range(2, 2).map(|_| "x".repeat(100 << 20));
        let error = engine.compute(&long.group_by(|text| text.len()).count()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains("a shuffle takes at once") && error.to_string().contains("more memory"), "{error}");
        assert_eq!(engine.compute(&bag::range(10, 2).group_by(|n| n % 2).count()).unwrap().len(), 2);
    }
}

/// A range of one key that is larger than a run is not sorted, and stays in its order.
#[test]
fn a_large_range_of_one_key_streams() {
    let _alone = alone();
    let folder = folder();
    let engine = engine(2, "160MiB", folder.path());
    let rows = bag::range(1_200_000, 12).map(|n| format!("{n:032}"));
    let sorted = rows.sort_by(|_| 1u8);
    assert_eq!(engine.compute(&sorted.count()).unwrap(), 1_200_000);
    let numbers = engine.compute(&sorted.map(|row| row.parse::<u64>().unwrap())).unwrap();
    assert!(numbers.into_iter().eq(0..1_200_000));
}

/// Of elements that a function makes smaller more is forecast than goes through the log, until that is known.
#[test]
fn what_goes_through_logs_is_reported_and_known_the_next_time() {
    let folder = folder();
    let engine = engine(2, "256MiB", folder.path());
    let sums = bag::range(200_000, 4).map(|i| (i, "x".repeat(50))).map(|(i, _)| i % 1000).group_by(|i| *i).count();
    let before = engine.explain(&sums).unwrap();
    assert!(before.shuffled_bytes > 0 && !before.shuffles_known && before.to_string().contains("where functions make no more of it"));
    engine.compute(&sums).unwrap();
    let report = engine.last_run().unwrap();
    // A record has a key and a value of 1 to 3 bytes each, and their lengths.
    assert!((800_000..2_000_000).contains(&report.shuffled_bytes), "{report}");
    assert!(report.to_string().contains("shuffled"), "{report}");
    let after = engine.explain(&sums).unwrap();
    assert!(after.shuffles_known && after.shuffled_bytes == report.shuffled_bytes, "{after}");
    assert!(after.to_string().contains("as the last time"), "{after}");
}

#[test]
fn equal_keys_are_one_key_however_they_are_encoded() {
    let _alone = alone();
    let numbers = bag::from_sequence([-0.0f64, 0.0, f64::NAN, -f64::NAN, 1.5, -1.5, 1.5], 3);
    let counted = |counts: Bag<(f64, u64)>| {
        let mut shown = everywhere(&counts.map(|(x, n)| format!("{x} {n}")));
        shown.sort();
        assert_eq!(shown, ["-1.5 1", "0 2", "1.5 2", "NaN 2"]);
    };
    counted(numbers.frequencies());
    counted(numbers.foldby(|x| *x, 0, |n, _| n + 1, |a, b| a + b));
    counted(numbers.group_by(|x| (*x, "key".to_string())).count().map(|((x, _), n)| (x, n)));
    assert_eq!(everywhere(&numbers.distinct().map(|_| ())).len(), 4);
    assert_eq!(everywhere(&numbers.distinct_by(|x| Some(*x)).map(|_| ())).len(), 4);
    // Each set has an order of its own.
    let set = |x: &u64| (0..20).filter(|i| i % 4 == x % 4).collect::<HashSet<u64>>();
    let sets = bag::range(100, 7).foldby(set, 0u64, |n, _| n + 1, |a, b| a + b);
    assert_eq!(everywhere(&sets.map(|(set, n)| (set.len(), n))), [(5, 25); 4]);
}
