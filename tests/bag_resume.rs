//! Shuffles of bags go on where they were: after a kill at any point, an error, a full disk; and only where all is as it was.

#![allow(clippy::unwrap_used)]

use chunkstore::bag::{Bag, TextFiles};
use chunkstore::{Engine, Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const FOLDER: &str = "CHUNKSTORE_TEST_FOLDER";
const FILE: &str = "CHUNKSTORE_TEST_FILE";
const WHAT: &str = "CHUNKSTORE_TEST_WHAT";

/// Engines share the bound of the process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    // Without its backtrace, for which this process would read a hundred megabytes of debug information.
    std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the file cannot be understood for a moment.
static BROKEN: AtomicBool = AtomicBool::new(false);

fn engine(folder: &Path) -> Engine {
    Engine::builder().memory("256MiB").threads(2).checkpoint(folder).progress(false).build().unwrap()
}

fn plain() -> Engine {
    Engine::builder().memory("256MiB").threads(2).progress(false).build().unwrap()
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// A number that looks random, fixed by its place.
fn noise(i: u64) -> u64 {
    let mut z = i.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A file of lines: a key, of which one has half of them, and a number.
fn make_file(path: &Path, lines: u64, seed: u64) {
    let line = |i| {
        let n = noise(i + seed);
        let key = if n.is_multiple_of(2) { 0 } else { n / 2 % 5000 };
        format!("k{key} {:016x}{:016x} {i}\n", noise(n), noise(n + 1))
    };
    std::fs::write(path, (0..lines).map(line).collect::<String>()).unwrap();
}

const LINES: u64 = 40_000;

/// Blocks of the file, each read slowly, though nobody computes.
fn lines(path: &Path) -> Bag<String> {
    let lines = TextFiles::new(path).blocksize(32 << 10).read().unwrap();
    lines.try_map(|line: String| {
        let last = line.bytes().next_back().unwrap_or(0);
        if last == b'7' && line.bytes().rev().nth(1) == Some(b'7') {
            std::thread::sleep(Duration::from_millis(1));
        }
        match BROKEN.load(SeqCst) && line.ends_with(" 30000") {
            true => Err("not now"),
            false => Ok(line),
        }
    })
}

fn key(line: &str) -> &str {
    line.split(' ').next().unwrap_or_default()
}

fn number(line: &str) -> u64 {
    line.rsplit(' ').next().and_then(|n| n.parse().ok()).unwrap_or(u64::MAX)
}

/// Each kind of shuffle, and an answer that tells of every line; those of sorting in their order.
fn answer(engine: &Engine, what: &str, file: &Path) -> Result<String, Error> {
    let lines = lines(file);
    let mut answers: Vec<String> = match what {
        "group_by" => {
            let groups = lines.group_by(|line| key(line).to_string());
            engine.compute(groups.map(|(key, rows)| {
                let (n, sum, last) = rows.fold((0u64, 0u64, 0u64), |(n, sum, _), line| (n + 1, sum + number(&line), number(&line)));
                format!("{key} {n} {sum} {last}")
            }))?
        }
        "foldby" => {
            let sums = lines.foldby(
                |line| key(line).to_string(),
                (0u64, 0u64),
                |a, line| (a.0 + 1, a.1 + number(&line)),
                |a, b| (a.0 + b.0, a.1 + b.1),
            );
            engine.compute(sums)?.into_iter().map(|sum| format!("{sum:?}")).collect()
        }
        "frequencies" => {
            let counts = lines.map(|line| key(&line).to_string()).frequencies();
            engine.compute(counts)?.into_iter().map(|count| format!("{count:?}")).collect()
        }
        _ => return Ok(engine.compute(lines.sort_by(|line| key(line).to_string()))?.join("\n")),
    };
    answers.sort();
    Ok(answers.join("\n"))
}

const ALL: [&str; 4] = ["group_by", "foldby", "frequencies", "sort_by"];

/// How many tasks of shuffles the last run found.
fn found(engine: &Engine) -> u64 {
    let run = engine.last_run().unwrap();
    let of_shuffles = |note: &String| note.strip_prefix("resumed: ")?.strip_suffix(" tasks of shuffles found")?.parse().ok();
    run.notes.iter().find_map(of_shuffles).unwrap_or(0)
}

/// The logs that are kept.
fn logs(run: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(run.join("shuffles")).map_or_else(|_| Vec::new(), |all| all.map(|entry| entry.unwrap().path()).collect())
}

/// The logs that are kept, as soon as they are the expected: a log goes a moment after its run, with the last thread that
/// held it.
fn settled_logs(run: &Path, expected: &[PathBuf]) -> Vec<PathBuf> {
    for _ in 0..100 {
        if logs(run) == expected {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    logs(run)
}

/// Nothing is left of any run.
fn assert_tidy(run: &Path) {
    assert_eq!(logs(run), Vec::<PathBuf>::new());
    assert!(!run.join("shuffles").exists());
    let store = chunkstore::store::Store::open(run).unwrap();
    assert!(store.names().unwrap().is_empty() && store.verify(|_, _| {}).unwrap().is_sound());
    let left = store.gc(true).unwrap();
    assert!(left.files.is_empty(), "{left:?}");
}

/// A run that fails at a line near the end.
fn fail(engine: &Engine, what: &str, file: &Path) {
    BROKEN.store(true, SeqCst);
    let error = answer(engine, what, file).unwrap_err();
    BROKEN.store(false, SeqCst);
    assert_eq!(error.kind(), ErrorKind::Failed, "{error}");
}

/// Not a test: what is killed. It tells what it computed, and what it found at the beginning.
#[test]
fn victim() {
    let (Some(run), Some(file), Ok(what)) = (std::env::var_os(FOLDER), std::env::var_os(FILE), std::env::var(WHAT)) else { return };
    let run = Path::new(&run);
    let engine = engine(run);
    let answer = answer(&engine, &what, Path::new(&file)).unwrap();
    std::fs::write(run.with_extension("answer"), format!("{}\n{answer}", found(&engine))).unwrap();
}

/// Kills each kind so often, at random points, and lets it end at last.
fn kill_and_resume(kills: u32) {
    let folder = folder();
    let (run, file) = (folder.path().join("run"), folder.path().join("lines.txt"));
    make_file(&file, LINES, 1);
    let start = |what: &str| {
        let program = Command::new(std::env::current_exe().unwrap())
            .args(["victim", "--exact", "--nocapture"])
            .envs([(FOLDER, run.as_os_str()), (FILE, file.as_os_str())])
            .env(WHAT, what)
            .stdout(Stdio::null())
            .spawn();
        program.unwrap()
    };
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut resumed = 0;
    for what in ALL {
        let expected = answer(&plain(), what, &file).unwrap();
        let begin = Instant::now();
        assert!(start(what).wait().unwrap().success());
        let whole = begin.elapsed();
        let mut killed = 0;
        while killed < kills {
            let mut child = start(what);
            random = noise(random);
            let end = Instant::now() + whole.mul_f64((random % 1000) as f64 / 1000.0);
            while (Instant::now() < end) && child.try_wait().unwrap().is_none() {
                std::thread::sleep(Duration::from_millis(2));
            }
            child.kill().ok();
            if !child.wait().unwrap().success() {
                killed += 1;
                if killed < kills {
                    continue;
                }
                assert!(start(what).wait().unwrap().success());
            }
            let told = std::fs::read_to_string(run.with_extension("answer")).unwrap();
            let (found, told) = told.split_once('\n').unwrap();
            assert!(told == expected, "{what}: the answer is another one");
            resumed += found.parse::<u64>().unwrap();
            assert_eq!(logs(&run), Vec::<PathBuf>::new(), "{what}");
        }
    }
    assert!(resumed > 0, "some runs found what others had written");
    assert_tidy(&run);
}

#[test]
fn whenever_a_shuffle_is_killed_the_answer_is_the_same() {
    let _alone = alone();
    kill_and_resume(2);
}

#[test]
#[ignore = "minutes: a hundred processes are killed"]
fn killed_a_hundred_times() {
    let _alone = alone();
    kill_and_resume(25);
}

#[test]
fn after_an_error_only_what_is_missing_is_read_and_written() {
    let _alone = alone();
    let folder = folder();
    let (run, file) = (folder.path().join("run"), folder.path().join("lines.txt"));
    make_file(&file, LINES, 2);
    for what in ALL {
        let alone = plain();
        let expected = answer(&alone, what, &file).unwrap();
        let whole = alone.last_run().unwrap().source_bytes;
        drop(alone);
        // By the same process, and by another.
        for again in [false, true] {
            let mut engine = engine(&run);
            fail(&engine, what, &file);
            // A sort fails in its sample.
            assert!(what == "sort_by" || logs(&run).len() == 1, "{what}");
            if again {
                drop(engine);
                engine = self::engine(&run);
            }
            assert!(answer(&engine, what, &file).unwrap() == expected, "{what}");
            let read = engine.last_run().unwrap().source_bytes;
            assert!(
                what == "sort_by" || found(&engine) > 10 && read < whole * 3 / 4,
                "{what}: {} found, {read} of {whole}",
                found(&engine)
            );
        }
    }
    assert_tidy(&run);
}

#[test]
fn other_inputs_and_functions_are_other_work() {
    let _alone = alone();
    let folder = folder();
    let (run, file) = (folder.path().join("run"), folder.path().join("lines.txt"));
    make_file(&file, LINES, 3);
    let engine = engine(&run);
    fail(&engine, "group_by", &file);
    let kept = logs(&run);
    assert_eq!(kept.len(), 1);
    let none = |what: &str| assert_eq!((found(&engine), settled_logs(&run, &kept)), (0, kept.clone()), "{what}");
    engine.compute(lines(&file).group_by(|line| number(line) % 7).count()).unwrap();
    none("another function");
    let modulus = noise(1) % 5 + 2;
    engine.compute(lines(&file).group_by(move |line| number(line) % modulus).count()).unwrap();
    none("a function with captures");
    answer(&engine, "frequencies", &file).unwrap();
    none("another shuffle");
    // A nanosecond is enough.
    let written = std::fs::metadata(&file).unwrap().modified().unwrap();
    let set_time = |time| std::fs::OpenOptions::new().write(true).open(&file).unwrap().set_modified(time).unwrap();
    set_time(written + Duration::from_nanos(1));
    answer(&engine, "group_by", &file).unwrap();
    none("another time of the file");
    set_time(written);
    // What was written does not depend on what is made of the groups.
    let factor = modulus;
    let sums = lines(&file).group_by(|line| number(line) % 7).map(move |(key, rows)| (key, rows.fold(0, |n, _| n + factor)));
    engine.compute(sums).unwrap();
    none("another key");
    let expected = answer(&plain(), "group_by", &file).unwrap();
    assert!(answer(&engine, "group_by", &file).unwrap() == expected);
    assert!(found(&engine) > 10);
    assert_eq!(settled_logs(&run, &[]), Vec::<PathBuf>::new());
}

#[test]
fn two_of_the_same_at_once() {
    let _alone = alone();
    let folder = folder();
    let (run, file) = (folder.path().join("run"), folder.path().join("lines.txt"));
    make_file(&file, LINES / 4, 4);
    let expected = answer(&plain(), "group_by", &file).unwrap();
    let engine = engine(&run);
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..3).map(|_| scope.spawn(|| answer(&engine, "group_by", &file).unwrap() == expected)).collect();
        assert!(runs.into_iter().all(|run| run.join().unwrap()));
    });
    drop(engine);
    assert_tidy(&run);
}

#[test]
fn a_full_disk_is_gone_on_from_when_there_is_room() {
    let _alone = alone();
    let folder = folder();
    let (run, file) = (folder.path().join("run"), folder.path().join("lines.txt"));
    make_file(&file, 8 * LINES, 5);
    let expected = answer(&plain(), "group_by", &file).unwrap();
    let with = |quota: &str| {
        Engine::builder().memory("256MiB").threads(2).checkpoint(&run).checkpoint_quota(quota).progress(false).build().unwrap()
    };
    let small = with("8MiB");
    let error = answer(&small, "group_by", &file).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
    assert!(error.to_string().contains("compute the same again"), "{error}");
    assert_eq!(answer(&small, "group_by", &file).unwrap_err().kind(), ErrorKind::DiskFull);
    drop(small);
    let large = with("1GiB");
    assert!(answer(&large, "group_by", &file).unwrap() == expected);
    assert!(found(&large) > 0);
    drop(large);
    assert_tidy(&run);
}

#[test]
fn a_damaged_log_is_an_error_and_is_made_anew() {
    let _alone = alone();
    let folder = folder();
    let (run, file) = (folder.path().join("run"), folder.path().join("lines.txt"));
    make_file(&file, LINES, 6);
    let expected = answer(&plain(), "group_by", &file).unwrap();
    for suffix in ["data", "index"] {
        let engine = engine(&run);
        fail(&engine, "group_by", &file);
        let files = std::fs::read_dir(&logs(&run)[0]).unwrap().map(|entry| entry.unwrap().path());
        let is_data = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().contains('-');
        let mut damaged = 0;
        for path in files.filter(|path| is_data(path) == (suffix == "data")) {
            let mut bytes = std::fs::read(&path).unwrap();
            for at in (100..bytes.len()).step_by(4096) {
                bytes[at] ^= 0x55;
            }
            std::fs::write(&path, bytes).unwrap();
            damaged += 1;
        }
        assert!(damaged > 0, "{suffix}");
        let error = answer(&engine, "group_by", &file).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Truncated), "{suffix}: {error}");
        assert!(error.to_string().contains("compute the same again"), "{suffix}: {error}");
        assert!(answer(&engine, "group_by", &file).unwrap() == expected, "{suffix}");
        assert_eq!(found(&engine), 0);
    }
    assert_tidy(&run);
}

