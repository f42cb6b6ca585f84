//! Bags from files and to files: against dask.bag on files that other programs wrote, and what goes wrong.

#![allow(clippy::unwrap_used)]

use chunkstore::bag::{self, Bag, Compression, Errors, TextFiles};
use chunkstore::{Engine, ErrorKind, Store};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Engines share the bound of the process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

struct Alone {
    engine: Engine,
    _alone: MutexGuard<'static, ()>,
}

impl std::ops::Deref for Alone {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

/// An engine, and nobody else has one. Panics are shown without their backtrace, for which this process would read a hundred megabytes of debug information.
fn engine() -> Alone {
    std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let engine = Engine::builder().memory("256MiB").threads(2).scratch(env!("CARGO_TARGET_TMPDIR")).progress(false).build().unwrap();
    Alone { engine, _alone: alone }
}

fn golden() -> (PathBuf, Value) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/bag_files");
    let index = std::fs::read_to_string(folder.join("index.json")).unwrap();
    (folder, serde_json::from_str(&index).unwrap())
}

fn temporary() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn errors_of(name: &str) -> Errors {
    match name {
        "strict" => Errors::Strict,
        "replace" => Errors::Replace,
        _ => Errors::Ignore,
    }
}

#[test]
fn text_is_read_as_dask_reads_it_in_blocks_of_any_size_and_compressed() {
    let (folder, index) = golden();
    let engine = engine();
    let temporary = temporary();
    let mut compared = 0;
    for entry in index["reads"].as_array().unwrap() {
        let path = folder.join(entry["file"].as_str().unwrap());
        let what = format!("{} {} {:?} {}", entry["file"], entry["encoding"], entry["linedelimiter"], entry["errors"]);
        let files = |path: &Path| {
            let files =
                TextFiles::new(path).encoding(entry["encoding"].as_str().unwrap()).errors(errors_of(entry["errors"].as_str().unwrap()));
            match entry["linedelimiter"].as_str() {
                Some(end) => files.linedelimiter(end),
                None => files,
            }
        };
        // The same file in a compressed form is streamed, and not cut.
        let compressed = temporary.path().join(format!("{}.zst", entry["file"].as_str().unwrap()));
        std::fs::write(&compressed, zstd(&std::fs::read(&path).unwrap())).unwrap();
        let mut bags = vec![files(&path), files(&compressed)];
        bags.extend([1, 2, 3, 7, 64, 1000].map(|size| files(&path).blocksize(size)));
        for (i, bag) in bags.into_iter().enumerate() {
            let cut = i > 1;
            let read = engine.compute(&bag.clone().read().unwrap());
            match entry.get("error").and_then(Value::as_u64) {
                None => assert_eq!(read.unwrap(), texts(&entry["lines"]), "{what} {bag:?}"),
                Some(at) => {
                    let error = read.unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
                    // Of several blocks that are no text, any can be the first to be read.
                    let place = if cut { "of the file".to_string() } else { format!("byte {at} of the file") };
                    assert!(error.to_string().contains(&place), "{what} {bag:?}: {error}");
                    assert!(error.path().is_some(), "{error}");
                }
            }
            compared += 1;
        }
    }
    assert!(compared > 250, "{compared}");
}

/// A frame of raw blocks, made by hand, so that nothing of ours is needed.
fn zstd(data: &[u8]) -> Vec<u8> {
    let mut out = vec![0x28, 0xb5, 0x2f, 0xfd, 0xa0];
    out.extend_from_slice(&(data.len() as u32).to_le_bytes());
    let mut chunks = data.chunks(1000).peekable();
    if chunks.peek().is_none() {
        out.extend_from_slice(&[1, 0, 0]);
    }
    while let Some(chunk) = chunks.next() {
        let header = u32::from(chunks.peek().is_none()) | (chunk.len() as u32) << 3;
        out.extend_from_slice(&header.to_le_bytes()[..3]);
        out.extend_from_slice(chunk);
    }
    out
}

