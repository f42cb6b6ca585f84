//! Watching runs: callbacks, recordings, stories of chunks, pictures, and forecasts for other bounds.

#![allow(clippy::unwrap_used)]

use chunkstore::array::{Array, random};
use chunkstore::engine::{Callback, RunInfo, Scheduler, TaskInfo};
use chunkstore::graph::{Graph, Value, call, key, list};
use chunkstore::report::ResourceProfiler;
use chunkstore::store::EventKind;
use chunkstore::{Engine, Error, ErrorKind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Writes down what it is told.
#[derive(Default)]
struct Notes {
    begun: AtomicU64,
    planned: AtomicU64,
    before: Mutex<Vec<String>>,
    after: Mutex<Vec<(String, bool)>>,
    ended: Mutex<Vec<Option<ErrorKind>>>,
    memory: AtomicU64,
}

impl Callback for Notes {
    fn start(&self, run: &RunInfo<'_>) {
        assert!(run.tasks > 0 && run.memory_for_tasks == 0);
        self.begun.fetch_add(1, Relaxed);
    }

    fn start_state(&self, run: &RunInfo<'_>) {
        self.memory.store(run.memory_for_tasks, Relaxed);
        self.planned.fetch_add(1, Relaxed);
    }

    fn pretask(&self, task: &TaskInfo<'_>) {
        self.before.lock().unwrap().push(task.name());
    }

    fn posttask(&self, task: &TaskInfo<'_>, outcome: Result<&Value, &Error>, _time: Duration) {
        self.after.lock().unwrap().push((task.name(), outcome.is_ok()));
    }

    fn finish(&self, _run: &RunInfo<'_>, error: Option<&Error>) {
        self.ended.lock().unwrap().push(error.map(|error| error.kind()));
    }
}

fn engine(memory: &str, threads: usize) -> Engine {
    Engine::builder().memory(memory).threads(threads).scratch(scratch()).progress(false).build().unwrap()
}

/// An engine with two threads and so many bytes for tasks, whatever the other tests of this process hold.
fn tight(bytes: u64) -> Engine {
    let engine = engine("2GiB", 2);
    let outside = engine.memory() - engine.memory_for_tasks();
    engine.set_memory(outside + bytes).unwrap();
    engine
}

/// A folder on a disk, for what spills.
fn scratch() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("watching")
}

fn inc(x: i64) -> i64 {
    x + 1
}

#[test]
fn callbacks_are_told_of_every_task_once() {
    for threads in [1, 2, 4] {
        let (notes, engine) = (Arc::new(Notes::default()), engine("256MiB", threads));
        let told = engine.with_callback(notes.clone());
        let x = Array::<f64>::linspace(0.0, 1.0, 1001, 100);
        let sum = told.compute(&(&x * 2.0).sum(..).item_collection()).unwrap();
        assert!((sum - 1001.0).abs() < 1e-9);
        let (mut before, mut after) = (notes.before.lock().unwrap().clone(), notes.after.lock().unwrap().clone());
        let run = engine.last_run().unwrap();
        assert_eq!(before.len() as u64, run.tasks + run.forecast.sources);
        assert!(after.iter().all(|(_, ok)| *ok));
        before.sort();
        after.sort();
        assert!(before.iter().eq(after.iter().map(|(name, _)| name)));
        before.dedup();
        assert_eq!(before.len(), after.len());
        assert_eq!((notes.begun.load(Relaxed), notes.planned.load(Relaxed)), (1, 1));
        assert!(notes.memory.load(Relaxed) > 0);
        assert_eq!(*notes.ended.lock().unwrap(), [None]);
        // The engine itself tells nobody.
        engine.compute(&x.sum(..)).unwrap();
        assert_eq!(notes.begun.load(Relaxed), 1);
    }
}