#[test]
fn a_shuffle_behind_a_shuffle_goes_on_too() {
    let _alone = alone();
    let folder = folder();
    let (run, file) = (folder.path().join("run"), folder.path().join("lines.txt"));
    make_file(&file, LINES, 7);
    let counts = || {
        let counts = lines(&file).group_by(|line| key(line).to_string()).map(|(key, rows)| (key, rows.fold(0u64, |n, _| n + 1)));
        let counts = counts.try_map(|(key, n)| match BROKEN.load(SeqCst) && key == "k4001" {
            true => Err("not now"),
            false => Ok(n),
        });
        counts.frequencies()
    };
    let expected = plain().compute(counts()).unwrap();
    let engine = engine(&run);
    BROKEN.store(true, SeqCst);
    // The last line is not where the first shuffle fails.
    let short = folder.path().join("short.txt");
    make_file(&short, 20_000, 7);
    std::fs::rename(&short, &file).unwrap();
    let error = engine.compute(counts()).unwrap_err();
    BROKEN.store(false, SeqCst);
    assert_eq!((error.kind(), logs(&run).len()), (ErrorKind::Failed, 2), "{error}");
    let again = plain().compute(counts()).unwrap();
    assert_eq!(engine.compute(counts()).unwrap(), again);
    assert!(found(&engine) > 20 && again != expected);
    let read = engine.last_run().unwrap().source_bytes;
    assert_eq!(read, 0, "nothing of the file is read again");
    drop(engine);
    assert_tidy(&run);
}