#[test]
fn compressed_files_of_several_members_are_read_whole_or_not_at_all() {
    let (folder, _) = golden();
    let engine = engine();
    let lines = engine.compute(&bag::read_text(folder.join("mixed.txt")).unwrap()).unwrap();
    let temporary = temporary();
    for suffix in ["gz", "bz2", "xz", "zst"] {
        let path = folder.join(format!("mixed.txt.{suffix}"));
        let read = bag::read_text(&path).unwrap();
        assert_eq!((read.npartitions().unwrap(), engine.compute(&read).unwrap()), (1, lines.clone()), "{suffix}");
        assert_eq!(engine.compute(&read.count()).unwrap(), lines.len() as u64, "{suffix}");
        // Without the suffix it has to be said.
        let bytes = std::fs::read(&path).unwrap();
        let other = temporary.path().join(format!("as-{suffix}"));
        std::fs::write(&other, &bytes).unwrap();
        let how = match suffix {
            "gz" => Compression::Gzip,
            "bz2" => Compression::Bz2,
            "xz" => Compression::Xz,
            _ => Compression::Zstd,
        };
        let read = |how| engine.compute(&TextFiles::new(&other).compression(how).read().unwrap());
        assert_eq!(read(how).unwrap(), lines);
        // Cut anywhere: no line is taken for the last, unless the cut is just between members.
        let mut whole = 0;
        for len in 1..bytes.len() {
            std::fs::write(&other, &bytes[..len]).unwrap();
            match read(how) {
                Ok(read) => {
                    whole += 1;
                    assert!(lines.starts_with(&read[..read.len().saturating_sub(1)]), "{suffix} {len}");
                }
                Err(error) => {
                    assert!(matches!(error.kind(), ErrorKind::Truncated | ErrorKind::Corrupt), "{suffix} {len}: {error}");
                    assert!(error.path().is_some() && error.to_string().contains("decoded bytes"), "{suffix} {len}: {error}");
                }
            }
        }
        // Between members, and within the zeros behind the last one.
        let most = if suffix == "gz" { 37 + 1 } else { 2 };
        assert!(whole <= most, "{suffix}: {whole}");
        // Flipped anywhere: an error, or the same lines.
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            std::fs::write(&other, &flipped).unwrap();
            match read(how) {
                Ok(read) => assert!(read == lines || suffix == "zst" || suffix == "gz", "{suffix} {at}"),
                Err(error) => assert!(error.path().is_some(), "{suffix} {at}: {error}"),
            }
        }
        std::fs::write(&other, [&bytes[..], b"garbage of some length"].concat()).unwrap();
        assert_eq!(read(how).unwrap_err().kind(), ErrorKind::Corrupt, "{suffix}");
    }
    assert_eq!(engine.compute(&bag::read_text(folder.join("empty.txt.gz")).unwrap()).unwrap().len(), 0);
}

#[test]
fn paths_come_with_lines_and_files_of_all_kinds_go_together() {
    let (folder, index) = golden();
    let engine = engine();
    let paths = ["lf.txt", "mixed.txt.gz", "noend.txt", "mixed.txt.bz2", "mixed.txt.xz"].map(|name| folder.join(name));
    let pairs = engine.compute(&TextFiles::new(&paths).read_with_paths().unwrap()).unwrap();
    let name = |path: &str| Path::new(path).file_name().unwrap().to_str().unwrap().to_owned();
    let plain: Vec<(String, String)> =
        pairs.iter().filter(|(_, path)| path.ends_with(".txt")).map(|(line, path)| (line.clone(), name(path))).collect();
    let expected: Vec<(String, String)> =
        index["with_paths"].as_array().unwrap().iter().map(|pair| (texts(pair)[0].clone(), texts(pair)[1].clone())).collect();
    assert_eq!(plain, expected);
    let order: Vec<String> = pairs.iter().map(|(_, path)| name(path)).fold(Vec::new(), |mut all, name| {
        if all.last() != Some(&name) {
            all.push(name);
        }
        all
    });
    assert_eq!(order, ["lf.txt", "mixed.txt.gz", "noend.txt", "mixed.txt.bz2", "mixed.txt.xz"]);
    assert_eq!(TextFiles::new(&paths).read().unwrap().npartitions().unwrap(), 5);
    assert_eq!(TextFiles::new(&paths).files_per_partition(2).read().unwrap().npartitions().unwrap(), 4);
    let both = TextFiles::new(&paths).files_per_partition(2).read().unwrap();
    assert_eq!(engine.compute(&both).unwrap().len(), pairs.len());
}