#[test]
fn callbacks_are_told_of_errors_and_may_fail_themselves() {
    let notes = Arc::new(Notes::default());
    let engine = engine("256MiB", 2);
    let mut g = Graph::new();
    g.set("x", call(|| -> i64 { panic!("no") }, ()));
    g.set("y", call(inc, (key("x"),)));
    let told = engine.with_callback(notes.clone());
    assert_eq!(told.get::<i64>(&g, "y").unwrap_err().kind(), ErrorKind::Panicked);
    assert_eq!(*notes.after.lock().unwrap(), [("x".to_string(), false)]);
    assert_eq!(*notes.ended.lock().unwrap(), [Some(ErrorKind::Panicked)]);

    struct Angry(Engine);
    impl Callback for Angry {
        fn pretask(&self, task: &TaskInfo<'_>) {
            assert_ne!(task.name(), "y", "not that one");
        }
        fn start_state(&self, _run: &RunInfo<'_>) {
            assert_eq!(self.0.explain(Array::<f64>::ones([10], 5).sum(..)).unwrap_err().kind(), ErrorKind::Invalid);
        }
    }
    let mut g = Graph::new();
    g.set("x", 1);
    g.set("y", call(inc, (key("x"),)));
    let error = engine.with_callback(Arc::new(Angry(engine.clone()))).get::<i64>(&g, "y").unwrap_err();
    assert!(error.kind() == ErrorKind::Panicked && error.to_string().contains("not that one"), "{error}");
    assert_eq!(engine.get::<i64>(&g, "y").unwrap(), 2);
}

#[test]
fn a_recording_tells_the_story_of_a_spilled_chunk() {
    let engine = tight(72 << 20);
    let recording = engine.record();
    // 128 MiB that a closure makes once and that are needed twice.
    let x = Array::<f64>::ones([64, 262_144], [1, 262_144]).map_blocks(|block| block.to_owned() + 1.0);
    let z = &x - x.mean(0);
    assert_eq!(engine.compute(&z.abs().sum(..).item_collection()).unwrap(), 0.0);
    let run = engine.last_run().unwrap();
    assert!(run.spilled_bytes > 0, "{run}");
    let history = recording.history();
    assert!(history.whole && history.bound > 0 && history.ends == ["done"]);
    assert_eq!(history.tasks().filter(|task| task.ran()).count() as u64, run.tasks);
    let profile = history.profile();
    assert_eq!(profile.layers.iter().map(|layer| layer.spilled_bytes).sum::<u64>(), run.spilled_bytes);
    assert!(profile.peak_bytes <= history.bound, "{profile}");
    let spilled = history.tasks().find(|task| task.moments.iter().any(|moment| moment.kind == EventKind::Spilled)).unwrap();
    let why = history.why(spilled);
    let text = why.to_string();
    assert!(text.contains("written to scratch: next used by") && text.contains("read back from scratch for"), "{text}");
    assert!(text.contains("died:") && !why.users.is_empty() && why.place.is_some(), "{text}");
    assert!(std::ptr::eq(history.find(&why.name)[0], spilled));
    let stays = spilled.stays(history.ended_ns);
    assert!(stays.iter().any(|stay| stay.on_disk && !stay.in_memory) && stays.windows(2).all(|pair| pair[0].ns.1 <= pair[1].ns.0));
    let cache = history.cache_profile();
    assert!(cache.peak_bytes <= profile.peak_bytes && cache.peak_bytes >= profile.peak_bytes / 10 * 9, "{cache}\n{profile}");
    assert_eq!(cache.layers.iter().map(|layer| layer.bytes_at_peak).sum::<u64>(), cache.peak_bytes);
    // A chunk that was read back was held twice.
    let number = history.tasks().position(|task| std::ptr::eq(task, spilled)).unwrap();
    assert!(history.holdings().iter().filter(|held| held.task == number as u32).count() >= 2);
    for svg in [history.timeline(), history.profile_picture(&[]), history.cache_picture()] {
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>") && !svg.contains("NaN"));
    }
}