#[test]
fn zeros_are_refused_by_name() {
    let (folder, _) = golden();
    let path = folder.join("lf.txt");
    let files = || TextFiles::new(&path);
    let numbers = bag::range(10, 3);
    let wrong = [
        ("blocksize", files().blocksize(0).read().unwrap_err()),
        ("files_per_partition", files().files_per_partition(0).read().unwrap_err()),
        ("npartitions", bag::range(10, 0).check().unwrap_err()),
        ("npartitions", numbers.group_by(|n| n % 3).npartitions(0).count().check().unwrap_err()),
        ("split_every", numbers.reduction(1, |rows| rows.count(), |counts| counts.sum::<usize>()).compute().unwrap_err()),
    ];
    for (name, error) in wrong {
        assert!(error.kind() == ErrorKind::Invalid && error.to_string().contains(name), "{error}");
        assert!(error.to_string().contains("bag_files.rs"), "{error}");
    }
}

#[test]
fn single_bytes_are_what_python_says() {
    let (_, index) = golden();
    let engine = engine();
    let temporary = temporary();
    let path = temporary.path().join("byte");
    for (encoding, table) in index["bytes"].as_object().unwrap() {
        // The end of a line between any two; bytes that end lines are left out.
        let bytes: Vec<u8> = (0..=255u8).filter(|byte| !b"\r\n".contains(byte)).flat_map(|byte| [byte, b'\n']).collect();
        std::fs::write(&path, bytes).unwrap();
        let read = TextFiles::new(&path).encoding(encoding.as_str()).errors(Errors::Ignore).read().unwrap();
        let expected: Vec<String> = texts(table).into_iter().enumerate().filter(|(i, _)| ![10, 13].contains(i)).map(|(_, c)| c).collect();
        assert_eq!(engine.compute(&read).unwrap(), expected, "{encoding}");
    }
}

#[test]
fn text_files_are_written_as_dask_writes_them() {
    let (_, index) = golden();
    let engine = engine();
    for entry in index["written"].as_array().unwrap() {
        let Some(partitions) = entry.get("partitions").and_then(Value::as_array) else {
            for (n, last) in entry["last_names"].as_object().unwrap() {
                let temporary = temporary();
                let bag = bag::range(1000, n.parse().unwrap()).map(|x| x.to_string());
                let paths = engine.compute(&bag.to_textfiles(temporary.path().join("*.txt"))).unwrap();
                assert_eq!(paths.last().unwrap().file_name().unwrap().to_str(), last.as_str());
            }
            continue;
        };
        let temporary = temporary();
        let parts: Vec<Bag<String>> = partitions.iter().map(|part| bag::from_sequence(texts(part), 1)).collect();
        let bag = bag::concat(&parts.iter().collect::<Vec<_>>());
        let write = bag.to_textfiles(temporary.path().join(entry["path"].as_str().unwrap()));
        let paths = engine.compute(&write.last_endline(entry["last_endline"].as_bool().unwrap())).unwrap();
        let files: Vec<Vec<String>> = paths
            .iter()
            .map(|path| {
                let name = path.strip_prefix(temporary.path()).unwrap().to_str().unwrap().to_owned();
                vec![name, std::fs::read_to_string(path).unwrap()]
            })
            .collect();
        assert_eq!(files, entry["files"].as_array().unwrap().iter().map(texts).collect::<Vec<_>>());
        let folder = paths[0].parent().unwrap();
        assert_eq!(names(folder).len(), paths.len(), "nothing else is left");
    }
}

#[test]
fn what_is_written_is_read_again_in_every_compression() {
    let engine = engine();
    let temporary = temporary();
    let lines = bag::range(30_000, 3).map(|i| format!("line {i} of many \u{e9}"));
    let expected = engine.compute(&lines).unwrap();
    for suffix in ["txt", "gz", "bz2", "xz", "zst"] {
        let pattern = temporary.path().join(format!("{suffix}/*.{suffix}"));
        let paths = engine.compute(&lines.to_textfiles(&pattern).name_function(|i| format!("part-{}", 9 - i))).unwrap();
        assert_eq!(paths.len(), 3);
        assert!(paths[0].ends_with(format!("part-9.{suffix}")));
        assert_eq!(engine.compute(&bag::read_text(&paths).unwrap()).unwrap(), expected, "{suffix}");
        // In place of what is there; by the pattern, files come in the order of their names.
        engine.compute(&lines.filter(|line| line.len() < 20).to_textfiles(&pattern)).unwrap();
        assert_eq!(names(&temporary.path().join(suffix)).len(), 6);
        let json = temporary.path().join(format!("json-{suffix}/*.jsonl.{suffix}"));
        let pairs = lines.map(|line| (line.len(), line));
        let paths = engine.compute(&pairs.to_json_lines(&json)).unwrap();
        assert_eq!(engine.compute(&bag::read_json_lines::<(usize, String)>(&paths).unwrap()).unwrap().len(), 30_000);
    }
}