#[test]
fn recordings_of_graphs_name_keys_and_end_when_they_are_dropped() {
    let engine = engine("256MiB", 1);
    let samples = ResourceProfiler::start(Duration::from_millis(1)).unwrap();
    let recording = engine.record();
    let mut g = Graph::new();
    g.set("a", 1);
    g.set(("b", 3), call(inc, (key("a"),)));
    g.set("c", call(inc, (key(("b", 3)),)));
    assert_eq!(engine.get::<i64>(&g, "c").unwrap(), 3);
    // A second run on the same engine is told from the first.
    assert_eq!(engine.with_scheduler(Scheduler::Sync).get::<i64>(&g, ("b", 3)).unwrap(), 2);
    let history = recording.history();
    assert_eq!(history.find("('b', 3)").len(), 2);
    let c = history.find("c");
    assert_eq!((c.len(), history.why(c[0]).inputs), (1, vec!["('b', 3)".to_string()]));
    let samples = samples.stop();
    assert!(!samples.is_empty() && history.profile_picture(&samples).contains("processors"));
    let events = recording.log().events.len();
    drop(recording);
    let recording = engine.record();
    engine.get::<i64>(&g, "c").unwrap();
    assert!(recording.log().events.len() < events);
}

#[test]
fn other_bounds_are_forecast() {
    let engine = engine("512MiB", 2);
    let x = Array::<f64>::ones([128, 131_072], [1, 131_072]).map_blocks(|block| block.to_owned() + 1.0);
    let z = &x - x.mean(0);
    let explain = engine.explain(z.abs().sum(..)).unwrap();
    let curve = explain.curve();
    assert!(curve.windows(2).all(|pair| pair[0].memory < pair[1].memory), "{curve:?}");
    assert!(curve[0].spilled_bytes > 100 << 20, "{curve:?}");
    let last = curve.last().unwrap();
    assert_eq!((last.spilled_bytes, last.read_again_bytes), (0, 0));
    assert!(explain.exact && explain.peak_range.is_none() && explain.seconds > 0.0);
    let made = explain.layers.iter().find(|layer| layer.name == "map_blocks").unwrap();
    assert!(made.bytes == 128 << 20 && made.peak_bytes == made.bytes && made.seconds > 0.0, "{explain}");
    // The rates of a run are learned.
    engine.compute(&z.abs().sum(..)).unwrap();
    let learned = engine.explain(z.abs().sum(..)).unwrap();
    assert_ne!(learned.seconds, explain.seconds);
}

#[test]
fn what_is_made_faster_than_it_is_read_back_is_made_again() {
    let engine = tight(96 << 20);
    // Wanted twice, far apart, and not fused into what uses it: the second time it is made again, not read from scratch.
    let x = random::random([64, 262_144]).chunks([1, 262_144]).seed(3).array();
    let far = x.map_blocks(|block| block.to_owned()) - x.mean(0);
    let explain = engine.explain(far.abs().sum(..)).unwrap();
    let made = explain.layers.iter().find(|layer| layer.name == "uniform").unwrap();
    assert!(made.bytes == 128 << 20 && made.spilled_bytes == 0, "{explain}");
    engine.compute(&far.abs().sum(..).item_collection()).unwrap();
}

fn give(number: i64) -> Vec<f64> {
    vec![number as f64; 1 << 18]
}

fn total(parts: Vec<Vec<f64>>) -> f64 {
    parts.iter().flatten().sum()
}

/// What functions give is learned by their names: from the second run on the fact lies in the range.
#[test]
fn peaks_lie_in_the_range_that_was_learned() {
    let mut g = Graph::new();
    let parts: Vec<String> = (0..24).map(|number| format!("part-{number}")).collect();
    for (number, part) in parts.iter().enumerate() {
        g.set(part.as_str(), call(give, (number as i64,)));
    }
    g.set("total", call(total, (list(parts.iter().map(|part| key(part.as_str()))),)));
    let engine = engine("1GiB", 2);
    let mut runs = Vec::new();
    for _ in 0..4 {
        assert_eq!(engine.get::<f64>(&g, "total").unwrap(), (276 << 18) as f64);
        runs.push(engine.last_run().unwrap());
    }
    for run in &runs {
        let (least, most) = run.forecast.peak_range.unwrap();
        assert!((least..=most).contains(&run.peak_bytes), "{run}");
        assert!(least <= most && run.audit().is_empty(), "{run}");
    }
    // Nothing was known before the first run.
    let width = |nth: usize| runs[nth].forecast.peak_range.map(|(least, most)| most - least).unwrap();
    assert!(width(3) < width(0), "{} and {}", width(3), width(0));
}