#[test]
fn where_something_fails_nothing_is_left_behind() {
    let engine = engine();
    let temporary = temporary();
    let failing = bag::range(100, 10).try_map(|x| if x == 95 { Err("no") } else { Ok(x.to_string()) });
    let folder = temporary.path().join("a/b");
    assert_eq!(engine.compute(&failing.to_textfiles(&folder)).unwrap_err().kind(), ErrorKind::Failed);
    assert_eq!(names(temporary.path()), Vec::<String>::new());
    // JSON has no form for all numbers.
    let infinite = bag::range(100, 10).map(|x| (x, Some(vec![1.0 / (95.0 - x as f64)])));
    let error = engine.compute(&infinite.to_json_lines(&folder)).unwrap_err();
    assert_eq!((error.kind(), names(temporary.path())), (ErrorKind::Invalid, Vec::new()));
    assert!(error.to_string().contains("no form for inf") && error.to_string().contains("a/b"), "{error}");
    // Beside files that are there, these stay as they are.
    std::fs::write(temporary.path().join("0.txt"), "old").unwrap();
    engine.compute(&failing.to_textfiles(temporary.path().join("*.txt"))).unwrap_err();
    assert_eq!(
        (names(temporary.path()), std::fs::read(temporary.path().join("0.txt")).unwrap()),
        (vec!["0.txt".to_string()], b"old".to_vec())
    );
    // A folder that cannot be made, and a name that is a folder's.
    let good = bag::range(100, 10).map(|x| x.to_string());
    let error = engine.compute(&good.to_textfiles(temporary.path().join("0.txt/below"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unusable, "{error}");
    assert!(error.to_string().contains("bag_files.rs"), "{error}");
    std::fs::create_dir(temporary.path().join("5.txt")).unwrap();
    let error = engine.compute(&good.to_textfiles(temporary.path().join("*.txt"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert_eq!(names(temporary.path()), ["0.txt", "5.txt"]);
    assert_eq!(engine.compute(&good.to_textfiles(temporary.path().join("**"))).unwrap_err().kind(), ErrorKind::Invalid);
    // What is written twice goes to both places.
    let (one, two) = (temporary.path().join("one"), temporary.path().join("two"));
    engine.compute((good.to_textfiles(&one), good.to_textfiles(&two))).unwrap();
    assert_eq!((names(&one).len(), names(&two).len()), (10, 10));
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Person {
    name: String,
    age: i32,
    height: Option<f64>,
    tags: Vec<String>,
}

fn people() -> Vec<Person> {
    let person = |i: i32| Person {
        name: format!("p\u{e9}rson {i}"),
        age: i % 90 - 5,
        height: (i % 3 != 0).then(|| f64::from(i) / 8.0),
        tags: vec!["t".to_string(); i as usize % 4],
    };
    (0..300).map(person).collect()
}

#[test]
fn json_lines_name_the_place_of_what_is_wrong() {
    let engine = engine();
    let temporary = temporary();
    let path = temporary.path().join("a.jsonl");
    let text = "{\"name\":\"a\",\"age\":1,\"height\":null,\"tags\":[],\"more\":0}\r\n \t\n\n{\"name\":\"b\",\"age\":2,\"height\":1,\"tags\":[\"x\"]}";
    std::fs::write(&path, text).unwrap();
    for size in [1, 20, 1000] {
        let read = engine.compute(&TextFiles::new(&path).blocksize(size).read_json_lines::<Person>().unwrap()).unwrap();
        assert_eq!((read.len(), read[1].tags.clone()), (2, vec!["x".to_string()]));
    }
    for (line, kind, at) in
        [("{\"name\": oops}", ErrorKind::Corrupt, 14), ("{\"name\": 5}", ErrorKind::Type, 14), ("{\"name\"", ErrorKind::Corrupt, 5)]
    {
        std::fs::write(&path, format!("\n\r\n \n{line}\n")).unwrap();
        let error = engine.compute(&bag::read_json_lines::<Person>(&path).unwrap()).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let text = error.to_string();
        assert!(text.contains("the line at byte 5 of the file") && text.contains("a.jsonl") && text.contains(line), "{text}");
        assert!(text.contains(&format!("at byte {at}")) || at == 5, "{text}");
    }
    // What is no text is told as that of its line, in whatever lines are looked through with it.
    for before in [0, 1, 2, 4000, 9000] {
        std::fs::write(&path, [b"\"ab\"\n".repeat(before).as_slice(), b"\"\xff\"\n\"c\"\n"].concat()).unwrap();
        let at = 5 * before;
        let error = engine.compute(&bag::read_json_lines::<String>(&path).unwrap()).unwrap_err();
        assert!(error.to_string().contains(&format!("the line at byte {at} of the file")), "{error}");
        let error = engine.compute(&bag::read_text(&path).unwrap()).unwrap_err();
        assert!(error.to_string().contains(&format!("byte {} ", at + 1)), "{error}");
        assert_eq!(engine.compute(&bag::read_text(&path).unwrap().take(before)).unwrap().len(), before);
    }
    // Characters lie across the ends of what is looked through at a time.
    let text = "\u{e9}\u{2014}\u{1f600}x\n".repeat(20_000);
    std::fs::write(&path, &text).unwrap();
    assert_eq!(engine.compute(&bag::read_text(&path).unwrap()).unwrap(), text.lines().collect::<Vec<_>>());
    let utf16: Vec<u8> = "[1]\n[2]\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    std::fs::write(&path, utf16).unwrap();
    let read = TextFiles::new(&path).encoding("utf-16-le").read_json_lines::<(u8,)>().unwrap();
    assert_eq!(engine.compute(&read).unwrap(), [(1,), (2,)]);
}

#[test]
fn binary_records_are_folded_and_half_a_record_is_refused() {
    let engine = engine();
    let temporary = temporary();
    let numbers: Vec<u8> = (0..3_000_000u64).flat_map(|i| [(i % 251) as u8, 1, (i % 7) as u8]).collect();
    std::fs::write(temporary.path().join("a.bin"), &numbers).unwrap();
    std::fs::write(temporary.path().join("b.bin"), &numbers[..300]).unwrap();
    std::fs::write(temporary.path().join("empty.bin"), []).unwrap();
    let records = bag::read_binary(temporary.path(), 3, |record| (record[0], record[2])).unwrap();
    let sum = records.fold(0, |sum, (a, b)| sum + u64::from(a) * u64::from(b), |a, b| a + b);
    let expected: u64 = (0..3_000_000u64).chain(0..100).map(|i| (i % 251) * (i % 7)).sum();
    assert_eq!(engine.compute(&sum).unwrap(), expected);
    assert_eq!(engine.compute(&records.count()).unwrap(), 3_000_100);
    let error = bag::read_binary(temporary.path(), 7, |_| 0u8).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated, "{error}");
    assert!(error.to_string().contains("bin"), "{error}");
    assert_eq!(bag::read_binary(temporary.path(), 0, |_| 0u8).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn a_bag_is_saved_and_opened_with_its_type() {
    let engine = engine();
    let temporary = temporary();
    let store = Store::open(temporary.path().join("store")).unwrap();
    let bag = bag::from_sequence(people(), 7);
    engine.compute(bag.save(&store, "people").attribute("source", "a test")).unwrap();
    let again = Bag::<Person>::open(&store, "people").unwrap();
    assert_eq!((again.npartitions().unwrap(), engine.compute(&again).unwrap()), (7, people()));
    assert_eq!(store.info("people").unwrap().unwrap().attributes["source"], "a test");
    assert_eq!(Bag::<(u64, u8)>::open(&store, "people").unwrap_err().kind(), ErrorKind::Type);
    engine.compute(bag::range(10, 2).save(&store, "numbers")).unwrap();
    let error = Bag::<i64>::open(&store, "numbers").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Type, "{error}");
    assert!(error.to_string().contains("bag_files.rs"), "{error}");
    assert_eq!(Bag::<u64>::open(&store, "none").unwrap_err().kind(), ErrorKind::NotFound);
    store.save_value("value", &1u64).unwrap();
    assert_eq!(Bag::<u64>::open(&store, "value").unwrap_err().kind(), ErrorKind::Type);
    // What has the name stays, unless it is to be replaced; and stays where what replaces it fails.
    assert_eq!(engine.compute(bag::range(3, 1).save(&store, "numbers")).unwrap_err().kind(), ErrorKind::Exists);
    let failing = bag::range(3, 3).try_map(|x| if x == 2 { Err("no") } else { Ok(x) });
    engine.compute(failing.save(&store, "numbers").replace()).unwrap_err();
    assert_eq!(engine.compute(&Bag::<u64>::open(&store, "numbers").unwrap().sum()).unwrap(), 45);
    engine.compute(bag::range(3, 1).save(&store, "numbers").replace()).unwrap();
    assert_eq!(engine.compute(&Bag::<u64>::open(&store, "numbers").unwrap()).unwrap(), [0, 1, 2]);
}

#[cfg(feature = "avro")]
mod avro {
    use super::*;
    use chunkstore::bag::{AvroCodec, AvroFiles, read_avro};

    #[allow(dead_code, reason = "it is only read")]
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Age {
        age: i64,
    }

    #[test]
    fn files_of_fastavro_are_read_in_blocks_of_any_size() {
        let (folder, index) = golden();
        let engine = engine();
        let expected: Vec<Person> = serde_json::from_value(index["avro"]["records"].clone()).unwrap();
        assert_eq!(expected, people());
        for codec in ["null", "deflate", "bzip2", "xz"] {
            let path = folder.join(format!("people-{codec}.avro"));
            for size in [1, 500, 1000, 1 << 20] {
                let read = AvroFiles::new(&path).blocksize(size).read::<Person>().unwrap();
                assert!(read.npartitions().unwrap() > 1 || size > 1000 || codec != "null");
                assert_eq!(engine.compute(&read).unwrap(), expected, "{codec} {size}");
            }
        }
        let both = [folder.join("people-null.avro"), folder.join("people-deflate.avro")];
        assert_eq!(engine.compute(&read_avro::<Person>(&both).unwrap()).unwrap().len(), 600);
    }

    #[test]
    fn damage_is_found_and_named() {
        let (folder, _) = golden();
        let engine = engine();
        let temporary = temporary();
        let bytes = std::fs::read(folder.join("people-null.avro")).unwrap();
        let path = temporary.path().join("x.avro");
        let read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            engine.compute(&AvroFiles::new(&path).blocksize(2000).read::<Person>()?)
        };
        assert_eq!(read(&bytes).unwrap().len(), 300);
        assert_eq!(read(b"").unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(read(b"Objx").unwrap_err().kind(), ErrorKind::Corrupt);
        for len in [4, 100, 1000, bytes.len() - 1, bytes.len() - 17, bytes.len() - 100] {
            let error = read(&bytes[..len]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Truncated, "{len}: {error}");
            assert!(error.to_string().contains("x.avro"), "{error}");
        }
        let mut flipped = bytes.clone();
        *flipped.last_mut().unwrap() ^= 1;
        let error = read(&flipped).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains("does not end with the marker"), "{error}");
        std::fs::write(&path, &bytes).unwrap();
        let error = engine.compute(&read_avro::<(u64, u64)>(&path).unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Type, "{error}");
        assert!(error.to_string().contains("record 0 of the block at byte"), "{error}");
    }

    #[test]
    fn what_is_written_is_read_again_in_every_codec() {
        let (_, index) = golden();
        let engine = engine();
        let temporary = temporary();
        let schema = index["avro"]["schema"].as_str().unwrap();
        let bag = bag::concat(&[&bag::from_sequence(people(), 3), &bag::from_sequence(Vec::<Person>::new(), 1)]);
        for codec in [AvroCodec::Null, AvroCodec::Deflate, AvroCodec::Snappy, AvroCodec::Zstandard, AvroCodec::Bzip2] {
            let pattern = temporary.path().join(format!("{codec:?}-*.avro"));
            let paths = engine.compute(&bag.to_avro(&pattern, schema).codec(codec)).unwrap();
            assert_eq!(paths.len(), 4);
            assert_eq!(engine.compute(&read_avro::<Person>(&paths).unwrap()).unwrap(), people(), "{codec:?}");
            let first = std::fs::read(&paths[0]).unwrap();
            engine.compute(&bag.to_avro(&pattern, schema).codec(codec)).unwrap();
            assert!(std::fs::read(&paths[0]).unwrap() == first, "the same bag gives the same bytes");
        }
        let error = engine.compute(&bag.to_avro(temporary.path().join("x"), "{\"type\": \"nothing\"}")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        let error = engine.compute(&bag.to_avro(temporary.path().join("x"), "\"long\"")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Type, "{error}");
        assert!(!temporary.path().join("x").exists());
    }
}

/// The lines of a text, by the plainest of ways.
fn plainly(text: &str) -> Vec<String> {
    let (mut lines, mut line, mut chars) = (Vec::new(), String::new(), text.chars().peekable());
    while let Some(c) = chars.next() {
        match c {
            '\r' | '\n' => {
                if c == '\r' && chars.peek() == Some(&'\n') {
                    chars.next();
                }
                lines.push(std::mem::take(&mut line));
            }
            c => line.push(c),
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lines_are_the_same_in_blocks_of_any_size_and_streamed(
        parts in prop::collection::vec(prop_oneof![Just("\n"), Just("\r"), Just("\r\n"), Just("a"), Just("b\u{e9}\u{20ac}"), Just("\u{1f600}")], 0..60),
        size in 1u64..40,
    ) {
        thread_local!(static ENGINE: Alone = engine());
        let text = parts.concat();
        let temporary = temporary();
        let (plain, packed, wide) = (temporary.path().join("a"), temporary.path().join("a.zst"), temporary.path().join("a.16"));
        std::fs::write(&plain, &text).unwrap();
        std::fs::write(&packed, zstd(text.as_bytes())).unwrap();
        std::fs::write(&wide, text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>()).unwrap();
        let expected = plainly(&text);
        ENGINE.with(|engine| {
            let read = |files: TextFiles| engine.compute(&files.read().unwrap()).unwrap();
            assert_eq!(read(TextFiles::new(&plain)), expected);
            assert_eq!(read(TextFiles::new(&plain).blocksize(size)), expected);
            assert_eq!(read(TextFiles::new(&packed)), expected);
            assert_eq!(read(TextFiles::new(&wide).encoding("utf-16-be")), expected);
        });
    }
}

#[test]
fn text_in_lines_of_json_comes_back() {
    let engine = engine();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let words = ["a", "b c", "é\n\"", ""].map(String::from);
    for name in ["*.jsonl", "*.jsonl.gz"] {
        let text = bag::from_sequence(words.clone(), 2);
        let paths = engine.compute(&text.to_json_lines(folder.path().join(name))).unwrap();
        let read = bag::read_json_lines::<String>(&paths).unwrap();
        assert_eq!(engine.compute(&read).unwrap(), words);
        assert_eq!(engine.compute(&read.str().split_whitespace()).unwrap(), ["a", "b", "c", "é", "\""]);
        assert_eq!(engine.compute((&read.count(), &read.str().len().sum(), &read.distinct().count())).unwrap(), (4, 7, 4));
    }
}

#[test]
fn a_function_that_names_files_may_panic() {
    let engine = engine();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let text = bag::from_sequence(["a", "b"].map(String::from), 2);
    let files = text.to_textfiles(folder.path().join("*.txt")).name_function(|i| [0].get(i).unwrap().to_string());
    assert_eq!(engine.compute(&files).unwrap_err().kind(), ErrorKind::Panicked);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
